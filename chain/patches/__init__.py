# SPDX-License-Identifier: Apache-2.0
"""Pairs of patches of Sentinel-2 and Spot-6/7: what `sr_dataset.py` composes."""
