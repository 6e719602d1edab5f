# SPDX-License-Identifier: Apache-2.0
"""Missing pixels, however they are told: declared, masks in files and beside them, alpha, bands, known fill."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.image import open_product
from chain.sentinel2.reading import Reading
from tests.chain.sentinel2.scenes import (
    ORDER,
    check_native,
    check_stack,
    fine,
    native,
    read,
    reason_of,
    write,
    write_files,
    write_stack,
)
from tests.examples import slow

FILL = 10000
"""Number under masks, which looks like reflectance."""


@pytest.fixture(scope="module")
def pixels():
    return native(60)


@pytest.fixture(scope="module")
def missing():
    mask = np.zeros((60, 60), bool)
    mask[:15, :30] = True
    mask[40, 7] = True
    return mask


def filled(pixels, missing, fill=FILL, dtype="uint16"):
    return [np.where(missing, fill, array).astype(dtype) for array in fine(pixels).values()]


def add_mask(path, valid, internal, band=1, flags=gdal.GMF_PER_DATASET):
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES" if internal else "NO")
    try:
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.CreateMaskBand(flags)
        dataset.GetRasterBand(band).GetMaskBand().WriteArray(valid.astype(np.uint8) * 255)
        dataset = None
    finally:
        gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", None)
    return path


@pytest.mark.parametrize(
    "declared, internal",
    [
        (None, True),
        (0, False),
        (65535, True),
        *(slow(*each) for each in ((None, False), (0, True), (65535, False))),
    ],
)
def test_a_mask_in_a_file_or_beside_it(tmp_path, pixels, missing, internal, declared):
    arrays = filled(pixels, missing)
    also = missing.copy()
    if declared:
        arrays[3][50:] = declared
    path = add_mask(write(tmp_path / "s.tif", arrays, ORDER, nodata=declared), ~missing, internal)
    image = open_product(path, offset=0)
    assert "the raster has a mask" in reason_of(image, "nodata")
    also[50:] = bool(declared)
    check_stack(image, {"B04": pixels["B04"]}, also)
    check_stack(image, {band: array for band, array in pixels.items() if band != "B04"}, missing)
    image.close()


def test_an_alpha_band_of_a_stack(tmp_path, pixels, missing):
    source = write(tmp_path / "p.tif", filled(pixels, missing), ORDER, nodata=FILL)
    path = str(tmp_path / "alpha.tif")
    gdal.Warp(path, source, dstAlpha=True, srcNodata=FILL, dstNodata=None)
    dataset = gdal.Open(path, gdal.GA_Update)
    assert dataset.GetRasterBand(13).GetColorInterpretation() == gdal.GCI_AlphaBand
    for number in range(1, 13):
        dataset.GetRasterBand(number).WriteArray(filled(pixels, missing)[number - 1])
    dataset = None
    image = open_product(path, ORDER, offset=0)
    check_stack(image, pixels, missing)
    assert "alpha band" in reason_of(image, "nodata")


def test_an_alpha_band_beside_each_band(tmp_path, pixels):
    files = write_files(tmp_path / "in", pixels)
    for band, path in files.items():
        gdal.Warp(str(tmp_path / f"{band}.tif"), path, dstAlpha=True)
    image = open_product(sorted(str(path) for path in tmp_path.glob("*.tif")), offset=0)
    assert set(image.bands) == set(ORDER)
    check_native(image, pixels)


def test_an_alpha_band_of_255_in_16_bits_is_seen(tmp_path, pixels, missing):
    arrays = [*filled(pixels, missing), np.where(missing, 0, 255).astype(np.uint16)]
    path = write(tmp_path / "s.tif", arrays, [*ORDER, ""])
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(13).SetColorInterpretation(gdal.GCI_AlphaBand)
    dataset = None
    check_stack(open_product(path, offset=0), pixels, missing)


def test_a_band_that_is_marked_as_alpha_but_named_as_one_of_the_sensor_is_its(tmp_path, pixels):
    four = {band: pixels[band] for band in ("B04", "B03", "B02", "B08")}
    for names, asked in ((list(four), None), (None, tuple(four))):
        path = write_stack(tmp_path / "s.tif", four, names or [""] * 4)
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.GetRasterBand(4).SetColorInterpretation(gdal.GCI_AlphaBand)
        dataset = None
        check_stack(open_product(path, asked, offset=0), four)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_band_that_tells_where_there_is_data(tmp_path, pixels, missing, dtype):
    arrays = [*filled(pixels, missing, dtype=dtype), (~missing).astype(dtype)]
    image = open_product(write(tmp_path / "s.tif", arrays, [*ORDER, "dataMask"]), offset=0)
    check_stack(image, pixels, missing)
    assert "dataMask is 0" in reason_of(image, "nodata")


@pytest.mark.parametrize(
    "dtype, fill",
    [
        ("float32", np.nan),
        ("float64", -1e38),
        ("int16", -32768),
        slow("float32", -9999.0),
    ],
)
def test_declared_nodata(tmp_path, pixels, missing, dtype, fill):
    path = write(tmp_path / "s.tif", filled(pixels, missing, fill, dtype), ORDER, nodata=fill)
    check_stack(open_product(path, offset=0), pixels, missing)


def test_zero_that_is_declared_is_recorded_once(tmp_path, pixels):
    image = open_product(write_stack(tmp_path / "s.tif", pixels, nodata=0), offset=0)
    assert reason_of(image, "nodata") == "nodata: 0 (declared)"


def test_numbers_below_0_are_dark_and_not_missing(tmp_path, pixels):
    arrays = [array.astype(np.int16) for array in fine(pixels).values()]
    arrays[1][5:9, 5:9] = -35
    image = open_product(write(tmp_path / "s.tif", arrays, ORDER, nodata=-10000), offset=0)
    assert np.all(read(image, "B02")[5:9, 5:9] == 1)
    image = open_product(write(tmp_path / "u.tif", arrays, ORDER), offset=0)
    assert np.all(read(image, "B02")[5:9, 5:9] == 1)


def test_nodata_of_open_eo_is_known_and_other_numbers_are_asked_for(tmp_path, pixels, missing):
    path = write(tmp_path / "s.tif", filled(pixels, missing, -32768, "int16"), ORDER)
    image = open_product(path, offset=0)
    check_stack(image, pixels, missing)
    assert "-32768 is openEO's" in reason_of(image, "nodata")
    for fill in (-9999, -5000):
        path = write(tmp_path / f"s{fill}.tif", filled(pixels, missing, fill, "int16"), ORDER)
        with pytest.raises(ValueError, match=f"nodata that the raster declares, got {fill}, undeclared"):
            open_product(path, offset=0)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_number_of_saturated_pixels_is_asked_for_where_all_bands_hold_it(tmp_path, pixels, dtype):
    missing = np.zeros((60, 60), bool)
    missing[20:26, 30:36] = True
    path = write(tmp_path / "s.tif", filled(pixels, missing, 65535, dtype), ORDER)
    with pytest.raises(ValueError, match="got 65535 in all bands of 1 % of the pixels, undeclared .gdal_edit"):
        open_product(path, offset=0)
    arrays = filled(pixels, np.zeros((60, 60), bool), 65535, dtype)
    arrays[7][20:26, 30:36] = 65535
    image = open_product(write(tmp_path / "one.tif", arrays, ORDER), offset=0)
    assert np.all(read(image, ORDER[7])[20:26, 30:36] == 65535)


@pytest.mark.parametrize(
    "driver, suffix", [("ENVI", ""), ("ENVI", ".img"), ("ENVI", ".dat"), ("HFA", ".img"), ("EHdr", ".bil")]
)
def test_rasters_whose_header_lies_beside_them(tmp_path, pixels, driver, suffix):
    path = write_stack(tmp_path / f"s{suffix}", pixels, driver=driver)
    named = None if driver in ("ENVI", "HFA") else ORDER
    image = open_product(path, named, offset=0)
    check_stack(image, pixels)
    assert gdal.Open(image.bands["B02"]).GetGeoTransform()[:2] == (300000.0, 10.0)


def test_nodata_and_coordinate_system_in_an_aux_xml(tmp_path, pixels, missing):
    arrays = filled(pixels, missing, 7)
    path = write(tmp_path / "s.tif", arrays, ORDER, options=("PROFILE=BASELINE", "TFW=YES"), nodata=7)
    assert (tmp_path / "s.tif.aux.xml").exists() and (tmp_path / "s.tfw").exists()
    image = open_product(path, ORDER, offset=0)
    check_stack(image, pixels, missing)
    assert "UTM zone 31N" in gdal.Open(image.bands["B02"]).GetProjection()


@pytest.mark.parametrize("name", ["Band 13", *(slow(name) for name in ("", "Layer_13"))])
def test_a_mask_that_lost_its_mark_is_asked_for(tmp_path, pixels, missing, name):
    arrays = [*filled(pixels, missing), np.where(missing, 0, 255).astype(np.uint16)]
    path = write(tmp_path / "s.img", arrays, [*ORDER, name], driver="ENVI")
    with pytest.raises(ValueError, match="band 13 is not described, and holds 0 and 255 only: .*-colorinterp_13 alpha"):
        open_product(path, offset=0)
    masked = write(tmp_path / "m.img", arrays, [*ORDER, "FILL_MASK"], driver="ENVI")
    with pytest.raises(ValueError, match="band 13 is called 'FILL_MASK', and holds 0 and 255 only: if it tells"):
        open_product(masked, offset=0)
    for word in ("dataMask", "valid"):
        named = write(tmp_path / f"{word}.img", arrays, [*ORDER, word], driver="ENVI")
        check_stack(open_product(named, offset=0), pixels, missing)


def test_a_named_band_is_no_mask(tmp_path, pixels, missing):
    arrays = [*fine(pixels).values(), np.where(missing, 0, 1).astype(np.uint16)]
    named = write(tmp_path / "n.img", arrays, [*ORDER, "cloudmask"], driver="ENVI")
    check_stack(open_product(named, offset=0), pixels)


@pytest.mark.parametrize(
    "in_files, dtype, is_reflectance",
    [
        (True, "float32", True),
        (False, "int16", False),
        (False, "float32", True),
        *(
            slow(*each)
            for each in (
                (True, "int16", False),
                (True, "float32", False),
                (True, "float64", True),
                (False, "float32", False),
                (False, "float64", True),
            )
        ),
    ],
)
def test_zeros_from_which_the_offset_was_taken_are_missing(tmp_path, pixels, dtype, is_reflectance, in_files):
    hole = {band: np.zeros(array.shape, bool) for band, array in pixels.items()}
    for each in hole.values():
        each[: len(each) // 5] = True
    made = {band: np.where(hole[band], 0, array.astype(dtype) + 1000) - 1000 for band, array in pixels.items()}
    made = {band: (array / (10000 if is_reflectance else 1)).astype(dtype) for band, array in made.items()}
    files = [*write_files(tmp_path / "in", made).values()]
    image = open_product(files if in_files else write(tmp_path / "s.tif", [*fine(made).values()], ORDER))
    assert "ESA's 0, from which an offset of 1000 was taken" in reason_of(image, "nodata")
    expected = {band: np.where(hole[band], 0, array) for band, array in pixels.items()}
    (check_native if in_files else check_stack)(image, expected, tolerance=1e-3)


@pytest.mark.parametrize(
    "fill, dtype, declared",
    [(-99, "int16", None), slow(32767, "int16", 0), (64536, "uint16", 0)],
)
def test_one_number_in_all_bands_that_is_no_reflectance_is_asked_for(tmp_path, pixels, fill, dtype, declared):
    missing = np.zeros((60, 60), bool)
    missing[20:26, 30:36] = True
    path = write(tmp_path / "s.tif", filled(pixels, missing, fill, dtype), ORDER, nodata=declared)
    with pytest.raises(
        ValueError, match=rf"got {fill} in all bands of 1 % of the pixels, undeclared .*-a_nodata {fill} "
    ):
        open_product(path, offset=0)
    path = write(tmp_path / "declared.tif", filled(pixels, missing, fill, dtype), ORDER, nodata=fill)
    check_stack(open_product(path, offset=0), pixels, missing)


@pytest.mark.parametrize(
    "fill, dtype, scale",
    [(30000, "uint16", 1e-4), slow(32767, "int16", 1e-4), (250, "float32", 0.01)],
)
def test_one_number_in_all_bands_that_is_no_reflectance_by_the_stated_scale_is_asked_for(
    tmp_path, pixels, fill, dtype, scale
):
    missing = np.zeros((60, 60), bool)
    missing[20:26, 30:36] = True
    made = {band: array * (1e-4 / scale) for band, array in pixels.items()}
    path = write(tmp_path / "s.tif", filled(made, missing, fill, dtype), ORDER)
    said = rf"got {fill} in all bands of 1 % of the pixels, undeclared .*-a_nodata {fill} "
    with pytest.raises(ValueError, match=said):
        open_product(path, reading=Reading(offset=0, scale=scale))
    declared = write(tmp_path / "declared.tif", filled(made, missing, fill, dtype), ORDER, nodata=fill)
    assert not np.any(read(open_product(declared, reading=Reading(offset=0, scale=scale)), "B02")[20:26, 30:36])


@pytest.mark.parametrize(
    "in_files, fill, dtype",
    [
        (True, 9999, "uint16"),
        (False, 1, "uint16"),
        (False, 1.0, "float32"),
        *(
            slow(*each)
            for each in (
                (True, 1, "uint16"),
                (True, 10000, "int16"),
                (True, 1.0, "float32"),
                (False, 9999, "uint16"),
                (False, 10000, "int16"),
            )
        ),
    ],
)
def test_one_number_in_all_bands_that_may_be_reflectance_is_told(tmp_path, pixels, fill, dtype, in_files, caplog):
    made = {band: array / (10000 if dtype == "float32" else 1) for band, array in pixels.items()}
    for array in made.values():
        array[: len(array) // 5] = fill
    made = {band: array.astype(dtype) for band, array in made.items()}
    files = [*write_files(tmp_path / "in", made).values()]
    with caplog.at_level("WARNING"):
        image = open_product(files if in_files else write(tmp_path / "s.tif", [*fine(made).values()], ORDER))
    said = f"pixels: {fill:g} in all bands of 20 % of them is taken for data (gdal_edit.py -a_nodata {fill:g} "
    assert said in reason_of(image, "pixels") and [said in message for message in caplog.messages] == [True]
    open_product(write_stack(tmp_path / "clean.tif", pixels), offset=0)
    assert len(caplog.messages) == 1
