# SPDX-License-Identifier: Apache-2.0
"""Products without a truth: consistency in closed form, QNR against a naive computation."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.wald import degrade
from evaluation.bicubic import bicubic
from evaluation.full_scale import evaluate
from evaluation.protocol import FINE, GROUPS, ratio


def repeated(bands, names):
    """Nearest neighbours as a product."""
    return {name: bands[name].repeat(ratio(name), axis=0).repeat(ratio(name), axis=1) for name in names}


def interpolated(bands, names):
    return {name: bicubic(bands[name][..., np.newaxis], ratio(name))[..., 0] for name in names}


def coarse(band, scale):
    return degrade(band[..., np.newaxis], scale)[..., 0]


def naive_q(x, y, window):
    """Mean of Q over windows side by side."""
    values = []
    for row in range(0, x.shape[0] - window + 1, window):
        for column in range(0, x.shape[1] - window + 1, window):
            part = slice(row, row + window), slice(column, column + window)
            u, v = x[part].astype(float).ravel(), y[part].astype(float).ravel()
            c = np.cov(u, v)
            values.append(4 * c[0, 1] * u.mean() * v.mean() / (c[0, 0] + c[1, 1]) / (u.mean() ** 2 + v.mean() ** 2))
    return np.mean(values)


@pytest.mark.parametrize("group", ["20m", "60m"])
def test_indices(make_scene, group):
    """Alparone's definitions, written down again."""
    bands, names = make_scene(120, 132, (group,)), GROUPS[group]
    product = interpolated(bands, names)
    product = {name: band + 20 * np.sin(bands["B03"] / 50) for name, band in product.items()}
    report = evaluate(bands, product)
    scale = ratio(names[0])
    small, large = 8, 8 * scale
    d_lambda = np.mean(
        [
            abs(naive_q(product[a], product[b], large) - naive_q(bands[a], bands[b], small))
            for a, b in combinations(names, 2)
        ]
    )
    distances = []
    for name in names:
        correlations = {
            fine: np.corrcoef(bands[name].ravel(), coarse(bands[fine], scale).ravel())[0, 1] for fine in FINE
        }
        fine = max(correlations, key=correlations.get)
        scores = report["bands"][name]
        assert scores["fine_band"] == fine and scores["correlation"] == pytest.approx(correlations[fine])
        wanted = naive_q(bands[name], coarse(bands[fine], scale), small)
        distances.append(abs(naive_q(product[name], bands[fine], large) - wanted))
        assert scores["d_s"] == pytest.approx(distances[-1], abs=1e-6)
    mean = report[f"mean_{group}"]
    assert mean["d_lambda"] == pytest.approx(d_lambda, abs=1e-6)
    assert mean["d_s"] == pytest.approx(np.mean(distances), abs=1e-6)
    assert mean["qnr"] == pytest.approx((1 - d_lambda) * (1 - np.mean(distances)), abs=1e-6)
    assert mean["bicubic_qnr"] != mean["qnr"]


def test_consistency(make_scene):
    bands = make_scene(96, 96)
    names = (*GROUPS["20m"], *GROUPS["60m"])
    product = {name: band + 30 for name, band in repeated(bands, names).items()}
    report = json.loads(json.dumps(evaluate(bands, product), allow_nan=False))
    assert report["protocol"] == "full-scale" and list(report["bands"]) == list(names)
    scores = report["bands"]["B09"]  # the mean of a block of equal pixels is the pixel, whose blur is none
    assert scores["rmse"] == pytest.approx(30, abs=1e-3) and scores["bias"] == pytest.approx(30, abs=1e-3)
    assert scores["relative"] == pytest.approx(30 / bands["B09"].mean(), abs=1e-5)
    assert report["mean_60m"]["pixels"] == 256 and report["mean_20m"]["pixels"] == 48 * 48
    assert report["bands"]["B05"]["bias"] == pytest.approx(30, abs=1e-2)


def test_bicubic_is_as_good_as_bicubic(make_scene):
    bands = make_scene(96, 96)
    report = evaluate(bands, {**interpolated(bands, [name for name in bands if name not in FINE]), "B02": bands["B02"]})
    for scores in (*report["bands"].values(), report["mean_20m"], report["mean_60m"]):
        for name in [name for name in scores if f"bicubic_{name}" in scores]:
            assert scores[name] == scores[f"bicubic_{name}"]


def test_relations_that_hold_are_worth_one():
    """Bands that are the fine ones, made coarse without blur: every Q is that of the coarse images."""
    rng = np.random.default_rng(0)
    blocks = rng.uniform(500, 3000, (24, 24)).astype(np.float32)
    fine = blocks.repeat(6, axis=0).repeat(6, axis=1)
    bands = {**{name: fine * (1 + number) for number, name in enumerate(FINE)}, "B01": blocks, "B09": blocks * 1.5}
    mean = evaluate(bands, repeated(bands, ("B01", "B09")))["mean_60m"]
    assert mean["d_lambda"] == pytest.approx(0, abs=1e-6) and mean["d_s"] == pytest.approx(0, abs=1e-6)
    assert mean["qnr"] == pytest.approx(1, abs=1e-6) and mean["rmse"] == pytest.approx(0, abs=1e-2)


def test_missing_pixels_are_not_scored(make_scene):
    bands = make_scene(96, 96, ("20m",))
    product = interpolated(bands, GROUPS["20m"])
    wanted = evaluate(
        {name: band[: 64 // ratio(name)] for name, band in bands.items()},
        {name: band[:64] for name, band in product.items()},
    )
    for name in GROUPS["20m"]:
        product[name][64:] = np.nan
    report = json.loads(json.dumps(evaluate(bands, product), allow_nan=False))
    assert report["mean_20m"]["pixels"] == 31 * 48  # the row whose blur meets missing pixels is left out
    assert report["bands"]["B05"]["rmse"] == pytest.approx(wanted["bands"]["B05"]["rmse"], rel=0.1)
    holed = {**bands, "B8A": bands["B8A"].copy()}
    holed["B8A"][:4] = np.nan
    assert evaluate(holed, product)["mean_20m"]["pixels"] < 31 * 48


def test_a_single_band_has_no_qnr(make_scene):
    bands = make_scene(48, 48, ("20m",))
    report = json.loads(json.dumps(evaluate(bands, repeated(bands, ("B11",))), allow_nan=False))
    assert report["mean_20m"]["qnr"] is None and report["mean_20m"]["d_s"] is not None


@settings(max_examples=8)
@given(rows=st.integers(48, 70), columns=st.integers(48, 70))
def test_sizes(make_scene, rows, columns):
    bands = make_scene(rows, columns)
    product = {
        name: np.pad(band, ((0, rows - band.shape[0]), (0, columns - band.shape[1])), mode="edge")
        for name, band in repeated(bands, (*GROUPS["20m"], *GROUPS["60m"])).items()
    }
    report = evaluate(bands, product)
    assert report["mean_60m"]["pixels"] == (rows // 6) * (columns // 6)
    assert report["mean_20m"]["pixels"] == (rows // 6 * 3) * (columns // 6 * 3)


def test_wrong_arguments(make_scene):
    bands = make_scene(48, 48, ("20m",))
    with pytest.raises(ValueError, match=r"^sharpened: expected some of B05 .*, got B02"):
        evaluate(bands, {"B02": bands["B02"]})
    with pytest.raises(ValueError, match=r"^sharpened: expected some of B05 .*, got B01"):
        evaluate(bands, {"B01": bands["B02"]})
    with pytest.raises(ValueError, match=r"^sharpened: expected B05 of 48 x 48 pixels, got \(24, 24\)"):
        evaluate(bands, {"B05": bands["B05"]})
    with pytest.raises(ValueError, match=r"^native: expected at least 16 x 16 pixels .*, got 14 x 48"):
        small = {name: band[: 14 // ratio(name)] for name, band in bands.items()}
        evaluate(small, repeated(small, GROUPS["20m"]))
    with pytest.raises(ValueError, match=r"^native: expected pixels of B05 .*, got none"):
        evaluate(bands, {"B05": np.full((48, 48), np.nan, dtype=np.float32)})


def test_a_real_scene(malmo):
    """Interpolation keeps relations between bands, and lacks details: D_lambda small, D_s not."""
    names = [name for name in malmo if name not in FINE]
    report = evaluate(malmo, interpolated(malmo, names))
    assert report["bands"]["B8A"]["fine_band"] == report["bands"]["B07"]["fine_band"] == "B08"
    assert report["mean_20m"]["d_lambda"] < 0.01 and report["mean_60m"]["d_s"] > 0.1
    assert all(abs(scores["bias"]) < 1e-3 for scores in report["bands"].values())
