# SPDX-License-Identifier: Apache-2.0
"""The chain on real images: other sensors, other ratios, grids which do not correspond, another CRS, a real item."""

import json

import numpy as np
import pytest
from osgeo import gdal

import sr_dataset
from chain.patches.correspondence import correspond
from chain.raster.footprint import Footprint
from tests.examples import slow

BANDS = ("B04", "B03", "B02", "B08")


def _write(path, array, like, factor=1.0, bands=None, shift=(0.0, 0.0)):
    """Write (bands, rows, columns) on the grid of another raster, its pixels `factor` times as large."""
    source = gdal.Open(str(like))
    code = gdal.GDT_UInt16 if array.dtype == np.uint16 else gdal.GDT_Float32
    count, rows, columns = array.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, count, code)
    x0, dx, _, y0, _, dy = source.GetGeoTransform()
    dataset.SetGeoTransform((x0 + shift[0], dx * factor, 0.0, y0 + shift[1], 0.0, dy * factor))
    dataset.SetProjection(source.GetProjection())
    dataset.WriteArray(array)
    for number, band in enumerate(bands or (), 1):
        dataset.GetRasterBand(number).SetDescription(band)
    return str(path)


def _averaged(array, factor, offset=(0, 0)):
    """Average (bands, rows, columns) over cells of `factor` pixels; 0 where a pixel of the cell is 0."""
    array = array[:, offset[1] :, offset[0] :].astype(float)
    count, rows, columns = array.shape[0], array.shape[1] // factor, array.shape[2] // factor
    cells = array[:, : rows * factor, : columns * factor].reshape(count, rows, factor, columns, factor)
    mean = np.rint(cells.mean(axis=(2, 4)))
    return np.where((cells == 0).any(axis=(0, 2, 4)), 0, mean).astype(np.uint16)


def _run(output, *arguments):
    assert sr_dataset.main([str(argument) for argument in (*arguments, "--output", output)]) == 0
    return json.loads((output / "dataset.json").read_text())


def _patches(output, name):
    dataset = gdal.Open(str(output / f"{name}.tif"))
    size = dataset.RasterXSize
    return np.moveaxis(dataset.ReadAsArray(), 0, -1).reshape(-1, size, size, dataset.RasterCount)


@pytest.mark.parametrize("number", [1, *(slow(number) for number in (2, 3))])
def test_worldview_2(shared_data, tmp_path, number):
    """0.5 m and 2 m, sizes rounded by a reprojection, partly without data; Sentinel-2 simulated at 10 m."""
    folder = shared_data("wv2_pan_ms_spacenet6")
    xs, pan = folder / f"ms{number}.tif", folder / f"pan{number}.tif"
    array = gdal.Open(str(xs)).ReadAsArray()
    order = ("B02", "B03", "B04", "B08")
    coarse = _averaged(array, 5)
    coarse = np.where(coarse == 0, 0, coarse + 1000).astype(np.uint16)
    sentinel2 = _write(tmp_path / "s2.tif", coarse, xs, 5.0, order)
    images = ("--xs", xs, "--pan", pan, "--xs-bands", ",".join(order), "--sentinel2", sentinel2, "--offset", -1000)
    options = ("--lr-patch-size", 8, "--hr-patch-size", 32, "--split", 0.8, 0.1, 0.1)
    record = _run(tmp_path / "patches", *images, *options)
    assert "resampled" in record["alignment"]["grids"]
    assert abs(record["alignment"]["shift_x"]) <= 1 and abs(record["alignment"]["shift_y"]) <= 1
    assert record["alignment"]["correlation_unshifted"] > 0.95
    assert min(record["patches"][name] for name in ("train", "valid", "test")) > 0
    valid = (array > 0).any(axis=0).mean()
    assert sum(record["patches"][name] for name in ("train", "valid", "test")) < valid * 18 * 18
    lr, hr = _patches(tmp_path / "patches", "train_lr"), _patches(tmp_path / "patches", "train_hr")
    assert lr.min() > 0 and hr.min() > 0
    assert np.corrcoef(lr.mean(axis=(1, 2)).ravel(), hr.mean(axis=(1, 2)).ravel())[0, 1] > 0.9


@pytest.mark.slow
def test_landsat_8(shared_data, tmp_path):
    """15 m and 30 m: a ratio of 2, and a Sentinel-2-like image whose grid starts within a pixel."""
    folder = shared_data("landsat8_pan_ms")
    array = np.stack([gdal.Open(str(folder / f"l8_B{band}.tif")).ReadAsArray() for band in (4, 3, 2, 5)])
    xs = _write(tmp_path / "xs.tif", array, folder / "l8_B4.tif")
    gsd = gdal.Open(xs).GetGeoTransform()[1]
    sentinel2 = _write(tmp_path / "s2.tif", _averaged(array, 2, (1, 1)), xs, 2.0, BANDS, (gsd, -gsd))
    images = ("--xs", xs, "--pan", folder / "l8_B8.tif", "--sentinel2", sentinel2, "--offset", 0)
    record = _run(tmp_path / "patches", *images, "--lr-patch-size", 16, "--hr-patch-size", 32)
    assert (record["alignment"]["shift_x"], record["alignment"]["shift_y"]) == (0, 0)
    assert min(record["statistics"]["correlation"].values()) > 0.95
    assert sum(record["patches"][name] for name in ("train", "valid", "test", "dropped")) > 1300
    found = correspond(Footprint.of(xs), Footprint.of(folder / "l8_B8.tif"), 16, 32)
    assert ("resampled" in found.reason) == bool(found.reference)


def test_satellogic_with_sentinel2_in_degrees(shared_data, tmp_path):
    """A real pair of two sensors: 1 m in UTM, and Sentinel-2 in longitude and latitude with 12 unnamed bands."""
    folder = shared_data("s2_vhr_satellogic_pair")
    fine = folder / "20221109_094507_SN30_40N_227050_2482590_TOA.tif"
    array = gdal.Open(str(fine)).ReadAsArray()
    xs = _write(tmp_path / "xs.tif", _averaged(array, 4), fine, 4.0)
    pan = _write(tmp_path / "pan.tif", array[:3].mean(axis=0, keepdims=True).astype(np.float32), fine)
    sentinel2 = folder / "20221109_094507_SN30_40N_227050_2482590_S2L2A.tif"
    names = [f"B{number:02}" for number in range(1, 13) if number != 10]
    names.insert(8, "B8A")
    images = ("--xs", xs, "--pan", pan, "--sentinel2", sentinel2, "--bands", ",".join(names), "--offset", 0)
    options = ("--lr-patch-size", 8, "--hr-patch-size", 32, "--match-radiometry")
    record = _run(tmp_path / "patches", *images, *options)
    assert min(record["statistics"]["correlation"].values()) > 0.5
    for line in record["radiometry"]:
        assert line["correlation"] > 0.6
    for band in BANDS:
        lr, hr = (record["statistics"][side][band]["mean"] for side in ("lr", "hr"))
        assert hr == pytest.approx(lr, rel=0.05)


@pytest.mark.slow
def test_real_item_as_cogs_over_http(shared_data, tmp_path, monkeypatch):
    """A whole real tile behind the local stand-in; the finer image is interpolated from it, so all has to agree."""
    from planetary_computer.settings import Settings

    from chain.raster import signatures
    from chain.sentinel2.cloud_cover import CLOUDY_CLASSES
    from simulate.planetary_computer import LocalPlanetaryComputer
    from tests.real_items import adopt

    folder = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    item = json.loads((folder / "S2A_29RKH_20200219_0_L2A.json").read_text())
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / item["id"]).symlink_to(folder)
    left, top, side = 240000.0, 2760000.0, 19200.0
    window = {"projWin": [left, top, left + side, top - side], "resampleAlg": "cubic", "format": "GTiff"}
    stack = gdal.BuildVRT("/vsimem/real.vrt", [str(folder / f"{band}.tif") for band in BANDS], separate=True)
    gdal.Translate(str(tmp_path / "xs.tif"), stack, width=320, height=320, **window)
    fine = gdal.Translate("/vsimem/fine.tif", stack, width=1280, height=1280, **window)
    mean = fine.ReadAsArray().mean(axis=0, keepdims=True).astype(np.uint16)
    pan = _write(tmp_path / "pan.tif", mean, "/vsimem/fine.tif")
    with LocalPlanetaryComputer([adopt(item, blobs / item["id"])], tmp_path / "blobs") as server:
        monkeypatch.setattr(server, "blob", lambda container, name: blobs / name)
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        Settings.get.cache_clear()
        signatures.forget_tokens()
        dates = ("--dates", "2020-02-01", "2020-03-01", "--max-cloud-cover", 30)
        images = ("--xs", tmp_path / "xs.tif", "--pan", pan, "--stac-url", server.stac_url)
        record = _run(tmp_path / "patches", *images, *dates)
        assert server.counters()["requests"]["blob"] < 80
    Settings.get.cache_clear()
    assert record["sentinel2"]["id"] == item["id"]
    assert (record["sentinel2"]["baseline"], record["sentinel2"]["offset"]) == ("02.14", 0)
    assert (record["alignment"]["shift_x"], record["alignment"]["shift_y"]) == (0, 0)
    assert min(record["statistics"]["correlation"].values()) > 0.95
    scl = gdal.Open(str(folder / "SCL.tif"))
    x0, dx, _, y0, _, dy = scl.GetGeoTransform()
    classes = scl.ReadAsArray(*(round(value / 200.0) for value in (left - x0, y0 - top, side, side)))
    assert record["sentinel2"]["cover"]["cloudy"] == pytest.approx(np.isin(classes, CLOUDY_CLASSES).mean(), abs=0.01)


def test_real_spot_bundle_has_whole_pixel_offsets(shared_data):
    """The tiny Spot-6/7 pair of OTBTF's tests: its PAN starts one and two PAN pixels inside XS."""
    folder = shared_data("spot67_pan_xs_tiny")
    found = correspond(Footprint.of(folder / "xs_subset.tif"), Footprint.of(folder / "pan_subset.tif"), 8, 32)
    assert found.reference is None and found.grid.hr_offset == (-1, -2)
