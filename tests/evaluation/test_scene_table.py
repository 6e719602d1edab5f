# SPDX-License-Identifier: Apache-2.0
"""The table of several scenes: one row each, the mean and the worst of them, other networks beside."""

import json

import pytest

from evaluation import scene_table
from evaluation.protocol import GROUPS


def scores(ratio):
    bands = {band: {"ratio": ratio + 0.01 * number} for number, band in enumerate(GROUPS["60m"])}
    return {"bands": bands, "mean_60m": {"ratio": ratio, "rmse": 100 * ratio, "bicubic_rmse": 100.0}}


@pytest.fixture
def files(tmp_path):
    for name, ratio in (("coast", 0.2), ("snow", 0.5)):
        (tmp_path / f"{name}.json").write_text(json.dumps(scores(ratio)))
    (tmp_path / "others.json").write_text(json.dumps({"60m": {"AESR": {"coast": 0.31}}, "20m": {}}))
    return tmp_path


def test_table_of_scenes(files, capsys):
    names = [str(files / f"{name}.json") for name in ("coast", "snow")]
    assert scene_table.main(["--group", "60m", "--metrics", *names, "--beside", str(files / "others.json")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| scene | B01 | B09 | all | RMSE (DN) | bicubic | AESR |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| coast | 0.200 | 0.210 | **0.200** | 20.0 | 100.0 | 0.31 |",
        "| snow | 0.500 | 0.510 | **0.500** | 50.0 | 100.0 |  |",
        "| mean of the scenes | 0.350 | 0.360 | **0.350** |  |  |  |",
        "| worst of the scenes | 0.500 | 0.510 | **0.500** |  |  |  |",
    ]


@pytest.mark.parametrize(
    "group, name, message",
    [
        ("20m", "coast.json", "--metrics: expected scores of bands of 20m, got none in coast"),
        ("60m", "nothing.json", "--metrics: expected a file of JSON, got "),
    ],
)
def test_failures_are_one_line(files, capsys, group, name, message):
    assert scene_table.main(["--group", group, "--metrics", str(files / name)]) == 1
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_scores_of_some_bands_only():
    found = scores(0.3)
    del found["bands"]["B09"]
    with pytest.raises(ValueError, match="expected scores of B01, B09, got none of B09 for coast"):
        scene_table.table({"coast": found}, "60m", {})
