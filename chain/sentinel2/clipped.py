# SPDX-License-Identifier: Apache-2.0
"""Whether numbers were clipped: data sets for networks hold numbers / 3000, clipped at 1, which look like reflectance.

The near infrared of vegetation is clipped first, far above the red of the same pixel. Real reflectance of 1 is that of
clouds and snow, which are bright in both; and few pixels hold an image's highest number.
"""

from collections.abc import Mapping

import numpy as np
from osgeo import gdal

from chain.sentinel2.bands import REFLECTANCE
from chain.sentinel2.decision import Decision
from chain.sentinel2.digital_numbers import SCALE_HELP
from chain.sentinel2.sampling import sampled_parts

INFRARED, DARK = ("B08", "B8A", "B07", "B06"), ("B04", "B03", "B02")
"""Bands that vegetation is bright in, and dark in; the first ones that are there are compared."""
LEAST, HEAPED = 0.01, 5.0
"""Share of the pixels that hold the highest number and are dark in the other band, and how many times as many hold it
as the next one, from which it was clipped."""
DARKER = 0.5
"""Part of the highest number below which the other band is dark."""


def check_not_clipped(name: str, bands: Mapping[str, str], factor: float, is_guessed: bool) -> list[Decision]:
    """Refuse an image that was taken for reflectance, and was clipped at 1; tell other numbers that were clipped.

    Args:
        name: of the image, for errors.
        bands: for each band, a raster of one band, of digital numbers.
        factor: by which its numbers became digital numbers.
        is_guessed: whether nothing states it.

    Raises:
        ValueError: it was clipped at 1.
    """
    infrared, dark = (next((band for band in some if band in bands), None) for some in (INFRARED, DARK))
    if not infrared or not dark:
        return []
    highest, share = _highest(bands[infrared], bands[dark])
    if share <= LEAST:
        return []
    held = f"{highest / factor:g}, the highest number of {infrared}, in {100 * share:.2g} % of the pixels"
    if is_guessed and abs(highest * REFLECTANCE - 1) < REFLECTANCE:
        raise ValueError(
            f"{name}: expected reflectance, got {held}, where {dark} is below half of it, as if other numbers had been "
            f"divided and clipped: {SCALE_HELP}"
        )
    return [Decision("pixels", held, f"far above {dark} there, as if it had been clipped")]


def _highest(infrared: str, dark: str) -> tuple[float, float]:
    """Return the highest number of a band, and the share of the pixels that hold it and are dark in another one.

    The share is 0 where the number is not one that many more pixels hold than the next one.
    """
    parts = [
        (one.ravel(), other.ravel())
        for (one, _), (other, _) in zip(sampled_parts(gdal.Open(infrared)), sampled_parts(gdal.Open(dark)))
        if one.shape == other.shape
    ]
    if not parts:
        return 0.0, 0.0
    bright, low = (np.concatenate(each) for each in zip(*parts))
    there = ~(np.isnan(bright) | np.isnan(low))
    numbers, counts = np.unique(bright[there], return_counts=True)
    if numbers.size < 2 or counts[-1] < HEAPED * counts[-2]:
        return 0.0, 0.0
    is_clipped = there & (bright == numbers[-1]) & (low < DARKER * numbers[-1])
    return float(numbers[-1]), float(is_clipped.sum() / there.sum())
