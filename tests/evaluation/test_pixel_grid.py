# SPDX-License-Identifier: Apache-2.0
"""Which grids are seen in images: those of nearest neighbours and of known size, and none in noise."""

import json

import numpy as np
import pytest

from evaluation import pixel_grid
from evaluation.pixel_grid import phases


@pytest.mark.parametrize("ratio", [2, 3, 6])
def test_nearest_neighbours_differ_across_coarse_pixels_alone(ratio):
    coarse = np.random.default_rng(0).uniform(0, 1, (20, 30))
    np.testing.assert_allclose(phases(np.kron(coarse, np.ones((ratio, ratio))), ratio), [0] * (ratio - 1) + [ratio])


def test_noise_and_slopes_have_no_grid():
    noise = np.random.default_rng(0).normal(size=(600, 600))
    np.testing.assert_allclose(phases(noise, 3), [1, 1, 1], atol=0.01)
    np.testing.assert_allclose(phases(np.add.outer(np.arange(12), np.arange(18)), 2), [1, 1])


def test_a_product_is_measured_band_by_band_without_missing_pixels(write_raster, capsys):
    """Inside coarse pixels neighbours differ by 1, across them by 3."""
    line = np.cumsum([3, 1] * 10)
    pixels = np.stack([np.add.outer(line, line), np.add.outer(np.arange(20), np.arange(20)) + 1], axis=-1)
    pixels[4:6] = 0
    image = write_raster("sr.tif", pixels.astype(np.uint16), bands=("B05", "B04"), nodata=0)
    assert pixel_grid.main(["--image", str(image), "--ratio", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == {"B05": [0.5, 1.5], "B04": [1, 1]}


@pytest.mark.parametrize("nodata, got", [(0, "missing ones only"), (9, "0 in all of them")])
def test_bands_without_content_are_refused(write_raster, capsys, nodata, got):
    image = write_raster("sr.tif", np.zeros((8, 9, 1), np.uint16), nodata=nodata)
    assert pixel_grid.main(["--image", str(image), "--ratio", "2"]) == 1
    assert f"--image: expected pixels that vary, got {got} in 1" in capsys.readouterr().err


def test_bands_of_one_name_are_measured_each(write_raster, capsys):
    pixels = np.random.default_rng(0).integers(1, 99, (8, 8, 2)).astype(np.uint16)
    image = write_raster("sr.tif", pixels, bands=("B05", "B05"))
    assert pixel_grid.main(["--image", str(image), "--ratio", "2"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"B05", "B05 (2)"}


def test_an_image_of_one_coarse_pixel_is_refused(write_raster, capsys):
    image = write_raster("sr.tif", np.ones((3, 9, 1), np.uint16))
    assert pixel_grid.main(["--image", str(image), "--ratio", "2"]) == 1
    assert "--image: expected at least 4 x 4 pixels, got 9 x 3" in capsys.readouterr().err
