# SPDX-License-Identifier: Apache-2.0
"""Files of weights of other frameworks, read without running anything in them."""
