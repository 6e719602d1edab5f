# SPDX-License-Identifier: Apache-2.0
"""The weights of DSen2 that come with the project: complete, as good as their card says, usable offline at once."""

import json

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import SURFACE_BANDS
from evaluation.protocol import GROUPS
from inference import dsen2
from models.build import build
from models.consistency import Degradation
from models.description import read_description
from models.weights_file import load_weights
from tests.real_tiles import PROJECT_WEIGHTS, tiles_of

pytestmark = pytest.mark.keras

HELD_OUT = {
    "L1C_T24KUF": ("s2_l1c_ssl4eo_brazil_native", "l1c_T24KUF_20180302"),
    "L1C_609U_snow": ("s2_terramesh_native", "TM_L1C_609U"),
    "L2A_282D_lagoon": ("s2_terramesh_native", "TM_L2A_282D"),
}
TARGETS = {"2x": "x20", "6x": "x60"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of exported models of this test's own, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


@pytest.fixture(scope="module", params=TARGETS)
def network(request):
    """A network, and its role."""
    model = build(read_description(PROJECT_WEIGHTS / request.param))
    load_weights(model.model, PROJECT_WEIGHTS / request.param)
    return model.training_model(), request.param


def files(folder, name):
    return [str(folder / f"{name}_{gsd}m.tif") for gsd in (10, 20, 60)]


def card():
    return {file.stem: json.loads(file.read_text()) for file in (PROJECT_WEIGHTS / "scores").glob("*.json")}


@pytest.mark.parametrize("role", TARGETS)
def test_weights_are_small_and_say_what_they_are(role):
    folder = PROJECT_WEIGHTS / role
    description = read_description(folder)
    assert description.arguments["role"] == role and set(description.levels) == {"L1C", "L2A"}
    run = json.loads((folder / "run.json").read_text())
    assert run["arguments"]["role"] == role and run["history"] and run["versions"]["tensorflow"]
    assert all(file.stat().st_size < 3e6 for file in folder.iterdir())


@pytest.mark.parametrize("group, mean, worst, worst_band", [("20m", 0.288, 0.345, 0.47), ("60m", 0.22, 0.35, 0.37)])
def test_card_holds_what_it_must(group, mean, worst, worst_band):
    """Over scenes of fields, forest, coast and snow, of both levels."""
    scores = card()
    ratios = [found[f"mean_{group}"]["ratio"] for found in scores.values()]
    assert len(ratios) == 13 and np.mean(ratios) < mean and max(ratios) < worst
    assert max(found["bands"][band]["ratio"] for found in scores.values() for band in GROUPS[group]) < worst_band
    for found in scores.values():
        assert all(abs(found["bands"][band]["bias"]) < 5e-3 * found["bands"][band]["mean"] for band in GROUPS[group])


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD_OUT)
def test_scores_of_scenes_never_trained_on_are_those_of_the_card(name, shared_data, cache, tmp_path):
    metrics = tmp_path / "m.json"
    folder, stem = HELD_OUT[name]
    inputs = files(shared_data(folder), stem)
    assert dsen2.main(["--evaluate", "wald", "--input", *inputs, "--offset", "0", "--metrics", str(metrics)]) == 0
    found, stated = json.loads(metrics.read_text()), card()[name]
    for group in GROUPS:
        assert found[f"mean_{group}"]["rmse"] == pytest.approx(stated[f"mean_{group}"]["rmse"], rel=5e-3)


def test_unusual_band_ratios_do_no_harm(network, shared_data):
    """On a real crop of snow: a gain of a band multiplies its own output, and leaves the others as they are."""
    sharpen, role = network
    tile = tiles_of(shared_data("s2_terramesh_native") / "TM_L2A_609U", role, side=180)[0]
    target = TARGETS[role]
    before = sharpen({name: image[None] for name, image in tile.items()}).numpy()[0] * 1e4
    for name, band, gain in ((target, -1, 0.15), ("x10", 0, 3.0)):
        changed = {key: image.copy() for key, image in tile.items()}
        changed[name][..., band] *= gain
        wanted = before.copy()
        if name == target:
            wanted[..., band] *= gain
        found = sharpen({key: image[None] for key, image in changed.items()}).numpy()[0] * 1e4
        np.testing.assert_allclose(found, wanted, atol=0.5)


def test_product_made_coarser_is_the_input(network, shared_data):
    """By the sensor model of Wald's protocol, to 0.1 DN."""
    sharpen, role = network
    target = TARGETS[role]
    tile = tiles_of(shared_data("s2_ssl4eo_T43RCP_native") / "l2a_T43RCP_20200604", role, side=180)[4]
    again = Degradation({"2x": 2, "6x": 6}[role])(sharpen({name: image[None] for name, image in tile.items()}))
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(again.numpy()[0][inner] * 1e4, tile[target][inner], atol=0.1)


@pytest.mark.slow
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
