# SPDX-License-Identifier: Apache-2.0
"""Images of which one band, or all, are other than those of L1B: of other numbers, sizes or names."""

import numpy as np
import pytest
from osgeo import gdal

from inference import l1bsr
from models.l1bsr import BANDS
from tests.inference.l1bsr.networks import counts, failure, infer, warnings

pytestmark = pytest.mark.keras

SIDE = 40


@pytest.fixture
def write(tmp_path, write_raster):
    """Return a function that writes an image in one file, without place and names of bands unless they are given."""

    def write(pixels, **options):
        return str(write_raster("image.tif", pixels, **{"bands": BANDS, **options}))

    return write


@pytest.fixture
def write_bands(write_raster):
    """Return a function that writes a file for each band."""

    def write(pixels):
        return [str(write_raster(f"{band}.tif", pixel)) for band, pixel in zip(BANDS, pixels)]

    return write


def info(source, models, *more):
    return infer(source, "unused.tif", models["nearest"], "--info", *more)


@pytest.mark.parametrize("fill, dtype", [(-9999, np.int16), (-1, np.int16), (-32768, np.float32)])
def test_undeclared_numbers_below_0_in_all_bands_are_asked_for(write, models, capsys, fill, dtype):
    """They are too few to tell that numbers are no counts."""
    pixels = counts(SIDE, SIDE).astype(dtype)
    pixels[:2] = fill
    assert info(write(pixels), models) == 1
    assert f"got {fill} in all bands of many pixels, undeclared (gdal_edit.py -a_nodata" in failure(capsys)


@pytest.mark.parametrize("fill, dtype", [(65535, np.uint16), (-9999, np.int16)])
def test_undeclared_fill_of_one_band_is_asked_for(write, models, capsys, fill, dtype):
    pixels = counts(SIDE, SIDE).astype(dtype)
    pixels[:1, :20, 2] = fill
    assert info(write(pixels), models) == 1
    assert f"got {fill} in many pixels of B04, undeclared (gdal_edit.py" in failure(capsys)


def test_noise_below_0_and_saturated_pixels_are_counts(write, models, capsys):
    pixels = counts(SIDE, SIDE).astype(np.int16)
    pixels[0, :, 3] = -2
    pixels[1] = 4095
    assert info(write(pixels), models) == 0
    (told,) = warnings(capsys)
    assert "4095 in all bands of 2.5 % of the pixels, taken for data; gdal_edit.py -a_nodata 4095 " in told


def test_bands_of_reflectance_or_8_bits_beside_counts_are_refused(write_bands, models, capsys):
    pixels = np.moveaxis(counts(SIDE, SIDE), -1, 0)
    assert info(write_bands([*pixels[:3], np.float32(pixels[3] / 1400)]), models) == 1
    assert "expected counts of L1B in all bands, got reflectance in B08 alone" in failure(capsys)
    assert info(write_bands([pixels[0] // 4 * 4, np.uint8(pixels[1] // 4), *pixels[2:]]), models) == 1
    line = failure(capsys)
    assert "expected numbers of one kind in all bands, got 8 bits in " in line and "B03.tif beside " in line


@pytest.mark.parametrize("factor", [2, 6])
def test_bands_of_repeated_pixels_are_refused(write, models, capsys, factor):
    pixels = counts(48, 48)
    coarse = pixels[: 48 // factor, : 48 // factor, 3]
    pixels[..., 3] = np.repeat(np.repeat(coarse, factor, axis=0), factor, axis=1)
    assert info(write(pixels), models) == 1
    assert "expected pixels of 10 m, got B08 with each pixel repeated" in failure(capsys)


def test_flat_ground_is_not_repeated_pixels(write, models, capsys):
    """Of water, most neighbours are alike."""
    pixels = 200 + (np.random.default_rng(0).random((SIDE, SIDE, 4)) < 0.02) + 50 * np.arange(4)
    assert info(write(pixels.astype(np.uint16)), models) == 0
    assert not warnings(capsys)


def test_products_are_no_images(tmp_path, write, models, capsys):
    """But a registered image is one."""
    source = write(counts(SIDE, SIDE))
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 0
    capsys.readouterr()
    assert info(str(tmp_path / "sr.tif"), models) == 1
    assert f"expected an image of L1B, got {tmp_path / 'sr.tif'}, which is a product of" in failure(capsys)


@pytest.mark.parametrize(
    "options, more, told",
    [
        ({"gsd": 20.0, "origin": (3e5, 5e6)}, (), "pixels of 20 m: the networks are made for pixels of 10 m"),
        ({"bands": BANDS[::-1]}, ("--band-names", ",".join(BANDS)), "--band-names takes B08 for B02, B04 for B03"),
    ],
)
def test_images_unlike_those_of_l1b_are_told(write, models, capsys, options, more, told):
    assert info(write(counts(SIDE, SIDE), **options), models, *more) == 0
    assert told in capsys.readouterr().out


def test_scale_tags_of_reflectance_are_told(write, models):
    source = write(counts(SIDE, SIDE))
    dataset = gdal.Open(source, gdal.GA_Update)
    dataset.GetRasterBand(1).SetScale(1e-4)
    dataset = None
    notes = l1bsr.describe(source, l1bsr.Options(model_dir=models["nearest"]))["input"]["notes"]
    assert any("a scale tag of 0.0001 states numbers of reflectance" in note for note in notes)
