# SPDX-License-Identifier: Apache-2.0
"""`python -m train.deepsum`."""

from train.deepsum import main

raise SystemExit(main())
