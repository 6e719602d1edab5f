# SPDX-License-Identifier: Apache-2.0
"""`python -m train.dsen2`."""

from train.dsen2 import main

raise SystemExit(main())
