# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.spot7` on small images with toy networks: pixels, place, files, errors."""

import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal

from inference import spot7
from tests import toy_models
from tests.products import product_files

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0
BANDS = ("B04", "B03", "B02", "B08")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"nearest": toy_models.nearest(root / "nearest"), "blurring": toy_models.blurring(root / "blurring")}


@pytest.fixture
def image(write_raster):
    """Return a function that writes a Sentinel-2 raster with described bands."""

    def write(pixels, name="s2.tif", gsd=10.0, **options):
        return str(write_raster(name, pixels, gsd=gsd, bands=BANDS[: pixels.shape[2]], **options))

    return write


def smooth(rows, columns):
    """Return Sentinel-2 digital numbers without offset: a ramp, another in each band."""
    ramp = np.add.outer(20.0 * np.arange(rows), 10.0 * np.arange(columns)) + 1000
    return np.stack([ramp + 500 * k for k in range(4)], axis=2).astype(np.uint16)


def infer(input_path, output, model, *more, offset="0"):
    arguments = ["--input", str(input_path), "--output", str(output), "--model-dir", model, "--offset", offset]
    return spot7.main([*arguments, "--tile-size", "64", *more])


def read(path):
    dataset = gdal.Open(str(path))
    return np.moveaxis(dataset.ReadAsArray(), 0, -1), dataset


def test_product_at_the_models_own_spacing_has_the_very_pixels_of_the_input(tmp_path, image, models):
    pixels = np.random.default_rng(0).integers(1001, 9000, (35, 51, 4)).astype(np.uint16)
    output = tmp_path / "sr.tif"
    assert infer(image(pixels, gsd=6.0), output, models["nearest"], offset="-1000") == 0
    result, dataset = read(output)
    np.testing.assert_array_equal(result, np.repeat(np.repeat(pixels - 1000, 4, 0), 4, 1))
    assert dataset.GetGeoTransform() == (LEFT, 1.5, 0, TOP, 0, -1.5)
    assert [dataset.GetRasterBand(k).GetDescription() for k in (1, 2, 3, 4)] == list(BANDS)


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 30), (37, 45)])
def test_product_of_a_10_m_image_covers_it_to_the_last_row_on_its_ground(tmp_path, image, models, rows, columns):
    output = tmp_path / "sr.tif"
    pixels = smooth(rows, columns)
    assert infer(image(pixels), output, models["nearest"]) == 0
    result, dataset = read(output)
    assert result.shape == (int(np.ceil(rows * 10 / 1.5)), int(np.ceil(columns * 10 / 1.5)), 4)
    assert dataset.GetGeoTransform() == (LEFT, 1.5, 0, TOP, 0, -1.5)
    y, x = ((np.arange(n) // 4 + 0.5) * 0.6 - 0.5 for n in result.shape[:2])
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    expected = np.add.outer(20 * y, 10 * x) + 1000
    assert np.abs(result[..., 0] - expected).max() <= 10
    inside = np.abs(result[..., 0] - np.round(expected))[14:-14, 14:-14]
    assert inside.size == 0 or inside.max() <= 1


def test_missing_pixels_stay_missing_and_no_further(tmp_path, image, models):
    pixels = smooth(40, 40)
    pixels[10:20, 5:25] = 0
    pixels[30, 30, 1] = 0
    output = tmp_path / "sr.tif"
    assert infer(image(pixels), output, models["blurring"]) == 0
    result, dataset = read(output)
    native = ((np.arange(267) + 0.5) * 0.15).astype(int)
    missing = np.any(pixels == 0, axis=2)[np.ix_(native, native)]
    np.testing.assert_array_equal(result == 0, np.repeat(missing[..., np.newaxis], 4, axis=2))
    assert dataset.GetRasterBand(1).GetNoDataValue() == 0


def test_nan_is_missing_too(tmp_path, image, models):
    pixels = smooth(20, 20).astype(np.float32)
    pixels[5, 5] = np.nan
    assert infer(image(pixels), tmp_path / "sr.tif", models["blurring"]) == 0
    result, _ = read(tmp_path / "sr.tif")
    assert np.unique(np.argwhere(result[..., 0] == 0), axis=0).tolist() == [
        [y, x] for y in range(33, 40) for x in range(33, 40)
    ]


def test_box_is_the_same_part_of_the_whole_product(tmp_path, image, models):
    path = image(np.random.default_rng(1).integers(1, 9000, (60, 70, 4)).astype(np.uint16), gsd=6.0)
    assert infer(path, tmp_path / "whole.tif", models["blurring"]) == 0
    assert infer(path, tmp_path / "part.tif", models["blurring"], "--box", "20,10,31,22") == 0
    whole, part = read(tmp_path / "whole.tif")[0], read(tmp_path / "part.tif")
    np.testing.assert_array_equal(part[0], whole[40:128, 80:204])
    assert part[1].GetGeoTransform() == (LEFT + 120, 1.5, 0, TOP - 60, 0, -1.5)


def test_float_product_quicklook_and_record(tmp_path, image, models):
    pixels = smooth(30, 30)
    pixels[:5] = 0
    path, output, picture = image(pixels, gsd=6.0), tmp_path / "sr.tif", tmp_path / "sr.png"
    assert infer(path, output, models["nearest"], "--float", "--quicklook", str(picture)) == 0
    result, dataset = read(output)
    expected = np.where(pixels > 0, pixels * np.float32(1e-4), np.nan)
    np.testing.assert_allclose(result, np.repeat(np.repeat(expected, 4, 0), 4, 1), rtol=1e-6)
    assert np.isnan(dataset.GetRasterBand(1).GetNoDataValue())
    colours, quicklook = read(picture)
    assert colours.shape == (120, 120, 3) and not colours[:20].any() and colours[20:].min() > 0
    assert colours[100, :, 0].tolist() == sorted(colours[100, :, 0])
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert record["arguments"]["floating"] is True and record["seconds"] > 0
    assert record["input"]["files"][path]["bytes"] > 0 and record["models"][0]["crop"] == 8
    assert {"tensorflow", "gdal", "python"} <= record["versions"].keys()
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted({"s2.tif", "sr.png"} | product_files("sr"))


def test_bands_of_a_raster_that_does_not_describe_them_are_named_in_order(tmp_path, write_raster, models):
    pixels = smooth(20, 20)
    path = str(write_raster("s2.tif", pixels[..., ::-1], gsd=6.0))
    assert infer(path, tmp_path / "sr.tif", models["nearest"], "--band-names", "B08,B02,B03,B04") == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0][::4, ::4], pixels)


def test_stac_item_is_opened_with_the_bands_of_the_model_only(tmp_path, write_raster, models):
    pixels = smooth(20, 20) + 1000
    assets = {
        band: {"href": str(write_raster(f"{band}.tif", pixels[..., k])), "type": "image/tiff"}
        for k, band in enumerate(BANDS)
    }
    assets["B8A"] = {"href": str(tmp_path / "absent.tif"), "type": "image/tiff"}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_MSIL2A_20220714T105629_R094_T31UDQ_20220714T182657",
        "geometry": None,
        "properties": {"datetime": "2022-07-14T10:56:29Z", "s2:processing_baseline": "04.00"},
        "links": [],
        "assets": assets,
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert infer(tmp_path / "item.json", tmp_path / "sr.tif", models["nearest"], offset="auto") == 0
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert record["input"]["offset"] == -1000 and len(record["input"]["files"]) == 4
    result, dataset = read(tmp_path / "sr.tif")
    assert abs(result[..., 3].mean() - smooth(20, 20)[..., 3].mean()) < 10
    assert dataset.GetMetadataItem("SR_INPUT") == item["id"]


def test_integer_product_is_that_of_a_model_of_this_project(tmp_path, image):
    import tensorflow as tf

    from models import spot7 as model_module
    from models.base import export

    spec = ({"lr": tf.TensorSpec((1, 8, 8, 4))}, {"sr": tf.TensorSpec((1, 32, 32, 4))})
    model = model_module.SRModel(spec, depth=8, num_blocks=1)
    folder = tmp_path / "model"
    description = export(model, folder)
    pixels = np.random.default_rng(2).integers(500, 4000, (40, 48, 4)).astype(np.uint16)
    assert infer(image(pixels, gsd=6.0), tmp_path / "sr.tif", str(folder)) == 0
    margin = description.crop // 4
    padded = np.pad(pixels.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    network = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = network(lr=tf.constant(padded[np.newaxis]))[description.outputs["integer"]].numpy()[0]
    difference = np.abs(read(tmp_path / "sr.tif")[0] - np.clip(expected, 1, 65535))
    assert difference.max() <= 1 and np.mean(difference > 0) < 0.001


def error_of(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python")]
    assert len(lines) == 1, lines
    return lines[0]


def truncated(path):
    with open(path, "rb+") as stream:
        stream.truncate(len(stream.read()) // 2)
    return path


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda image: image(smooth(20, 20)[..., :3]), "B08"),
        (lambda image: image(smooth(20, 20) * 0), "expected valid pixels, got nodata only"),
        (lambda image: image(smooth(20, 20), gsd=0.0001, epsg=4326), "in metres, got WGS 84"),
        (
            lambda image: truncated(image(np.random.default_rng(0).integers(1, 9999, (200, 200, 4), np.uint16))),
            "error: Error while reading image (GDAL format)",
        ),
        (lambda image: "/nonexistent/s2.tif", "/nonexistent/s2.tif"),
    ],
)
def test_inputs_that_do_not_suit_are_refused_in_one_line_and_leave_nothing(
    tmp_path, image, models, capsys, make, message
):
    path = make(image)
    before = sorted(item.name for item in tmp_path.iterdir())
    assert infer(path, tmp_path / "sr.tif", models["nearest"]) == 1
    line = error_of(capsys)
    assert message in line and line.startswith("python -m inference.spot7: error: ")
    left = {item.name for item in tmp_path.iterdir()} - set(before)
    assert not left or (left == {"sr.tif.parts"} and "Error while reading image" in message)


def test_ambiguous_offset_is_refused_with_what_to_pass(tmp_path, image, models, capsys):
    assert infer(image(smooth(20, 20)), tmp_path / "sr.tif", models["nearest"], offset="auto") == 1
    assert "--offset -1000" in error_of(capsys)


def test_missing_model_and_missing_folder(tmp_path, image, models, capsys):
    path = image(smooth(20, 20))
    assert infer(path, tmp_path / "sr.tif", str(tmp_path / "none")) == 1
    assert "model.json" in error_of(capsys)
    assert infer(path, tmp_path / "none" / "sr.tif", models["nearest"]) == 1
    assert "expected a folder that exists and can be written" in error_of(capsys)
    assert infer(path, "/proc/sr.tif", models["nearest"]) == 1
    assert "--output: expected a folder that can be written, got /proc" in error_of(capsys)


def test_a_model_of_another_system_is_refused(tmp_path, image, models, capsys):
    description = json.loads((Path(models["nearest"]) / "model.json").read_text())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text(json.dumps({**description, "system": "other"}))
    assert infer(image(smooth(20, 20)), tmp_path / "sr.tif", str(tmp_path / "model")) == 1
    assert "--model-dir: expected a model of 'spot7', got " in error_of(capsys)


@pytest.mark.parametrize("remote, attempts", [(True, 3), (False, 1)])
def test_regions_of_remote_inputs_are_tried_again_signed_anew(monkeypatch, remote, attempts):
    from chain.raster import http
    from chain.raster.grids import Region
    from chain.serving.input_files import InputWatch
    from chain.serving.production import Production
    from chain.serving.recipe import Recipe

    forced = []
    hrefs = {"B04": "u"} if remote else {}
    production = Production.__new__(Production)
    production.product = SimpleNamespace(hrefs=hrefs, refresh=lambda force: forced.append(force), nodata=0)
    production.recipe, production.images, production.origin = Recipe(("B04",), 1.5), {}, (0.0, 0.0)
    production.place, production.watch = Region(0, 0, 4, 4), InputWatch(())

    def fail(*_, **__):
        raise RuntimeError("gone")

    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(Recipe, "read", fail)
    monkeypatch.setattr("chain.serving.production.open_images", lambda *_: {})
    with pytest.raises(RuntimeError, match="gone"):
        production.read(Region(0, 0, 4, 4))
    assert forced == [False, True, True][:attempts]


def test_box_outside_the_image(tmp_path, image, models, capsys):
    assert infer(image(smooth(20, 20)), tmp_path / "sr.tif", models["nearest"], "--box", "15,0,6,6") == 1
    assert "--box: expected x,y,w,h inside 20 x 20 input pixels, got 15,0,6,6" in error_of(capsys)


@pytest.mark.parametrize(
    "more",
    [
        ("--box", "1,2,3"),
        ("--offset", "7"),
        ("--tile-size", "0"),
        ("--quicklook", "q.jpg"),
        ("--band-names", ","),
        ("--input", ""),
    ],
)
def test_wrong_usage_ends_with_status_2(tmp_path, capsys, more):
    with pytest.raises(SystemExit) as end:
        infer("s2.tif", tmp_path / "sr.tif", "model", *more)
    assert end.value.code == 2 and more[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "source, written",
    [("s2.tif", "s2.tif"), ("s2.tif", "link.tif"), ("link.tif", "s2.tif"), ("mosaic.vrt", "s2.tif")],
)
def test_an_input_is_not_written_over(tmp_path, image, models, capsys, source, written):
    path = image(smooth(20, 20))
    (tmp_path / "link.tif").symlink_to(path)
    gdal.Translate(str(tmp_path / "mosaic.vrt"), path)
    content = (tmp_path / "s2.tif").read_bytes()
    assert infer(tmp_path / source, tmp_path / written, models["nearest"], "--overwrite") == 1
    assert "--output: expected a file that is not read as input" in error_of(capsys)
    assert (tmp_path / "s2.tif").read_bytes() == content


def test_quicklook_is_refused_before_anything_is_computed(tmp_path, image, models, capsys):
    path = image(smooth(20, 20))
    assert infer(path, tmp_path / "sr.tif", models["nearest"], "--quicklook", str(tmp_path / "none" / "q.png")) == 1
    assert "--quicklook: expected a folder that exists and can be written" in error_of(capsys)
    (tmp_path / "q.png").write_bytes(b"older")
    with pytest.raises(SystemExit) as end:
        infer(path, tmp_path / "sr.tif", models["nearest"], "--quicklook", str(tmp_path / "q.png"))
    assert end.value.code == 2 and "--overwrite" in capsys.readouterr().err
    assert sorted(item.name for item in tmp_path.iterdir()) == ["q.png", "s2.tif"]


def test_existing_output_is_kept_unless_it_may_be_replaced(tmp_path, image, models, capsys):
    path, output = image(smooth(20, 20)), tmp_path / "sr.tif"
    output.write_bytes(b"older")
    with pytest.raises(SystemExit) as end:
        infer(path, output, models["nearest"])
    assert end.value.code == 2 and "--overwrite" in capsys.readouterr().err and output.read_bytes() == b"older"
    assert infer(path, output, models["nearest"], "--overwrite") == 0
    assert read(output)[0].shape == (134, 134, 4)


def test_a_second_process_on_the_same_output_is_refused(tmp_path, image, models, capsys):
    path = image(smooth(20, 20))
    parts = tmp_path / "sr.tif.parts"
    parts.mkdir()
    with open(parts / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert infer(path, tmp_path / "sr.tif", models["nearest"]) == 1
    assert "another process is writing" in error_of(capsys)
    assert infer(path, tmp_path / "sr.tif", models["nearest"]) == 0


def test_help_loads_nothing_heavy():
    code = (
        "import sys, inference.spot7 as s\n"
        "try: s.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'tensorflow', 'osgeo', 'otbApplication', 'pyotb', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "input pixels" in result.stdout


def test_real_image_lands_on_its_ground(tmp_path, shared_data, models):
    path = shared_data("s2_l2a_majortom_48QUE_native") / "T48QUE_20200223_10m.tif"
    assert infer(path, tmp_path / "sr.tif", models["nearest"], "--box", "300,600,90,60") == 0
    result, product = read(tmp_path / "sr.tif")
    dataset = gdal.Open(str(path))
    source = np.moveaxis(dataset.ReadAsArray(300, 600, 90, 60), 0, -1)
    left, top = dataset.GetGeoTransform()[0], dataset.GetGeoTransform()[3]
    assert product.GetGeoTransform() == (left + 3000, 1.5, 0, top - 6000, 0, -1.5)
    names = [dataset.GetRasterBand(k + 1).GetDescription() for k in range(4)]
    order = [next(i for i, name in enumerate(names) if band in name) for band in BANDS]
    native = source[..., order].reshape(20, 3, 30, 3, 4).mean((1, 3))
    averaged = result.reshape(20, 20, 30, 20, 4).mean((1, 3))
    assert np.corrcoef(averaged.ravel(), native.ravel())[0, 1] > 0.999
    assert abs(averaged.mean() - native.mean()) < 2


@pytest.mark.slow
def test_a_killed_run_leaves_no_product_and_the_same_command_resumes(tmp_path, image, models):
    path, output = image(np.random.default_rng(5).integers(1, 9000, (300, 300, 4)).astype(np.uint16), gsd=6.0), "sr.tif"
    arguments = ["--input", path, "--model-dir", models["nearest"], "--offset", "0", "--tile-size", "64"]
    command = [sys.executable, "-m", "inference.spot7", *arguments, "--output", str(tmp_path / output)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("sr.tif.parts/*_*.tif")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["s2.tif", "sr.tif.parts"]
    assert spot7.main([*arguments, "--output", str(tmp_path / output)]) == 0
    assert json.loads((tmp_path / "sr.tif.json").read_text())["resumed_regions"] > 0
    result, _ = read(tmp_path / output)
    np.testing.assert_array_equal(result[::4, ::4], read(path)[0])
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted({"s2.tif"} | product_files("sr"))
