# SPDX-License-Identifier: Apache-2.0
"""Training L1BSR's networks on simulated pairs: what is learned from, what is left, usage errors."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from models.description import read_description
from models.l1bsr import BANDS, CSR, GREEN, REC
from models.sharpness import TRANSFER
from models.warp import warp
from models.weights_file import load_weights
from simulate import detectors
from simulate.detector_pairs import write_pairs
from tests.examples import slow
from train import l1bsr
from train.l1bsr import Options
from train.l1bsr import csr as csr_training
from train.l1bsr.csr import RegistrationObjective
from train.l1bsr.images import flow_colours
from train.l1bsr.rec import SuperResolution
from train.objective import Draws

pytestmark = pytest.mark.keras

RNG = np.random.default_rng
COMMON = [
    "--crop",
    "32",
    "--crops-per-pair",
    "4",
    "--batch-size",
    "4",
    "--learning-rate",
    "2e-3",
    "--valid-share",
    "0.4",
]
TINY_CSR = ["--network", "csr", "--depth", "2", "--warm-up", "3", *COMMON]
REC_OPTIONS = Options(network="rec", csr=".", roll=0)
TINY_REC = ["--network", "rec", "--depth", "8", "--size", "small", "--groups", "1", "--blocks", "1", *COMMON]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "set", 3, rows=48, columns=40)
    return str(folder / "set")


@pytest.fixture(scope="module")
def csr(pairs, tmp_path_factory):
    """A network that registers, trained for two epochs."""
    folder = tmp_path_factory.mktemp("csr") / "model"
    example = f"{pairs}/simulated_left/0001.tif"
    options = ["--epochs", "2", "--examples", example, "--log-dir", str(folder.parent / "log")]
    assert l1bsr.main(["--pairs", pairs, "--model-dir", str(folder), *TINY_CSR, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def rec(pairs, csr, tmp_path_factory):
    """A network that super-resolves, trained for two epochs."""
    folder = tmp_path_factory.mktemp("rec") / "model"
    options = ["--csr", str(csr), "--epochs", "2", "--log-dir", str(folder.parent / "log")]
    assert l1bsr.main(["--pairs", pairs, "--model-dir", str(folder), *TINY_REC, *options]) == 0
    return folder


@pytest.mark.slow
def test_what_a_training_of_csr_leaves(csr):
    description = read_description(csr)
    assert (description.system, description.model) == ("l1bsr", "CSR")
    assert description.arguments == {"depth": 2, "max_flow": 10.0, "refinements": 0}
    run = json.loads((csr / "run.json").read_text())
    assert len(run["history"]) == 2 and {"loss", "val_loss", "val_consistency"} <= run["history"][0].keys()
    scores = json.loads((csr / "scores.json").read_text())
    assert scores["end_point_error"].keys() == {"B02", "B04", "B08", "cross"}
    assert all(0 < value["median"] < 15 for value in scores["end_point_error"].values())
    assert scores["examples"]["0001.tif"]["B02"].keys() == {"dx", "dy", "correlation_before", "correlation_after"}
    assert list((csr.parent / "log" / "images").iterdir())


@pytest.mark.slow
def test_what_a_training_of_rec_leaves(rec, csr):
    description = read_description(rec)
    assert (description.model, description.gsd, description.shift) == ("REC", 5.0, 0.5)
    assert description.arguments == {
        "num_groups": 1,
        "num_blocks": 1,
        "depth": 8,
        "reduction": 8,
        "registered": False,
        "sharp": False,
    }
    scores = json.loads((rec / "scores.json").read_text())
    for kind in ("truth", "other_detector"):
        assert scores[kind].keys() == {"rec", "bicubic", "registered_bicubic"}
        assert all(np.isfinite(value["mean"]) for value in scores[kind].values())
    run = json.loads((rec / "run.json").read_text())
    assert run["history"][-1]["loss"] < run["history"][0]["loss"]


def test_the_warm_ups_flow_is_the_one_between_its_images(monkeypatch):
    """On smooth images, the sampled one, seen through the flow that is asked for, is the other one."""
    y, x = np.mgrid[:48, :48].astype("float32")
    smooth = np.stack([np.sin(x / 9) + np.cos(y / 7)] * 4, axis=-1)
    seen = []

    def network(images, training):
        seen.append(images)
        return tf.zeros((*images.shape[:3], 2))

    learning = RegistrationObjective(Options(network="csr", warm_up_shift=3.0))
    flows = []
    original = csr_training.random_flow
    monkeypatch.setattr(csr_training, "random_flow", lambda *each: flows.append(original(*each)) or flows[-1])
    losses = learning._warm_up_losses(network, {"left": tf.constant(np.stack([smooth] * 3))}, Draws(1, tf.constant(0)))
    grid, other = tf.split(seen[0], 2, axis=-1)
    inside = np.s_[:, 8:-8, 8:-8]
    # Both are standardised on their own, so that they agree up to a line.
    for one, two in zip(grid.numpy()[inside], warp(other, flows[0]).numpy()[inside]):
        assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.9999
    assert_allclose(losses["loss"], np.abs(flows[0]).mean(), rtol=1e-5)


def test_rec_learns_from_the_truth_and_true_flows_with_next_to_no_loss(monkeypatch):
    """The image at 5 m, sampled by the true flows, is what the other detector saw."""
    monkeypatch.setattr(detectors, "AMPLITUDE", 0.0)
    motions = detectors.draw_motions(RNG(3))
    seen = detectors.see(detectors.render_ground(48, 48, 1), motions)
    flows = np.stack(
        [motions["right"][band].shift - motions["left"][GREEN].shift for band in range(len(BANDS))]
    ).astype("float32")
    learning = SuperResolution(REC_OPTIONS, CSR.from_bands(depth=1))
    asked = []

    def flow(pairs, training):
        asked.append(pairs)
        return tf.constant(np.repeat(flows[:, np.newaxis, np.newaxis], 48, 1).repeat(48, 2))

    learning._flow = flow
    inputs = {name: tf.constant(getattr(seen, name)[np.newaxis]) for name in ("left", "right")}
    losses = learning.losses(lambda x, training: tf.constant(seen.truth["hr_left"][np.newaxis]), inputs, {}, False)
    shuffled = learning.losses(lambda x, training: tf.constant(seen.truth["hr_right"][np.newaxis]), inputs, {}, False)
    assert losses["l1"] < 1.0 < 3 * losses["l1"] < shuffled["l1"]
    assert asked[0].shape == (4, 48, 48, 2)
    green = seen.left[..., GREEN]
    assert_allclose(asked[0][..., 1], np.stack([(green - green.mean()) / green.std(ddof=1)] * 4), atol=1e-4)


@pytest.mark.parametrize(
    "role, detector, kind",
    [
        (0, "left", "hr"),
        (1, "right", "sharp"),
        slow(0, "left", "sharp"),
        slow(1, "right", "hr"),
    ],
)
def test_rec_learns_true_images_in_both_roles(monkeypatch, role, detector, kind):
    """The truth of the detector that has the role costs nothing, that of the other one does."""
    seen = detectors.see(detectors.render_ground(48, 48, 1), detectors.draw_motions(RNG(3)))
    options = dataclasses.replace(REC_OPTIONS, supervised=True, sharp=kind == "sharp")
    learning = SuperResolution(options, CSR.from_bands(depth=1))
    inputs = {name: tf.constant(getattr(seen, name)[np.newaxis]) for name in ("left", "right")}
    truth = {name: tf.constant(value[np.newaxis]) for name, value in seen.truth.items()}
    monkeypatch.setattr(Draws, "uniform", lambda *arguments: tf.constant(role))
    learning.draws = lambda network: Draws(0, tf.constant(0))
    for other in ("left", "right"):
        network = Recorder(truth[f"{kind}_{other}"])
        losses = learning.losses(network, inputs, truth, True)
        assert_allclose(network.asked["x10"], inputs[detector])
        assert losses["l1"] == 0 if other == detector else losses["l1"] > 1


def test_rec_learns_to_be_consistent():
    """Of a product that is right but for its level, the loss is the level's error, by itself and as weighed."""
    ground = detectors.cut_ground(RNG(0).uniform(200, 400, (144, 144, 4)), 48, 48, RNG(0), [TRANSFER] * 4)
    seen = detectors.see(ground, still_motions())
    inputs = {name: tf.constant(getattr(seen, name)[np.newaxis]) for name in ("left", "right")}
    truth = {name: tf.constant(value[np.newaxis]) for name, value in seen.truth.items()}
    options = dataclasses.replace(REC_OPTIONS, supervised=True, sharp=True, consistency=3.0)
    learning = SuperResolution(options, CSR.from_bands(depth=1))
    losses = learning.losses(Recorder(truth["sharp_left"] + 7), inputs, truth, False)
    assert_allclose(losses["l1"], 7, rtol=1e-4)
    assert_allclose(losses["consistency"], 7, rtol=0.01)
    assert_allclose(losses["loss"], REC.normalization * (losses["l1"] + 3 * losses["consistency"]), rtol=1e-5)
    right = learning.losses(Recorder(truth["sharp_left"]), inputs, truth, False)
    assert 20 * right["consistency"] < np.abs(truth["sharp_left"] - truth["hr_left"]).mean()


def still_motions():
    """Motions of detectors that see the same places with all bands."""
    still = detectors.Motion(np.zeros(2), *[np.zeros((1, 2))] * 3)
    return {name: [still] * len(BANDS) for name in ("left", "right")}


class Recorder:
    """A network that always gives the same, and keeps what it was asked."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, inputs, training):
        self.asked = inputs
        return self.answer


@pytest.mark.slow
def test_rec_for_registered_images_is_trained_and_scored_on_them(pairs, csr, tmp_path, monkeypatch):
    """What it is given differs from what the detectors saw in all bands but the green one."""
    given = []
    original = SuperResolution.losses

    def losses(self, network, inputs, targets, training):
        given.append(targets.keys())
        return original(self, network, inputs, targets, training)

    monkeypatch.setattr(SuperResolution, "losses", losses)
    folder = tmp_path / "model"
    command = ["--pairs", pairs, "--csr", str(csr), "--model-dir", str(folder), *TINY_REC, "--epochs", "1"]
    assert l1bsr.main([*command, "--supervised", "--registered"]) == 0
    assert given and all(keys == {"hr_left", "hr_right"} for keys in given)
    assert read_description(folder).arguments["registered"] is True
    run = json.loads((folder / "run.json").read_text())
    plain = tmp_path / "plain"
    command = ["--pairs", pairs, "--csr", str(csr), "--model-dir", str(plain), *TINY_REC, "--epochs", "1"]
    assert l1bsr.main([*command, "--supervised"]) == 0
    other = json.loads((plain / "run.json").read_text())
    assert run["patches"].keys() == other["patches"].keys()
    assert not set(run["patches"].values()) & set(other["patches"].values())


@pytest.mark.slow
def test_sharp_images_are_learnt_from_weights_alone_that_made_others(pairs, csr, rec, tmp_path):
    folder = tmp_path / "model"
    alone = shutil.copy(rec / "weights.h5", tmp_path / "rec.h5")
    command = ["--pairs", pairs, "--csr", str(csr), "--model-dir", str(folder), *TINY_REC, "--epochs", "1"]
    assert read_description(rec).arguments["sharp"] is False
    start = ["--init", str(alone), "--no-registered"]
    assert l1bsr.main([*command, "--supervised", "--sharp", "--consistency", "2", *start]) == 0
    assert read_description(folder).arguments == {**read_description(rec).arguments, "sharp": True}
    (epoch,) = json.loads((folder / "run.json").read_text())["history"]
    expected = (epoch["l1"] + 2 * epoch["consistency"]) * REC.normalization
    assert epoch["loss"] == pytest.approx(expected, rel=1e-4) and epoch["consistency"] > 0
    assert json.loads((folder / "scores.json").read_text()).keys() == {"truth", "sharp_truth", "other_detector"}


@pytest.mark.slow
def test_the_network_that_registers_stays_as_it_is(csr):
    model = CSR.from_bands(depth=2)
    load_weights(model.model, csr)
    before = [np.array(weight) for weight in model.model.get_weights()]
    learning = SuperResolution(dataclasses.replace(REC_OPTIONS, roll=1, schedule="constant", learning_rate=0.01), model)
    network = REC.from_bands(num_groups=1, num_blocks=1, depth=4, reduction=2)
    trained = learning.compile(network, (), 2)
    images = np.random.default_rng(0).uniform(100, 500, (2, 2, 32, 32, 4)).astype("float32")
    trained.fit(tf.data.Dataset.from_tensors(({"left": images[0], "right": images[1]}, {})), verbose=0)
    for weight, kept in zip(model.model.get_weights(), before):
        np.testing.assert_array_equal(weight, kept)


@pytest.mark.slow
def test_true_flows_are_learnt_where_they_are_known(pairs, tmp_path, capsys):
    command = [*TINY_CSR, "--epochs", "2", "--supervised", "--model-dir", str(tmp_path / "m")]
    assert l1bsr.main([*command, "--pairs", pairs]) == 0
    history = json.loads((tmp_path / "m" / "run.json").read_text())["history"]
    assert all(epoch["truth"] == epoch["loss"] > 0 for epoch in history)
    assert all(epoch["val_truth"] == epoch["val_loss"] > 0 for epoch in history)
    for detector in ("left", "right"):
        shutil.copytree(f"{pairs}/simulated_{detector}", tmp_path / "real" / f"a_{detector}")
    assert l1bsr.main([*command, "--overwrite", "--pairs", str(tmp_path / "real")]) == 1
    assert "expected pairs with truth, such as simulated ones" in capsys.readouterr().err


@pytest.mark.slow
def test_what_the_network_finds_is_refined_in_the_model_alone(pairs, tmp_path):
    """The training is the same; the model that comes of it has the steps."""
    found = {}
    for steps in (0, 2):
        folder = tmp_path / str(steps)
        command = [*TINY_CSR, "--epochs", "1", "--supervised", "--refinements", str(steps), "--model-dir", str(folder)]
        assert l1bsr.main([*command, "--pairs", pairs]) == 0
        assert read_description(folder).arguments["refinements"] == steps
        history = json.loads((folder / "run.json").read_text())["history"]
        found[steps] = history[0]["val_loss"], json.loads((folder / "scores.json").read_text())["end_point_error"]
    assert found[0][0] == found[2][0] and found[0][1] != found[2][1]


@pytest.mark.slow
def test_another_csr_is_another_training(pairs, csr, rec, tmp_path, capsys):
    """What the flows are made by is part of what a training is."""
    assert json.loads((rec / "run.json").read_text())["arguments"]["csr"] == str(csr)
    assert l1bsr.main(["--pairs", pairs, "--model-dir", str(tmp_path / "m"), *TINY_REC, "--csr", str(rec)]) == 1
    assert "--csr: expected the folder of an l1bsr CSR" in capsys.readouterr().err


@pytest.mark.parametrize("given, option", [(["--test"], "--test"), ([], "--pairs")])
def test_pairs_that_are_trained_on_are_not_validated_on(pairs, tmp_path, capsys, given, option):
    """Neither as other pairs, nor by a folder that is given twice."""
    assert l1bsr.main(["--pairs", pairs, *given, pairs, "--model-dir", str(tmp_path / "m"), *TINY_CSR]) == 1
    message = f"{option}: expected other pairs than those that are trained on, got set/simulated/"
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_colours_of_flows():
    """Right is red, nothing is white, what is long is saturated."""
    assert_allclose(flow_colours(np.array([10.0, 0.0])), [1, 0, 0])
    assert_allclose(flow_colours(np.zeros(2)), [1, 1, 1])
    assert_allclose(flow_colours(np.array([-5.0, 0.0])), [0.5, 1, 1])


@pytest.mark.parametrize(
    "options, message",
    [
        (["--network", "rec"], "--network rec requires --csr"),
        (["--network", "csr", "--csr", "."], "--csr does not apply to --network csr"),
        (["--network", "csr", "--registered"], "--registered does not apply to --network csr"),
        (["--network", "rec", "--csr", ".", "--registered"], "--registered requires --supervised"),
        (["--network", "rec", "--csr", ".", "--sharp"], "--sharp requires --supervised"),
        (["--network", "rec", "--csr", ".", "--supervised", "--consistency", "1"], "--consistency requires --sharp"),
        (["--network", "csr", "--sharp"], "--sharp does not apply to --network csr"),
        (["--network", "csr", "--refinements", "-1"], "--refinements: expected at least 0, got -1"),
        (["--network", "rec", "--csr", ".", "--refinements", "2"], "--refinements does not apply to --network rec"),
        (["--network", "csr", "--groups", "2"], "--groups does not apply to --network csr"),
        (["--network", "csr", "--crop", "40"], "--crop: expected a multiple of 16, got 40"),
        (["--network", "csr", "--crop", "16"], "--crop: expected at least 32, got 16"),
        (["--network", "csr", "--roll", "-1"], "--roll: expected at least 0, got -1"),
        (["--network", "csr", "--valid-share", "1"], "--valid-share: expected a number between 0 and 1, got 1"),
        (["--network", "csr", "--nir-share", "0"], "--nir-share: expected a number between 0 and 1, got 0"),
        (["--network", "csr", "--tv-weight", "-1"], "--tv-weight: expected at least 0"),
        (["--network", "csr", "--decay", "0"], "--decay: expected more than 0"),
    ],
)
def test_usage_errors(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as error:
        l1bsr.main(["--pairs", str(tmp_path), "--model-dir", str(tmp_path / "m"), *options])
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_failures_are_one_line(pairs, tmp_path, capsys):
    command = ["--model-dir", str(tmp_path / "m"), *TINY_CSR]
    assert l1bsr.main([*command, "--pairs", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("python -m train.l1bsr: error: ")
    assert l1bsr.main([*command, "--pairs", pairs, "--examples", f"{tmp_path}/none.tif"]) == 1
    assert "examples: expected readable images" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys, train.l1bsr\n"
        "try:\n    train.l1bsr.main(['--help'])\n"
        "except SystemExit:\n    sys.exit(bool({'tensorflow', 'osgeo', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--warm-up-shift" in result.stdout
