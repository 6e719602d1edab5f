# SPDX-License-Identifier: Apache-2.0
"""Networks as the protocols see them, and the mean of reports."""

import numpy as np

from chain.serving.network import Network
from evaluation.networks import mean_of, sharpener
from models.description import read_description
from tests import toy_models


def test_networks_are_served_and_missing_pixels_stay_missing(tmp_path):
    rng = np.random.default_rng(0)
    bands = {name: rng.uniform(500, 4000, (24, 36)).astype(np.float32) for name in ("B02", "B03", "B04", "B08")}
    coarse = ("B05", "B06", "B07", "B8A", "B11", "B12")
    bands.update({name: rng.uniform(500, 4000, (12, 18)).astype(np.float32) for name in coarse})
    bands["B07"][3, 4] = np.nan
    folder = toy_models.dsen2(tmp_path / "model", "2x")
    made = sharpener([Network(read_description(folder), folder)])(bands, ("B11", "B07"))
    assert set(made) == {"B11", "B07"}
    for name, band in made.items():
        np.testing.assert_allclose(band, np.repeat(np.repeat(bands[name], 2, 0), 2, 1), rtol=1e-5)
    assert np.isnan(made["B07"]).sum() == 4


def test_mean_of_reports():
    reports = [{"a": {"x": 1, "y": None}, "n": "wald"}, {"a": {"x": 2.0, "y": 3.0}, "n": "wald"}]
    assert mean_of(reports) == {"a": {"x": 1.5, "y": None}, "n": "wald"}
    assert mean_of([]) == {}
