# SPDX-License-Identifier: Apache-2.0
"""Product files: format, completeness, resumption, and failures that leave nothing."""

import multiprocessing
import resource
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region, plan
from chain.serving.layout import Layout
from chain.serving.product_file import check_output, encode, write_product


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
    return {band: (part(VALUES[..., index], region), part(VALID, region)) for index, band in enumerate(("B04", "B03"))}


def maker(function=compute):
    """Return a maker whose regions a function computes."""
    return SimpleNamespace(read=lambda region: None, compute=lambda region, blocks: function(region))


def part(array, region):
    return array[region.y : region.y + region.rows, region.x : region.x + region.columns]


def pixels(path):
    return np.moveaxis(gdal.Open(str(path)).ReadAsArray(), 0, -1)


@pytest.mark.parametrize("dtype, nodata", [("uint16", 0), ("float32", np.nan)])
def test_product_is_a_complete_cloud_optimized_geotiff(tmp_path, layout, dtype, nodata):
    layout = Layout(layout.grid, layout.bands, dtype, layout.metadata)
    path = tmp_path / "sr.tif"
    assert write_product(path, layout, REGIONS, maker(), {}) == 0
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
        assert band.GetOverviewCount() == 1
        values = VALUES[VALID][:, number - 1]
        expected = (values.min(), values.max(), values.mean(), values.std())
        np.testing.assert_allclose(band.GetStatistics(False, False), expected, rtol=1e-5)
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])
    np.testing.assert_array_equal(pixels(path)[~VALID], np.full((80 * 401, 2), nodata))
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


@pytest.mark.parametrize(
    "block, count, resampling", [(512, 1, "NEAREST"), (512, 1, "AVERAGE"), (256, 2, "AVERAGE"), (128, 3, "AVERAGE")]
)
def test_overviews_are_gdals_down_to_one_block(tmp_path, layout, block, count, resampling):
    path = tmp_path / "sr.tif"
    creation = [f"BLOCKSIZE={block}", f"OVERVIEW_RESAMPLING={resampling}"]
    write_product(path, layout, REGIONS, maker(), {}, creation=creation)
    dataset = gdal.Open(str(path))
    plain = gdal.GetDriverByName("GTiff").CreateCopy(str(tmp_path / "plain.tif"), dataset)
    plain.BuildOverviews(resampling, [2**level for level in range(1, count + 1)])
    for number in (1, 2):
        found, wanted = (image.GetRasterBand(number) for image in (dataset, plain))
        assert found.GetOverviewCount() == count
        assert 0.4 * block < found.GetOverview(count - 1).XSize <= block
        for level in range(count):
            found_there, wanted_there = (band.GetOverview(level).ReadAsArray() for band in (found, wanted))
            np.testing.assert_array_equal(found_there, wanted_there)


@pytest.mark.parametrize(
    "given, level",
    [((), "1"), (("LEVEL=6",), "6"), (("compress=zstd",), "9"), (("COMPRESS=ZSTD", "LEVEL=1"), "1")],
)
def test_the_level_of_compression_is_deflates_least_and_that_of_others_their_own(tmp_path, layout, given, level):
    """Files are as large as those of GDAL's tool, whose level of ZSTD is 9."""
    path, other = tmp_path / "sr.tif", tmp_path / "other.tif"
    smooth = np.add.outer(np.arange(600), np.arange(701)).astype(np.float32) // 7 + VALUES[..., 0] // 500
    made = maker(lambda region: {"B04": (part(smooth, region), part(VALID, region))})
    layout = replace(layout, bands=("B04",))
    write_product(path, layout, REGIONS, made, {}, creation=given)
    compression = "ZSTD" if "zstd" in "".join(given).lower() else "DEFLATE"
    options = [f"COMPRESS={compression}", f"LEVEL={level}", "PREDICTOR=YES", "BLOCKSIZE=512", "BIGTIFF=IF_SAFER"]
    gdal.GetDriverByName("COG").CreateCopy(str(other), gdal.Open(str(path)), options=options)
    assert path.stat().st_size == pytest.approx(other.stat().st_size, rel=1e-3)
    assert gdal.Open(str(path)).GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == compression


@pytest.mark.parametrize("bands", [("B02", "B03", "B04", "B08"), ("B04", "B03", "B02"), ("B08", "B04"), ("sr",)])
@pytest.mark.parametrize("scale", [None, 1e-4])
def test_tags_tell_colours_and_scale_and_change_no_pixel(tmp_path, layout, bands, scale):
    path = tmp_path / "sr.tif"
    numbers = np.random.default_rng(1).integers(1, 10000, (len(bands), 600, 701)).astype(np.float32)

    def compute(region):
        window = np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]
        return {band: (values[window], VALID[window]) for band, values in zip(bands, numbers)}

    metadata = {"TIFFTAG_DATETIME": "2022:07:14 10:56:29"}
    write_product(path, replace(layout, bands=bands, scale=scale, metadata=metadata), REGIONS, maker(compute), {})
    dataset = gdal.Open(str(path))
    colours = [dataset.GetRasterBand(number).GetColorInterpretation() for number in range(1, len(bands) + 1)]
    known = {"B04": gdal.GCI_RedBand, "B03": gdal.GCI_GreenBand, "B02": gdal.GCI_BlueBand}
    natural = len(bands) >= 3
    others = [gdal.GCI_Undefined if natural or number else gdal.GCI_GrayIndex for number in range(len(bands))]
    assert colours == [known.get(band, other) if natural else other for band, other in zip(bands, others)]
    found = {
        (dataset.GetRasterBand(number).GetScale(), dataset.GetRasterBand(number).GetOffset())
        for number in range(1, len(bands) + 1)
    }
    assert found == {(scale, None if scale is None else 0.0)}
    assert dataset.GetMetadataItem("TIFFTAG_DATETIME") == "2022:07:14 10:56:29"
    assert dataset.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    found = dataset.ReadAsArray().reshape(numbers.shape)
    np.testing.assert_array_equal(found, np.where(VALID, numbers, 0))


def test_a_product_of_no_place_states_none(tmp_path, layout):
    grid = Grid(0.0, 0.0, 1.0, 1.0, 701, 600, "")
    path = tmp_path / "sr.tif"
    write_product(path, replace(layout, grid=grid, placed=False), REGIONS, maker(), {})
    dataset = gdal.Open(str(path))
    assert dataset.GetGeoTransform(can_return_null=True) is None and dataset.GetProjection() == ""
    assert dataset.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert [dataset.GetRasterBand(number).GetDescription() for number in (1, 2)] == ["B04", "B03"]
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])
    assert not pixels(path)[~VALID].any()


def test_encode_rounds_clips_and_keeps_dark_pixels_apart_from_missing_ones():
    values = np.array([[-5.0, 0.4, 64.7, 70000.0, 9.0, np.nan]], np.float32)
    bands = {"B04": (values, np.array([[True, True, True, True, False, False]]))}
    assert encode(bands, "uint16").ravel().tolist() == [1, 1, 65, 65535, 0, 0]
    expected = np.float32([-5, 0.4, 64.7, 70000, np.nan, np.nan])
    np.testing.assert_array_equal(encode(bands, "float32").ravel(), expected)


class Interrupted:
    """Computes regions, each when the ones before are written, and raises after some."""

    def __init__(self, folder, error, written=3):
        self.folder, self.error, self.written, self.calls = folder, error, written, 0

    def __call__(self, region):
        while len(list(self.folder.glob("*_*.tif"))) < min(self.calls, self.written):
            time.sleep(0.01)
        self.calls += 1
        if self.calls > self.written:
            raise self.error
        return compute(region)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("gone"), OSError("full")])
def test_what_is_done_is_kept_and_not_made_again(tmp_path, layout, error):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    path.write_bytes(b"older")
    options = {"identity": {"weights": "a", "input": "b"}, "overwrite": True}
    with pytest.raises(type(error)):
        write_product(path, layout, REGIONS, maker(Interrupted(parts, error)), **options)
    done = {file.name: file.read_bytes() for file in parts.glob("*_*.tif")}
    assert path.read_bytes() == b"older" and 3 <= len(done) < len(REGIONS)
    made = []

    def counted(region):
        made.append(region)
        return compute(region)

    assert write_product(path, layout, REGIONS, maker(counted), **options) == len(done)
    assert len(made) == len(REGIONS) - len(done) and not {f"{r.x}_{r.y}.tif" for r in made} & set(done)
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def test_a_resumed_product_is_the_uninterrupted_one_byte_for_byte(tmp_path, layout):
    paths = [tmp_path / name for name in ("whole.tif", "resumed.tif")]
    write_product(paths[0], layout, REGIONS, maker(), {})
    with pytest.raises(KeyboardInterrupt):
        parts = tmp_path / "resumed.tif.parts"
        write_product(paths[1], layout, REGIONS, maker(Interrupted(parts, KeyboardInterrupt())), {})
    write_product(paths[1], layout, REGIONS, maker(), {})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_was_begun_otherwise_is_refused_by_name_and_begun_anew_if_asked(tmp_path, layout):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    identity = {"input": "a", "models": ["b"]}
    with pytest.raises(KeyboardInterrupt):
        write_product(path, layout, REGIONS, maker(Interrupted(parts, KeyboardInterrupt())), identity)
    before = {file.name: file.read_bytes() for file in parts.iterdir()}
    with pytest.raises(FileExistsError, match="^--output: .*parts was begun with other models; --restart"):
        write_product(path, layout, REGIONS, maker(), {**identity, "models": ["c"]})
    assert {file.name: file.read_bytes() for file in parts.iterdir()} == before
    assert write_product(path, layout, REGIONS, maker(), {**identity, "models": ["c"]}, restart=True) == 0
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])


def test_regions_of_another_size_are_not_mixed(tmp_path, layout):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    with pytest.raises(KeyboardInterrupt):
        write_product(path, layout, REGIONS, maker(Interrupted(parts, KeyboardInterrupt())), {})
    assert write_product(path, layout, plan(Region(0, 0, 701, 600), 300), maker(), {}) >= 3
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])


def test_an_error_before_anything_is_done_leaves_nothing(tmp_path, layout):
    def failing(region):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_product(tmp_path / "sr.tif", layout, REGIONS, maker(failing), {})
    assert not list(tmp_path.iterdir())


def test_a_product_without_valid_pixels_is_refused(tmp_path, layout):
    def empty(region):
        return {band: (values, np.zeros_like(valid)) for band, (values, valid) in compute(region).items()}

    with pytest.raises(ValueError, match="expected valid pixels, got nodata only"):
        write_product(tmp_path / "sr.tif", layout, REGIONS, maker(empty), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [lambda p: p.write_bytes(b""), lambda p: p.mkdir()])
def test_an_existing_output_is_not_replaced_unasked(tmp_path, layout, make):
    path = tmp_path / "sr.tif"
    make(path)
    with pytest.raises(FileExistsError, match="exists; --overwrite replaces it$"):
        write_product(path, layout, REGIONS, maker(), {})


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OSError, match="expected a folder that exists and can be written, got"):
        check_output(tmp_path / "none" / "sr.tif", False)


def test_two_processes_on_one_output_the_second_is_refused(tmp_path, layout):
    path, messages = tmp_path / "sr.tif", []

    def second(region):
        if not messages:
            with pytest.raises(FileExistsError) as refused:
                write_product(path, layout, REGIONS, maker(), {})
            messages.append(str(refused.value))
        return compute(region)

    write_product(path, layout, REGIONS, maker(second), {})
    assert "another process is writing" in messages[0]
    np.testing.assert_array_equal(pixels(path)[VALID], VALUES[VALID])


def _write_with_limit(path, layout, limit, queue):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_product(path, layout, REGIONS, maker(), {})
        queue.put("written")
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("limit", [100_000, 700_000])
def test_a_disk_that_refuses_leaves_no_product_and_what_is_done(tmp_path, layout, limit):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_write_with_limit, args=(tmp_path / "sr.tif", layout, limit, queue))
    process.start()
    assert queue.get(timeout=60).startswith("OSError: ")
    process.join()
    done = list((tmp_path / "sr.tif.parts").glob("*_*.tif"))
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif.parts"][: len(done)]
    assert write_product(tmp_path / "sr.tif", layout, REGIONS, maker(), {}) == len(done)


def _write_slowly(path, layout, started):
    def slow(region):
        if region.y > 0:
            started.set()
            signal.pause()
        return compute(region)

    write_product(path, layout, REGIONS, maker(slow), {"key": 1})


def test_a_killed_process_leaves_no_product_and_is_resumed(tmp_path, layout):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_write_slowly, args=(tmp_path / "sr.tif", layout, started))
    process.start()
    assert started.wait(60)
    process.kill()
    process.join()
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif.parts"]
    assert write_product(tmp_path / "sr.tif", layout, REGIONS, maker(), {"key": 1}) in (1, 2, 3)
    np.testing.assert_array_equal(pixels(tmp_path / "sr.tif")[VALID], VALUES[VALID])
