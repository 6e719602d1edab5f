# SPDX-License-Identifier: Apache-2.0
"""What numbers are: digital numbers, reflectance from 0 to 1, or neither."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.image import open_product
from chain.sentinel2.reading import Reading
from tests.chain.sentinel2.scenes import check_stack, fine, native, reason_of, write, write_files, write_stack
from tests.examples import slow

ORDER = ("B02", "B03", "B04", "B05", "B08", "B11", "B12")


@pytest.fixture(scope="module")
def pixels():
    return native(120, bands=ORDER)


def scaled(pixels, factor, dtype="float32", add=0):
    return [((array.astype(float) + add) * factor).astype(dtype) for array in fine(pixels).values()]


@pytest.mark.parametrize(
    "nodata, dtype",
    [
        (None, "float32"),
        (np.nan, "float64"),
        (-9999.0, "float32"),
        slow(None, "float64"),
        slow(np.nan, "float32"),
        slow(-9999.0, "float64"),
    ],
)
def test_reflectance_from_0_to_1_is_read(tmp_path, pixels, dtype, nodata):
    arrays = scaled(pixels, 1e-4, dtype)
    missing = np.zeros((120, 120), bool)
    if nodata is not None:
        missing[:20, :40] = True
        for array in arrays:
            array[missing] = nodata
    image = open_product(write(tmp_path / "s.tif", arrays, ORDER, nodata=nodata))
    assert image.offset == 0 and "become digital numbers x 10000" in reason_of(image, "scale")
    check_stack(image, pixels, missing, tolerance=1e-3)


def test_few_numbers_beyond_2_are_glint(tmp_path, pixels):
    arrays = scaled(pixels, 1e-4)
    arrays[2][3, 4:20] = 2.7
    assert "x 10000" in reason_of(open_product(write(tmp_path / "s.tif", arrays, ORDER)), "scale")


def test_reflectance_with_an_offset_in_it_is_refused(tmp_path, pixels):
    path = write(tmp_path / "s.tif", scaled(pixels, 1e-4, add=1000), ORDER)
    with pytest.raises(ValueError, match="reflectance states an offset of 0, but no band has darker .*--offset -1000"):
        open_product(path)
    check_stack(open_product(path, offset=-1000), pixels, tolerance=1e-3)


def test_one_offset_holds_for_no_mixture_of_reflectance_and_digital_numbers(tmp_path, pixels):
    made = {band: pixels[band] + np.uint16(1000) for band in ("B02", "B03")}
    made |= {band: (pixels[band] / 10000).astype(np.float32) for band in ("B04", "B08")}
    files = [*write_files(tmp_path, made).values()]
    with pytest.raises(
        ValueError, match="expected bands of one kind where an offset of -1000 .*got reflectance and dig"
    ):
        open_product(files, offset=-1000)
    check_stack(open_product(files[2:]), {band: pixels[band] for band in ("B04", "B08")}, tolerance=1e-3)


@pytest.mark.parametrize("bands", [("B12",), ("B05", "B11"), ("B02", "B03", "B04", "B08")])
def test_reflectance_beside_digital_numbers_in_one_raster_is_refused(tmp_path, pixels, bands):
    """As is an index, such as NDVI, by the name of a band."""
    made = {band: array.astype(np.float32) / (10000 if band in bands else 1) for band, array in fine(pixels).items()}
    path = write(tmp_path / "s.tif", [*made.values()], ORDER)
    with pytest.raises(ValueError, match=f"one kind, got numbers from 0 to 1 in {', '.join(bands)} beside others in "):
        open_product(path, offset=0)


@pytest.mark.parametrize("low", [1.0, 2.0])
def test_small_digital_numbers_beside_others_are_read(tmp_path, pixels, low):
    """Such as those of B12 over water."""
    made = {band: array.astype(np.float32) for band, array in fine(pixels).items()}
    made["B12"][:] = 1
    made["B12"][::2] = low
    image = open_product(write(tmp_path / "s.tif", [*made.values()], ORDER), offset=0)
    assert image.layers["B12"].factor == 1


def test_reflectance_under_a_baseline_goes_by_its_pixels(tmp_path, pixels):
    name = "S2A_MSIL2A_20220613T101031_N0400_R022_T33UUP.tif"
    check_stack(open_product(write(tmp_path / name, scaled(pixels, 1e-4), ORDER)), pixels, tolerance=1e-3)


@pytest.mark.parametrize("dtype, scale", [("float32", 1e-4), ("float32", 1.0), slow("float64", 1e-4)])
def test_the_scale_that_the_user_states_holds(tmp_path, pixels, dtype, scale):
    path = write(tmp_path / "s.tif", scaled(pixels, 1e-4 / scale, dtype), ORDER)
    image = open_product(path, offset=0, reading=Reading(scale=scale))
    check_stack(image, pixels, tolerance=1e-3)
    assert image.identity["scale"] == scale


@pytest.mark.parametrize(
    "factor, dtype, message",
    [
        (1e-2, "float32", "got percent, or the like: pass --scale"),
        (255 / 10000, "uint8", "got 8 bits: pass --scale"),
        (255 / 4000, "uint16", "got numbers up to .*: pass --scale"),
        (255 / 10000, "float32", "got percent, or the like|got numbers up to"),
        (6.5535, "uint16", "got more than 5 % above 20000: pass --scale"),
    ],
)
def test_percent_pictures_and_other_scales_are_refused_by_name(tmp_path, pixels, factor, dtype, message):
    arrays = [np.minimum(array, 65535 if dtype == "uint16" else np.inf) for array in scaled(pixels, factor, "float64")]
    if dtype != "float32":
        arrays = [np.minimum(array, 255) if factor < 1 else array for array in arrays]
    path = write(tmp_path / "s.tif", [array.astype(dtype) for array in arrays], ORDER)
    for offset in (None, 0):
        with pytest.raises(ValueError, match=message):
            open_product(path, offset=offset)


def test_percent_is_read_by_its_scale(tmp_path, pixels):
    path = write(tmp_path / "s.tif", scaled(pixels, 1e-2), ORDER)
    check_stack(open_product(path, offset=0, reading=Reading(scale=0.01)), pixels, tolerance=1e-2)


def test_a_scale_that_the_user_states_leaves_missing_pixels_missing(tmp_path, pixels):
    missing = np.zeros((120, 120), bool)
    missing[:20, :40] = True
    arrays = [np.where(missing, -32768, array).astype(np.int16) for array in fine(pixels).values()]
    path = write(tmp_path / "s.tif", arrays, ORDER)
    check_stack(open_product(path, offset=0, reading=Reading(scale=1e-4)), pixels, missing, tolerance=1e-3)
    arrays = [np.where(missing, -9999, array) for array in scaled(pixels, 1e-4)]
    with pytest.raises(ValueError, match="nodata that the raster declares, got -9999, undeclared"):
        open_product(write(tmp_path / "u.tif", arrays, ORDER), offset=0, reading=Reading(scale=1.0))


def test_a_scale_that_reflectance_does_not_have_is_refused(tmp_path, pixels):
    path = write(tmp_path / "s.tif", scaled(pixels, 1e-4), ORDER, scale=0.0001, offset=0.0)
    with pytest.raises(ValueError, match="its scale of 0.0001 says that its numbers are no reflectance"):
        open_product(path)


def test_dark_water_alone_is_no_picture(tmp_path):
    array = np.random.default_rng(0).integers(30, 240, (2, 60, 60)).astype(np.uint16)
    image = open_product(write(tmp_path / "w.tif", list(array), ("B11", "B12")), offset=0)
    np.testing.assert_array_equal(gdal.Open(image.bands["B12"]).ReadAsArray(), array[1])


def test_a_stack_of_several_types_is_read(tmp_path, pixels):
    path = write_stack(tmp_path / "s.tif", pixels, dtype="int32")
    check_stack(open_product(path, offset=0), pixels)
