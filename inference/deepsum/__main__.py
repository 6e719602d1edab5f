# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.deepsum`."""

from inference.deepsum import main

raise SystemExit(main())
