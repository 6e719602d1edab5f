# SPDX-License-Identifier: Apache-2.0
"""The synthetic scene: the landscape does not depend on windows, files are those of a Sentinel-2 scene."""

import numpy as np
import pytest
from osgeo import gdal

from benchmarks.scene import FILES, Landscape, write_scene


def test_a_part_of_a_window_is_a_window():
    landscape = Landscape(600)
    for whole, part in zip(landscape.window(0, 0, 600, 600), landscape.window(150, 60, 90, 200)):
        np.testing.assert_allclose(part, whole[60:260, 150:240], atol=1e-5)


def test_files_have_the_bands_and_grids_of_sentinel2(tmp_path):
    paths = write_scene(tmp_path, 120)
    assert write_scene(tmp_path, 120) == paths
    for path, (spacing, bands) in zip(paths, FILES.items()):
        dataset = gdal.Open(str(path))
        assert (dataset.RasterXSize, dataset.RasterYSize) == (1200 // spacing, 1200 // spacing)
        assert dataset.GetGeoTransform() == (300000.0, spacing, 0.0, 5000040.0, 0.0, -spacing)
        assert [dataset.GetRasterBand(n + 1).GetDescription() for n in range(dataset.RasterCount)] == list(bands)
        assert dataset.ReadAsArray().min() > 0


def test_sides_are_multiples_of_6(tmp_path):
    with pytest.raises(ValueError, match="multiple of 6"):
        write_scene(tmp_path, 100)
