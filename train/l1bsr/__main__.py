# SPDX-License-Identifier: Apache-2.0
"""`python -m train.l1bsr`."""

from train.l1bsr import main

raise SystemExit(main())
