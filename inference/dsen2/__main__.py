# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.dsen2`."""

from inference.dsen2 import main

raise SystemExit(main())
