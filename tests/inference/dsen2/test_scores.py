# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.dsen2 --evaluate`."""

import json

import numpy as np
import pytest
from osgeo import gdal

from inference import dsen2
from tests.inference.dsen2.scenes import (
    COLUMNS,
    FILES,
    ROWS,
    infer,
)

pytestmark = pytest.mark.keras


@pytest.mark.slow
def test_scores_of_a_scene_cut_off_the_60_m_grid(stack, models, tmp_path):
    """What is compared lies on the same ground: repeated pixels are the input when they are averaged."""
    whole = stack("near")
    gdal.Translate(str(tmp_path / "S2A_MSIL2A_cut_N0213.tif"), whole, srcWin=[2, 4, COLUMNS - 2, ROWS - 4])
    more = ["--evaluate", "full", "--metrics", str(tmp_path / "m.json")]
    assert infer(tmp_path / "S2A_MSIL2A_cut_N0213.tif", tmp_path / "sr.tif", models, *more) == 0
    bands = json.loads((tmp_path / "m.json").read_text())["bands"]
    assert all(abs(band["bias"]) < 1e-3 * band["mean"] for band in bands.values())
    more = ["--evaluate", "full", "--bands", "B05", "--box", "14,14,80,80", "--figure", str(tmp_path / "f.png")]
    assert infer(whole, tmp_path / "part.tif", models, *more) == 0


def test_scores_by_walds_protocol(files, models, tmp_path):
    metrics, figure = tmp_path / "m.json", tmp_path / "f.png"
    more = ["--evaluate", "wald", "--metrics", str(metrics), "--figure", str(figure), "--model-dir", str(models)]
    assert dsen2.main(["--input", *files(), *more]) == 0
    scores = json.loads(metrics.read_text())
    assert set(scores["bands"]) == {*FILES[20], *FILES[60]} and scores["sam"] > 0 and figure.stat().st_size > 1000
    assert {"rmse", "bicubic_rmse", "sre", "uiq", "bias"} <= set(scores["bands"]["B05"])
    assert {"mean_20m", "mean_60m"} <= set(scores)


def test_scores_by_walds_protocol_are_those_of_the_repeated_pixels(files, models, pixels, tmp_path):
    from datasets.wald import degrade

    metrics = tmp_path / "m.json"
    more = ["--evaluate", "wald", "--metrics", str(metrics), "--model-dir", str(models), "--bands", "B05,B11"]
    assert dsen2.main(["--input", *files()[:2], *more]) == 0
    truth = pixels["B05"][:62, :80].astype(np.float64)
    repeated = np.repeat(np.repeat(degrade(truth.astype(np.float32)[..., None], 2)[..., 0], 2, 0), 2, 1)
    rmse = np.sqrt(np.mean((repeated - truth) ** 2))
    assert json.loads(metrics.read_text())["bands"]["B05"]["rmse"] == pytest.approx(rmse, rel=1e-5)


def test_scores_of_a_product_without_reference(files, models, tmp_path):
    metrics, figure = tmp_path / "m.json", tmp_path / "f.png"
    more = ["--evaluate", "full", "--metrics", str(metrics), "--figure", str(figure)]
    assert infer(files(), tmp_path / "sr.tif", models, *more) == 0
    scores = json.loads(metrics.read_text())
    assert abs(scores["bands"]["B11"]["bias"]) < 1 and figure.stat().st_size > 1000
