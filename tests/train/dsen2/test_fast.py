# SPDX-License-Identifier: Apache-2.0
"""The training of `FastDSen2`: by its size, by its weights, on ground of its own for validation."""

import json

import pytest

from models.build import build
from models.description import read_description
from models.dsen2 import FAST_SIZES, SIZES, FastDSen2
from tests.train.dsen2.test_dsen2 import read_json, write_scene
from train import dsen2
from train.dsen2 import Options
from train.dsen2 import options as dsen2_options

pytestmark = pytest.mark.keras

TINY = ["--size", "fast", "--depth", "6", "--blocks", "1"]


def command(names, valid, model_dir, *others):
    inputs = ["--input", *names, "--valid", *valid, "--offset", "0", "--patch-size", "16", "--samples", "16"]
    return ["--role", "2x", *inputs, "--model-dir", str(model_dir), "--debug", *others]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return [write_scene(tmp_path_factory.mktemp("scene"), seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """The folder of a trained fast model of the 2x role."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    options = ["--epochs", "2", "--optimizer", "adam", "--balance", "--any-phase", "--grid-penalty", "0.5"]
    assert dsen2.main(command(*scenes, folder, *TINY, *options)) == 0
    return folder


def test_what_a_training_leaves(trained, scenes):
    description = read_description(trained)
    assert (description.model, description.arguments) == ("FAST", {"role": "2x", "depth": 6, "num_blocks": 1})
    assert isinstance(build(description), FastDSen2)
    run = read_json(trained / "run.json")
    assert run["arguments"]["balance"]
    assert [name.split(": ")[0] for name in run["patches"]] == ["train", "valid"]
    assert run["arguments"]["grid_penalty"] == 0.5
    for epoch in run["history"]:  # the penalty is in the loss that falls, and not in that of validation
        assert epoch["loss"] > 1.5 * epoch["l1"] and epoch["val_loss"] == pytest.approx(epoch["val_l1"], rel=1e-3)
    losses = [epoch["val_loss"] for epoch in run["history"]]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_weights_are_gone_on_with_and_adapted(trained, scenes, tmp_path, monkeypatch):
    """Neither the size nor the class has to be told."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "2x").symlink_to(trained)
    monkeypatch.setattr(dsen2_options, "PROJECT_WEIGHTS", tmp_path / "weights")
    for folder, start in (("more", ["--init", str(trained)]), ("adapted", ["--adapt"])):
        others = [*start, "--epochs", "1", "--learning-rate", "1e-9", "--batch-size", "8", "--balance"]
        assert dsen2.main(command(*scenes, tmp_path / folder, *others)) == 0
        assert read_description(tmp_path / folder).arguments == read_description(trained).arguments
        found = json.loads((tmp_path / folder / "run.json").read_text())
        assert (found["arguments"]["size"], found["arguments"]["depth"]) == ("fast", 6)
        best = min(epoch["val_loss"] for epoch in read_json(trained / "run.json")["history"])
        assert found["history"][0]["val_loss"] == pytest.approx(best, rel=1e-2)


def test_weights_of_the_other_class_are_refused(trained):
    with pytest.raises(ValueError, match="^--size: expected one of the network of --init .*, got narrow"):
        Options(role="2x", init=str(trained), size="narrow").with_defaults({**SIZES, **FAST_SIZES})
