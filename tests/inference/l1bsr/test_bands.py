# SPDX-License-Identifier: Apache-2.0
"""How L1BSR's program knows the bands of an image, and which images it refuses."""

import json
import re

import numpy as np
import pytest
from osgeo import gdal

from models.l1bsr import BANDS
from tests.inference.l1bsr.networks import counts, failure, infer, plain, read, twice, warnings

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0


@pytest.mark.parametrize(
    "driver, options", [("GTiff", {"INTERLEAVE": "PIXEL"}), ("JP2OpenJPEG", {"QUALITY": 100, "REVERSIBLE": "YES"})]
)
def test_an_image_that_says_nothing_has_the_usual_bands_and_no_place(tmp_path, models, capsys, driver, options):
    pixels, output = counts(33, 20), tmp_path / "sr.tif"
    source = plain(tmp_path / "00.img", pixels, driver, **options)
    assert infer(source, output, models["nearest"]) == 0
    assert "warning: nothing names the bands of" in capsys.readouterr().err
    result, dataset = read(output)
    np.testing.assert_array_equal(result, twice(pixels))
    assert dataset.GetGeoTransform(can_return_null=True) is None and dataset.GetProjection() == ""
    said = "".join(json.loads((tmp_path / "sr.tif.json").read_text())["decisions"])
    assert ("not verified: no checksum" in said) == (driver == "JP2OpenJPEG")


def test_bands_are_found_by_descriptions_names_of_files_or_the_names_given(
    tmp_path, image, write_raster, models, capsys
):
    pixels = counts(16, 18)
    shuffled = np.stack(
        [pixels[..., 3], 0 * pixels[..., 0] + 7, pixels[..., 1], pixels[..., 0], pixels[..., 2]], axis=2
    )
    names = ("B08", "B05", "B03", "B02", "B04")
    separate = [
        str(write_raster(f"T31UDQ_{band}_10m.tif", pixels[..., BANDS.index(band)]))
        for band in ("B08", "B02", "B04", "B03")
    ]
    common = image(pixels[..., ::-1], "common.tif", bands=("nir", "red", "green", "blue"))
    undescribed = plain(tmp_path / "plain.tif", shuffled)
    for number, (source, *more) in enumerate(
        (
            (image(shuffled, "described.tif", bands=names),),
            (common,),
            (separate,),
            (undescribed, "--band-names", ",".join(names)),
            (image(pixels[..., ::-1], "wrong.tif"), "--band-names", "B08,B04,B03,B02"),
        )
    ):
        output = tmp_path / f"sr{number}.tif"
        assert infer(source, output, models["nearest"], *more) == 0
        np.testing.assert_array_equal(read(output)[0], twice(pixels))
    told = "warning: --band-names takes B08 for B02, B04 for B03, B03 for B04, B02 for B08, as descriptions"
    assert [line.startswith(told) for line in warnings(capsys)] == [True]


@pytest.mark.parametrize(
    "name, metadata, level",
    [
        ("S2A_MSIL1C_20220714_N0400.tif", {}, "L1C"),
        ("image.tif", {"PROCESSING_LEVEL": "Level-2A"}, "L2A"),
        ("image.tif", {"PRODUCT_TYPE": "S2MSI1C"}, "L1C"),
        ("S2A_MSIL1B_20220714.tif", {}, None),
        ("l1bsr_00.tif", {}, None),
    ],
)
def test_other_levels_are_warned_of(tmp_path, image, models, capsys, name, metadata, level):
    path = image(counts(16, 16), name)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.SetMetadata(metadata)
    del dataset
    assert infer(path, tmp_path / "sr.tif", models["nearest"]) == 0
    lines = warnings(capsys)
    assert len(lines) == (1 if level else 0)
    assert not level or lines[0].startswith(f"warning: {level}: the networks are made for counts of L1B")


def test_a_band_in_a_product_of_another_level_is_warned_of(tmp_path, write_raster, models, capsys):
    folder = tmp_path / "S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE"
    folder.mkdir()
    names = [str(write_raster(f"{folder.name}/T31UDQ_{band}_10m.tif", counts(16, 16)[..., 0])) for band in BANDS]
    assert infer(names, tmp_path / "sr.tif", models["nearest"], "--count-offset", 20, "--count-scale", 0.5) == 0
    assert capsys.readouterr().err.count("warning: L2A") == 1


def test_images_that_do_not_suit_are_refused_in_one_line(tmp_path, image, write_raster, models, capsys):
    pixels, output = counts(40, 40), tmp_path / "sr.tif"
    whole = plain(tmp_path / "whole.tif", pixels)
    truncated = tmp_path / "truncated.tif"
    truncated.write_bytes((tmp_path / "whole.tif").read_bytes()[:-3000])
    rotated = image(pixels, "rotated.tif")
    dataset = gdal.Open(rotated, gdal.GA_Update)
    dataset.SetGeoTransform((LEFT, 10.0, 1.0, TOP, 1.0, -10.0))
    del dataset
    elsewhere = [
        str(write_raster(f"{band}.tif", pixels[..., 0], origin=(LEFT + 10 * (band == "B08"), TOP))) for band in BANDS
    ]
    for source, more, message in (
        (
            plain(tmp_path / "three.tif", pixels[..., :3]),
            (),
            "expected the bands B02, B03, B04, B08, .*, got 3 without",
        ),
        (image(pixels, "b5.tif", bands=("B02", "B03", "B04", "B05")), (), ", got B02, B03, B04, B05$"),
        ([elsewhere[0]], (), "expected the bands .*, got B02$"),
        ([elsewhere[0], *elsewhere], (), "expected each band only once, got B02 twice"),
        (elsewhere, (), "expected bands on one grid, got .*B08.tif, which is not on that of .*B02.tif"),
        (
            whole,
            ("--band-names", "B02,B03"),
            "--band-names: expected names of the 4 bands of --input, in order, got B02,B03",
        ),
        (
            str(truncated),
            ("--band-names", ",".join(BANDS)),
            "expected a raster that can be read, got .*truncated.tif",
        ),
        (str(tmp_path / "none.tif"), (), "expected a raster that can be read, got .*none.tif"),
        (rotated, (), "expected a north-up image"),
        (image(0 * pixels, "zero.tif"), (), "expected valid pixels, got nodata only"),
    ):
        assert infer(source, output, models["nearest"], *more) == 1
        line = failure(capsys)
        assert line.startswith("python -m inference.l1bsr: error: -")
        assert re.search(message, line), line
        assert not output.exists() and not (tmp_path / "sr.tif.parts").exists()


def with_colours(path, *colours):
    """State the colours of the bands of a raster, and return its name."""
    dataset = gdal.Open(str(path), gdal.GA_Update)
    for number, colour in enumerate(colours, start=1):
        dataset.GetRasterBand(number).SetColorInterpretation(colour)
    del dataset
    return str(path)


RED, GREEN, BLUE, ALPHA, NONE = (
    gdal.GCI_RedBand,
    gdal.GCI_GreenBand,
    gdal.GCI_BlueBand,
    gdal.GCI_AlphaBand,
    gdal.GCI_Undefined,
)


@pytest.mark.parametrize("order, colours", [("RGBN", (RED, GREEN, BLUE, NONE)), ("NBGR", (NONE, BLUE, GREEN, RED))])
def test_colours_name_bands_and_leave_one_for_nir(tmp_path, models, capsys, order, colours):
    pixels = counts(17, 19)
    shuffled = pixels[..., ["BGRN".index(letter) for letter in order]]
    source = with_colours(plain(tmp_path / "colours.tif", shuffled), *colours)
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(pixels))
    number = order.index("N") + 1
    assert [f"nothing names band {number} of {source}: it is taken for B08" in line for line in warnings(capsys)] == [
        True
    ]


def test_colours_beside_a_named_band_leave_nothing_to_guess(tmp_path, write_raster, models, capsys):
    pixels = counts(17, 19)
    rgb = with_colours(plain(tmp_path / "rgb.tif", pixels[..., [2, 1, 0]]), RED, GREEN, BLUE)
    nir = plain(tmp_path / "scene_B08.tif", pixels[..., 3:])
    assert infer([rgb, nir], tmp_path / "sr.tif", models["nearest"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(pixels))
    assert not warnings(capsys)


def test_red_green_blue_and_alpha_are_stated_of_any_four_bands(tmp_path, models, capsys):
    """Images of L1B that tifffile wrote say so, in the order of the sensor's bands."""
    pixels = counts(17, 19)
    source = plain(tmp_path / "00.tif", pixels, PHOTOMETRIC="RGB", ALPHA="YES")
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(pixels))
    assert "taken for B02, B03, B04, B08, in this order (writers" in warnings(capsys)[0]


@pytest.mark.parametrize("opaque", [255, 65535])
def test_an_alpha_band_is_no_band(tmp_path, models, capsys, opaque):
    pixels = counts(17, 19)
    pixels[..., 3] = opaque
    pixels[:3, :, 3] = 0
    source = plain(tmp_path / "picture.tif", pixels, PHOTOMETRIC="RGB", ALPHA="YES")
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 1
    assert "got three and an alpha band" in failure(capsys)


@pytest.mark.parametrize("kind", ["alpha", "mask"])
def test_what_is_transparent_or_masked_is_missing(tmp_path, write_raster, models, kind):
    pixels, hidden = counts(20, 22), np.zeros((20, 22), bool)
    hidden[3:9, 5:] = True
    if kind == "alpha":
        opacity = np.where(hidden, 0, 65535).astype(np.uint16)[..., np.newaxis]
        path = write_raster("l1b.tif", np.concatenate([pixels, opacity], axis=2), bands=(*BANDS, ""))
        with_colours(path, RED, GREEN, BLUE, NONE, ALPHA)
    else:
        path = write_raster("l1b.tif", pixels, bands=BANDS)
        dataset = gdal.Open(str(path), gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.where(hidden, 0, 255).astype(np.uint8))
        del dataset
    assert infer(str(path), tmp_path / "sr.tif", models["nearest"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(np.where(hidden[..., np.newaxis], 0, pixels)))


def test_an_image_that_only_control_points_place_is_refused(tmp_path, models, capsys):
    source = plain(tmp_path / "00.tif", counts(20, 20))
    dataset = gdal.Open(source, gdal.GA_Update)
    points = [gdal.GCP(LEFT + 10 * x, TOP - 10 * y, 0, x, y) for x, y in ((0, 0), (20, 0), (0, 20))]
    dataset.SetGCPs(points, "")
    del dataset
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 1
    assert "is placed by ground control points or RPCs only" in failure(capsys)


@pytest.mark.parametrize("other", ["S20150813T101657_D06", "S20150813T101701_D05"])
def test_bands_of_two_granules_are_refused(tmp_path, models, capsys, other):
    pixels, name = counts(33, 20), "S2A_OPER_MSI_L1B_GR_MTI__20150813T201603_{}_{}.tif"
    granules = {"B02": "S20150813T101657_D05", "B03": other, "B04": other, "B08": other}
    source = [plain(tmp_path / name.format(granules[b], b), pixels[..., i : i + 1]) for i, b in enumerate(BANDS)]
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 1
    assert re.search("expected files of one scene, got .* of another", failure(capsys))
