# SPDX-License-Identifier: Apache-2.0
"""Training DSen2 on made-up scenes: what is learned and left, defaults, resumption, adaptation, failures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from osgeo import gdal

from chain.runtime.options import values_for_pixels
from models.description import read_description, sealed_description
from models.dsen2 import SIZES, SOURCES, DSen2
from models.spectra import read_spectra
from tests.train.samples import write_scene
from train import dsen2
from train.callbacks import Backup
from train.dsen2 import Options
from train.dsen2 import options as dsen2_options

pytestmark = pytest.mark.keras

TINY = ["--depth", "6", "--blocks", "1", "--batch-size", "8"]
PATCH = {"2x": "12", "6x": "6"}


def command(role, names, model_dir, *others):
    inputs = ["--input", *names, "--offset", "0", "--patch-size", PATCH[role], "--samples", "64"]
    return ["--role", role, *inputs, "--model-dir", str(model_dir), *TINY, *others]


def read_json(path):
    return json.loads(path.read_text())


def history(folder):
    return read_json(folder / "run.json")["history"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """The folder of a trained model of the 2x role."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--epochs", "6", "--learning-rate", "0.003", "--start-at-interpolation", "--levels", "L1C,L2A"]
    test = ["--test", *write_scene(folder, seed=1), "--debug"]
    assert dsen2.main(command("2x", scene, folder / "model", *options, *test)) == 0
    return folder / "model"


@pytest.mark.slow
def test_what_a_training_leaves(trained):
    names = {path.name for path in trained.iterdir()}
    wanted = {"saved_model.pb", "variables", "model.json", "weights.h5", "run.json"}
    wanted |= {"scores.json", "scores.md", "scores.png"}
    assert wanted <= names and {path.name for path in trained.parent.glob("model*")} == {"model"}
    description = read_description(trained)
    assert description.levels == ("L1C", "L2A") and description.system == "dsen2"
    expected = {"role": "2x", "depth": 6, "num_blocks": 1}
    assert expected.items() <= description.arguments.items()
    assert DSen2.from_bands(**description.arguments).crop == description.crop
    assert read_spectra(trained).bands == (*SOURCES["x10"].bands, *SOURCES["x20"].bands)


@pytest.mark.slow
def test_the_loss_falls(trained):
    losses, valid = ([epoch[name] for epoch in history(trained)] for name in ("loss", "val_loss"))
    assert len(losses) == 6 and losses[-1] < 0.8 * losses[0] and min(valid) < 0.8 * valid[0]
    assert read_json(trained / "run.json")["best_epoch"] == 1 + int(np.argmin(valid))


@pytest.mark.slow
def test_scores(trained):
    """On ground that was not trained on: better than bicubic interpolation, as fine bands tell of the coarse ones."""
    scores = read_json(trained / "scores.json")
    ((name, report),) = scores["scenes"].items()
    assert scores["mean"]["bands"] == report["bands"]
    assert name == "scene1@0,0" and set(report["bands"]) == set(SOURCES["x20"].bands)
    assert report["protocol"] == "wald" and report["mean_20m"]["ratio"] < 0.9
    text = (trained / "scores.md").read_text()
    assert f"### {name}" in text and "B8A" in text


@pytest.mark.slow
def test_run_json(trained, scene):
    run = read_json(trained / "run.json")
    arguments = run["arguments"]
    assert arguments["optimizer"] == "nadam" and arguments["augmentation"] is False and arguments["input"] == [scene]
    assert {"otb-super-resolution", "tensorflow", "keras", "otbtf"} <= set(run["versions"])
    assert all(len(value) == 64 for value in run["patches"].values()) and run["patches"]


@pytest.mark.slow
def test_init_starts_from_the_weights(trained, scene, tmp_path):
    options = ["--epochs", "1", "--learning-rate", "1e-9", "--init", str(trained), "--debug"]
    assert dsen2.main(command("2x", scene, tmp_path / "model", *options)) == 0
    best = min(epoch["val_loss"] for epoch in history(trained))
    assert history(tmp_path / "model")[0]["val_loss"] == pytest.approx(best, rel=1e-3)
    assert read_json(tmp_path / "model" / "scores.json") == {"scenes": {}, "mean": {}}
    assert not read_spectra(tmp_path / "model").unlike(read_spectra(trained).shares).any()


@pytest.mark.slow
def test_adaptation(trained, scene, tmp_path, monkeypatch):
    """The project's weights are gone on with, by the defaults of `--adapt`; other options are as given."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "2x").symlink_to(trained)
    monkeypatch.setattr(dsen2_options, "PROJECT_WEIGHTS", tmp_path / "weights")
    arguments = ["--role", "2x", "--adapt", "--input", *scene, "--offset", "0", "--model-dir", str(tmp_path / "model")]
    others = ["--patch-size", "12", "--samples", "24", "--epochs", "2", "--debug"]
    assert dsen2.main([*arguments, *others]) == 0
    run = read_json(tmp_path / "model" / "run.json")["arguments"]
    given = {"samples": 24, "epochs": 2, "patch_size": 12}
    wanted = {**dsen2_options.ADAPTATION, "init": str(tmp_path / "weights" / "2x"), "depth": 6, "blocks": 1, **given}
    assert wanted.items() <= run.items()
    assert (run["optimizer"], run["batch_size"], run["any_phase"], run["learning_rate"]) == ("adam", 8, True, 2e-4)
    first, before = history(tmp_path / "model")[0]["val_loss"], history(trained)
    assert first < 0.5 * (before[0]["val_loss"] + min(epoch["val_loss"] for epoch in before))
    started = Options(role="2x", adapt=True, init=str(trained / "weights.h5")).with_defaults(SIZES)
    assert (started.depth, started.blocks, started.init) == (6, 1, str(trained / "weights.h5"))


def test_adaptation_without_weights(scene, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dsen2_options, "PROJECT_WEIGHTS", tmp_path / "nothing")
    with pytest.raises(SystemExit) as caught:
        dsen2.main(["--role", "6x", "--adapt", "--input", *scene, "--model-dir", str(tmp_path / "model")])
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "--init: expected a folder with model.json" in error and error.endswith("nothing/6x")


@pytest.mark.slow
@pytest.mark.parametrize("system, role", [("spot7", None), ("dsen2", "2x")])
def test_adaptation_of_other_weights(trained, tmp_path, capsys, system, role):
    content = read_json(trained / "model.json")
    arguments = content["arguments"] if role else {"activation": "relu"}
    other = sealed_description({**content, "system": system, "arguments": arguments})
    (tmp_path / "model.json").write_text(json.dumps(other))
    words = ["--role", "6x", "--adapt", "--input", "a", "--model-dir", "m", "--init", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        dsen2.main(words)
    wanted = f"--init: expected weights of dsen2 6x, got those of {system} {role or ''}".rstrip()
    assert caught.value.code == 2 and f"{wanted} in {tmp_path}" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_levels_are_those_of_the_weights_that_are_gone_on_with(trained, tmp_path):
    shutil.copy(trained / "weights.h5", tmp_path)
    for init, others, wanted in (
        (trained, {}, ("L1C", "L2A")),
        (trained / "weights.h5", {"adapt": True}, ("L1C", "L2A")),
        (trained, {"levels": ["L2A"]}, ("L2A",)),
        (tmp_path, {"back_projection": False, "consistent": False}, ()),
    ):
        assert Options(role="2x", init=str(init), **others).with_defaults(SIZES).levels == wanted, others


@pytest.mark.slow
def test_bands_that_nothing_describes_are_named(trained, scene, tmp_path):
    """The samples are the same; which option says so is nothing to resume by."""
    names = [str(tmp_path / Path(name).name) for name in scene]
    for bare, described in zip(names, scene):
        dataset = gdal.Translate(bare, described)
        for number in range(1, dataset.RasterCount + 1):
            dataset.GetRasterBand(number).SetDescription("")
        dataset = None
    naming = [word for s in SOURCES.values() for word in (f"--bands-{s.gsd:.0f}m", ",".join(s.bands))]
    words = ["--epochs", "1", "--test", *names, "--debug", *naming]
    assert dsen2.main(command("2x", names, tmp_path / "model", *words)) == 0
    run = read_json(tmp_path / "model" / "run.json")
    assert run["patches"] == read_json(trained / "run.json")["patches"]
    assert run["arguments"]["bands_60m"] == ["B01", "B09"]
    assert not {"bands_10m", "bands_20m", "bands_60m"} & set(values_for_pixels(Options(role="2x")))


@pytest.mark.slow
def test_other_options(scene, tmp_path, capsys):
    """The other role, optimizer and loss; a blur by the bands' transfer; all that makes more of few scenes."""
    options = ["--optimizer", "adam", "--loss", "l2", "--any-phase", "--radiometry", "--augmentation"]
    others = ["--mtf", "B01=0.3,B04=0.2", "--mixed-precision", "--epochs", "2", "--learning-rate", "1e-3", "--debug"]
    test = ["--test", *scene, "--start-at-interpolation", "--back-projection"]
    assert dsen2.main(command("6x", scene, tmp_path / "model", *options, *others, *test)) == 0
    assert "train: 64 patches" in capsys.readouterr().err
    description, run = read_description(tmp_path / "model"), read_json(tmp_path / "model" / "run.json")
    assert description.bands == ("B01", "B09") and [s.name for s in description.sources] == ["x10", "x20", "x60"]
    assert description.arguments["back_projection"] is True and description.levels == ()
    assert run["arguments"]["mtf"] == {"B01": 0.3, "B04": 0.2} and len(run["history"]) == 2
    (report,) = read_json(tmp_path / "model" / "scores.json")["scenes"].values()
    assert set(report["bands"]) == {"B01", "B09"} and np.isfinite(report["mean_60m"]["ratio"])


def _epochs_done(state):
    try:
        with h5py.File(state, "r") as file:
            return len(json.loads(file.attrs["history"]))
    except OSError:
        return 0


@pytest.mark.slow
def test_a_killed_training_goes_on(tmp_path, capsys):
    """Killed after a few epochs, then run again: as many epochs in all, the first ones being those before.

    Other options and other pixels are noticed; other names of the files are not.
    """
    names = write_scene(tmp_path)
    arguments = command("2x", names, tmp_path / "model", "--epochs", "25")
    program = [sys.executable, "-m", "train.dsen2", *arguments]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = tmp_path / "model.checkpoint" / "state.h5"
    limit = time.monotonic() + 90
    while _epochs_done(state) < 2 and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model").exists()
    with h5py.File(state, "r") as file:
        before = json.loads(file.attrs["history"])
    assert 2 <= len(before) < 25

    assert dsen2.main([*arguments, "--radiometry"]) == 1
    assert "begun with radiometry False" in capsys.readouterr().err
    content = Path(names[0]).read_bytes()
    write_scene(tmp_path, seed=1)
    shutil.copy(tmp_path / "scene1_10m.tif", names[0])
    assert dsen2.main(arguments) == 1
    assert "begun with another train: 1 scene0@0,0" in capsys.readouterr().err

    Path(names[0]).write_bytes(content)
    (tmp_path / "moved").mkdir()
    moved = [shutil.move(name, tmp_path / "moved") for name in names]
    assert dsen2.main([*command("2x", moved, tmp_path / "model", "--epochs", "25"), "--debug"]) == 0
    assert f"going on after epoch {len(before)} of 25" in capsys.readouterr().err
    after = history(tmp_path / "model")
    assert after[: len(before)] == before and len(after) == 25 and not state.parent.exists()


@pytest.mark.slow
def test_a_training_that_goes_on_is_the_one_that_was_not_interrupted(trained, scene, tmp_path, monkeypatch, capsys):
    """It draws the patches that come next; other weights to start from are noticed, the same ones elsewhere are not."""
    options = ["--epochs", "2", "--learning-rate", "0.003", "--augmentation", "--no-back-projection", "--no-consistent"]
    assert dsen2.main([*command("2x", scene, tmp_path / "whole", *options), "--init", str(trained), "--debug"]) == 0

    def interrupted(self, epoch, logs=None):
        ended(self, epoch, logs)
        raise KeyboardInterrupt

    ended, arguments = Backup.on_epoch_end, command("2x", scene, tmp_path / "model", *options)
    with monkeypatch.context() as patched:
        patched.setattr(Backup, "on_epoch_end", interrupted)
        assert dsen2.main([*arguments, "--init", str(trained)]) == 130

    digest = read_description(trained).weights
    shutil.copy(trained / "weights.h5", tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file["first/bias"][...] += 1
    for others in (["--init", str(tmp_path / "other.h5")], []):
        assert dsen2.main([*arguments, *others]) == 1
        assert f"begun with init {digest}" in capsys.readouterr().err.splitlines()[-1]
    shutil.copy(trained / "weights.h5", tmp_path / "moved.h5")
    assert dsen2.main([*arguments, "--init", str(tmp_path / "moved.h5"), "--debug"]) == 0
    assert "going on after epoch 1 of 2" in capsys.readouterr().err
    assert read_json(tmp_path / "model" / "run.json")["init"] == digest
    for wanted, received in zip(history(tmp_path / "whole"), history(tmp_path / "model"), strict=True):
        assert received == pytest.approx(wanted, rel=1e-3)


def test_failures_are_one_line(scene, tmp_path, capsys):
    small = write_scene(tmp_path, seed=7, side=60)
    cloudy = write_scene(tmp_path, seed=8)
    for name in cloudy:
        dataset = gdal.Open(name, gdal.GA_Update)
        dataset.WriteArray(np.zeros_like(dataset.ReadAsArray()))
        dataset = None
    levelled = [str(tmp_path / f"S2A_MSIL1C_20200101T100000_{Path(name).name}") for name in scene]
    for name, copy in zip(scene, levelled):
        shutil.copy(name, copy)
    cut = str(tmp_path / "scene0_20m.tif")
    gdal.Translate(cut, scene[1], srcWin=[6, 9, 45, 48])
    renamed = str(tmp_path / "three_20m.tif")
    gdal.Translate(renamed, scene[1], bandList=[1, 2, 3])
    for role, names, options, message in (
        ("6x", scene[:2], [], "expected bands B01 B09, got "),
        ("2x", [scene[0], renamed], [], "expected bands B8A B11 B12, got "),
        ("2x", ["/nothing.tif"], [], "/nothing.tif"),
        ("2x", scene, ["--patch-size", "13"], "patch_size: expected a multiple of 2, got 13"),
        ("2x", cloudy, [], "error: scenes: expected ground without clouds, got 100 cloudy or missing patches"),
        (
            "2x",
            scene,
            ["--test", *cloudy],
            "error: --test: expected pixels of B05 B06 B07 B8A B11 B12 valid in every band",
        ),
        ("6x", scene, ["--test", *small], "error: --test: expected at least 72 x 72 pixels of 10 m for B01 B09,"),
        (
            "2x",
            small,
            ["--patch-size", "32"],
            "--input: expected a scene of at least 33 rows of 60 m, to train and to validate",
        ),
        (
            "2x",
            scene,
            ["--valid", *scene],
            "--valid: expected other ground than --input's, got 100% of its pixels in scene0@0,0",
        ),
        ("2x", [scene[0], cut], ["--valid", *scene], "--valid: expected other ground than --input's, got "),
        ("2x", levelled, ["--levels", "L2A"], "--levels: expected L1C, which "),
        ("2x", scene, ["--init", scene[0], "--no-back-projection", "--no-consistent"], "weights: "),
    ):
        assert dsen2.main(command(role, names, tmp_path / "model", *options)) == 1, message
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("python -m train.dsen2: error: ") and message in error
        assert not list(tmp_path.glob("model*"))
