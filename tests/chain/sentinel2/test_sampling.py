# SPDX-License-Identifier: Apache-2.0
"""Tests of what is looked at of rasters, against their pixels as GDAL and NumPy read them."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.sampling import sampled_parts, sampled_together, samples_kept

SEED = 7


def written(path, pixels, nodata=None):
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), *pixels.shape[::-1], 1, gdal.GDT_UInt16)
    dataset.SetGeoTransform((600000, 10, 0, 5000000, 0, -10))
    if nodata is not None:
        dataset.GetRasterBand(1).SetNoDataValue(nodata)
    dataset.WriteArray(pixels)
    return str(path)


@pytest.fixture
def pixels():
    return np.random.default_rng(SEED).integers(1, 5000, (40, 60), np.uint16)


def test_pixels_are_those_of_the_raster_and_nan_where_missing(pixels, tmp_path):
    pixels[3, 4], pixels[5, 6] = 0, 7777
    ((sample, spacing),) = sampled_parts(gdal.Open(written(tmp_path / "a.tif", pixels, nodata=7777)))
    missing = np.isin(pixels, (0, 7777))
    np.testing.assert_array_equal(np.isnan(sample), missing)
    np.testing.assert_array_equal(sample[~missing], pixels[~missing])
    assert spacing == 10


def test_rasters_together_are_means_over_the_same_ground(pixels, tmp_path):
    names = [written(tmp_path / f"{number}.tif", pixels + number) for number in range(2)]
    means = pixels.reshape(20, 2, 30, 2).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(sampled_together(names), [means, means + 1], rtol=1e-6)


def test_samples_are_kept_as_long_as_asked(pixels, tmp_path):
    path = tmp_path / "a.tif"

    def looked():
        return sampled_parts(gdal.Open(str(path)))[0][0][0, 0], sampled_together([str(path)]).min()

    written(path, np.full_like(pixels, 10))
    with samples_kept():
        first = looked()
        written(path, np.full_like(pixels, 20))
        assert looked() == first == (10, 10)
    assert looked() == (20, 20)
