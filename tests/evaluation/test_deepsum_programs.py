# SPDX-License-Identifier: Apache-2.0
"""Programs that measure and draw DeepSUM on simulated scenes."""

import json

import numpy as np
import pytest
from osgeo import gdal

from evaluation import deepsum_figure, deepsum_registration
from evaluation.deepsum_registration import _whole_displacements
from inference.deepsum.png import write_image
from models.base import export
from models.deepsum import DeepSUM
from simulate.probav_scenes import write_scenes
from train.deepsum.losses import filter_classes

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probav")
    write_scenes(folder, 1, rows=40, columns=40, seed=11)
    return folder / "train" / "NIR" / "imgset0000"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose filters leave all frames where they are."""
    model = DeepSUM.from_bands(depth=2)
    last = model.model.get_layer("registration_5")
    kernel, bias = last.get_weights()
    last.set_weights([0 * kernel, np.eye(81)[40]])
    folder = tmp_path_factory.mktemp("model") / "model"
    export(model, folder)
    return str(folder)


@pytest.mark.slow
def test_a_registration_that_moves_nothing(scene, model, capsys):
    """It errs by the displacements themselves; the cross-correlation knows better."""
    assert deepsum_registration.main(["--model-dir", model, "--scenes", str(scene)]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert deepsum_registration.score_registration(model, [scene]) == scores
    told = np.array([image["displacement"] for image in json.loads((scene / "truth.json").read_text())["images"]])
    farthest = max(np.hypot(*(one - other)) for one in told for other in told)
    assert scores["network"]["frames"] == scores["cross-correlation"]["frames"] == 8
    assert 0.5 < scores["network"]["mean_distance"] <= farthest
    assert scores["cross-correlation"]["within_a_pixel"] > scores["network"]["within_a_pixel"]
    assert scores["cross-correlation"]["mean_distance"] < 0.7


def test_filters_and_displacements():
    displacements = np.array([[0, 0], [-4, 4], [3, -1]])
    assert np.array_equal(_whole_displacements(np.eye(81)[filter_classes(displacements)]), displacements)


def test_scenes_without_truth_are_refused(scene, tmp_path, capsys):
    other = tmp_path / "imgset0001"
    other.mkdir()
    for path in scene.glob("*.png"):
        (other / path.name).symlink_to(path)
    assert deepsum_registration.main(["--model-dir", "weights/deepsum/NIR", "--scenes", str(other)]) == 1
    assert "--scenes: expected a scene with truth.json" in capsys.readouterr().err


def test_a_figure_of_a_scene(scene, tmp_path, capsys):
    truth = gdal.Open(str(scene / "HR.png")).ReadAsArray()
    write_image(tmp_path / "sr.png", truth.astype(np.float32))
    command = ["--scene", str(scene), "--image", str(tmp_path / "sr.png"), "--figure", str(tmp_path / "f.png")]
    assert deepsum_figure.main([*command, "--part", "64"]) == 0
    figure = gdal.Open(str(tmp_path / "f.png"))
    assert figure.RasterXSize > 1000 and figure.ReadAsArray().std() > 20
    write_image(tmp_path / "sr.png", truth[1:].astype(np.float32))
    assert deepsum_figure.main(command) == 1
    assert "--image: expected 120 x 120 pixels, like HR.png, got 119 x 120" in capsys.readouterr().err
