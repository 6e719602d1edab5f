# SPDX-License-Identifier: Apache-2.0
"""The weights of DSen2 that come with the project: complete, as good as their card says, usable offline at once."""

import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import SURFACE_BANDS
from inference import dsen2
from models.description import read_description

pytestmark = pytest.mark.keras

FOLDER = Path(dsen2.__file__).resolve().parents[2] / "weights" / "dsen2"
HELD_OUT = {
    "l1c_T24KUF_20180302": "s2_l1c_ssl4eo_brazil_native",
    "l1c_T43RCP_20200604": "s2_ssl4eo_T43RCP_native",
    "l2a_T43RCP_20200604": "s2_ssl4eo_T43RCP_native",
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of exported models of this test's own, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def files(folder, name):
    return [str(folder / f"{name}_{gsd}m.tif") for gsd in (10, 20, 60)]


@pytest.mark.parametrize("role, limit", [("2x", 0.35), ("6x", 0.5)])
def test_cards_belong_to_the_weights(role, limit):
    description = read_description(FOLDER / role)
    assert description.arguments["role"] == role and set(description.levels) == {"L1C", "L2A"}
    scores = json.loads((FOLDER / role / "scores.json").read_text())
    group = "mean_20m" if role == "2x" else "mean_60m"
    assert scores["mean"][group]["ratio"] < limit and len(scores["scenes"]) == 9
    assert all(abs(band["bias"]) < 5e-3 * band["mean"] for band in scores["mean"]["bands"].values())
    run = json.loads((FOLDER / role / "run.json").read_text())
    assert run["arguments"]["role"] == role and run["history"] and run["versions"]["tensorflow"]


@pytest.mark.parametrize("name", HELD_OUT)
def test_scores_of_scenes_never_trained_on_are_those_of_the_card(name, shared_data, cache, tmp_path):
    metrics = tmp_path / "m.json"
    inputs = files(shared_data(HELD_OUT[name]), name)
    assert dsen2.main(["--evaluate", "wald", "--input", *inputs, "--metrics", str(metrics)]) == 0
    found = json.loads(metrics.read_text())
    for role, group in (("2x", "mean_20m"), ("6x", "mean_60m")):
        card = json.loads((FOLDER / role / "scores.json").read_text())
        stated = next(scores for scene, scores in card["scenes"].items() if scene.startswith(name))
        assert found[group]["rmse"] == pytest.approx(stated[group]["rmse"], rel=5e-3)
        assert found[group]["rmse"] < 0.6 * found[group]["bicubic_rmse"]


def test_a_real_scene_offline_out_of_the_box(shared_data, cache, tmp_path):
    inputs = files(shared_data("s2_l1c_dsen2_native"), "S2A_MSIL1C_20170527_T33UUB")
    arguments = ["--box", "120,180,240,180", "--output", str(tmp_path / "sr.tif")]
    assert dsen2.main(["--input", *inputs, *arguments]) == 0
    product = gdal.Open(str(tmp_path / "sr.tif"))
    assert [product.GetRasterBand(k + 1).GetDescription() for k in range(12)] == list(SURFACE_BANDS)
    for path in inputs:
        native = gdal.Open(path)
        factor = round(native.GetGeoTransform()[1] / 10)
        for number in range(1, native.RasterCount + 1):
            band = native.GetRasterBand(number)
            truth = band.ReadAsArray(120 // factor, 180 // factor, 240 // factor, 180 // factor).astype(float)
            made = product.GetRasterBand(SURFACE_BANDS.index(band.GetDescription()) + 1).ReadAsArray().astype(float)
            means = made.reshape(180 // factor, factor, 240 // factor, factor).mean((1, 3))
            assert abs(means.mean() / truth.mean() - 1) < 5e-3
            assert np.corrcoef(means.ravel(), truth.ravel())[0, 1] > (0.999 if factor == 1 else 0.97)
