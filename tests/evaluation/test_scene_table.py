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


def test_scenes_of_one_name_are_no_scene_less(files, capsys):
    (files / "other").mkdir()
    (files / "other/snow.json").write_text(json.dumps(scores(0.4)))
    names = [str(files / name) for name in ("snow.json", "other/snow.json")]
    assert scene_table.main(["--group", "60m", "--metrics", *names]) == 1
    assert "--metrics: expected files of different names, got " in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, message",
    [
        ([1], "--metrics: expected an object of JSON, got a list in "),
        (
            {**scores(0.3), "bands": {"B01": {"rmse": 1.0}, "B09": {"rmse": 1.0}}},
            "--metrics: expected ratios and errors",
        ),
        ({**scores(0.3), "mean_60m": {"ratio": None}}, "--metrics: expected ratios and errors of --evaluate wald"),
    ],
)
def test_other_documents_are_named(files, capsys, content, message):
    (files / "other.json").write_text(json.dumps(content))
    assert scene_table.main(["--group", "60m", "--metrics", str(files / "other.json")]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [[1], {"60m": {"AESR": 0.31}}])
def test_ratios_that_are_none_are_named(files, capsys, content):
    (files / "others.json").write_text(json.dumps(content))
    words = ["--group", "60m", "--metrics", str(files / "snow.json"), "--beside", str(files / "others.json")]
    assert scene_table.main(words) == 1
    assert "--beside: expected " in capsys.readouterr().err


def test_scores_of_some_bands_only():
    found = scores(0.3)
    del found["bands"]["B09"]
    with pytest.raises(ValueError, match="expected scores of B01, B09, got none of B09 for coast"):
        scene_table.table({"coast": found}, "60m", {})
