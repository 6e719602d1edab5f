# SPDX-License-Identifier: Apache-2.0
"""The offset of digital numbers: stated, proven, contradicted, asked for; by names, metadata, tags and pixels."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import BANDS, offset_of_baseline
from chain.sentinel2.image import open_product
from chain.sentinel2.pixel_evidence import evidence_of
from tests.chain.sentinel2.scenes import (
    ORDER,
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

ASKED = "--offset -1000.*--offset 0"
RESERVED = ("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP", "S2B_MSIL2A_20220101_N9905_R1_T1")
BRIGHT = 1200
"""Digital number that no pixel is darker than in an image that tells nothing."""


@pytest.fixture(scope="module")
def pixels():
    """A landscape in a few bands of each kind: opening takes as long as there are bands."""
    return native(120, bands=("B01", "B02", "B04", "B05", "B08", "B12", "B09"))


def bright(pixels):
    """Return pixels of which none is dark."""
    return {band: np.maximum(array, BRIGHT + 1000) for band, array in pixels.items()}


@pytest.mark.parametrize(
    "baseline, expected",
    [
        ("02.12", 0),
        ("03.01", 0),
        ("N0301", 0),
        ("04.00", -1000),
        ("05.11", -1000),
        ("5.11", -1000),
        ("10.00", -1000),
        ("99.99", None),
        ("N9999", None),
        ("99.05", None),
        ("00.01", None),
        ("1.0.0", None),
        ("", None),
    ],
)
def test_offset_of_baseline(baseline, expected):
    assert offset_of_baseline(baseline) == expected


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("add", [0, 1000])
def test_a_reserved_baseline_in_a_name_tells_no_offset(tmp_path, pixels, name, add):
    path = write_stack(tmp_path / f"{name}.tif", bright(pixels), add=add)
    with pytest.raises(ValueError, match=ASKED):
        open_product(path)
    path = write_stack(tmp_path / f"{name}.tif", pixels, add=add)
    if add:
        with pytest.raises(ValueError, match=ASKED):
            open_product(path)
    else:
        image = open_product(path)
        assert "no offset of 1000 allows: B01" in reason_of(image, "offset")
        check_stack(image, pixels)


@pytest.mark.parametrize(
    "parents, offset",
    [
        ("S2A_MSIL2A_20220613T101031_N0400_R022_T33UUP_20220613T101031", -1000),
        ("S2A_MSIL2A_20170613T101031_N0205_R022_T33UUP_20170613T101031", 0),
        ("x_N0205_/S2A_MSIL2A_20220613T101031_N0400_R022_T33UUP", -1000),
        ("x_N0205_/S2A_MSIL2A_20220613T101031_N9999_R022_T33UUP", None),
    ],
)
def test_the_nearest_name_with_a_baseline_tells_the_offset(tmp_path, pixels, parents, offset):
    path = write_stack(tmp_path / parents / "stack.tif", bright(pixels))
    if offset is None:
        with pytest.raises(ValueError, match=ASKED):
            open_product(path)
    else:
        assert open_product(path).offset == offset


@pytest.mark.parametrize("data", ["T33UUP_75_43", "T33UUP_89_18", "T34WFU_14_23"])
def test_real_patches_of_a_reserved_baseline_keep_their_pixels(shared_data, data):
    folder = shared_data("s2_l2a_bigearthnet_v2_native")
    paths = [str(next(folder.glob(f"*_N9999_*{data}_{key}.tif"))) for key in ("10m", "20m", "60m")]
    image = open_product(paths)
    assert image.offset == 0
    for path in paths:
        dataset = gdal.Open(path)
        for number in range(1, dataset.RasterCount + 1):
            band = dataset.GetRasterBand(number)
            np.testing.assert_array_equal(read(image, band.GetDescription()), band.ReadAsArray())


def edge_of_swath(pixels, algorithm, add=1000):
    """Return a stack with an offset, upsampled over the edge of a swath whose fill, 0, nobody declared."""
    stack = {}
    for band, array in pixels.items():
        holed = np.where(np.arange(array.shape[1]) * 2 < array.shape[1], 0, array + add).astype(np.uint16)
        source = gdal.GetDriverByName("MEM").Create("", *holed.shape[::-1], 1, gdal.GDT_UInt16)
        source.WriteArray(holed)
        size = fine({band: array})[band].shape
        how = {"width": size[1], "height": size[0], "resampleAlg": algorithm}
        stack[band] = gdal.Translate("", source, format="MEM", **how).ReadAsArray()
    return stack


@pytest.mark.parametrize("algorithm", ["bilinear", slow("cubic"), slow("lanczos")])
def test_pixels_mixed_with_fill_prove_nothing(tmp_path, pixels, algorithm):
    stack = edge_of_swath(pixels, algorithm)
    assert np.mean((stack["B09"] > 0) & (stack["B09"] < 800)) > 0.01
    path = write(tmp_path / "edge.tif", list(stack.values()), list(stack))
    with pytest.raises(ValueError, match=ASKED):
        open_product(path)
    cut = {band: array[:, 57:] for band, array in stack.items()}
    path = write(tmp_path / "cut.tif", list(cut.values()), list(cut))
    with pytest.raises(ValueError, match=ASKED):
        open_product(path)


@pytest.mark.parametrize("first", [0, 64])
def test_pixels_mixed_with_fill_farther_than_their_size_tells_prove_nothing(tmp_path, pixels, first):
    """All bands were made coarser, 60 m, and finer again over an edge that may have been cut off since."""
    stack = {}
    for band, array in fine(pixels).items():
        holed = np.where(np.arange(120) < 60, 0, array + 1000.0)
        coarse = gdal.GetDriverByName("MEM").Create("", 20, 20, 1, gdal.GDT_Float64)
        coarse.WriteArray(holed.reshape(20, 6, 20, 6).mean((1, 3)))
        made = gdal.Translate("", coarse, format="MEM", width=120, height=120, resampleAlg="cubicspline").ReadAsArray()
        stack[band] = np.rint(made).astype(np.uint16)[:, first:]
    path = write(tmp_path / "s.tif", list(stack.values()), list(stack))
    with pytest.raises(ValueError, match=ASKED):
        open_product(path)


def test_pixels_away_from_fill_prove_that_there_is_no_offset(tmp_path, pixels):
    stack = edge_of_swath(pixels, "bilinear", add=0)
    image = open_product(write(tmp_path / "edge.tif", list(stack.values()), list(stack)))
    assert image.offset == 0 and "away from missing ones" in reason_of(image, "offset")


def test_fill_that_is_equal_in_all_bands_proves_nothing(tmp_path, pixels):
    filled = {band: array + 1000 for band, array in fine(pixels).items()}
    for array in filled.values():
        array[:60] = 100
    path = write(tmp_path / "filled.tif", list(filled.values()), list(filled))
    with pytest.raises(ValueError, match=ASKED):
        open_product(path)


@pytest.mark.parametrize("dark, proven", [((1, 3), True), ((1,), False)])
def test_several_bands_have_to_agree(tmp_path, dark, proven):
    array = np.random.default_rng(0).integers(1500, 2500, (4, 100, 100)).astype(np.uint16)
    for number in dark:
        array[number, 40:50] -= 1400
    path = write(tmp_path / "stack.tif", list(array), ("B04", "B03", "B02", "B08"))
    if proven:
        assert open_product(path).offset == 0
    else:
        with pytest.raises(ValueError, match=ASKED):
            open_product(path)


@pytest.mark.parametrize("share, proven", [(0.2, True), (0.05, False)])
def test_large_areas_below_800_prove_it_too(tmp_path, share, proven):
    array = np.random.default_rng(0).integers(1500, 2500, (4, 100, 100)).astype(np.uint16)
    rows = round(100 * share)
    array[:2, 40 : 40 + rows] = np.random.default_rng(1).integers(600, 790, (2, rows, 100))
    path = write(tmp_path / "stack.tif", list(array), ("B04", "B03", "B02", "B08"))
    if proven:
        assert open_product(path).offset == 0
    else:
        with pytest.raises(ValueError, match=ASKED):
            open_product(path)


def test_scattered_holes_leave_enough_to_prove_it(tmp_path, pixels):
    holes = np.random.default_rng(5).random((120, 120)) < 0.03
    holed = {band: np.where(holes, 0, array).astype(np.uint16) for band, array in fine(pixels).items()}
    image = open_product(write(tmp_path / "holes.tif", list(holed.values()), list(holed)))
    check_stack(image, pixels, holes)


@pytest.mark.parametrize(
    "how", [{"metadata": {"PROCESSING_BASELINE": "04.00"}}, {"metadata": {"BOA_ADD_OFFSET": "-1000"}}]
)
def test_a_stated_offset_that_the_pixels_deny_is_refused(tmp_path, pixels, how):
    path = write_stack(tmp_path / "s.tif", pixels, **how)
    with pytest.raises(ValueError, match=f"states an offset of -1000, but pixels that no offset.*{ASKED}"):
        open_product(path)
    check_stack(open_product(path, offset=0), pixels)
    carrying = write_stack(tmp_path / "c.tif", pixels, add=1000, **how)
    image = open_product(carrying)
    check_stack(image, pixels)
    assert "the pixels agree" in reason_of(image, "offset")


@pytest.mark.parametrize("how", [{"metadata": {"PROCESSING_BASELINE": "02.14"}}, {"scale": 0.0001, "offset": 0.0}])
def test_a_stated_lack_of_an_offset_that_the_pixels_deny_is_refused(tmp_path, pixels, how):
    path = write_stack(tmp_path / "s.tif", pixels, add=1000, **how)
    with pytest.raises(ValueError, match=f"states an offset of 0, but no band has darker pixels.*{ASKED}"):
        open_product(path)
    check_stack(open_product(path, offset=-1000), pixels)
    check_stack(open_product(write_stack(tmp_path / "r.tif", pixels, **how)), pixels)


@pytest.mark.parametrize("add, asked", [(0, -1000), (1000, 0)])
def test_an_offset_that_the_user_states_holds_and_is_told_where_the_pixels_deny_it(
    tmp_path, pixels, caplog, add, asked
):
    path = write_stack(tmp_path / "s.tif", pixels, add=add)
    with caplog.at_level("WARNING"):
        assert open_product(path, offset=-add).offset == -add
        assert not caplog.messages
        assert open_product(path, offset=asked).offset == asked
    (line,) = caplog.messages
    assert line.startswith("s.tif: pixels: ") and line.endswith(f"(--offset {asked})")


@pytest.mark.parametrize("baseline, add", [("02.14", 0), ("05.10", 1000)])
def test_what_is_stated_of_a_bright_image_is_believed_and_said_not_to_be_checked(
    tmp_path, pixels, caplog, baseline, add
):
    path = write_stack(tmp_path / "desert.tif", bright(pixels), add=add, metadata={"PROCESSING_BASELINE": baseline})
    with caplog.at_level("INFO"):
        image = open_product(path)
    check_stack(image, bright(pixels))
    assert "not checked: no dark pixels" in reason_of(image, "offset")
    assert "not checked: no dark pixels" in caplog.text


@pytest.mark.parametrize(
    "where, day, said",
    [
        ("name", "20220125", True),
        ("name", "20220126", False),
        ("metadata", "20220125", True),
        ("metadata", "20220126", False),
        ("item", "20220126", False),
        *(slow(where, "20230601", False) for where in ("name", "metadata", "folder", "item")),
        *(slow(where, "20220125", True) for where in ("folder", "item")),
        slow("folder", "20220126", False),
    ],
)
def test_a_baseline_older_than_its_image_is_not_believed_alone(tmp_path, pixels, day, said, where):
    """As in archives whose pixels were processed anew, and whose metadata are the old ones."""
    product = f"S2A_MSIL2A_{day}T101031_N0214_R022_T33UUP"
    name = {"name": product, "folder": f"{product}/stack"}.get(where, "stack")
    told = {"PROCESSING_BASELINE": "02.14", "PRODUCT_START_TIME": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:10:31.024Z"}
    how = {"metadata": told} if where == "metadata" else {}

    def source(ground):
        if where != "item":
            return write_stack(tmp_path / f"{name}.tif", ground, **how)
        properties = {"s2:processing_baseline": "02.14", "datetime": told["PRODUCT_START_TIME"]}
        assets = {band: {"href": path} for band, path in write_files(tmp_path, ground).items()}
        return {"id": "item", "properties": properties, "assets": assets}

    if said:
        assert open_product(source(bright(pixels))).offset == 0
    else:
        with pytest.raises(
            ValueError, match=f"02.14, which no image of 202.* has, states an offset of 0, but .*{ASKED}"
        ):
            open_product(source(bright(pixels)))
    assert open_product(source(pixels)).offset == 0


def test_overshooting_beside_edges_does_not_hide_an_offset(tmp_path):
    """By Lanczos, coarse bands have darker pixels than the ground."""
    stack = {}
    for band, array in native(66, seed=3).items():
        source = gdal.GetDriverByName("MEM").Create("", *array.shape[::-1], 1, gdal.GDT_Float64)
        source.WriteArray(array + 1000.0)
        fine_ = gdal.Translate("", source, format="MEM", width=66, height=66, resampleAlg="lanczos").ReadAsArray()
        stack[band] = np.tril(np.rint(fine_)).astype(np.uint16)
    darkest = stack["B11"][stack["B11"] > 0]
    assert np.percentile(darkest, 0.5) < 800
    path = write(tmp_path / "s.tif", list(stack.values()), list(stack), metadata={"PROCESSING_BASELINE": "02.14"})
    with pytest.raises(ValueError, match=f"states an offset of 0, but no band has darker pixels.*{ASKED}"):
        open_product(path)


def test_too_few_pixels_are_said_not_to_check_an_offset(tmp_path):
    few = native(12)
    image = open_product(write_stack(tmp_path / "few.tif", few, metadata={"PROCESSING_BASELINE": "02.14"}))
    check_stack(image, few)
    assert "not checked: too few pixels" in reason_of(image, "offset")


def test_a_scale_without_an_offset_is_believed_if_the_pixels_agree(tmp_path):
    """Tools that set a scale alone leave GDAL's offset at 0, whatever the pixels carry."""
    path = write_stack(tmp_path / "few.tif", native(12), add=1000, scale=0.0001, offset=0.0)
    with pytest.raises(ValueError, match=f"scale of 0.0001 .* the pixels do not tell .too few pixels.: .*{ASKED}"):
        open_product(path)


@pytest.mark.parametrize(
    "scale, offset, add",
    [(0.0001, 0.0, 0), (0.0001, -0.1, 1000), (1.0, -1000.0, 1000)],
)
def test_scale_and_offset_of_bands_are_read_as_gdal_defines_them(tmp_path, pixels, scale, offset, add):
    path = write_stack(tmp_path / "tags.tif", pixels, add=add, scale=scale, offset=offset)
    check_stack(open_product(path), pixels)


def test_a_scale_of_1_and_an_offset_of_0_tell_nothing(tmp_path, pixels):
    vrt = gdal.Translate(str(tmp_path / "tags.vrt"), write_stack(tmp_path / "x.tif", bright(pixels)), format="VRT")
    for number in range(1, vrt.RasterCount + 1):
        vrt.GetRasterBand(number).SetScale(1.0)
        vrt.GetRasterBand(number).SetOffset(0.0)
    vrt.FlushCache()
    with pytest.raises(ValueError, match=ASKED):
        open_product(tmp_path / "tags.vrt")


@pytest.mark.parametrize(
    "scale, offset",
    [
        *((1e-4, -1000.0), (2.75e-5, -0.2), (1.0, 1000.0)),
        *(slow(*both) for both in ((1e-4, 0.1), (1.0, -0.1), (0.01, 0.0), (10000.0, 0.0))),
    ],
)
def test_other_scales_and_offsets_are_refused(tmp_path, pixels, scale, offset):
    path = write_stack(tmp_path / "tags.tif", pixels, add=1000, scale=scale, offset=offset)
    with pytest.raises(
        ValueError, match=rf"expected a scale and offset by which .* got {scale:g} and {offset:g}: .*{ASKED}"
    ):
        open_product(path)
    check_stack(open_product(path, offset=-1000), pixels)


def test_statements_that_contradict_each_other_are_refused(tmp_path, pixels):
    path = write_stack(
        tmp_path / "s.tif", bright(pixels), scale=0.0001, offset=-0.1, metadata={"PROCESSING_BASELINE": "03.01"}
    )
    with pytest.raises(ValueError, match=f"its PROCESSING_BASELINE 03.01 states an offset of 0.*{ASKED}"):
        open_product(path)
    path = write_stack(tmp_path / "x_N0400_y.tif", bright(pixels), scale=0.0001, offset=0.0)
    with pytest.raises(ValueError, match=f"states an offset of 0, but .* states an offset of -1000: .*{ASKED}"):
        open_product(path)


def test_bands_with_and_without_tags_are_refused(tmp_path, pixels):
    path = write_stack(tmp_path / "s.tif", pixels)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetScale(1e-4)
    dataset.GetRasterBand(1).SetOffset(-0.1)
    dataset = None
    with pytest.raises(ValueError, match=f"expected one offset, got bands with its scale .* and none: .*{ASKED}"):
        open_product(path)


@pytest.mark.parametrize("text", ["none", "1000", "-1000,0"])
def test_an_offset_in_metadata_that_can_be_none_is_refused(tmp_path, pixels, text):
    path = write_stack(tmp_path / "s.tif", pixels, metadata={"BOA_ADD_OFFSET": text})
    with pytest.raises(ValueError, match=f"BOA_ADD_OFFSET: expected an offset such as -1000 or 0, got '{text}'"):
        open_product(path)


def test_what_one_file_states_holds_for_all_of_a_scene(tmp_path, pixels):
    files = list(write_files(tmp_path, {band: array + 1000 for band, array in pixels.items()}).values())
    dataset = gdal.Open(files[3], gdal.GA_Update)
    dataset.SetMetadata({"PROCESSING_BASELINE": "05.10"})
    dataset = None
    assert open_product(files).offset == -1000


def test_real_scenes_are_told_from_the_same_with_an_offset(shared_data, tmp_path):
    folder = shared_data("s2_l2a_majortom_48QUE_native")
    names = {}
    for key in ("10m", "20m", "60m"):
        dataset = gdal.Open(str(folder / f"T48QUE_20200223_{key}.tif"))
        for number in range(1, dataset.RasterCount + 1):
            band = dataset.GetRasterBand(number)
            for add in (0, 1000):
                name = str(tmp_path / f"{add}_{band.GetDescription()}.tif")
                array = np.where(band.ReadAsArray() > 0, band.ReadAsArray() + add, 0).astype(np.uint16)
                write(name, [array], gsd=BANDS[band.GetDescription()])
                names.setdefault(add, {})[band.GetDescription()] = name
    assert set(names[0]) == set(ORDER)
    assert evidence_of(names[0]).offset == 0
    found = evidence_of(names[1000])
    assert found.offset == -1000 and found.shown > 0.7
