# SPDX-License-Identifier: Apache-2.0
"""Whether two bands hold the same pixels, as where one file was copied, or stacked twice, under the other's name."""

import hashlib
from collections.abc import Mapping

import numpy as np
from osgeo import gdal

from chain.sentinel2.decision import Decision
from chain.sentinel2.sampling import sampled_parts

SHADES = 16
"""Different numbers, at least, of a band that is compared: others may well be the same."""


def same_pixels(bands: Mapping[str, str]) -> list[Decision]:
    """Return a doubt for each pair of bands that hold the same pixels.

    Args:
        bands: for each band, a raster of one band.
    """
    seen: dict[bytes, str] = {}
    found = []
    for band, name in bands.items():
        values = [array.ravel() for array, _ in sampled_parts(gdal.Open(name))]
        if not values:
            continue
        pixels = np.concatenate(values)
        first = seen.setdefault(hashlib.sha256(pixels).digest(), band)
        if first != band and np.unique(pixels).size >= SHADES:
            found.append(Decision("pixels", f"{first} and {band} hold the same", "no two bands of Sentinel-2 do"))
    return found
