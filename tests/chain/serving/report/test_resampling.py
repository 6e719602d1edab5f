# SPDX-License-Identifier: Apache-2.0
"""Windows from grid to grid, held against GDAL, MATLAB's rule and closed forms."""

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.gdal_memory import memory_grid, memory_image
from chain.raster.grids import Grid
from chain.serving.report.resampling import averaged, bicubic, covering, degraded, inside
from datasets.wald import degrade
from evaluation import bicubic as matlab

NATIVE = Grid(300000.0, 5000040.0, 20.0, 20.0, 18, 15, "")


def grid(spacing, left=0.0, down=0.0, width=360.0, height=300.0):
    columns, rows = round(width / spacing), round(height / spacing)
    return Grid(NATIVE.left + left, NATIVE.top - down, spacing, spacing, columns, rows, "")


@pytest.fixture
def pixels():
    return np.random.default_rng(3).uniform(200, 3000, (NATIVE.rows, NATIVE.columns)).astype(np.float32)


def test_bicubic_is_matlabs_of_whole_ratios(pixels):
    found = bicubic(pixels, NATIVE, grid(10.0))
    expected = matlab.bicubic(pixels[..., np.newaxis], 2)[..., 0]
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], rtol=1e-5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("left, down, spacing", [(0.0, 0.0, 1.5), (2.5, 2.5, 5.0), (60.0, 40.0, 20 / 3)])
def test_bicubic_is_gdals_for_any_ratio_and_shift(pixels, left, down, spacing):
    wanted = grid(spacing, left, down, 240.0, 180.0)
    with memory_image(pixels[..., np.newaxis], NATIVE) as name, memory_grid(wanted) as place:
        target = gdal.GetDriverByName("MEM").Create("", wanted.columns, wanted.rows, 1, gdal.GDT_Float32)
        target.SetGeoTransform(gdal.Open(place).GetGeoTransform())
        gdal.Warp(target, name, resampleAlg="cubic")
        expected = target.ReadAsArray()
    found = bicubic(pixels, NATIVE, wanted)
    edge = round(60 / spacing)
    inner = np.s_[edge:-edge, edge:-edge]
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.3)


def test_averages_of_whole_ratios_are_means_of_blocks(pixels):
    coarse = Grid(NATIVE.left, NATIVE.top, 60.0, 60.0, 6, 5, "")
    expected = pixels.reshape(5, 3, 6, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(averaged(pixels, NATIVE, coarse), expected, rtol=1e-6)


def test_averages_of_a_plane_are_its_values_at_centres():
    fine = grid(1.5, 0.3, 0.7)
    rows, columns = np.mgrid[: fine.rows, : fine.columns] + 0.5
    plane = (3 * (fine.left + columns * fine.dx - NATIVE.left) + 2 * (NATIVE.top - fine.top + rows * fine.dy)).astype(
        np.float32
    )
    found = averaged(plane, fine, NATIVE)
    y, x = np.mgrid[: NATIVE.rows, : NATIVE.columns] + 0.5
    known = np.isfinite(found)
    assert known[1:-1, 1:-1].all() and not known[0].any()
    np.testing.assert_allclose(found[known], (3 * 20 * x + 2 * 20 * y)[known], rtol=2e-3)


@pytest.mark.parametrize("ratio", [1, 2, 3, 6])
def test_coarse_pixels_are_those_of_walds_protocol(ratio):
    fine = np.random.default_rng(4).uniform(200, 3000, (NATIVE.rows * ratio, NATIVE.columns * ratio))
    found = degraded(fine.astype(np.float32), grid(20.0 / ratio), NATIVE)
    expected = degrade(fine[..., np.newaxis], ratio)[..., 0] if ratio > 1 else fine
    edge = int(ratio in (2, 3))
    inner = np.s_[edge : NATIVE.rows - edge, edge : NATIVE.columns - edge]
    np.testing.assert_allclose(found[inner], expected[inner], rtol=1e-5)
    assert np.isfinite(found).sum() == expected[inner].size  # what sees beyond the border is not told


def test_a_wave_is_damped_by_blur_and_mean():
    fine, frequency = grid(10.0), 0.31  # radians a fine pixel
    wave = np.tile(np.cos(frequency * (np.arange(fine.columns) + 0.5)), (fine.rows, 1)).astype(np.float32)
    weights = np.exp(-2.0 * np.arange(3) ** 2)
    blur = (weights[0] + 2 * (weights[1:] * np.cos(frequency * np.arange(1, 3))).sum()) / (2 * weights.sum() - 1)
    expected = blur * np.cos(frequency / 2) * np.cos(2 * frequency * (np.arange(NATIVE.columns) + 0.5))
    found = degraded(wave, fine, NATIVE)[1:-1, 1:-1]
    np.testing.assert_allclose(found, np.tile(expected[1:-1], (NATIVE.rows - 2, 1)), atol=1e-6)


def test_missing_pixels_stay_where_they_are(pixels):
    pixels[4, 5] = np.nan
    fine = bicubic(pixels, NATIVE, grid(10.0))
    assert (np.isnan(fine) == np.isnan(pixels).repeat(2, 0).repeat(2, 1)).all()
    assert (np.isnan(averaged(fine, grid(10.0), NATIVE)) == np.isnan(pixels)).all()


def test_parts_of_an_image():
    assert covering(NATIVE, grid(10.0, 30, 50, 60, 40), 0) == inside(NATIVE, grid(10.0, 20, 40, 80, 60))
    assert covering(NATIVE, grid(10.0), 3) == inside(NATIVE, grid(10.0))
    beside = inside(NATIVE, grid(10.0, 5000))
    assert beside.columns == 0
