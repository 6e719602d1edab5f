# SPDX-License-Identifier: Apache-2.0
"""Reports of scores: the table's layout and emphasis, files that are whole or not there, the window that is shown."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from chain.runtime import provenance
from evaluation import full_scale, report, wald
from evaluation.bicubic import bicubic
from evaluation.protocol import FINE, ratio


def interpolate(bands, names):
    return {name: bicubic(bands[name][..., np.newaxis], ratio(name))[..., 0] for name in names}


@pytest.fixture(scope="module")
def scene(make_scene):
    return make_scene(96, 96)


@pytest.fixture(scope="module")
def product(scene):
    return interpolate(scene, [name for name in scene if name not in FINE])


@pytest.fixture(scope="module")
def reports(scene, product):
    def system(degraded, names):
        result = interpolate(degraded, names)
        result["B05" if "B05" in names else "B01"] += 1000
        return result

    return {"wald": wald.evaluate(scene, system), "full-scale": full_scale.evaluate(scene, product)}


@pytest.mark.parametrize("protocol", ["wald", "full-scale"])
def test_table(reports, protocol):
    text = report.table(reports[protocol])
    tables = [part.splitlines() for part in text.strip().split("\n\n")]
    assert [len(table) for table in tables] == [2 + 8 + 2, 2 + 2]
    for table in tables:
        assert {line.count("|") for line in table} == {table[0].count("|")}
    assert [line.split("|")[1].strip() for line in tables[0][2:]] == [
        *("B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09"),
        *("mean of 20 m", "mean of 60 m"),
    ]


def test_the_better_value_is_bold(reports):
    lines = {line.split("|")[1].strip(): line for line in report.table(reports["wald"]).splitlines() if line}
    scores = reports["wald"]["bands"]["B05"]
    assert f"| {scores['rmse']:.2f} | **{scores['bicubic_rmse']:.2f}** | " in lines["B05"]
    assert f"| {scores['sre']:.2f} | **{scores['bicubic_sre']:.2f}** | " in lines["B05"]
    assert lines["B05"].endswith(f"| {scores['bias']:.2f} | **0.00** |")
    assert "**" not in lines["B06"], "equal values are not told apart"


def test_what_is_no_number_is_a_dash(scene):
    def cheat(degraded, names):
        return {name: scene[name][: degraded["B02"].shape[0], : degraded["B02"].shape[1]] for name in names}

    scores = wald.evaluate(scene, cheat)
    assert "| – | " in report.table(scores)


@pytest.mark.parametrize("protocol", ["wald", "full-scale"])
def test_files(reports, protocol, tmp_path):
    provenance.write(tmp_path / "scores.json", reports[protocol])
    assert json.loads((tmp_path / "scores.json").read_text()) == reports[protocol]
    report.draw_scores(tmp_path / "scores.png", reports[protocol])
    assert imread(tmp_path / "scores.png").shape[1] == 1200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json", "scores.png"]


def test_null_is_drawn_as_nothing(reports, tmp_path):
    scores = {**reports["wald"], "bands": {"B05": {**reports["wald"]["bands"]["B05"], "sre": None}}}
    report.draw_scores(tmp_path / "scores.png", scores)
    assert (tmp_path / "scores.png").exists()


@pytest.mark.parametrize("band", ["B11", "B01"])
def test_details(scene, product, band, tmp_path):
    report.draw_details(tmp_path / "details.png", scene, product, band)
    picture = imread(tmp_path / "details.png")
    assert picture.shape[:2] == (560, 1600) and picture[..., :3].std() > 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["details.png"]


def textured(corner):
    """Make bands of 600 x 600 pixels of which 198 x 198 are not smooth."""
    rng = np.random.default_rng(0)
    bands = {name: np.full((600, 600), 1000, dtype=np.float32) for name in FINE}
    part = slice(corner[0], corner[0] + 198), slice(corner[1], corner[1] + 198)
    for name in FINE:
        bands[name][part] += rng.uniform(0, 500, (198, 198)).astype(np.float32)
    return {**bands, "B11": np.full((300, 300), 1000, dtype=np.float32)}


def test_the_most_textured_window_is_shown():
    bands = textured((198, 396))
    product = {"B11": np.full((600, 600), 1000, dtype=np.float32)}
    rows, columns = report._shown(bands, product, "B11")
    assert (rows.start, rows.stop, columns.start, columns.stop) == (198, 396, 396, 594)
    bands["B04"][198:396, 396:594] = np.nan
    bands["B02"][0, 0] = 3000
    rows, columns = report._shown(bands, product, "B11")
    assert (rows.start, columns.start) == (0, 0), "neither missing pixels nor their edge are texture"


def test_missing_pixels_can_be_drawn(scene, product, tmp_path):
    holed = {name: band.copy() for name, band in scene.items()}
    holed["B04"][:20], holed["B11"][:10] = np.nan, np.nan
    report.draw_details(tmp_path / "details.png", holed, product)
    assert (tmp_path / "details.png").exists()


def test_what_cannot_be_shown(scene, product, tmp_path):
    path = tmp_path / "details.png"
    with pytest.raises(ValueError, match=r"^native: expected the bands B04 B03 B02 B11, got B02"):
        report.draw_details(path, {"B02": scene["B02"]}, product)
    with pytest.raises(ValueError, match=r"^sharpened: expected the band B11, got none"):
        report.draw_details(path, scene, {})
    with pytest.raises(ValueError, match=r"^sharpened: expected B11 of 96 x 96 pixels, got \(48, 48\)"):
        report.draw_details(path, scene, {"B11": scene["B11"]})
    with pytest.raises(ValueError, match=r"^native: expected pixels of .*, got none"):
        report.draw_details(path, {**scene, "B11": scene["B11"] * np.nan}, product)
    assert not path.exists()
