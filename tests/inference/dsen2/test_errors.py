# SPDX-License-Identifier: Apache-2.0
"""The file of expected errors beside a product of a real scene."""

import json

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.grids import Region, plan
from evaluation.expected_error import detail
from inference import dsen2
from inference.dsen2 import errors
from tests.pages import checked

pytestmark = pytest.mark.keras

BANDS = "B04", "B05", "B11"
BOX = ["--box", "123,181,100,74"]  # enlarged to whole pixels of 60 m


@pytest.fixture(scope="module")
def arguments(shared_data):
    stem = shared_data("s2_l1c_dsen2_native") / "S2A_MSIL1C_20170527_T33UUB"
    files = [f"{stem}_{gsd}m.tif" for gsd in (10, 20)]
    return ["--input", *files, *BOX, "--bands", ",".join(BANDS)]


def pixels(path):
    dataset = gdal.Open(str(path))
    names = [dataset.GetRasterBand(number + 1).GetDescription() for number in range(dataset.RasterCount)]
    return dict(zip(names, dataset.ReadAsArray())), dataset


def test_each_band_that_a_network_makes_has_an_expected_error(arguments, tmp_path, monkeypatch, capsys):
    more = ["--error", "--report", str(tmp_path / "sr.html"), "--progress", "json"]
    assert dsen2.main([*arguments, "--output", str(tmp_path / "sr.tif"), *more]) == 0
    steps = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [step["fraction"] for step in steps] == sorted(step["fraction"] for step in steps)
    assert {"opening", "networks", "sr.tif", "sr_error.tif", "report"} == {step["phase"] for step in steps}
    assert steps[-1]["fraction"] == 1 and "Error layer" in checked(tmp_path / "sr.html")
    made, product = pixels(tmp_path / "sr.tif")
    found, dataset = pixels(tmp_path / "sr_error.tif")
    assert list(found) == ["B05_error", "B11_error"] and (tmp_path / "sr_error.qml").exists()
    assert dataset.GetGeoTransform() == product.GetGeoTransform()
    assert dataset.GetRasterBand(1).GetNoDataValue() == 0 and found["B05_error"].min() > 0
    metadata = dataset.GetMetadata()
    assert metadata["SR_ERROR_BOUND_90"].startswith("B05 ") and metadata["SR_WEIGHTS"]
    models = errors.read_models(errors.ERRORS, metadata["SR_WEIGHTS"])
    for band in ("B05", "B11"):
        wanted = models[band].expected(detail(made[band][..., None].astype("float32"), 2))[..., 0]
        inner = np.s_[12:-12, 12:-12]  # what lies beyond the product is not known here
        np.testing.assert_allclose(found[f"{band}_error"][inner], wanted[inner], atol=0.51)
    (tmp_path / "sr_error.tif").unlink()
    monkeypatch.setattr(errors, "SIDE", 31)  # other regions, the same numbers
    assert len(plan(Region(0, 0, product.RasterXSize, product.RasterYSize), 31)) > 4
    assert dsen2.main([*arguments, "--output", str(tmp_path / "sr.tif"), "--error"]) == 0
    assert "done before" in capsys.readouterr().out
    again, _ = pixels(tmp_path / "sr_error.tif")
    for band, image in found.items():
        np.testing.assert_allclose(again[band].astype(int), image, atol=1)


def test_a_file_of_that_name_is_not_replaced(arguments, tmp_path, capsys):
    (tmp_path / "sr_error.tif").write_bytes(b"mine")
    assert dsen2.main([*arguments, "--output", str(tmp_path / "sr.tif"), "--error"]) == 1
    assert "--error: " in capsys.readouterr().err and not (tmp_path / "sr.tif").exists()


def test_bands_that_no_network_makes_have_none(arguments, tmp_path, capsys):
    assert dsen2.main([*arguments[:-1], "B04", "--output", str(tmp_path / "sr.tif"), "--error"]) == 1
    assert "--error: expected bands that a network makes, got B04" in capsys.readouterr().err
