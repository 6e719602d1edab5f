# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.dsen2`: every kind of input, choice of bands, masks and weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.sentinel2.bands import BANDS
from inference import dsen2
from tests.examples import slow
from tests.inference.dsen2.scenes import (
    ALL,
    COLUMNS,
    FILES,
    LEFT,
    ROWS,
    TOP,
    check_product,
    error_of,
    expected,
    infer,
    read,
    write_safe,
)

pytestmark = pytest.mark.keras


def test_the_product_has_twelve_bands_on_their_ground(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models) == 0
    dataset = check_product(tmp_path / "sr.tif", pixels)
    assert dataset.GetGeoTransform() == (LEFT, 10, 0, TOP, 0, -10)
    assert dataset.GetRasterBand(5).GetNoDataValue() == 0 and dataset.GetRasterBand(5).DataType == gdal.GDT_UInt16
    assert dataset.GetMetadataItem("SR_SYSTEM") == "dsen2" and dataset.GetMetadataItem("SR_OFFSET") == "0"
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert [model["arguments"]["role"] for model in record["models"]] == ["2x", "6x"]


@pytest.mark.parametrize("level, zipped", [slow("L1C", False), ("L2A", True)])
def test_safe_folders_and_zips_of_both_levels(level, zipped, models, pixels, tmp_path, write_raster, capfd):
    safe = write_safe(tmp_path, pixels, write_raster, level)
    if zipped:
        shutil.make_archive(str(tmp_path / safe.stem), "zip", tmp_path, safe.name)
        safe = tmp_path / f"{safe.stem}.zip"
    assert infer(safe, tmp_path / "sr.tif", models) == 0
    check_product(tmp_path / "sr.tif", pixels, offset=-1000)
    assert f"level {level}, offset -1000" in capfd.readouterr().err
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert all(model["levels"] == [level] for model in record["models"])


def test_clouds_of_the_scene_classification_are_left_out(models, pixels, tmp_path, write_raster):
    safe = write_safe(tmp_path, pixels, write_raster, "L2A")
    assert infer(safe, tmp_path / "sr.tif", models, "--mask-classes", "3,8,9,10") == 0
    result, _ = read(tmp_path / "sr.tif")
    cloudy = np.zeros((ROWS, COLUMNS), bool)
    cloudy[20:40, 60:100] = True
    for band in ALL:
        np.testing.assert_array_equal(result[band] == 0, cloudy)
        np.testing.assert_array_equal(result[band][~cloudy], expected(pixels, band)[~cloudy] - 1000)


def test_a_mask_of_the_users(files, models, pixels, tmp_path, write_raster):
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[3:8, 100:] = 7
    path = str(write_raster("mask.tif", mask))
    assert infer(files(), tmp_path / "sr.tif", models, "--exclude-mask", path, "--bands", "B8A,B02,B01") == 0
    result, _ = read(tmp_path / "sr.tif")
    for band in ("B8A", "B02", "B01"):
        np.testing.assert_array_equal(result[band] == 0, mask == 7)


def test_a_mask_that_does_not_reach_the_whole_image_is_told(files, models, tmp_path, write_raster, capsys):
    part, whole = (str(write_raster(f"{n}.tif", np.ones((n, COLUMNS), np.uint8))) for n in (ROWS // 2, ROWS))
    for path, told in ((part, True), (whole, False)):
        assert infer(files(), tmp_path / "sr.tif", models, "--exclude-mask", path, "--info") == 0
        assert (f"{path} lies on 50.0% of the image (--exclude-mask leaves" in capsys.readouterr().err) == told


@pytest.mark.parametrize("method", ["near", *(slow(each) for each in ("bilinear", "cubic"))])
def test_a_stack_of_resampled_bands_is_brought_back_first(method, stack, models, pixels, tmp_path, capfd):
    assert infer(stack(method), tmp_path / "sr.tif", models) == 0
    result, _ = read(tmp_path / "sr.tif")
    for band in ALL:
        assert np.abs(result[band].astype(int) - expected(pixels, band)).max() <= (0 if method == "near" else 2)
    said = {"near": "nearest"}.get(method, method)
    assert f"({said}): brought back" in capfd.readouterr().err


@pytest.mark.slow
def test_the_pixels_to_which_bands_had_been_resampled_are_told(stack, models, tmp_path, capfd):
    fine = str(tmp_path / "S2A_MSIL2A_x_N0213_5m.tif")
    gdal.Warp(fine, stack("near"), xRes=5, yRes=5, resampleAlg="near")
    assert infer(fine, tmp_path / "sr.tif", models, "--bands", "B02,B05") == 0
    told = capfd.readouterr().err
    assert "B02" in told and "had been resampled to 5 m (nearest): brought back" in told
    assert "10.0, 0.0" in str(gdal.Open(str(tmp_path / "sr.tif")).GetGeoTransform())


def test_a_stack_of_13_undescribed_bands_is_named_and_b10_passed_through(stack, models, pixels, tmp_path):
    path = stack("near", tuple(BANDS), described=False)
    names = ",".join(BANDS)
    assert infer(path, tmp_path / "sr.tif", models, "--bands-10m", names, "--with-b10") == 0
    result, _ = read(tmp_path / "sr.tif")
    assert tuple(result) == (*ALL, "B10")
    native = result["B10"].reshape(ROWS // 6, 6, COLUMNS // 6, 6).mean((1, 3))
    assert np.corrcoef(native.ravel(), pixels["B10"].ravel())[0, 1] > 0.9


@pytest.mark.slow
def test_a_stack_of_another_interpolation_is_refused(pixels, models, tmp_path, write_raster, capsys):
    cube = np.stack([pixels["B02"] + k for k in range(12)], axis=2).astype(np.uint16)
    path = str(write_raster("S2A_MSIL2A_x_N0213.tif", cube, bands=ALL))
    assert infer(path, tmp_path / "sr.tif", models) == 1
    line = error_of(capsys)
    assert "B01" in line and "--resampled nearest|bilinear|cubic" in line
    assert not list(tmp_path.glob("sr.tif*"))


def test_item_files_and_stack_give_the_same_product(files, stack, models, tmp_path, pixels, write_raster):
    assets = {}
    for band in ALL:
        path = write_raster(f"{band}.tif", pixels[band], gsd=BANDS[band])
        assets[band] = {"href": str(path), "type": "image/tiff"}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_MSIL2A_20200101T000000_R000_T31UDQ_20200101T000000",
        "geometry": None,
        "properties": {"datetime": "2020-01-01T00:00:00Z", "s2:processing_baseline": "02.13"},
        "links": [],
        "assets": assets,
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    for name, source in (("item", tmp_path / "item.json"), ("files", files()), ("stack", stack("near"))):
        assert infer(source, tmp_path / f"{name}.tif", models) == 0
        check_product(tmp_path / f"{name}.tif", pixels)


def test_an_item_of_a_search(models, tmp_path, planetary_computer, make_sentinel2_item):
    bands = tuple(ALL)
    clear, cloudy = np.full((96, 96), 4), np.full((96, 96), 9)
    server = planetary_computer(
        [
            make_sentinel2_item("S2A_MSIL2A_one", cloudy, bands=bands),
            make_sentinel2_item("S2A_MSIL2A_two", clear, day="2022-07-03", bands=bands),
        ]
    )
    geo, utm = osr.SpatialReference(), osr.SpatialReference()
    geo.ImportFromEPSG(4326)
    utm.ImportFromEPSG(32631)
    geo.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    to_geo = osr.CoordinateTransformation(utm, geo)
    west, south, east, north = to_geo.TransformBounds(500300, 5398700, 501200, 5399600, 21)
    arguments = ["--search", "2022-06-01/2022-07-31", "--stac-url", server.stac_url, "--model-dir", str(models)]
    box = ["--bbox", f"{west},{south},{east},{north}", "--bands", "B02,B05,B01", "--output", str(tmp_path / "sr.tif")]
    assert dsen2.main([*arguments, *box]) == 0
    result, dataset = read(tmp_path / "sr.tif")
    left, top = dataset.GetGeoTransform()[0], dataset.GetGeoTransform()[3]
    assert (left - 500000) % 60 == 0 and (5400000 - top) % 60 == 0 and left <= 500300 and top >= 5399600
    assert dataset.GetMetadataItem("SR_INPUT") == "S2A_MSIL2A_two"
    x, y = round(left - 500000) // 10, round(5400000 - top) // 10
    native = gdal.Open(str(tmp_path / "sentinel2" / "S2A_MSIL2A_two" / "B05.tif")).ReadAsArray().astype(int)
    whole = np.repeat(np.repeat(np.where(native > 0, np.maximum(native - 1000, 1), 0), 2, 0), 2, 1)
    rows, columns = result["B05"].shape
    np.testing.assert_array_equal(result["B05"], whole[y : y + rows, x : x + columns])


def test_a_box_is_a_part_of_the_whole_product_snapped_to_60_m(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models, "--box", "31,20,40,33") == 0
    result, dataset = read(tmp_path / "sr.tif")
    assert dataset.GetGeoTransform() == (LEFT + 300, 10, 0, TOP - 180, 0, -10)
    for band in ALL:
        np.testing.assert_array_equal(result[band], expected(pixels, band)[18:54, 30:72])


def test_a_box_is_snapped_to_60_m_whichever_bands_are_made(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models, "--bands", "B02,B05", "--box", "13,17,80,80") == 0
    assert read(tmp_path / "sr.tif")[1].GetGeoTransform() == (LEFT + 120, 10, 0, TOP - 120, 0, -10)


def test_missing_pixels_of_one_band_stay_missing_there_alone(files, models, pixels, tmp_path):
    def change(cube, gsd):
        cube = cube.astype(np.float32)
        if gsd == 20:
            cube[5:9, 7:12, 1] = np.nan
        return cube

    assert infer(files(change=change), tmp_path / "sr.tif", models) == 0
    result, _ = read(tmp_path / "sr.tif")
    hole = np.zeros((ROWS, COLUMNS), bool)
    hole[10:18, 14:24] = True
    for band in ALL:
        np.testing.assert_array_equal(result[band] == 0, hole if band == "B06" else hole & False)
        np.testing.assert_array_equal(result[band][~hole], expected(pixels, band)[~hole])


def test_without_60_m_bands_the_product_has_ten(files, models, pixels, tmp_path):
    names = files()[:2]
    assert infer(names, tmp_path / "sr.tif", models) == 0
    check_product(tmp_path / "sr.tif", pixels, tuple(band for band in ALL if band not in FILES[60]))


def test_separate_files_of_the_bands(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models, "--separate", "--bands", "B03,B11") == 0
    for band in ("B03", "B11"):
        result, dataset = read(tmp_path / f"sr_{band}.tif")
        np.testing.assert_array_equal(result[band], expected(pixels, band))
        assert dataset.GetGeoTransform() == (LEFT, 10, 0, TOP, 0, -10)


def test_few_dark_pixels_prove_the_offset_of_files_given_together(files, models, pixels, tmp_path):
    def change(cube, gsd):
        cube = cube.copy()
        if gsd == 20:
            cube[: cube.shape[0] // 3] -= 1000
        return cube

    assert infer(files("S2A_MSIL2A_x", change), tmp_path / "sr.tif", models) == 0
    assert read(tmp_path / "sr.tif")[1].GetMetadataItem("SR_OFFSET") == "0"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sr20_a", "sr20_b", "sr20_c", "sr60_a", "sr60_b"])
def test_original_tiling_equals_the_original_code(name, tmp_path, shared_data, monkeypatch):
    vectors, scene = shared_data("dsen2_vectors"), shared_data("s2_l1c_dsen2_native")
    golden = np.load(vectors / "golden_outputs_T33UUB_keras215.npz")[name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights, bands = ("20", "B05,B06,B07,B8A,B11,B12") if "20" in name else ("60", "B01,B09")
    inputs = sorted(map(str, scene.glob("*.tif")))
    rows, columns = golden.shape[:2]
    more = ["--weights", str(vectors / f"random_dsen2_{weights}_weights.hdf5"), "--tiling", "original", "--float"]
    box = ["--box", f"0,0,{columns},{rows}", "--bands", bands]
    assert infer(inputs, tmp_path / "sr.tif", None, *more, *box) == 0
    result = np.stack(list(read(tmp_path / "sr.tif")[0].values()), axis=2) * 1e4
    assert np.abs(result - golden).max() <= 0.02


@pytest.mark.slow
def test_a_real_tile_of_cogs_through_item_files_and_stack(models, tmp_path, shared_data):
    """A whole tile, ten times coarser than it was."""
    folder = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    item = json.loads((folder / "S2A_29RKH_20200219_0_L2A.json").read_text())
    for asset in item["assets"].values():
        asset["href"] = str(folder / Path(asset["href"]).name)
    (tmp_path / "item.json").write_text(json.dumps(item))
    fine = gdal.Open(str(folder / "B02.tif"))
    cube = [
        gdal.Warp(
            "",
            str(folder / f"{band}.tif"),
            format="MEM",
            width=fine.RasterXSize,
            height=fine.RasterYSize,
            resampleAlg="bilinear",
        ).ReadAsArray()
        for band in ALL
    ]
    stack = gdal.GetDriverByName("GTiff").Create(
        str(tmp_path / "stack.tif"), fine.RasterXSize, fine.RasterYSize, len(ALL), gdal.GDT_UInt16
    )
    stack.SetGeoTransform(fine.GetGeoTransform())
    stack.SetProjection(fine.GetProjection())
    for number, band in enumerate(ALL, start=1):
        stack.GetRasterBand(number).WriteArray(cube[number - 1])
        stack.GetRasterBand(number).SetDescription(band)
    del stack
    more = ["--box", "300,600,240,180"]
    assert infer(tmp_path / "item.json", tmp_path / "a.tif", models, *more) == 0
    assert infer(folder, tmp_path / "b.tif", models, "--offset", "0", "--level", "L2A", *more) == 0
    assert infer(tmp_path / "stack.tif", tmp_path / "c.tif", models, "--offset", "0", "--level", "L2A", *more) == 0
    item_bands, dataset = read(tmp_path / "a.tif")
    assert dataset.GetGeoTransform()[1] == 100
    for band in ALL:
        native = gdal.Open(str(folder / f"{band}.tif"))
        factor = round(native.GetGeoTransform()[1] / 100)
        part = native.ReadAsArray(300 // factor, 600 // factor, 240 // factor, 180 // factor)
        np.testing.assert_array_equal(item_bands[band], np.repeat(np.repeat(part, factor, 0), factor, 1))
        np.testing.assert_array_equal(read(tmp_path / "b.tif")[0][band], item_bands[band])
        assert np.abs(read(tmp_path / "c.tif")[0][band].astype(int) - item_bands[band]).max() <= 1


@pytest.mark.slow
def test_bands_that_cannot_be_brought_back_are_dropped(stack, pixels, models, tmp_path, write_raster, capsys):
    """60 m bands that were sharpened by something else, on a grid of 10 m: the others need them not."""
    path = stack("cubic")
    dataset = gdal.Open(path, gdal.GA_Update)
    rng = np.random.default_rng(1)
    for number in (ALL.index("B01") + 1, ALL.index("B09") + 1):
        dataset.GetRasterBand(number).WriteArray(rng.integers(1001, 5000, (ROWS, COLUMNS)).astype(np.uint16))
    del dataset
    assert infer(path, tmp_path / "all.tif", models) == 1
    assert "--drop-bands B01,B09" in error_of(capsys)
    assert infer(path, tmp_path / "sr.tif", models, "--drop-bands", "B01,B09") == 0
    result, _ = read(tmp_path / "sr.tif")
    assert tuple(result) == tuple(band for band in ALL if band not in ("B01", "B09"))
    assert infer(path, tmp_path / "b05.tif", models, "--bands", "B05") == 0
    np.testing.assert_array_equal(read(tmp_path / "b05.tif")[0]["B05"], result["B05"])
    assert infer(path, tmp_path / "stated.tif", models, "--resampled", "bilinear") == 0
    assert "taken as bilinear, as stated" in capsys.readouterr().err
