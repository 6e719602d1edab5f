# SPDX-License-Identifier: Apache-2.0
"""Networks that repeat pixels, and scenes of random ones."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import BANDS
from tests import toy_models
from tests.inference.dsen2.scenes import ALL, COLUMNS, FILES, LEFT, ROWS, TOP


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder of networks that repeat pixels: they make the product's pixels known."""
    root = tmp_path_factory.mktemp("models")
    for level in ("L1C", "L2A"):
        for role in ("2x", "6x"):
            toy_models.dsen2(root / level / role, role, levels=(level,))
    return root


@pytest.fixture(scope="module")
def pixels():
    """Digital numbers of all 13 bands at native resolution, smooth enough for interpolations to be told apart."""
    rng = np.random.default_rng(0)
    found = {}
    for band, gsd in BANDS.items():
        size = round(ROWS * 10 / gsd), round(COLUMNS * 10 / gsd)
        found[band] = rng.integers(1001, 5000, size).astype(np.uint16)
    return found


@pytest.fixture
def files(pixels, write_raster):
    """Return a function that writes a scene as three files."""

    def write(stem="S2A_MSIL2A_20200101T000000_N0213_R000_T31UDQ", change=None, **options):
        names = []
        for gsd, bands in FILES.items():
            cube = np.stack([pixels[band] for band in bands], axis=2)
            cube = change(cube, gsd) if change else cube
            names.append(str(write_raster(f"{stem}_{gsd}m.tif", cube, gsd=float(gsd), bands=bands, **options)))
        return names

    return write


@pytest.fixture
def stack(pixels, write_raster, tmp_path):
    """Return a function that writes all bands on one grid of 10 m, the coarse ones resampled by GDAL."""

    def write(method, bands=ALL, described=True):
        cube = []
        for band in bands:
            name = str(write_raster("one.tif", pixels[band], gsd=BANDS[band]))
            bounds = (LEFT, TOP - 10 * ROWS, LEFT + 10 * COLUMNS, TOP)
            fine = gdal.Warp("", name, format="MEM", xRes=10, yRes=10, resampleAlg=method, outputBounds=bounds)
            cube.append(fine.ReadAsArray())
        names = bands if described else None
        return str(write_raster(f"S2A_MSIL2A_x_N0213_{method}.tif", np.stack(cube, 2), bands=names))

    return write
