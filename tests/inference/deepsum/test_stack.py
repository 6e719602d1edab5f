# SPDX-License-Identifier: Apache-2.0
"""`inference.deepsum` on rasters of several dates: against scenes of the challenge, places, units, gaps, bad input."""

import json

import numpy as np
import pytest
from osgeo import gdal, osr

from inference.deepsum import main
from inference.deepsum.network import BYTES_PER_FEATURE, BYTES_PER_PIXEL, MEMORY_SHARE
from tests.inference.deepsum.conftest import COUNT, GSD, ORIGIN
from tests.inference.deepsum.scenes import SIDE, write_scene

pytestmark = pytest.mark.keras


def test_rasters_are_as_the_same_scene_of_the_challenge(scene, stack, infer, model_dir, tmp_path, capsys):
    folder = write_scene(tmp_path / "imgset0001", *scene)
    assert main(["--input", str(folder), "--output", str(tmp_path / "a.png"), "--model-dir", str(model_dir)]) == 0
    wanted = gdal.Open(str(tmp_path / "a.png")).ReadAsArray()
    images, masks = stack()
    found = infer(images, masks, "--statistics", "model", "--fill", "network")
    pixels = found.ReadAsArray()
    valid = pixels != 0
    np.testing.assert_array_equal(pixels[valid], wanted[valid])
    assert not valid[33:39, 21:33].any() and valid.mean() > 0.9

    assert found.GetGeoTransform() == (ORIGIN[0], GSD / 3, 0, ORIGIN[1], 0, -GSD / 3)
    assert found.GetSpatialRef().IsSame(gdal.Open(images[0]).GetSpatialRef())
    band = found.GetRasterBand(1)
    assert (band.GetDescription(), band.GetNoDataValue(), band.DataType) == ("nir", 0, gdal.GDT_UInt16)
    assert "reference: d00, 95.8 % clear" in capsys.readouterr().err


def test_records_name_the_dates_in_order_of_clearance(scene, stack, infer, tmp_path):
    infer(*stack())
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    shares = scene[1].mean(axis=(1, 2))
    assert [date["name"] for date in record["dates"]][0] == "d00"
    np.testing.assert_allclose([date["clearance"] for date in record["dates"]], np.sort(shares)[::-1])
    assert all(date["used"] for date in record["dates"]) and record["windows"] == 2
    values = scene[0][scene[1]].astype(float)
    normalization = record["normalization"]
    assert normalization["centre"] == pytest.approx(values.mean())
    assert normalization["scale"] == pytest.approx(2316.3408203125 / values.std())


def test_products_do_not_depend_on_the_unit(scene, stack, infer):
    first = infer(*stack(), "--float").ReadAsArray()
    assert np.isnan(first[33:39, 21:33]).all() and np.nanstd(first) > 100
    lr = (scene[0] * 2.5e-5 - 0.1).astype("f4")
    other = infer(*stack(lr), name="other.tif").ReadAsArray()
    assert other.dtype == np.float32
    np.testing.assert_allclose(other, first * 2.5e-5 - 0.1, atol=2e-3 * 2.5e-5 * np.nanstd(first))


def test_products_of_negative_numbers_are_floating(scene, stack, infer):
    """Numbers of int16 that uint16 holds become uint16."""
    lr = (scene[0] // 4).astype(np.int16)
    assert infer(*stack(lr)).ReadAsArray().dtype == np.uint16
    assert infer(*stack(lr - np.int16(2500)), name="b.tif").ReadAsArray().dtype == np.float32


def test_missing_pixels_are_concealed_and_their_value_does_not_matter(scene, stack, infer, tmp_path):
    products = []
    for nodata in (0, 777, 65535):
        lr, qm = scene[0].copy(), np.ones_like(scene[1])
        lr[4, 2:6, 2:7] = nodata
        products.append(infer(*stack(lr, qm, nodata=nodata), "--float", name=f"{nodata}.tif").ReadAsArray())
        record = json.loads((tmp_path / f"{nodata}.tif.json").read_text())
        assert record["dates"][-1] == {**record["dates"][-1], "name": "d04", "clearance": 1 - 20 / SIDE**2}
    assert np.isfinite(products[0]).all()
    np.testing.assert_array_equal(products[1], products[0])
    np.testing.assert_array_equal(products[2], products[0])


def test_rasters_on_other_grids_are_brought_to_the_reference(scene, stack, infer, write_raster):
    """One that begins 2 columns and 3 rows before, with its mask of finer pixels, is as it is on the reference."""
    images, masks = stack()
    wanted = infer(images, masks).ReadAsArray()
    lr, qm = (np.pad(array[4], ((3, 1), (2, 5))) for array in scene)
    origin = (ORIGIN[0] - 2 * GSD, ORIGIN[1] + 3 * GSD)
    images[4] = str(write_raster("larger.tif", lr, gsd=GSD, origin=origin))
    fine = np.uint8(np.kron(qm, np.ones((2, 2))))
    masks[4] = str(write_raster("fine.tif", fine, gsd=GSD / 2, origin=origin))
    np.testing.assert_array_equal(infer(images, masks, name="b.tif").ReadAsArray(), wanted)


@pytest.mark.slow
def test_rasters_of_another_map_are_brought_to_the_reference(scene, stack, infer, tmp_path):
    images, masks = stack()
    wanted = infer(images, masks).ReadAsArray().astype(float)
    for names in (images, masks):
        moved = names[3].replace(".tif", "_moved.tif")
        method = "near" if names is masks else "cubic"
        gdal.Warp(moved, names[3], dstSRS="EPSG:3035", xRes=150, yRes=150, resampleAlg=method, dstNodata=0)
        names[3] = moved
    found = infer(images, masks, name="b.tif").ReadAsArray().astype(float)
    record = json.loads((tmp_path / "b.tif.json").read_text())
    date = next(date for date in record["dates"] if date["name"] == "d03_moved")
    assert date["used"] and date["clearance"] > 0.5
    inner = np.s_[12:-12, 12:-12]
    assert np.abs(found - wanted)[inner].mean() < 0.2 * wanted[wanted > 0].std()


@pytest.mark.slow
def test_bands_of_classes_conceal(scene, stack, infer, write_raster):
    """5 is vegetation and 9 are clouds in Sentinel-2's classification; other classes can be named."""
    images, masks = stack()
    wanted = infer(images, masks).ReadAsArray()
    for clouds, words in ((9, []), (5, ["--qa-concealed", "5"])):
        clear = 14 - clouds
        both = [
            str(write_raster(f"qa{number}.tif", np.dstack([lr, np.where(qm, clear, clouds).astype(np.uint16)]),
                             gsd=GSD, origin=ORIGIN, bands=["nir", "SCL"]))
            for number, (lr, qm) in enumerate(zip(*scene))
        ]  # fmt: skip
        found = infer(both, [], "--band", "1", "--qa", "scl", *words, name=f"{clouds}.tif")
        np.testing.assert_array_equal(found.ReadAsArray(), wanted)


def test_items_bring_their_classification(scene, stack, infer, model_dir, write_raster, tmp_path, capsys):
    """Classes of 20 m over bands of 10 m; numbers are harmonised."""
    lr, qm = scene
    qm = np.stack([np.kron(mask[::2, ::2], np.ones((2, 2), bool)) for mask in qm])
    wanted = infer(*stack(lr, qm, gsd=10.0), "--float").ReadAsArray()
    items = []
    for number, (image, mask) in enumerate(zip(lr, qm)):
        scl = np.where(mask, 4, 8)[::2, ::2].astype(np.uint8)
        assets = {
            "B08": write_raster(f"near_infrared{number}.tif", image + 1000, gsd=10.0, origin=ORIGIN),
            "SCL": write_raster(f"s{number}.tif", scl, gsd=20.0, origin=ORIGIN),
        }
        item = {
            "type": "Feature",
            "id": f"item{number}",
            "properties": {"s2:processing_baseline": "04.00"},
            "assets": {name: {"href": str(path)} for name, path in assets.items()},
        }
        items.append(tmp_path / f"item{number}.json")
        items[-1].write_text(json.dumps(item))
    found = infer(items, [], "--band", "B08", "--float", name="items.tif")
    assert found.GetRasterBand(1).GetDescription() == "B08"
    np.testing.assert_allclose(found.ReadAsArray(), wanted, atol=0.01)

    bare = infer(items, [], "--band", "B08", "--unmasked", name="bare.tif").ReadAsArray()
    assert bare.all() and not np.isfinite(wanted).all()
    words = ["--input", *map(str, items), "--output", str(tmp_path / "none.tif"), "--model-dir", str(model_dir)]
    for more, message in (
        ([], "--band: expected a band of Sentinel-2, such as B08, for"),
        (["--band", "B08", "--qa", "B09"], "--qa: expected SCL for Sentinel-2, got B09 for"),
        (["--band", "B03"], "B03"),
    ):
        assert main([*words, *more]) == 1
        assert message in capsys.readouterr().err


def test_parts_are_where_they_are_asked_for(scene, stack, infer):
    images, masks = stack()
    part = np.s_[:, 4:22, 3:20]
    found = infer(images, masks, "--box", "3,4,17,18")
    assert found.GetGeoTransform() == (ORIGIN[0] + 3 * GSD, GSD / 3, 0, ORIGIN[1] - 4 * GSD, 0, -GSD / 3)
    pixels = found.ReadAsArray()
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    left, top = ORIGIN[0] + 3.5 * GSD, ORIGIN[1] - 4.5 * GSD
    to_degrees = osr.CoordinateTransformation(gdal.Open(images[0]).GetSpatialRef(), crs)
    west, south, east, north = to_degrees.TransformBounds(left, top - 17 * GSD, left + 16 * GSD, top, 21)
    degrees = infer(images, masks, "--bbox", f"{west},{south},{east},{north}", name="b.tif")
    assert degrees.RasterXSize >= 51 and degrees.RasterYSize >= 54
    alone = infer(*stack(scene[0][part], scene[1][part]), name="alone.tif")
    np.testing.assert_array_equal(pixels, alone.ReadAsArray())


def test_blocks_are_told_how_they_differ(stack, infer, model_dir, capsys, tmp_path, monkeypatch):
    """They are as large as asked for, or as memory allows: 69 fine pixels, of which two margins of 24 are taken."""
    images, masks = stack()
    wanted = infer(images, masks, "--float").ReadAsArray()
    assert "blocks" not in capsys.readouterr().err
    found = infer(images, masks, "--float", "--block-size", 20, name="b.tif").ReadAsArray()
    largest = json.loads((tmp_path / "b.tif.json").read_text())["block_difference"]
    assert f"blocks of 20 pixels differ by {largest:.3g} at most where they overlap" in capsys.readouterr().err
    off = np.abs(found - wanted)
    assert 0 < np.nanmax(off) and np.nanmean(off) < 0.3 * np.nanstd(wanted)

    monkeypatch.setattr("inference.deepsum.super_resolution.LEAST_BLOCK", 5)
    pixel = BYTES_PER_FEATURE * 2 + BYTES_PER_PIXEL
    monkeypatch.setattr("inference.deepsum.network.available_memory", lambda: 69**2 * pixel / MEMORY_SHARE + 1)
    infer(images, masks, "--float", name="memory.tif")
    assert "blocks of 7 pixels differ by" in capsys.readouterr().err
    monkeypatch.setattr("inference.deepsum.network.available_memory", lambda: 62**2 * pixel / MEMORY_SHARE + 1)
    words = ["--input", *images, "--clear-masks", *masks, "--output", str(tmp_path / "none.tif")]
    assert main([*words, "--model-dir", str(model_dir)]) == 1
    assert "memory: expected enough for blocks of 5 pixels, got enough for 4; --block-size sets their side" in (
        capsys.readouterr().err
    )


def test_rasters_without_place_make_a_product_without(scene, stack, infer):
    images, masks = stack()
    wanted = infer(images, masks).ReadAsArray()
    bare = []
    for name in (*images, *masks):
        bare.append(name.replace(".tif", "_bare.tif"))
        array = gdal.Open(name).ReadAsArray()
        kind = gdal.GDT_Byte if array.dtype == np.uint8 else gdal.GDT_UInt16
        gdal.GetDriverByName("GTiff").Create(bare[-1], SIDE, SIDE, 1, kind).WriteArray(array)
    found = infer(bare[:COUNT], bare[COUNT:], name="bare.tif")
    np.testing.assert_array_equal(found.ReadAsArray(), wanted)
    assert found.GetGeoTransform(can_return_null=True) is None and not found.GetProjection()


def spoil(kind, images, masks, write_raster):
    """Return images, masks and options that cannot be used, and what is said of them."""
    if kind == "few":
        return (
            images[:8],
            masks[:8],
            [],
            "--input: expected at least 9 images, got 8; --repeat repeats them until there are nine",
        )
    if kind == "unmasked":
        return images, [], [], "--clear-masks, --qa or --unmasked is required for rasters, such as"
    if kind == "masks":
        return images, masks[:-1], [], "--clear-masks: expected one for each of 11 images, got 10"
    if kind == "band":
        return images, masks, ["--band", "red"], "--band: expected one of the bands 1 to 1 (nir) of"
    if kind == "cloudy":
        cloudy = str(write_raster("none.tif", np.zeros((SIDE, SIDE), np.uint8), gsd=GSD, origin=ORIGIN))
        return images, [cloudy] * COUNT, [], "--input: expected clear pixels, got none in 11 images"
    if kind == "cloudy dates":
        cloudy = str(write_raster("none.tif", np.zeros((SIDE, SIDE), np.uint8), gsd=GSD, origin=ORIGIN))
        return images, [*masks[:8], *[cloudy] * 3], [], "got 8 of 11: 3 without clear pixels, 0 displaced"
    if kind == "apart":
        half = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 2
        far, mask = (
            str(write_raster(name, array.astype(np.uint16), gsd=GSD, origin=(9e5, 4e6)))
            for name, array in (("far.tif", 7000 + half), ("half.tif", half))
        )
        return [*images[:8], *[far] * 3], [*masks[:8], *[mask] * 3], [], "got 8 of 11: 3 without clear pixels"
    if kind == "one number":
        flat = str(write_raster("flat.tif", np.full((SIDE, SIDE), 9, np.uint16), gsd=GSD, origin=ORIGIN))
        return [flat] * 9, masks[:9], [], "--input: expected clear pixels that differ, got 9 in all of them"
    if kind == "corrupted":
        with open(images[6], "r+b") as stream:
            stream.truncate(600)
        return images, masks, [], "d06.tif"
    if kind == "size":
        for name, side in ((images[0], SIDE), (images[1], SIDE - 1)):
            gdal.GetDriverByName("GTiff").Create(name, side, side, 1).WriteArray(np.ones((side, side), np.uint8))
        wrong = f"{SIDE} x {SIDE} of d00, {SIDE - 1} x {SIDE - 1} of d01"
        return [images[0], *[images[1]] * 9], [], ["--unmasked"], wrong
    return images, masks, ["--box", "0,0,25,24"], "--box: expected x,y,w,h inside 24 x 24 pixels, got 0,0,25,24"


KINDS = (
    "few",
    "unmasked",
    "masks",
    "band",
    "cloudy",
    "cloudy dates",
    "apart",
    "one number",
    "corrupted",
    "size",
    "box",
)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_refused_in_one_line(kind, stack, write_raster, model_dir, tmp_path, capsys):
    images, masks, words, message = spoil(kind, *stack(), write_raster)
    masks = ["--clear-masks", *masks] if masks else []
    words = ["--input", *images, *masks, *words, "--output", str(tmp_path / "sr.tif"), "--model-dir", str(model_dir)]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("sr.tif*"))


def test_images_that_cannot_be_used_are_skipped_if_asked(scene, stack, infer, capsys):
    images, masks = stack()
    wanted = infer(images[:10], masks[:10]).ReadAsArray()
    with open(images[10], "r+b") as stream:
        stream.truncate(600)
    found = infer(images, masks, "--on-error", "skip", name="b.tif").ReadAsArray()
    np.testing.assert_array_equal(found, wanted)
    error = capsys.readouterr().err
    assert "warning: skipped: --input: " in error and "d10.tif" in error and "1 of 11 images skipped" in error


def test_inputs_stay(stack, model_dir, capsys):
    images, masks = stack()
    words = ["--input", *images, "--clear-masks", *masks, "--output", images[2], "--model-dir", str(model_dir)]
    assert main([*words, "--overwrite"]) == 1
    assert "--output: expected a file that is not read as input" in capsys.readouterr().err
