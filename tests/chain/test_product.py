# SPDX-License-Identifier: Apache-2.0
"""Product files: format, completeness, resumption, and failures that leave nothing."""

import multiprocessing
import resource
import signal

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.grids import Grid, Region, plan
from chain.product import Layout, check_output, encode, write_product


@pytest.fixture
def layout():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    grid = Grid(300000.0, 5000040.0, 1.5, 1.5, 701, 600, crs.ExportToWkt())
    return Layout(grid, ("B04", "B03"), "uint16", {"SR_SYSTEM": "toy"})


REGIONS = plan(Region(0, 0, 701, 600), 256)
VALUES = np.random.default_rng(0).integers(1, 10000, (600, 701, 2)).astype(np.float32)
VALID = np.ones((600, 701), bool)
VALID[100:180, 300:] = False


def compute(region):
    window = np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]
    return VALUES[window], VALID[window]


def pixels(path):
    return np.moveaxis(gdal.Open(str(path)).ReadAsArray(), 0, -1)


@pytest.mark.parametrize("dtype, nodata", [("uint16", 0), ("float32", np.nan)])
def test_product_is_a_complete_cloud_optimized_geotiff(tmp_path, layout, dtype, nodata):
    layout = Layout(layout.grid, layout.bands, dtype, layout.metadata)
    path = tmp_path / "sr.tif"
    assert write_product(path, layout, REGIONS, compute, {}) == 0
    dataset = gdal.Open(str(path))
    assert dataset.GetGeoTransform() == (300000.0, 1.5, 0, 5000040.0, 0, -1.5)
    assert dataset.GetMetadata()["SR_SYSTEM"] == "toy"
    assert dataset.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert osr.SpatialReference(dataset.GetProjection()).GetAuthorityCode(None) == "32631"
    for number in (1, 2):
        band = dataset.GetRasterBand(number)
        assert band.DataType == (gdal.GDT_UInt16 if dtype == "uint16" else gdal.GDT_Float32)
        assert band.GetDescription() == layout.bands[number - 1]
        np.testing.assert_equal(band.GetNoDataValue(), nodata)
        assert band.GetOverviewCount() > 0
        values = VALUES[VALID][:, number - 1]
        expected = (values.min(), values.max(), values.mean(), values.std())
        np.testing.assert_allclose(band.GetStatistics(False, False), expected, rtol=1e-5)
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])
    np.testing.assert_array_equal(pixels(path)[~VALID], np.full((80 * 401, 2), nodata))
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def test_encode_rounds_clips_and_keeps_dark_pixels_apart_from_missing_ones():
    values = np.array([[[-5.0], [0.4], [64.7], [70000.0], [9.0]]], np.float32)
    valid = np.array([[True, True, True, True, False]])
    assert encode(values, valid, "uint16").ravel().tolist() == [1, 1, 65, 65535, 0]
    np.testing.assert_array_equal(encode(values, valid, "float32").ravel(), np.float32([-5, 0.4, 64.7, 70000, np.nan]))


def test_an_interrupted_product_is_resumed_and_a_changed_one_begun_anew(tmp_path, layout):
    path, done = tmp_path / "sr.tif", []

    def interrupted(region):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(region)
        return compute(region)

    def run(function, identity):
        done.clear()
        return write_product(path, layout, REGIONS, function, identity, overwrite=True)

    def counted(region):
        done.append(region)
        return compute(region)

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, {"weights": "a"})
    assert not path.exists() and (tmp_path / "sr.tif.parts").is_dir()
    assert run(counted, {"weights": "a"}) == 3 and len(done) == len(REGIONS) - 3
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, {"weights": "a"})
    assert run(counted, {"weights": "b"}) == 0 and len(done) == len(REGIONS)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def test_an_error_leaves_nothing_and_an_older_product_as_it_was(tmp_path, layout):
    path = tmp_path / "sr.tif"
    path.write_bytes(b"older")

    def failing(region):
        if region.x > 0:
            raise RuntimeError("no more")
        return compute(region)

    with pytest.raises(RuntimeError, match="no more"):
        write_product(path, layout, REGIONS, failing, {}, overwrite=True)
    assert path.read_bytes() == b"older" and [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def test_a_product_without_valid_pixels_is_refused(tmp_path, layout):
    with pytest.raises(ValueError, match="valid pixels are wanted. Received: nodata only"):
        write_product(tmp_path / "sr.tif", layout, REGIONS, lambda r: (compute(r)[0], np.zeros_like(compute(r)[1])), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [lambda p: p.write_bytes(b""), lambda p: p.mkdir()])
def test_an_existing_output_is_not_replaced_unasked(tmp_path, layout, make):
    path = tmp_path / "sr.tif"
    make(path)
    with pytest.raises(FileExistsError, match="--overwrite. Received"):
        write_product(path, layout, REGIONS, compute, {})


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OSError, match="a folder that exists and can be written is wanted. Received"):
        check_output(tmp_path / "none" / "sr.tif", False)


def test_two_processes_on_one_output_the_second_is_refused(tmp_path, layout):
    path, messages = tmp_path / "sr.tif", []

    def second(region):
        if not messages:
            with pytest.raises(FileExistsError) as refused:
                write_product(path, layout, REGIONS, compute, {})
            messages.append(str(refused.value))
        return compute(region)

    write_product(path, layout, REGIONS, second, {})
    assert "no other process is writing" in messages[0]
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])


def _write_with_limit(path, layout, limit, queue):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_product(path, layout, REGIONS, compute, {})
        queue.put("written")
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("limit", [100_000, 700_000])
def test_a_disk_that_refuses_leaves_nothing(tmp_path, layout, limit):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_write_with_limit, args=(tmp_path / "sr.tif", layout, limit, queue))
    process.start()
    assert queue.get(timeout=60).startswith("OSError: ")
    process.join()
    assert not list(tmp_path.iterdir())


def _write_slowly(path, layout, started):
    def slow(region):
        if region.y > 0:
            started.set()
            signal.pause()
        return compute(region)

    write_product(path, layout, REGIONS, slow, {"key": 1})


def test_a_killed_process_leaves_no_product_and_is_resumed(tmp_path, layout):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_write_slowly, args=(tmp_path / "sr.tif", layout, started))
    process.start()
    assert started.wait(60)
    process.kill()
    process.join()
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif.parts"]
    assert write_product(tmp_path / "sr.tif", layout, REGIONS, compute, {"key": 1}) == 3
    np.testing.assert_array_equal(pixels(tmp_path / "sr.tif")[VALID], VALUES[VALID])
