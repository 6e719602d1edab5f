# SPDX-License-Identifier: Apache-2.0
"""Tiles of real images, as DSen2's networks are given them."""

from pathlib import Path

import numpy as np
from osgeo import gdal

from models.dsen2 import ROLES, SOURCES

PROJECT_WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "dsen2"


def tiles_of(stem, role, side):
    """Return nine tiles of `<stem>_10m.tif`, `_20m` and `_60m`, side pixels of 10 m wide (a multiple of 6), spread."""
    images = {}
    for name in ROLES[role]:
        dataset = gdal.Open(f"{stem}_{name[1:]}m.tif")
        bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
        found = {band.GetDescription().split()[0]: band.ReadAsArray().astype(np.float32) for band in bands}
        images[name] = np.stack([found[band] for band in SOURCES[name].bands], axis=2)
    ratios = {name: round(SOURCES[name].gsd / 10) for name in images}
    rows, columns = (min(images[name].shape[axis] * ratio for name, ratio in ratios.items()) for axis in (0, 1))
    starts = [np.linspace(0, length - side, 3).astype(int) // 6 * 6 for length in (rows, columns)]
    return [
        {
            name: images[name][y // ratio : (y + side) // ratio, x // ratio : (x + side) // ratio]
            for name, ratio in ratios.items()
        }
        for y in starts[0]
        for x in starts[1]
    ]
