# SPDX-License-Identifier: Apache-2.0
"""The project's weights of DeepSUM, on a simulated scene that no training has seen."""

import json

import pytest

from evaluation import deepsum_registration
from inference import deepsum
from simulate.probav_scenes import write_scenes

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probav")
    write_scenes(folder, 1, rows=64, columns=64, seed=990)
    return folder / "train" / "NIR" / "imgset0000"


def test_a_scene_is_better_than_its_clearest_image_and_their_mean(scene, tmp_path):
    metrics = tmp_path / "m.json"
    command = ["--input", str(scene), "--output", str(tmp_path / "sr.png"), "--metrics", str(metrics)]
    assert deepsum.main(command) == 0
    mean = json.loads(metrics.read_text())["mean"]
    assert mean["sr"]["cpsnr"] > mean["clearest"]["cpsnr"] + 1.0
    assert mean["sr"]["cpsnr"] > mean["mean_of_registered"]["cpsnr"] + 0.7


@pytest.mark.slow
def test_frames_are_registered(scene, capsys):
    assert deepsum_registration.main(["--model-dir", "weights/deepsum/NIR", "--scenes", str(scene)]) == 0
    assert json.loads(capsys.readouterr().out)["network"]["within_a_pixel"] >= 0.75
