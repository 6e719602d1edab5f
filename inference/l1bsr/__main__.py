# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.l1bsr`."""

from inference.l1bsr import main

raise SystemExit(main())
