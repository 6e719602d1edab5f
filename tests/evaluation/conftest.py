# SPDX-License-Identifier: Apache-2.0
"""Scenes to be scored: simulated ones, and the real crop that numbers were published for."""

import numpy as np
import pytest
from osgeo import gdal
from scipy.ndimage import gaussian_filter

from datasets.wald import degrade
from evaluation.protocol import FINE, GROUPS, ratio

gdal.UseExceptions()


@pytest.fixture(scope="session")
def make_scene():
    """Return a function making bands of (rows, columns) 10 m pixels, with some texture, whatever the sizes."""

    def make(rows, columns, groups=("20m", "60m"), seed=0):
        rng = np.random.default_rng(seed)
        common = gaussian_filter(rng.normal(0, 800, (rows, columns)), 1)
        names = (*FINE, *(name for group in groups for name in GROUPS[group]))
        bands = {}
        for number, name in enumerate(names):
            band = 1500 + 100 * number + common + gaussian_filter(rng.normal(0, 200, common.shape), 1)
            scale = ratio(name)
            bands[name] = degrade(band[..., np.newaxis].astype(np.float32), scale)[..., 0] if scale > 1 else band
        return {name: band.astype(np.float32) for name, band in bands.items()}

    return make


@pytest.fixture(scope="session")
def malmo(shared_data):
    """Bands of the crop of T33UUB in DSen2's repository: 600 x 600 pixels of 10 m, digital numbers."""
    bands = {}
    for gsd in (10, 20, 60):
        path = shared_data("s2_l1c_dsen2_native") / f"S2A_MSIL1C_20170527_T33UUB_{gsd}m.tif"
        dataset = gdal.Open(str(path))
        for number in range(1, dataset.RasterCount + 1):
            band = dataset.GetRasterBand(number)
            bands[band.GetDescription()] = band.ReadAsArray().astype(np.float32)
    return bands
