# SPDX-License-Identifier: Apache-2.0
"""Each algorithm in QGIS without a screen: the program's own files, its errors, cancelling and going on."""

import json

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import BANDS
from simulate.scenes import ACQUISITIONS, write_scenes
from tests import toy_models
from tests.pages import checked
from tests.products import product_files

pytestmark = pytest.mark.slow

SPOT_BANDS = ("B04", "B03", "B02", "B08")


def ground(rows, columns, bands):
    """Return smooth digital numbers with some detail, which DSen2 and L1BSR take for ground."""
    y, x = np.mgrid[:rows, :columns] / 12
    waves = np.stack([1500 + 300 * k + 400 * np.sin(x + k) * np.cos(y - k) for k in range(bands)], axis=-1)
    return (waves + np.random.default_rng(0).normal(0, 40, waves.shape)).astype(np.uint16)


def pixels(path):
    return gdal.Open(str(path)).ReadAsArray()


@pytest.fixture
def scene(write_raster):
    """Rasters of 10 and 20 m of a scene whose name tells its level, date and baseline."""
    name = "S2B_MSIL2A_20180526T100031_N0208_R122_T31UDQ_20180526T120000"
    fine, coarse = ([band for band in BANDS if BANDS[band] == gsd] for gsd in (10.0, 20.0))
    return [
        write_raster(f"{name}_10m.tif", ground(240, 240, len(fine)), bands=fine),
        write_raster(f"{name}_20m.tif", ground(120, 120, len(coarse)), gsd=20.0, bands=coarse),
    ]


def test_dsen2(qgis, scene, tmp_path):
    out = tmp_path / "sr.tif"
    area = "300200,300800,4999400,4999900 [EPSG:32631]"
    parameters = {"BANDS": "B03,B05,B11", "PRECISION": "bfloat16", "EXTENT": area, "OFFSET": "0", "TILE_SIZE": 256}
    parameters |= {"ERROR": "true", "REPORT": tmp_path / "sr.html"}
    status, told = qgis.run("superresolution:dsen2", INPUT=scene, **parameters, OUTPUT=out)
    assert status == 0, told
    assert f"ERRORS:\t{tmp_path / 'sr_error.tif'}" in told and (tmp_path / "sr_error.qml").exists()
    assert "Error layer" in checked(tmp_path / "sr.html")
    dataset = gdal.Open(str(out))
    assert [dataset.GetRasterBand(number).GetDescription() for number in (1, 2, 3)] == ["B03", "B05", "B11"]
    left, _, _, top, _, _ = dataset.GetGeoTransform()
    assert left <= 300200 and top >= 4999900
    right, bottom = left + 10 * dataset.RasterXSize, top - 10 * dataset.RasterYSize
    assert right >= 300800 and bottom <= 4999400 and right - left <= 700 and top - bottom <= 600
    x, y = round((left - 300000) / 10), round((5000040 - top) / 10)
    window = np.s_[y : y + dataset.RasterYSize, x : x + dataset.RasterXSize]
    np.testing.assert_array_equal(dataset.GetRasterBand(1).ReadAsArray(), pixels(scene[0])[1][window])
    assert dataset.GetMetadataItem("TIFFTAG_DATETIME") == "2018:05:26 10:00:31"
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert record["arguments"]["precision"] == "bfloat16" and record["arguments"]["tile_size"] == 256
    assert (tmp_path / "sr.qml").exists()


def test_product_and_errors_become_layers(qgis, scene, tmp_path):
    parameters = {"INPUT": list(map(str, scene)), "BANDS": ["B05"], "ERROR": True, "OFFSET": "0"}
    parameters["EXTENT"] = "300200,300400,4999700,4999900 [EPSG:32631]"
    shown = qgis.script("load", "dsen2", json.dumps(parameters), str(tmp_path / "sr.tif"))
    assert shown == {str(tmp_path / "sr.tif"): "Product", str(tmp_path / "sr_error.tif"): "Expected errors"}


def test_the_programs_own_error_ends_the_algorithm(qgis, scene, tmp_path):
    out = tmp_path / "sr.tif"
    status, told = qgis.run("superresolution:dsen2", INPUT=scene, BANDS="B01", OFFSET="0", OUTPUT=out)
    assert status == 1 and not out.exists()
    assert "B01" in told and "Traceback" not in told
    status, told = qgis.run("superresolution:dsen2", INPUT=scene, SEARCH="2022-07-01/2022-07-31", OUTPUT=out)
    assert status == 1 and "expected one of INPUT, SCENE, SEARCH, got INPUT and SEARCH" in told
    status, told = qgis.run("superresolution:dsen2", SEARCH="2022-07-01/2022-07-31", OUTPUT=out)
    assert status == 1 and "SEARCH requires EXTENT" in told


def test_spot7_is_cancelled_and_goes_on(qgis, write_raster, tmp_path):
    model = toy_models.nearest(tmp_path / "model")
    path = write_raster("s2.tif", ground(100, 120, 4), gsd=6.0, bands=SPOT_BANDS)
    out = tmp_path / "sr.tif"
    parameters = {"INPUT": [str(path)], "MODEL_DIR": model, "OFFSET": "0", "TILE_SIZE": 16, "OUTPUT": str(out)}
    ended = qgis.script("cancel", "spot7", json.dumps(parameters), f"{out}.parts/*_*.tif")
    assert ended["cancelled"] and "OUTPUT" not in ended["result"], ended["log"]
    made = {part.name for part in (tmp_path / "sr.tif.parts").glob("*_*.tif")}
    assert made and not out.exists()
    status, told = qgis.run("superresolution:spot7", **parameters)
    assert status == 0, told
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert record["resumed_regions"] >= len(made)
    np.testing.assert_array_equal(pixels(out), np.repeat(np.repeat(pixels(path), 4, 1), 4, 2))
    others = {"model", "s2.tif", "s2.tif.aux.xml"}  # QGIS leaves statistics beside rasters
    assert {item.name for item in tmp_path.iterdir()} - others == product_files("sr")


@pytest.mark.parametrize(("task", "scale"), [("superresolution", 2), ("registration", 1)])
def test_l1bsr(qgis, write_raster, tmp_path, task, scale):
    path = write_raster("l1b.tif", ground(96, 96, 4), bands=("B02", "B03", "B04", "B08"))
    out = tmp_path / "sr.tif"
    status, told = qgis.run("superresolution:l1bsr", INPUT=[path], TASK=task, OUTPUT=out)
    assert status == 0, told
    assert pixels(out).shape == (4, 96 * scale, 96 * scale)


def test_deepsum(qgis, write_raster, tmp_path):
    image = ground(32, 32, 1)[..., 0]
    noise = np.random.default_rng(1).integers(0, 20, (9, 32, 32)).astype(np.uint16)
    dates = [write_raster(f"date{number}.tif", image + each, gsd=300.0) for number, each in enumerate(noise)]
    out = tmp_path / "sr.tif"
    status, told = qgis.run("superresolution:deepsum", INPUT=dates, UNMASKED="true", OUTPUT=out)
    assert status == 0, told
    assert pixels(out).shape == (96, 96)


def test_sr_dataset(qgis, tmp_path):
    write_scenes(tmp_path, 512, 40, 3, ACQUISITIONS[:1])
    (item,) = (folder for folder in (tmp_path / "sentinel2").iterdir() if folder.is_dir())
    sentinel2 = [item / f"{band}.tif" for band in SPOT_BANDS]
    out = tmp_path / "patches"
    parameters = {"XS": tmp_path / "spot7/xs.tif", "PAN": tmp_path / "spot7/pan.tif", "SENTINEL2": sentinel2}
    parameters |= {"LR_PATCH_SIZE": 8, "HR_PATCH_SIZE": 32, "OFFSET": "0"}
    status, told = qgis.run("superresolution:sr_dataset", **parameters, OUTPUT=out)
    assert status == 0, told
    assert (out / "dataset.json").exists()
    low, high = pixels(out / "train_lr.tif"), pixels(out / "train_hr.tif")
    assert low.shape[0] == 4 and high.shape[1:] == (4 * low.shape[1], 4 * low.shape[2])


def test_fine_tune(qgis, scene, tmp_path):
    out = tmp_path / "model"
    parameters = {"INPUT": scene, "ROLE": "2x", "EPOCHS": 1, "SAMPLES": 8, "OFFSET": "0"}
    status, told = qgis.run("superresolution:fine_tune", **parameters, OUTPUT=out)
    assert status == 0, told
    assert (out / "model.json").exists() and (out / "saved_model.pb").exists()
