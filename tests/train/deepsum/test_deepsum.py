# SPDX-License-Identifier: Apache-2.0
"""Training DeepSUM in its stages on simulated scenes: what is learned from, what is left and handed on, errors."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from datasets.deepsum import records as deepsum_records
from datasets.deepsum.records import read_records
from models.deepsum import DeepSUM
from models.description import read_description
from models.weights_file import load_weights, read_weights, save_weights
from simulate.probav_scenes import write_scenes
from train import deepsum
from train.deepsum import Options
from train.deepsum.losses import FARTHEST
from train.deepsum.stages import Joint, RegNet, SISRNet, _moved
from train.grid_penalty import grid_penalty

pytestmark = pytest.mark.keras

TINY = ["--depth", "2", "--epochs", "2", "--steps-per-epoch", "2", "--batch-size", "2", "--learning-rate", "1e-3"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probav")
    write_scenes(folder / "scenes", 7, rows=36, columns=36, seed=11)
    command = ["--input", str(folder / "scenes"), "--output", str(folder / "records")]
    command += ["--chunks", "1", "--patches", "2"]
    assert deepsum_records.main(command) == 0
    return str(folder / "records")


def trained(records, folder, stage, *options):
    model = folder / stage
    command = ["--stage", stage, "--records", records, "--model-dir", str(model), *TINY, *options]
    assert deepsum.main(command) == 0
    return model


@pytest.fixture(scope="module")
def stages(records, tmp_path_factory):
    """The folders that the three stages have left, by name."""
    folder = tmp_path_factory.mktemp("stages")
    sisrnet = trained(records, folder, "sisrnet", "--log-dir", str(folder / "log" / "sisrnet"))
    regnet = trained(records, folder, "regnet", "--sisrnet", str(sisrnet), "--log-dir", str(folder / "log" / "regnet"))
    parts = ["--sisrnet", str(sisrnet), "--regnet", str(regnet), "--augmentation", "--registration-weight", "0.1"]
    joint = trained(records, folder, "joint", *parts, "--log-dir", str(folder / "log" / "joint"))
    return {"sisrnet": sisrnet, "regnet": regnet, "joint": joint, "log": folder / "log"}


@pytest.mark.slow
def test_what_the_stages_leave(stages, records):
    assert {name.split("/")[0] for name in read_weights(stages["sisrnet"])} > {"sisr_1", "sisr_norm_8", "sisr_head"}
    assert {name.split("/")[0] for name in read_weights(stages["regnet"])} == {f"registration_{n}" for n in range(1, 6)}
    for stage in ("sisrnet", "regnet"):
        assert not (stages[stage] / "model.json").exists()
        assert {"val_loss"} <= json.loads((stages[stage] / "scores.json").read_text()).keys()
    description = read_description(stages["joint"])
    assert description.system == "deepsum"
    assert description.arguments == {"variant": "P", "depth": 2, **read_records(records).statistics._asdict()}
    scores = json.loads((stages["joint"] / "scores.json").read_text())
    assert len(scores["scenes"]) == len(read_records(records).validation_names)
    for method in ("sr", "clearest", "mean_of_registered"):
        assert 10 < scores["mean"][method]["cpsnr"] < 70 and 0 < scores["mean"][method]["score"]
    for stage in ("sisrnet", "regnet", "joint"):
        assert list((stages["log"] / stage / "images").iterdir())
        assert len(json.loads((stages[stage] / "run.json").read_text())["history"]) == 2


@pytest.mark.slow
def test_parts_start_the_joint_training(stages):
    """Weights of both parts are what the joint training starts from."""
    options = Options(stage="joint", sisrnet=str(stages["sisrnet"]), regnet=str(stages["regnet"]))
    model = DeepSUM.from_bands(depth=2)
    Joint(options).network(model)
    started = {layer.name: layer.get_weights() for layer in model.model.layers if layer.weights}
    parts = {**read_weights(stages["sisrnet"]), **read_weights(stages["regnet"])}
    for name in ("sisr_1", "sisr_norm_8", "registration_1", "registration_5"):
        kept = [value for key, value in parts.items() if key.split("/")[0] == name]
        assert sorted(value.sum() for value in kept) == pytest.approx(sorted(value.sum() for value in started[name]))


@pytest.mark.slow
def test_weights_of_the_other_part_are_refused(tmp_path):
    """They would leave the part that they are given for as it was drawn."""
    model = DeepSUM.from_bands(depth=2)
    path = str(tmp_path / "weights.h5")
    save_weights(model.registration_model(), path)
    message = "^--sisrnet: expected weights of sisrnet, got those of registration in "
    with pytest.raises(ValueError, match=message):
        RegNet(Options(stage="regnet", sisrnet=path)).network(model)
    with pytest.raises(ValueError, match=message):
        Joint(Options(stage="joint", sisrnet=path, regnet=path)).network(model)


def test_a_frame_whose_content_is_moved_is_displaced_by_as_much():
    """A window moved by (dy, dx) shows at p what the one that is not moved shows at p - (dy, dx)."""
    features = tf.constant(np.random.default_rng(0).normal(size=(2, 20, 22, 3)).astype("float32"))
    moves = tf.constant([[[0, 0], [2, -3]], [[0, 0], [-4, 4]]])
    windows = _moved(features, moves, 20 - 2 * FARTHEST, 22 - 2 * FARTHEST).numpy()
    assert windows.shape == (2, 2, 12, 14, 3)
    assert_array_equal(windows[0, 1][2:, :-3], windows[0, 0][:-2, 3:])
    assert_array_equal(windows[1, 1][:-4, 4:], windows[1, 0][4:, :-4])


@pytest.mark.slow
def test_regnet_learns_with_features_that_stay(stages):
    """Steps change the registration, and nothing else."""
    options = Options(stage="regnet", sisrnet=str(stages["sisrnet"]), learning_rate=0.01)
    model = DeepSUM.from_bands(depth=2)
    learning = RegNet(options)
    network = learning.compile(model, None, 2)
    before = [np.array(weight) for weight in learning._features.get_weights()]
    moving = [np.array(weight) for weight in network.get_weights()]
    frames = np.random.default_rng(0).normal(7000, 2000, (2, 24, 24, 9)).astype("float32")
    network.fit(tf.data.Dataset.from_tensors(({"frames": frames}, {})), verbose=0)
    for weight, kept in zip(learning._features.get_weights(), before):
        assert_array_equal(weight, kept)
    assert any((weight != kept).any() for weight, kept in zip(network.get_weights(), moving))


def test_losses_of_the_truth():
    """An image that is the truth, moved by two pixels and brighter, costs nothing."""
    rng = np.random.default_rng(0)
    truth = rng.normal(7000, 500, (2, 20, 20, 1)).astype("float32")
    moved = np.roll(truth, (2, -1), axis=(1, 2)) + 300
    targets = {"hr": truth, "clear": np.ones_like(truth), "shifts": np.zeros((2, 8, 2), "int32")}
    targets = {name: tf.constant(value) for name, value in targets.items()}
    logits = np.zeros((2, 8, 81), "float32")
    logits[:, :6, 40] = 50
    learning = Joint(Options(stage="joint"))
    learning._deviation = 500.0
    losses = learning.losses(lambda inputs, training: [tf.constant(moved), tf.constant(logits)], {}, targets, False)
    assert losses["loss"] < 1e-6 and losses["cpsnr"] > 100
    assert_allclose(losses["accuracy"], 0.75)
    single = SISRNet(Options(stage="sisrnet"))
    single._mean, single._deviation = 7000.0, 2000.0
    seen = []
    made = (moved - 7000.0) / 2000.0
    frames = tf.constant(np.repeat(truth, 9, axis=-1))
    losses = single.losses(
        lambda image, training: seen.append(image) or tf.constant(made), {"frames": frames}, targets, False
    )
    assert losses["loss"] < 1e-6
    assert_allclose(seen[0], (truth - 7000) / 2000, atol=1e-5)


def test_flips_keep_shifts_right():
    """What is flipped is displaced the other way along that axis."""
    image = np.arange(2 * 5 * 6 * 9, dtype="float32").reshape(2, 5, 6, 9)
    inputs = {"frames": tf.constant(image), "masks": tf.constant(image)}
    shifts = np.array([[[1, 2]] * 8] * 2, "int32")
    targets = {"hr": tf.constant(image[..., :1]), "clear": tf.constant(image[..., :1]), "shifts": tf.constant(shifts)}
    seen = set()
    for seed in range(12):
        tf.random.set_seed(seed)
        flipped, truth = deepsum.flip(inputs, targets)
        signs = truth["shifts"][0, 0].numpy() // [1, 2]
        assert_array_equal(flipped["frames"], image[:, :: signs[0], :: signs[1]])
        assert_array_equal(truth["hr"], image[:, :: signs[0], :: signs[1], :1])
        seen.add(tuple(signs))
    assert len(seen) == 4


def test_a_grid_costs_in_trainings_alone():
    """The penalty of the image, three pixels to a coarse one, times its weight."""
    model = DeepSUM.from_bands(depth=2)
    rng = np.random.default_rng(0)
    inputs = {"frames": rng.normal(7000, 2000, (1, 24, 24, 9)), "masks": np.ones((1, 24, 24, 9))}
    targets = {
        "hr": rng.normal(7000, 2000, (1, 24, 24, 1)),
        "clear": np.ones((1, 24, 24, 1)),
        "shifts": np.zeros((1, 8, 2)),
    }
    inputs = {name: tf.constant(value, tf.float32) for name, value in inputs.items()}
    targets = {name: tf.constant(value, tf.float32) for name, value in targets.items()}
    losses = {}
    for weight in (0.0, 2.0):
        joint = Joint(Options(stage="joint", grid_penalty=weight))
        network = joint.network(model)
        losses[weight] = [float(joint.losses(network, inputs, targets, training)["loss"]) for training in (True, False)]
    penalty = float(grid_penalty(network(inputs)[0], 3, targets["hr"])[0])
    assert losses[2.0][1] == losses[0.0][1]
    assert_allclose(losses[2.0][0] - losses[0.0][0], 2 * penalty, rtol=1e-3)


@pytest.mark.slow
def test_the_exported_model_is_the_trained_one(stages):
    model = DeepSUM.from_bands(**read_description(stages["joint"]).arguments)
    load_weights(model.model, stages["joint"])
    rng = np.random.default_rng(1)
    inputs = {"frames": rng.normal(7000, 2000, (1, 12, 12, 9)), "masks": rng.integers(0, 2, (1, 12, 12, 9))}
    inputs = {name: tf.constant(value, tf.float32) for name, value in inputs.items()}
    served = tf.saved_model.load(str(stages["joint"])).signatures["serving_default"](**inputs)
    assert_allclose(served["sr"], model.training_model()(inputs)[0], atol=0.1)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--stage", "regnet"], "--stage regnet requires --sisrnet"),
        (["--stage", "sisrnet", "--sisrnet", "."], "--sisrnet does not apply to --stage sisrnet"),
        (["--stage", "regnet", "--sisrnet", ".", "--regnet", "."], "--regnet does not apply to --stage regnet"),
        (["--stage", "joint", "--sisrnet", "none"], "--sisrnet: expected a file or folder that exists, got 'none'"),
        (["--stage", "sisrnet", "--grid-penalty", "1"], "--grid-penalty does not apply to --stage sisrnet"),
        (["--stage", "joint", "--registration-weight", "-1"], "--registration-weight: expected at least 0, got -1"),
    ],
)
def test_usage_errors(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as error:
        deepsum.main(["--records", str(tmp_path), "--model-dir", str(tmp_path / "m"), *options])
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_failures_are_one_line(tmp_path, capsys):
    assert deepsum.main(["--stage", "sisrnet", "--records", str(tmp_path), "--model-dir", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert "expected a folder with deepsum.json" in error and error.count("\n") == 1


def test_help_imports_nothing_heavy():
    code = (
        "import sys, train.deepsum\n"
        "try:\n    train.deepsum.main(['--help'])\n"
        "except SystemExit:\n    sys.exit(bool({'tensorflow', 'osgeo', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--registration-weight" in result.stdout
