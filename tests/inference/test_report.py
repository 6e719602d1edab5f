# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.report` and `--report`: where the input comes from, which files are written, errors."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from inference import report, spot7
from tests import toy_models
from tests.pages import checked

pytestmark = pytest.mark.keras
BANDS = ("B04", "B03", "B02", "B08")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_models.nearest(tmp_path_factory.mktemp("model"))


@pytest.fixture
def command(write_raster, model, tmp_path):
    """Return a function that runs the program on an image, with further words."""
    pixels = np.random.default_rng(1).integers(1001, 4000, (30, 24, 4)).astype(np.uint16)
    image = str(write_raster("s2.tif", pixels, bands=BANDS))

    def run(*more, output="sr.tif"):
        given = ["--input", image, "--output", str(tmp_path / output), "--model-dir", model, "--offset", "0"]
        return spot7.main([*given, *map(str, more)])

    return run


def test_a_report_that_is_missing_is_added_to_a_product_that_stays(command, tmp_path, monkeypatch):
    page, product = tmp_path / "page.html", tmp_path / "sr.tif"
    assert command("--report", page) == 0
    first, made = checked(page), os.stat(product)
    page.unlink()
    assert command("--report", page) == 0
    assert (os.stat(product).st_ino, os.stat(product).st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert checked(page) == first
    with pytest.raises(SystemExit) as ended:
        command("--report", page, output="other.tif")
    assert ended.value.code == 2 and not (tmp_path / "other.tif").exists()


def test_the_record_tells_the_input_and_the_user_may(command, tmp_path, capsys):
    assert command() == 0
    product, page = tmp_path / "sr.tif", tmp_path / "sr.html"
    assert report.main([str(product)]) == 0
    assert "Band by band" in checked(page)
    with pytest.raises(SystemExit) as ended:
        report.main([str(product)])
    assert ended.value.code == 2
    assert f"--output: {page} exists; --overwrite replaces it" in capsys.readouterr().err
    moved = tmp_path / "moved.tif"
    (tmp_path / "s2.tif").rename(moved)
    assert report.main([str(product), "--overwrite"]) == 0
    text = checked(page)
    assert f"The input is not where it was: {tmp_path / 's2.tif'}" in text and "Band by band" not in text
    assert report.main([str(product), "--overwrite", "--input", str(moved)]) == 0
    assert "Band by band" in checked(page)


def test_an_input_that_is_another_is_told(command, tmp_path, write_raster):
    assert command() == 0
    write_raster("s2.tif", np.full((30, 24, 4), 2000, np.uint16), bands=BANDS)
    page = report.report(tmp_path / "sr.tif")
    text = checked(page)
    assert "its files have changed" in text and "made as coarse as the input, the product is off by" in text


@pytest.mark.parametrize("name, metadata", [("s2.tif", {}), ("other.tif", {"TIFFTAG_SOFTWARE": "QGIS 3.34"})])
def test_a_raster_that_nothing_says_to_be_a_product_is_refused(write_raster, tmp_path, capsys, name, metadata):
    path = Path(write_raster(name, np.full((30, 24, 4), 2000, np.uint16), bands=BANDS))
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.SetMetadata(metadata)
    dataset = None
    assert report.main([str(path)]) == 1
    message = f"PRODUCT: expected a product of one of the programs, got {str(path)!r}, of which neither a record"
    assert message in capsys.readouterr().err and not list(tmp_path.glob("*.html"))


def test_what_is_no_product_is_refused_and_what_has_no_record_is_shown(command, tmp_path, capsys):
    assert report.main([str(tmp_path / "none.tif")]) == 1
    assert "PRODUCT: expected a product of one of the programs" in capsys.readouterr().err
    assert command() == 0
    record = tmp_path / "sr.tif.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "models": [{"system": "../evil"}]}))
    assert "No program here is called '../evil'" in checked(report.report(tmp_path / "sr.tif"))
    record.unlink()
    page = report.report(tmp_path / "sr.tif", options=report.Options(overwrite=True))
    assert "No record lies beside the product" in checked(page)
    assert report.main([str(tmp_path / "sr.tif"), "--overwrite", "--input", str(tmp_path / "s2.tif")]) == 1
    record.write_text("[]")
    assert report.main([str(tmp_path / "sr.tif"), "--overwrite"]) == 1
    assert "expected a record of this project" in capsys.readouterr().err
