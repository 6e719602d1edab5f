# SPDX-License-Identifier: Apache-2.0
"""The training program: what it leaves, resumption after a kill, early stopping, usage errors."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from evaluation.metrics import METRICS
from models.base import KERAS_3, read_description
from models.spot7 import SIZES
from tests.examples import slow
from train import spot7
from train.callbacks import Backup
from train.fit import check_identity

pytestmark = pytest.mark.keras

TINY = ["--size", "small", "--depth", "2", "--blocks", "0", "--batch-size", "4"]


def command(patches, model_dir, *others):
    return ["--patches", str(patches), "--model-dir", str(model_dir), *TINY, *others]


def history(folder):
    return json.loads((folder / "run.json").read_text())["history"]


@pytest.fixture(scope="module")
def trained(patches, tmp_path_factory):
    """The folder of a trained model, and TensorBoard's."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--epochs", "2", "--learning-rate", "0.01", "--log-dir", str(folder / "logs"), "--debug"]
    assert spot7.main(command(patches, folder / "model", *options)) == 0
    return folder / "model", folder / "logs"


def test_what_a_training_leaves(trained):
    folder, _ = trained
    names = {path.name for path in folder.iterdir()}
    wanted = {"saved_model.pb", "variables", "model.json", "weights.h5", "run.json", "scores.json", "scores.md"}
    assert wanted | {"scores.png"} <= names
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith("model")] == ["model"]
    assert read_description(folder).arguments["depth"] == 2
    losses = [epoch["val_loss"] for epoch in history(folder)]
    assert len(losses) == 2 and min(losses) < losses[0]


def test_scores_are_those_of_the_exported_model(trained, patches):
    folder, _ = trained
    scores = json.loads((folder / "scores.json").read_text())
    assert set(METRICS) < set(scores["sr"]) and set(scores["sr"]["bands"]) == {"B04", "B03", "B02", "B08"}
    assert scores["patches"] == 5 and scores["sr"]["l1"] < scores["bicubic"]["l1"]
    assert "| L1 (reflectance) | all bands | **" in (folder / "scores.md").read_text()
    from train.data import find_patches

    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    errors = [
        np.abs(signature(lr=inputs["lr"])["sr"] - targets["sr"])
        for inputs, targets in find_patches(patches, ("lr", "hr"))["test"].dataset(1)
    ]
    assert scores["sr"]["l1"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_run_json(trained, patches):
    folder, _ = trained
    run = json.loads((folder / "run.json").read_text())
    assert run["arguments"]["learning_rate"] == 0.01 and run["arguments"]["seed"] == 0
    assert {"otb-super-resolution", "tensorflow", "keras", "otbtf", "numpy", "python"} <= set(run["versions"])
    assert len(run["patches"]) == 6 and all(len(value) == 64 for value in run["patches"].values())
    best = min(history(folder), key=lambda epoch: epoch["val_loss"])
    assert run["history"][run["best_epoch"] - 1] == best


def test_tensorboard_has_losses_and_images(trained):
    _, logs = trained
    tags = set()
    for path in logs.rglob("events.out.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            tags |= {value.tag.rsplit("/image", 1)[0] for value in event.summary.value}
    assert {"1 LR", "2 bicubic", "3 SR", "4 HR", "epoch_loss"} <= tags


@pytest.mark.slow
def test_seed_gives_the_same_training(patches, tmp_path):
    for name in ("a", "b"):
        assert spot7.main(command(patches, tmp_path / name, "--epochs", "2", "--seed", "5", "--debug")) == 0
    for first, second in zip(history(tmp_path / "a"), history(tmp_path / "b")):
        assert first == pytest.approx(second, rel=1e-3)


@pytest.mark.slow
def test_init_starts_from_the_weights(trained, patches, tmp_path):
    folder, _ = trained
    options = ["--epochs", "1", "--learning-rate", "1e-9", "--init", str(folder), "--debug"]
    assert spot7.main(command(patches, tmp_path / "model", *options)) == 0
    best = min(epoch["val_loss"] for epoch in history(folder))
    assert history(tmp_path / "model")[0]["val_loss"] == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        ["--mixed-precision", "--loss", "l2", "--no-augmentation", "--streaming"],
        slow(["--strategy", "mirrored", "--steps-per-epoch", "2", "--no-global-skip", "--final-activation", "linear"]),
    ],
)
def test_options(patches, records, tmp_path, options):
    folder = patches if "--streaming" in options else records
    assert spot7.main(command(folder, tmp_path / "model", "--epochs", "1", "--debug", *options)) == 0
    assert np.isfinite(json.loads((tmp_path / "model" / "scores.json").read_text())["sr"]["l1"])


@pytest.mark.slow
def test_several_workers(patches, tmp_path):
    """Two processes share the training; the chief writes the model."""
    ports = [_free_port(), _free_port()]
    arguments = command(patches, tmp_path / "model", "--epochs", "2", "--strategy", "multiworker")
    workers = []
    for index in range(2):
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        configuration = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "train.spot7", *arguments],
                env={**os.environ, "TF_CONFIG": configuration},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    errors = [worker.communicate(timeout=100)[1].strip().splitlines() for worker in workers]
    if KERAS_3:
        assert [worker.returncode for worker in workers] == [1, 1]
        assert all("--strategy: expected none or mirrored under Keras 3" in lines[-1] for lines in errors)
    else:
        assert [worker.returncode for worker in workers] == [0, 0], errors
        assert len(history(tmp_path / "model")) == 2


def _free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _epochs_done(state):
    try:
        with h5py.File(state, "r") as file:
            return len(json.loads(file.attrs["history"]))
    except OSError:
        return 0


@pytest.mark.slow
def test_a_killed_training_goes_on(patches, tmp_path, capsys, monkeypatch):
    """Killed after a few epochs, then run again: as many epochs in all, the first ones being those before."""
    arguments = command(patches, tmp_path / "model", "--epochs", "60", "--learning-rate", "1e-4")
    program = [sys.executable, "-m", "train.spot7", *arguments]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = tmp_path / "model.checkpoint" / "state.h5"
    limit = time.monotonic() + 60
    while _epochs_done(state) < 3 and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model").exists()
    with h5py.File(state, "r") as file:
        before = json.loads(file.attrs["history"])
        steps = [file[f"optimizer/{index}"][()] for index in range(len(file["optimizer"]))]
    assert 3 <= len(before) < 60 and 3 * len(before) in [step.item() for step in steps if step.shape == ()]

    other = [*arguments[: arguments.index("1e-4")], "1e-3"]
    assert spot7.main(other) == 1
    assert "begun with learning_rate 0.0001" in capsys.readouterr().err
    seed, seeds = keras.utils.set_random_seed, []
    monkeypatch.setattr(keras.utils, "set_random_seed", lambda value: (seeds.append(value), seed(value)))
    assert spot7.main([*arguments, "--debug"]) == 0
    assert seeds == [0, 0, *range(len(before), 60)], "the order and the flips of the first epochs are not drawn again"
    assert history(tmp_path / "model")[: len(before)] == before
    assert len(history(tmp_path / "model")) == 60 and not state.exists()


def test_overwrite_forgets_another_training(tmp_path):
    identity = {"arguments": {"loss": "l1"}, "patches": {"train_lr.tif": "a"}}
    with h5py.File(tmp_path / "state.h5", "w") as file:
        file.attrs["identity"] = json.dumps(identity)
    check_identity(tmp_path, identity, overwrite=False)
    other = {"arguments": {"loss": "l1"}, "patches": {"train_lr.tif": "b"}}
    with pytest.raises(ValueError, match="^--checkpoint-dir: .* but .* begun with another train_lr.tif$"):
        check_identity(tmp_path, other, overwrite=False)
    (tmp_path / "something_else").touch()
    check_identity(tmp_path, other, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["something_else"]


@pytest.mark.slow
def test_a_model_that_cannot_be_scored_is_in_place_and_scored_by_the_same_command(
    patches, tmp_path, monkeypatch, capsys
):
    arguments = command(patches, tmp_path / "model", "--epochs", "2")
    with monkeypatch.context() as patched:
        patched.setattr("train.report.evaluate", _fail)
        assert spot7.main(arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"error: the model is in {tmp_path / 'model'}, but could not be scored" in error
    assert error.endswith(": disk full")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"saved_model.pb", "model.json", "weights.h5", "run.json"} <= names and "scores.json" not in names
    assert spot7.main([*arguments, "--seed", "5"]) == 1
    assert "holds a training begun with seed 0" in capsys.readouterr().err
    assert spot7.main(arguments) == 0
    assert "epoch 1 of 2" not in capsys.readouterr().err and len(history(tmp_path / "model")) == 2
    assert (tmp_path / "model" / "scores.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(SystemExit):
        spot7.main(arguments)


def _fail(*_):
    raise OSError("disk full")


def test_restored_state_is_complete(tmp_path):
    """Two epochs, or one epoch, a restoration and another one: the same weights."""
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 3)).astype("float32"), rng.random((8, 1)).astype("float32")

    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.layers.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(1, name="dense")(inputs))
        model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
        return model

    def fit(model, backup, epochs, initial_epoch=0):
        model.fit(
            x,
            y,
            validation_data=(x, y),
            epochs=epochs,
            initial_epoch=initial_epoch,
            shuffle=False,
            callbacks=[backup],
            verbose=0,
        )

    whole, first, second = make(), make(), make()
    fit(whole, Backup(tmp_path, {}, 9, writes=False), 2)
    fit(first, Backup(tmp_path, {}, 9), 1)
    backup = Backup(tmp_path, {}, 9)
    assert backup.restore(second) == 1
    fit(second, backup, 2, initial_epoch=1)
    assert len(backup.history) == 2
    for wanted, received in zip(whole.get_weights(), second.get_weights()):
        assert np.allclose(wanted, received, atol=1e-6)


def test_a_second_training_on_the_same_folder_is_refused(patches, tmp_path, capsys):
    checkpoint = tmp_path / "model.checkpoint"
    checkpoint.mkdir()
    with open(checkpoint / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert spot7.main(command(patches, tmp_path / "model")) == 1
    wanted = "error: --checkpoint-dir: expected a folder that no other training uses, got "
    assert wanted in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.rglob("*")] == ["model.checkpoint", ".lock"]


def test_early_stopping(tmp_path):
    backup = Backup(tmp_path, {}, patience=2, writes=False)
    for losses, over in (([3], False), ([3, 2], False), ([3, 2, 2], False), ([3, 2, 4, 2.5], True), ([1, 2, 3], True)):
        backup.history = [{"val_loss": loss} for loss in losses]
        assert backup.is_over == over, losses
    assert backup.best_epoch == 0


def test_a_loss_that_is_not_a_number(patches, tmp_path, capsys):
    options = ["--epochs", "3", "--learning-rate", "1e30", "--loss", "l2", "--final-activation", "linear"]
    assert spot7.main(command(patches, tmp_path / "model", *options)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("python -m train.spot7: error: ") and error.endswith(": lower --learning-rate")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["--learning-rate", "-1"], "--learning-rate: expected more than 0, got -1.0"),
        (["--patches", "/nothing"], "--patches: expected a folder that exists, got '/nothing'"),
        (["--init", "/nothing.h5"], "--init: expected a file or folder that exists, got '/nothing.h5'"),
        (["--learning-rate", "inf"], "--learning-rate: expected more than 0, got inf"),
        (["--seed", "-1"], "--seed: expected 0 to 2**32 - 1, got -1"),
        (["--blocks", "-1"], "--blocks: expected at least 0, got -1"),
        (["--depth", "0"], "--depth: expected at least 1, got 0"),
        (["--model-dir", "."], "--model-dir: expected a folder that does not exist, or --overwrite, got '.'"),
        (["--size", "huge"], "--size: invalid choice: 'huge'"),
    ],
)
def test_usage_errors(patches, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        spot7.main(command(patches, tmp_path / "model", *options))
    assert caught.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("kind", ["file", "patches", "other"])
def test_overwrite_replaces_nothing_but_a_model(patches, tmp_path, capsys, kind):
    target = tmp_path / "kept"
    if kind == "file":
        target.write_text("kept")
    else:
        target.mkdir()
        (target / ("train_lr.tif" if kind == "patches" else "notes.txt")).write_text("kept")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as caught:
        spot7.main(command(patches, target, "--overwrite"))
    assert caught.value.code == 2 and "--overwrite replaces exported models only" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_broken_record_of_the_patches_is_refused_before_training(patches, tmp_path, capsys):
    folder = tmp_path / "patches"
    folder.mkdir()
    for path in patches.glob("*.tif"):
        (folder / path.name).symlink_to(path)
    (folder / "dataset.json").write_text("{")
    assert spot7.main(command(folder, tmp_path / "model")) == 1
    assert "error: --patches: expected JSON in dataset.json, got " in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["patches"]


def test_a_log_folder_that_cannot_be_made(patches, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert spot7.main(command(patches, tmp_path / "model", "--log-dir", str(tmp_path / "file" / "logs"))) == 1
    assert "error: --log-dir: expected a folder that can be made, got " in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_unsuitable_patches_leave_no_checkpoint_folder(patches, tmp_path, capsys):
    network = ["--activation", "swish", "--final-activation", "relu", "--global-skip"]
    assert spot7.main(command(patches, tmp_path / "model", "--init", str(patches), *network)) == 1
    assert "error: weights: " in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_failures_are_one_line(tmp_path, capsys):
    (tmp_path / "patches").mkdir()
    assert spot7.main(command(tmp_path / "patches", tmp_path / "model")) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "error: --patches: expected a folder with train_lr.tif and train_hr.tif" in error
    assert [path.name for path in tmp_path.iterdir()] == ["patches"]


def test_every_size_of_the_model_can_be_trained():
    assert set(spot7.LEARNING_RATES) == set(SIZES)


def test_targets_of_another_size(patches, tmp_path, capsys):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}_lr.tif").symlink_to(patches / f"{name}_lr.tif")
        (tmp_path / f"{name}_hr.tif").symlink_to(patches / f"{name}_lr.tif")
    assert spot7.main(command(tmp_path, tmp_path / "model")) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith("--patches: expected targets of shape (32, 32, 4), got (8, 8, 4)")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, train.spot7\n"
        "try:\n    train.spot7.main(['--help'])\n"
        "except SystemExit:\n    sys.exit(bool({'tensorflow', 'numpy', 'osgeo'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--batch-size" in result.stdout
