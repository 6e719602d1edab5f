# SPDX-License-Identifier: Apache-2.0
"""Wald's protocol: what systems are given, what is scored, and what JSON can hold."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.bicubic import bicubic
from evaluation.protocol import FINE, GROUPS, crop, ratio
from evaluation.wald import evaluate

BAND_KEYS = {"rmse", "sre", "uiq", "ssim", "bias"}


def interpolate(degraded, names):
    """The baseline as a system."""
    scale = ratio(names[0])
    return {name: bicubic(degraded[name][..., np.newaxis], scale)[..., 0] for name in names}


class Cheat:
    """A system that knows the scene."""

    def __init__(self, bands, error=0.0):
        self.bands, self.error = bands, error

    def __call__(self, degraded, names):
        rows, columns = degraded["B02"].shape
        return {name: self.bands[name][:rows, :columns] + np.float32(self.error) for name in names}


def strict(report):
    """Return a report after a journey through JSON that refuses infinity and NaN."""
    return json.loads(json.dumps(report, allow_nan=False))


@pytest.mark.parametrize("groups", [("20m",), ("60m",), ("20m", "60m")])
def test_report(make_scene, groups):
    report = strict(evaluate(make_scene(72, 108, groups), interpolate))
    assert report["protocol"] == "wald"
    assert list(report["bands"]) == [name for group in groups for name in GROUPS[group]]
    assert {"mean_20m", "mean_60m"} & set(report) == {f"mean_{group}" for group in groups}
    keys = BAND_KEYS | {f"bicubic_{key}" for key in BAND_KEYS} | {"mean", "ratio"}
    together = {prefix + key for prefix in ("", "bicubic_") for key in ("joint_rmse", "sam", "ergas")} | {"pixels"}
    for scores in report["bands"].values():
        assert set(scores) == keys
    for group in groups:
        assert set(report[f"mean_{group}"]) == keys | together
    assert report["sam"] == report[f"mean_{groups[0]}"]["sam"]


def test_bicubic_is_as_good_as_bicubic(make_scene):
    report = evaluate(make_scene(72, 72), interpolate)
    for scores in (*report["bands"].values(), report["mean_20m"], report["mean_60m"]):
        assert scores["ratio"] == 1
        for name in [name for name in scores if f"bicubic_{name}" in scores]:
            assert scores[name] == scores[f"bicubic_{name}"]


def test_a_perfect_system(make_scene):
    bands = make_scene(72, 72)
    report = strict(evaluate(bands, Cheat(bands)))
    for scores in (*report["bands"].values(), report["mean_20m"]):
        assert scores["rmse"] == scores["bias"] == scores["ratio"] == 0 and scores["sre"] is None
        assert scores["uiq"] == pytest.approx(1) and scores["ssim"] == pytest.approx(1)
    assert report["sam"] == pytest.approx(0, abs=1e-6) and report["mean_20m"]["ergas"] == 0


def test_a_shifted_system(make_scene):
    bands = make_scene(72, 72)
    report = evaluate(bands, Cheat(bands, 25))
    scores = report["bands"]["B11"]
    assert scores["rmse"] == pytest.approx(25) and scores["bias"] == pytest.approx(25)
    assert scores["mean"] == pytest.approx(bands["B11"].mean())
    assert scores["sre"] == pytest.approx(20 * np.log10(bands["B11"].mean() / 25), abs=1e-3)
    mean = report["mean_20m"]
    assert mean["joint_rmse"] == pytest.approx(25) and mean["ratio"] == pytest.approx(25 / mean["bicubic_rmse"])


def test_a_constant_scene(make_scene):
    """The error of bicubic interpolation is zero: there is no ratio to it."""
    bands = {name: np.full_like(band, 1000) for name, band in make_scene(48, 48, ("20m",)).items()}
    report = strict(evaluate(bands, Cheat(bands, 1)))
    assert report["bands"]["B05"]["ratio"] is None and report["mean_20m"]["ratio"] is None


@settings(max_examples=12)
@given(rows=st.integers(72, 115), columns=st.integers(72, 115), with_60=st.booleans())
def test_what_a_system_is_given(make_scene, rows, columns, with_60):
    """Every band, degraded, on grids that fit; and no more is left out than has to be."""
    calls = {}

    def system(degraded, names):
        calls[names] = {name: band.shape for name, band in degraded.items()}
        assert all(band.dtype == np.float32 for band in degraded.values())
        return interpolate(degraded, names)

    bands = make_scene(rows, columns, ("20m", "60m") if with_60 else ("20m",))
    report = evaluate(bands, system)
    assert list(calls) == [GROUPS["20m"], GROUPS["60m"]][: 2 if with_60 else 1]
    coarsest = 6 if with_60 else 2
    for names, shapes in calls.items():
        scale = ratio(names[0])
        wanted = tuple(length // (scale * coarsest) * coarsest for length in (rows, columns))
        assert shapes["B02"] == wanted and set(shapes) == set(bands)
        for name, shape in shapes.items():
            assert tuple(length * ratio(name) for length in shape) == wanted
    assert report["mean_20m"]["pixels"] == np.prod(calls[GROUPS["20m"]]["B02"])


def test_some_bands_of_a_group(make_scene):
    bands = {name: band for name, band in make_scene(48, 48, ("20m",)).items() if name in (*FINE, "B11")}
    report = evaluate(bands, interpolate)
    assert list(report["bands"]) == ["B11"] and report["sam"] is None


def test_missing_pixels_are_not_scored(make_scene):
    """A system that is wrong only where something is missing is right, and bicubic has the score of what is left."""
    bands = make_scene(72, 96, ("20m",))
    holed = {name: band.copy() for name, band in bands.items()}
    for name, band in holed.items():
        band[:, 48 // ratio(name) :] = np.nan
    truth = {name: np.nan_to_num(band, nan=60000) for name, band in holed.items()}
    report = strict(evaluate(holed, Cheat(truth)))
    assert report["mean_20m"]["rmse"] == 0 and report["mean_20m"]["uiq"] == pytest.approx(1)
    assert 36 * 18 <= report["mean_20m"]["pixels"] < 36 * 24
    part = evaluate(crop(bands, 72, 48), interpolate)["bands"]["B8A"]
    assert report["bands"]["B8A"]["bicubic_rmse"] == pytest.approx(part["rmse"], rel=0.1)
    assert report["bands"]["B8A"]["mean"] == pytest.approx(part["mean"], rel=0.05)


def test_what_a_system_leaves_out_is_not_scored(make_scene):
    def system(degraded, names):
        result = interpolate(degraded, names)
        result["B05"][:2] = np.nan
        return result

    report = evaluate(make_scene(48, 48, ("20m",)), system)
    assert report["mean_20m"]["pixels"] == 22 * 24 and report["mean_20m"]["ratio"] == 1


def test_wrong_bands(make_scene):
    bands = make_scene(48, 48, ("20m",))
    with pytest.raises(ValueError, match=r"^bands: expected the bands B02 B03 B04 B08, got B02 B03 B04 B05"):
        evaluate({name: band for name, band in bands.items() if name != "B08"}, interpolate)
    with pytest.raises(ValueError, match=r"^bands: expected some of B05 .* beside B02 .*, got B02 B03 B04 B08"):
        evaluate({name: bands[name] for name in FINE}, interpolate)
    with pytest.raises(ValueError, match=r"^bands: expected some of .*, got .* B10$"):
        evaluate({**bands, "B10": bands["B05"]}, interpolate)
    with pytest.raises(ValueError, match=r"^bands: expected bands that cover the same ground, .*, got .*B11 48 x 48"):
        evaluate({**bands, "B11": bands["B02"]}, interpolate)
    with pytest.raises(ValueError, match=r"^bands: expected B11 of shape \(rows, columns\), got \(24, 24, 1\)"):
        evaluate({**bands, "B11": bands["B11"][..., np.newaxis]}, interpolate)


def test_too_small(make_scene):
    with pytest.raises(ValueError, match=r"^bands: expected at least 24 x 24 pixels of 10 m .*, got 22 x 48"):
        evaluate(make_scene(22, 48, ("20m",)), interpolate)
    with pytest.raises(ValueError, match=r"^bands: expected at least 72 x 72 .* for B01 B09, got 72 x 66"):
        evaluate(make_scene(72, 66), interpolate)
    evaluate(make_scene(24, 24, ("20m",)), interpolate)
    evaluate(make_scene(72, 72), interpolate)


def test_nothing_present(make_scene):
    bands = {name: np.full_like(band, np.nan) for name, band in make_scene(48, 48, ("20m",)).items()}
    with pytest.raises(ValueError, match=r"^bands: expected pixels .*, got none"):
        evaluate(bands, interpolate)


def test_wrong_system(make_scene):
    bands = make_scene(48, 48, ("20m",))
    with pytest.raises(ValueError, match=r"^sharpen: expected B05 of 24 x 24 pixels, got \(12, 12\)"):
        evaluate(bands, lambda degraded, names: {name: degraded[name] for name in names})
    with pytest.raises(ValueError, match=r"^sharpen: expected B05 of 24 x 24 pixels, got none"):
        evaluate(bands, lambda degraded, names: {})


def test_known_scores_of_bicubic_interpolation(malmo):
    report = strict(evaluate(malmo, interpolate))
    assert report["mean_20m"]["joint_rmse"] == pytest.approx(158.613, abs=0.02)
    assert report["mean_20m"]["rmse"] == pytest.approx(146.36, abs=0.02)
    assert report["mean_20m"]["sre"] == pytest.approx(23.95, abs=0.01)
    assert report["mean_20m"]["uiq"] == pytest.approx(0.886, abs=0.001)
    assert report["sam"] == pytest.approx(1.449, abs=0.002)
    assert report["mean_60m"]["joint_rmse"] == pytest.approx(106.99, abs=0.02)
    assert report["mean_60m"]["pixels"] == 96 * 96
