# SPDX-License-Identifier: Apache-2.0
"""The stand-in for Planetary Computer of the chain's tests."""

from tests.chain.conftest import make_sentinel2_item, online, planetary_computer

__all__ = ["make_sentinel2_item", "online", "planetary_computer"]
