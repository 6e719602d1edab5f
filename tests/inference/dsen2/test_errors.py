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
BOX = ["--box", "123,181,70,50"]  # enlarged to whole pixels of 60 m


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
    factors = dict(each.split() for each in metadata["SR_ERROR_FACTORS"].split(", "))
    for band in ("B05", "B11"):
        wanted = models[band].expected(detail(made[band][..., None].astype("float32"), 2))[..., 0]
        inner = np.s_[12:-12, 12:-12]  # what lies beyond the product is not known here
        factor = float(factors[band])
        assert 0.5 < factor < 2
        np.testing.assert_allclose(
            found[f"{band}_error"][inner], factor * wanted[inner], rtol=0.006 / factor, atol=0.51
        )
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


@pytest.mark.slow
def test_ground_too_small_to_be_made_coarser_is_as_other_ground(arguments, tmp_path):
    small = [*arguments[:3], "--box", "120,180,18,18", *arguments[5:], "--output", str(tmp_path / "sr.tif"), "--error"]
    assert dsen2.main(small) == 0
    assert pixels(tmp_path / "sr_error.tif")[1].GetMetadata()["SR_ERROR_FACTORS"] == "B05 1, B11 1"


def test_errors_of_the_scene_are_measured_on_it(arguments, tmp_path):
    """A band of noise, which nothing tells, is much further off than on other ground; others are not."""
    source = gdal.Open(arguments[2])
    bands = source.ReadAsArray()
    bands[0] = np.random.default_rng(0).normal(2000, 400, bands[0].shape)
    noisy = gdal.GetDriverByName("GTiff").CreateCopy(str(tmp_path / "S2A_MSIL1C_20170527_T33UUB_20m.tif"), source)
    noisy.WriteArray(bands)
    del noisy
    made = ["--input", arguments[1], str(tmp_path / "S2A_MSIL1C_20170527_T33UUB_20m.tif"), *arguments[3:]]
    assert dsen2.main([*made, "--output", str(tmp_path / "sr.tif"), "--error"]) == 0
    _, dataset = pixels(tmp_path / "sr_error.tif")
    factors = dict(each.split() for each in dataset.GetMetadata()["SR_ERROR_FACTORS"].split(", "))
    assert float(factors["B05"]) > 5 and 0.7 < float(factors["B11"]) < 1.4
