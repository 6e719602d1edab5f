# SPDX-License-Identifier: Apache-2.0
"""How an image was brought to a finer grid: recognised from its pixels, and inverted."""
