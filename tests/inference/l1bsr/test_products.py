# SPDX-License-Identifier: Apache-2.0
"""Products of L1BSR: their pixels, places and files, those of whole images and of parts."""

import json
import re

import numpy as np
import pytest
from osgeo import gdal

from inference import report
from inference.l1bsr import registration, super_resolution
from models import base
from models.l1bsr import BANDS, OTHERS
from tests.examples import slow
from tests.inference.l1bsr.networks import FLOW, counts, infer, read, register, twice, varied
from tests.products import product_files
from weights.convert_l1bsr import read_model

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0


@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_a_finer_image_lies_a_quarter_of_a_pixel_right_of_and_below_the_input(tmp_path, image, models, mode):
    pixels, output = counts(21, 34), tmp_path / "sr.tif"
    assert infer(image(pixels), output, models["nearest"], "--mode", mode) == 0
    result, dataset = read(output)
    np.testing.assert_array_equal(result, twice(pixels))
    assert dataset.GetGeoTransform() == (LEFT + 2.5, 5.0, 0, TOP - 2.5, 0, -5.0)
    assert "32631" in dataset.GetProjection()
    assert dataset.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert [dataset.GetRasterBand(number).GetDescription() for number in (1, 2, 3, 4)] == list(BANDS)
    assert {dataset.GetRasterBand(number).DataType for number in (1, 2, 3, 4)} == {gdal.GDT_UInt16}
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif"} | product_files("sr")


@pytest.mark.parametrize("mode", [slow("whole"), "strips"])
def test_a_registered_image_lies_where_the_input_does(tmp_path, image, models, mode):
    pixels, output = counts(83, 91), tmp_path / "r.tif"
    assert register(image(pixels), output, models["moving"], "--mode", mode) == 0
    result, dataset = read(output)
    assert dataset.GetGeoTransform() == (LEFT, 10.0, 0, TOP, 0, -10.0)
    np.testing.assert_array_equal(result[..., 1], pixels[..., 1])
    for other in OTHERS:
        moved = pixels[:-1, 2:, other]  # band(p + (2, -1)) lies at p, rows from 1 on, columns to -2
        assert np.abs(result[1:, :-2, other].astype(int) - moved).max() <= 1
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif"} | product_files("r")


def test_numbers_are_rounded_and_clipped_unless_the_authors_cast_is_asked_for(tmp_path, image, models):
    row = np.array([[50, 200, 210, 300], [1850, 1838, 201, 198], [5000, 200, 4000, 60]], np.uint16)
    pixels = np.tile(row, (16, 6, 1))
    exact = pixels * 40.0 - 8000.4
    source = image(pixels)
    assert infer(source, tmp_path / "sr.tif", models["biased"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(np.clip(np.rint(exact), 1, 65535)))
    assert infer(source, tmp_path / "cast.tif", models["biased"], "--original-cast") == 0
    expected = np.trunc(exact).astype(np.int64) % 65536  # -6000.4 is 59536, -0.4 is 0, 66000.6 is 464 - 0
    np.testing.assert_array_equal(read(tmp_path / "cast.tif")[0], twice(expected))
    assert (exact < 0).any() and (exact > 65536).any() and (expected == 0).any()


@pytest.mark.slow
def test_super_resolution_by_strips_is_that_of_the_whole_image(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr(super_resolution, "REGION_ROWS", 22)
    source = image(varied(75, 41))
    assert infer(source, tmp_path / "whole.tif", models["REC"], "--mode", "whole") == 0
    assert infer(source, tmp_path / "strips.tif", models["REC"], "--mode", "strips") == 0
    whole, strips = (read(tmp_path / f"{mode}.tif")[0].astype(int) for mode in ("whole", "strips"))
    assert np.abs(whole - strips).max() <= 1 and np.mean(whole != strips) < 0.01
    assert np.ptp(whole) > 1000
    half = image(varied(75, 41)[:38], "half.tif")
    assert infer(half, tmp_path / "half_sr.tif", models["REC"]) == 0
    assert np.abs(read(tmp_path / "half_sr.tif")[0].astype(int)[:40] - whole[:40]).max() > 1


@pytest.mark.slow
def test_registration_by_tiles_is_that_of_the_whole_image(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr(registration, "TILE", 48)
    source = image(varied(301, 85))
    for mode in ("whole", "strips"):
        files = ("--flow", tmp_path / f"{mode}_flow.tif", "--mode", mode)
        assert register(source, tmp_path / f"{mode}.tif", models["CSR"], *files) == 0
    whole, strips = (read(tmp_path / f"{mode}.tif")[0].astype(int) for mode in ("whole", "strips"))
    flows = [read(tmp_path / f"{mode}_flow.tif")[0] for mode in ("whole", "strips")]
    assert np.abs(flows[0] - flows[1]).max() < 2e-3 and np.ptp(flows[0]) > 5
    assert np.abs(whole - strips).max() <= 1 and np.mean(whole != strips) < 0.1


def aligned_by_flow(rows, columns):
    """Return an image whose B02 and B04 show what its green band does FLOW away from it; its B08 shows something else.

    Where they would show what is beyond the border, they are random.
    """
    pixels = counts(rows, columns, 2)
    for band in (0, 2):
        pixels[:-1, 2:, band] = pixels[1:, :-2, 1] // (1 + band) + 7
    return pixels


@pytest.mark.parametrize("mode", [slow("whole"), "strips"])
def test_flow_and_metrics(tmp_path, image, models, capsys, mode):
    pixels = aligned_by_flow(84, 80)
    pixels[30:40, 20:25] = 0
    output, flow, metrics = (tmp_path / name for name in ("r.tif", "flow.tif", "m.json"))
    more = ("--flow", flow, "--metrics", metrics, "--mode", mode)
    assert register(image(pixels), output, models["moving"], *more) == 0
    found, dataset = read(flow)
    missing = (pixels == 0).all(axis=2)
    np.testing.assert_allclose(found[~missing], np.broadcast_to(FLOW * 3, (np.sum(~missing), 6)), rtol=1e-5)
    assert np.isnan(found[missing]).all() and dataset.GetRasterBand(1).DataType == gdal.GDT_Float32
    assert dataset.GetGeoTransform() == (LEFT, 10.0, 0, TOP, 0, -10.0)
    names = [dataset.GetRasterBand(number).GetDescription() for number in range(1, 7)]
    assert names == ["B02_dx", "B02_dy", "B04_dx", "B04_dy", "B08_dx", "B08_dy"]
    stated = json.loads(metrics.read_text())
    assert list(stated) == ["B02", "B04", "B08"]
    inner = np.zeros_like(missing)
    inner[10:-10, 10:-10] = True
    valid = inner & ~missing
    registered = read(output)[0]
    for band, values in stated.items():
        assert list(values) == ["dx", "dy", "correlation_before", "correlation_after"]
        assert (values["dx"], values["dy"]) == pytest.approx(FLOW, rel=1e-5)
        for when, bands in (("before", pixels), ("after", registered)):
            expected = np.corrcoef(pixels[valid][:, 1], bands[valid][:, BANDS.index(band)])[0, 1]
            assert values[f"correlation_{when}"] == pytest.approx(expected, abs=1e-9)
    assert stated["B02"]["correlation_after"] > 0.95 > 0.5 > stated["B02"]["correlation_before"]
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("B04: median flow +2.000, -1.000 pixels (x, y); correlation with B03") for line in lines)
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "flow.tif", "m.json"} | product_files("r")


def test_metrics_without_an_inner_part_have_no_correlation(tmp_path, image, models):
    pixels = counts(80, 81)
    pixels[10:-10, 10:-10] = 0
    assert register(image(pixels), tmp_path / "r.tif", models["moving"], "--metrics", tmp_path / "m.json") == 0
    assert json.loads((tmp_path / "m.json").read_text())["B08"]["correlation_after"] is None


@pytest.mark.parametrize("mode", [slow("whole"), "strips"])
@pytest.mark.parametrize(
    "nodata, dtype, value",
    [(65535, np.uint16, 65535), slow(None, np.uint16, 0), (None, np.float32, np.nan)],
)
def test_missing_pixels_stay_missing_and_no_further(tmp_path, image, models, mode, nodata, dtype, value):
    pixels = counts(90, 80).astype(dtype)
    pixels[:40, 10:60] = value
    pixels[50, 5] = value
    if value:
        pixels[60:62, 70, 2] = value  # what a band misses is missing
    else:
        pixels[60:62, 70, 2] = 0  # a dark pixel of one band is none
    missing = (pixels == value).all(axis=2) if value == 0 else (np.isnan(pixels) | (pixels == value)).any(axis=2)
    source = image(pixels, nodata=nodata)
    assert infer(source, tmp_path / "sr.tif", models["nearest"], "--mode", mode) == 0
    result, dataset = read(tmp_path / "sr.tif")
    np.testing.assert_array_equal((result == 0).all(axis=2), twice(missing))
    kept = np.maximum(pixels[~missing], 1)
    np.testing.assert_array_equal(result[::2, ::2][~missing], kept)
    assert dataset.GetRasterBand(1).GetNoDataValue() == 0
    assert register(source, tmp_path / "r.tif", models["moving"], "--mode", mode) == 0
    np.testing.assert_array_equal((read(tmp_path / "r.tif")[0] == 0).all(axis=2), missing)


def test_what_missing_pixels_held_does_not_matter(tmp_path, image, models):
    results = []
    for value in (65535, 1):
        pixels = varied(60, 40)
        pixels[5:30, 3:20] = value
        assert infer(image(pixels, nodata=value), tmp_path / f"{value}.tif", models["REC"]) == 0
        results.append(read(tmp_path / f"{value}.tif")[0])
    np.testing.assert_array_equal(*results)


def test_memory_chooses_how_an_image_is_computed(tmp_path, image, models, capsys):
    source = image(counts(40, 40))
    for memory, words in (
        ("3GB", "whole image at once, in about"),
        ("100MB", "piece by piece, exactly; at once, about"),
    ):
        assert infer(source, tmp_path / f"{memory}.tif", models["nearest"], "--memory", memory) == 0
        assert f"superresolution by REC: {words} 0.9 GB" in capsys.readouterr().err


def test_record_and_quicklook(tmp_path, image, models):
    source, picture = image(counts(20, 30)), tmp_path / "sr.png"
    assert infer(source, tmp_path / "sr.tif", models["nearest"], "--quicklook", picture) == 0
    assert gdal.Open(str(picture)).RasterXSize == 60
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert list(record["input"]["files"]) == [source] and record["input"]["bands"]["B08"] == [source, 4]
    assert record["models"][0]["model"] == "REC" and record["arguments"]["task"] == "superresolution"
    metadata = gdal.Open(str(tmp_path / "sr.tif")).GetMetadata()
    assert metadata["SR_SYSTEM"] == "l1bsr" and metadata["SR_WEIGHTS"] == record["models"][0]["weights"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_the_whole_of_00_tif_is_registered_as_by_the_authors_program(tmp_path, shared_data, mode):
    vectors, images = shared_data("l1bsr_vectors"), shared_data("l1bsr")
    base.export(read_model(vectors / "csr_random.pth.tar"), tmp_path / "CSR")
    more = ("--original-cast", "--mode", mode)
    assert register(str(images / "00.tif"), tmp_path / "r.tif", str(tmp_path / "CSR"), *more) == 0
    expected = np.load(vectors / "e2e_00tif_full_image.npz")
    result = gdal.Open(str(tmp_path / "r.tif")).ReadAsArray().astype(int)
    assert result.shape == tuple(expected["reg_shape"])
    assert np.abs(result[:, 100:164, 100:164] - expected["reg_uint16_rows100_164_cols100_164"]).max() <= 1
    np.testing.assert_allclose(result.mean(axis=(1, 2)), expected["reg_mean"], atol=0.05)


def test_a_part_is_the_product_of_that_part_as_an_image(tmp_path, image, models):
    pixels = counts(41, 64)
    source = image(pixels)
    for name, words in (
        ("box", ["--box", "8,5,32,20"]),
        ("bbox", ["--bbox", f"{LEFT + 80},{TOP - 250},{LEFT + 400},{TOP - 50}", "--bbox-crs", "EPSG:32631"]),
    ):
        output = tmp_path / f"{name}.tif"
        assert infer(source, output, models["nearest"], *words) == 0
        result, dataset = read(output)
        np.testing.assert_array_equal(result, twice(pixels[5:25, 8:40]))
        assert dataset.GetGeoTransform() == (LEFT + 82.5, 5.0, 0, TOP - 52.5, 0, -5.0)
    assert infer(source, tmp_path / "out.tif", models["nearest"], "--box", "40,0,32,20") == 1


def test_the_page_of_a_part_shows_that_part(tmp_path, image, models):
    pixels = counts(60, 70)
    source, page = image(pixels), tmp_path / "page.html"
    assert infer(source, tmp_path / "sr.tif", models["nearest"], "--box", "30,20,24,30", "--report", page) == 0
    mean = pixels[20:50, 30:54, 1].mean()
    row = re.search(r"<th scope='row'>B03</th><td>[^<]*</td><td>([^<]*)</td><td>([^<]*)</td>", page.read_text())
    assert float(row[1]) == pytest.approx(mean, abs=0.03 * mean)  # whole pixels of the input within the product
    assert report.main([str(tmp_path / "sr.tif")]) == 0
    text = (tmp_path / "sr.html").read_text()
    assert row[0] in text and "B02, B04, B08: laid onto another band, and therefore not compared." in text


def test_missing_pixels_are_the_number_that_is_asked_for(tmp_path, image, models):
    pixels = counts(21, 34)
    pixels[3:6, 4:9] = 0
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"], "--nodata", "65535") == 0
    result, dataset = read(tmp_path / "sr.tif")
    expected = twice(pixels)
    np.testing.assert_array_equal(result, np.where((expected == 0).all(axis=-1, keepdims=True), 65535, expected))
    assert dataset.GetRasterBand(1).GetNoDataValue() == 65535
