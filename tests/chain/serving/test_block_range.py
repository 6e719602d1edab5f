# SPDX-License-Identifier: Apache-2.0
"""`--block-range I/N` and `--assemble`: shares of a product by processes of their own, then the product."""

import json
import subprocess
import sys

import numpy as np
import pytest
from osgeo import gdal

from inference import dsen2, spot7
from tests import toy_models

BANDS = ("B04", "B03", "B02", "B08")
ROWS, COLUMNS = 70, 90
PROGRAM = "python -m inference.spot7: error: "
REGIONS = 9


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "blurring": toy_models.blurring(root / "blurring"),
        "other": toy_models.nearest(root / "other"),
        "dsen2": str(root / "dsen2"),
        **{role: toy_models.dsen2(root / "dsen2" / role, role) for role in ("2x", "6x")},
    }


@pytest.fixture
def image(write_raster):
    """A Sentinel-2 raster with some missing pixels, on which regions meet."""
    pixels = np.random.default_rng(0).integers(1, 9000, (ROWS, COLUMNS, 4)).astype(np.uint16)
    pixels[25:40, 20:70] = 0
    return str(write_raster("s2.tif", pixels, gsd=6.0, bands=BANDS))


def command(image, output, model, *more):
    """Return arguments by which a product has nine regions."""
    arguments = ["--input", image, "--output", str(output), "--model-dir", model, "--offset", "0"]
    return [*arguments, "--tile-size", "64", *more]


def infer(*arguments):
    return spot7.main(command(*arguments))


def content_of(folder):
    """Return the files of a folder, but for the lock of shares, which needs not stay."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "lock"}


def error_of(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python")]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.slow
def test_three_processes_at_once_make_the_very_product_of_one(tmp_path, image, models, capsys, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))  # products tell the commit, which may change meanwhile
    output = tmp_path / "sr.tif"
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "inference.spot7"),
                *command(image, output, models["blurring"], "--block-range", f"{number}/3", "--threads", "1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2, 3)
    ]
    for number, process in enumerate(processes, start=1):
        said, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
        assert said == f"{output}: share {number} of 3 of the regions\n"
    log = (tmp_path / "sr.tif.parts" / "regions.log").read_text().splitlines()
    makers = [line.rsplit(":", 1)[1] for line in log]
    assert len(log) == REGIONS and sorted(map(int, makers)) == sorted([p.pid for p in processes] * 3)
    assert not output.exists()
    more = ("--assemble", "--quicklook", str(tmp_path / "sr.png"))
    assert infer(image, output, models["blurring"], *more) == 0
    assert f"{output}: 360 x 280 pixels of 1.5 m" in capsys.readouterr().out
    assert infer(image, tmp_path / "whole.tif", models["blurring"], "--quicklook", str(tmp_path / "whole.png")) == 0
    assert output.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert (tmp_path / "sr.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    record, of_whole = (json.loads((tmp_path / f"{name}.tif.json").read_text()) for name in ("sr", "whole"))
    for key in ("input", "models", "precision", "identity", "versions"):
        assert record[key] == of_whole[key]
    assert (record["resumed_regions"], of_whole["resumed_regions"]) == (REGIONS, 0)
    assert record["arguments"]["assemble"] is True and record["seconds"] > 0
    made = {"sr.tif", "sr.tif.json", "sr.png", "sr.qml", "sr_false_colour.qml"}
    assert {item.name for item in tmp_path.iterdir()} == made | {name.replace("sr", "whole") for name in made} | {
        "s2.tif"
    }


def test_shares_that_are_missing_are_told_and_nothing_is_lost(tmp_path, image, models, capsys):
    output, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    assert infer(image, output, models["blurring"], "--assemble") == 1
    assert error_of(capsys) == f"{PROGRAM}--assemble: expected regions of {output}, got no {parts}"
    assert [item.name for item in tmp_path.iterdir()] == ["s2.tif"]
    assert infer(image, output, models["blurring"], "--block-range", "2/2") == 0
    before = content_of(parts)
    assert len([name for name in before if name.endswith(".tif")]) == 5
    capsys.readouterr()
    assert infer(image, output, models["blurring"], "--assemble") == 1
    assert error_of(capsys) == (
        f"{PROGRAM}--assemble: expected all 9 regions of {output}, got 4 missing, the first at column 0, row 0"
    )
    assert content_of(parts) == before and not output.exists()
    assert infer(image, output, models["blurring"], "--block-range", "2/2") == 0
    assert content_of(parts) == before  # a share that is made is not made again
    assert infer(image, output, models["blurring"]) == 0  # an ordinary run makes what is missing
    assert json.loads((tmp_path / "sr.tif.json").read_text())["resumed_regions"] == 5
    assert not parts.exists()
    expected = gdal.Open(image).ReadAsArray()
    present = np.repeat(np.repeat(np.all(expected > 0, axis=0), 4, 0), 4, 1)
    np.testing.assert_array_equal(gdal.Open(str(output)).ReadAsArray() > 0, np.stack([present] * 4))


def test_another_model_is_refused_until_it_may_be_begun_anew(tmp_path, image, models, capsys):
    output, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    assert infer(image, output, models["blurring"], "--block-range", "1/2") == 0
    before = content_of(parts)
    capsys.readouterr()
    for more in (("--block-range", "2/2"), ()):
        assert infer(image, output, models["other"], *more) == 1
        assert error_of(capsys) == (f"{PROGRAM}--output: {parts} was begun with other models; --restart begins anew")
        assert content_of(parts) == before
    assert infer(image, output, models["blurring"], "--block-range", "2/2", "--float") == 1
    assert "other float" in error_of(capsys) and content_of(parts) == before
    for number in (1, 2):
        assert infer(image, output, models["other"], "--block-range", f"{number}/2", "--restart") == 0
    assert infer(image, output, models["blurring"], "--assemble") == 0  # of what the regions were made of
    pixels = np.repeat(np.repeat(gdal.Open(image).ReadAsArray(), 4, 1), 4, 2)
    np.testing.assert_array_equal(gdal.Open(str(output)).ReadAsArray(), pixels)
    assert json.loads((tmp_path / "sr.tif.json").read_text())["models"][0]["crop"] == 8


@pytest.mark.parametrize(
    "more, message",
    [
        (("--float",), "--float as the regions were made with, none, got given"),
        (("--nodata", "9"), "--nodata as the regions were made with, 7.0, got 9.0"),
        (("--box", "0,0,4,4"), "--box as the regions were made with, none, got 0,0,4,4"),
    ],
)
def test_what_regions_were_not_made_with_is_refused(tmp_path, image, models, capsys, more, message):
    """It changed nothing, and stood in the record."""
    output = tmp_path / "sr.tif"
    assert infer(image, output, models["other"], "--block-range", "1/1", "--nodata", "7") == 0
    capsys.readouterr()
    assert infer(image, output, models["other"], "--assemble", *more) == 1
    assert error_of(capsys) == f"{PROGRAM}--assemble: expected {message}" and not output.exists()
    assert infer(image, output, models["other"], "--assemble", "--nodata", "7") == 0


def test_a_product_that_is_there_is_replaced_by_a_word_only(tmp_path, image, models, capsys):
    output = tmp_path / "sr.tif"
    for number in (1, 2):
        assert infer(image, output, models["other"], "--block-range", f"{number}/2") == 0
    output.write_bytes(b"older")
    with pytest.raises(SystemExit) as end:
        infer(image, output, models["other"], "--assemble")
    assert end.value.code == 2 and output.read_bytes() == b"older"
    assert infer(image, output, models["other"], "--assemble", "--overwrite") == 0
    assert gdal.Open(str(output)).RasterXSize == 4 * COLUMNS


def test_the_one_share_of_one_is_a_share_too(tmp_path, image, models):
    output = tmp_path / "sr.tif"
    assert infer(image, output, models["other"], "--block-range", "1/1") == 0
    assert not output.exists()
    assert infer(image, output, models["other"], "--assemble") == 0 and output.exists()


@pytest.mark.parametrize("program", [spot7, dsen2])
@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1", "1/0", "-1/3", "1/3/4", "1/3 ", "", "1.0/3", "0/0"])
def test_what_is_no_share_is_wrong_usage(tmp_path, capsys, program, text):
    with pytest.raises(SystemExit) as end:
        program.main(command("s2.tif", tmp_path / "sr.tif", "model", f"--block-range={text}"))
    assert end.value.code == 2
    assert f"argument --block-range: expected i/n with i from 1 to n, got {text!r}\n" in capsys.readouterr().err


@pytest.mark.parametrize("more", [("--assemble",), ("--overwrite",)])
def test_shares_do_not_go_with_what_ends_the_work(tmp_path, capsys, more):
    with pytest.raises(SystemExit) as end:
        infer("s2.tif", tmp_path / "sr.tif", "model", "--block-range", "1/2", *more)
    assert end.value.code == 2 and "--block-range" in capsys.readouterr().err


@pytest.mark.slow
def test_shares_of_all_bands_of_the_scenes_of_a_folder(tmp_path, write_raster, models):
    """Two networks and taken bands, products named after their scenes."""
    random = np.random.default_rng(1)
    bands = {10: BANDS, 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}
    (tmp_path / "images").mkdir()
    cubes = {
        gsd: random.integers(1001, 5000, (1200 // gsd, 1500 // gsd, len(names))).astype(np.uint16)
        for gsd, names in bands.items()
    }
    for gsd, names in bands.items():
        for scene in "ab":
            cube = cubes[gsd] + (scene == "b")
            write_raster(f"images/S2A_MSIL2A_{scene}_N0213_{gsd}m.tif", cube, gsd=float(gsd), bands=names)
    arguments = ["--input", str(tmp_path / "images"), "--output-dir", str(tmp_path / "products"), "--tile-size", "24"]
    arguments += ["--model-dir", models["dsen2"], "--bands", "B02,B05,B01"]
    for more in (("--block-range", "2/2"), ("--block-range", "1/2"), ("--assemble",)):
        assert not list(tmp_path.glob("products/*.tif"))
        assert dsen2.main([*arguments, *more]) == 0
    for scene in "ab":
        product = gdal.Open(str(tmp_path / "products" / f"S2A_MSIL2A_{scene}_N0213_SR.tif")).ReadAsArray()
        for index, (gsd, band) in enumerate(((10, 2), (20, 0), (60, 0))):
            native = cubes[gsd][..., band] + (scene == "b")
            factor = gsd // 10
            np.testing.assert_array_equal(product[index], np.repeat(np.repeat(native, factor, 0), factor, 1))
    assert not list(tmp_path.glob("products/*.parts"))
    assert dsen2.main(arguments) == 0  # both are known to be done
