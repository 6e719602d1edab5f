# SPDX-License-Identifier: Apache-2.0
"""Masks of which nothing tells the meaning: a further band of 0 and one other number, without a name or called `mask`.

It may have lost its mark as alpha on its way, as formats such as ENVI's have none; or tell of clouds. What lies under
the mask may look like reflectance, so it is asked for.
"""

import re
from collections.abc import Collection

import numpy as np
from osgeo import gdal

from chain.sentinel2.sampling import sampled_values

UNNAMED = re.compile(r"(?:(?:band|layer|lyr|channel|raster|stack|component)?[ _.#-]*\d*)", re.IGNORECASE)
"""Descriptions that tell nothing."""
MASK = re.compile(r"(?:fill|no[ _-]?data)?[ _-]?masks?|no[ _-]?data|fill", re.IGNORECASE)
"""Descriptions of masks that do not tell whether 0 or the other number means that there is data."""


def check_no_hidden_mask(dataset: gdal.Dataset, known: Collection[int | None], path: str) -> None:
    """Refuse a raster with a band that nothing names, and that holds one number beside 0, as far as it is looked at.

    Args:
        dataset: the raster.
        known: numbers of the bands whose use is known.
        path: its name, for errors.

    Raises:
        ValueError: there is such a band.
    """
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        name = band.GetDescription().strip()
        if number in known or not (UNNAMED.fullmatch(name) or MASK.fullmatch(name)):
            continue
        values = np.unique(sampled_values(dataset, number))
        if 0 < np.count_nonzero(values) <= 1:
            held = " and ".join(f"{value:g}" for value in values)
            told = f"is called {name!r}" if MASK.fullmatch(name) else "is not described"
            raise ValueError(
                f"{path}: band {number} {told}, and holds {held} only: if it tells where there "
                f"is data, mark it (gdal_edit.py -colorinterp_{number} alpha); to leave it out, name the bands by "
                "--bands-10m, with - in its place"
            )
