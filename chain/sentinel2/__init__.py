# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2: bands, offset, SAFE, STAC, and the image that is opened of any of them."""
