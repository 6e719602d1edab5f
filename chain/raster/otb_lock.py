# SPDX-License-Identifier: Apache-2.0
"""One thread at a time may work with OTB.

Each use of a parameter compiles a regular expression, which KWSys up to ITK 4.13 does in memory that all threads of a
process share.
"""

import threading

OTB_LOCK = threading.RLock()
"""Held while OTB applications are made, asked for anything, or compute."""
