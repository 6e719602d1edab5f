# SPDX-License-Identifier: Apache-2.0
"""Folders of models: which are found, and which are made of weights."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from chain.serving import exported_models
from chain.serving.exported_models import exported, find_models, served_folder
from models import base
from models.description import FILE_NAME, read_description, sealed_description, write_description
from models.dsen2 import DSen2, FastDSen2
from models.weights_file import save_weights
from tests.examples import slow

pytestmark = pytest.mark.keras


def model_at(folder):
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_text("{}")
    return folder


def test_models_are_found_in_a_folder_or_two_levels_below(tmp_path):
    deep = [model_at(tmp_path / name / role) for name in ("l1c", "l2a") for role in ("2x", "6x")]
    assert find_models(tmp_path) == deep and find_models(str(tmp_path / "l1c")) == deep[:2]
    assert find_models(deep[3]) == [deep[3]]
    near = model_at(tmp_path / "other")
    assert find_models(tmp_path) == [near]


@pytest.mark.parametrize("name", [".", "none", "file.txt"])
def test_a_folder_without_models_is_refused(tmp_path, name):
    model_at(tmp_path / "too" / "deep" / "by" / "one")
    (tmp_path / "file.txt").touch()
    with pytest.raises(ValueError, match=f"^--model-dir: expected a folder with {FILE_NAME}, .*, got {tmp_path}"):
        find_models(tmp_path / name if name != "." else tmp_path)


def refuse(*_):
    raise AssertionError("nothing has to be made")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An exported model."""
    folder = tmp_path_factory.mktemp("models") / "model"
    made = DSen2.from_bands("2x", depth=2, num_blocks=1)
    made.levels, made.origin = ("L2A",), {"file": "x.hdf5"}
    base.export(made, folder)
    return folder


@pytest.fixture
def weights_only(model, tmp_path):
    """The same without its SavedModel."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in (FILE_NAME, exported_models.WEIGHTS):
        shutil.copy(model / name, folder / name)
    return folder


def run(folder):
    rng = np.random.default_rng(0)
    tensors = {
        "x10": tf.constant(rng.integers(1, 9000, (1, 32, 32, 4)), tf.float32),
        "x20": tf.constant(rng.integers(1, 9000, (1, 16, 16, 6)), tf.float32),
    }
    return tf.saved_model.load(str(folder)).signatures["serving_default"](**tensors)["sr"].numpy()


def test_an_exported_model_is_served_from_its_own_folder(model, tmp_path):
    assert served_folder(model, tmp_path / "cache") == model
    assert not (tmp_path / "cache").exists()


def test_weights_become_the_same_model_once(model, weights_only, tmp_path, monkeypatch):
    cache = tmp_path / "new" / "cache"
    folder = served_folder(weights_only, cache)
    assert folder.parent == cache and folder.name.startswith("dsen2-")
    assert read_description(folder) == read_description(model)
    np.testing.assert_array_equal(run(folder), run(model))
    monkeypatch.setattr(base, "export", refuse)
    assert served_folder(weights_only, cache) == folder
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_what_is_in_the_cache_is_found_without_tensorflow(weights_only, tmp_path):
    folder = served_folder(weights_only, tmp_path / "cache")
    code = "import sys; from pathlib import Path; from chain.serving.exported_models import served_folder\n"
    code += (
        f"print(served_folder(*map(Path, {[str(weights_only), str(tmp_path / 'cache')]})), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{folder} False"


def test_of_a_model_that_can_crop_the_cropped_outputs_are_served_and_all_if_they_are_asked_for(tmp_path):
    folder, cache = tmp_path / "weights", tmp_path / "cache"
    folder.mkdir()
    model = FastDSen2.from_bands("2x", depth=2, num_blocks=1)
    save_weights(model.model, folder / exported_models.WEIGHTS)
    write_description(folder, model.description())
    signatures = [
        tf.saved_model.load(str(served_folder(folder, cache, whole=whole))).signatures["serving_default"]
        for whole in (False, True)
    ]
    served, all_of_them = (set(signature.structured_outputs) for signature in signatures)
    assert served == {*read_description(folder).outputs.values()} < all_of_them == set(model.model.output)


@pytest.mark.parametrize("kind", [slow("model"), "weights_only"])
def test_a_model_is_exported_once_in_another_precision(request, kind, tmp_path, monkeypatch):
    folder, cache = request.getfixturevalue(kind), tmp_path / "cache"
    made = served_folder(folder, cache, "bfloat16")
    assert made.name.startswith("dsen2-bfloat16-") and read_description(made).precision == "bfloat16"
    assert dataclasses.replace(read_description(made), precision="float32") == read_description(folder)
    monkeypatch.setattr(base, "export", refuse)
    assert served_folder(folder, cache, "bfloat16") == made
    assert served_folder(made, cache, "bfloat16") == made and [path.name for path in cache.iterdir()] == [made.name]


def test_the_way_back_needs_the_weights(model, tmp_path):
    made = served_folder(model, tmp_path / "cache", "bfloat16")
    back = served_folder(made, tmp_path / "cache", "float32")
    np.testing.assert_array_equal(run(back), run(model))
    (made / exported_models.WEIGHTS).unlink()
    with pytest.raises(
        ValueError, match="^--model-dir: expected saved_model.pb of float32 or weights.h5, got .*, without w"
    ):
        served_folder(made, tmp_path / "cache", "float32")


def test_a_folder_with_neither_is_refused(weights_only, tmp_path):
    (weights_only / exported_models.WEIGHTS).unlink()
    with pytest.raises(
        ValueError, match="^--model-dir: expected saved_model.pb of float32 or weights.h5, got .*, with neither"
    ):
        served_folder(weights_only, tmp_path / "cache")


def test_weights_of_another_network_are_refused_and_leave_nothing(weights_only, tmp_path):
    description = json.loads((weights_only / FILE_NAME).read_text())
    description["arguments"]["depth"] = 3
    (weights_only / FILE_NAME).write_text(json.dumps(sealed_description(description)))
    with pytest.raises(ValueError, match=r"^weights: expected block1_1/bias of shape \(3,\), got \(2,\)"):
        served_folder(weights_only, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.fixture
def export(monkeypatch):
    """Replace the export by one that writes a mark, and count the marks."""
    marks = []

    def write(made, folder):
        Path(folder).mkdir()
        marks.append(made)
        (Path(folder) / FILE_NAME).write_text(json.dumps(made))

    monkeypatch.setattr(base, "export", write)
    return marks


def test_what_a_model_depends_on_is_noticed(tmp_path, export, monkeypatch):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("1")
    cache = tmp_path / "cache"
    first = exported(lambda: "first", files, "toy", cache)
    assert exported(refuse, files, "toy", cache) == first and export == ["first"]
    files[1].write_text("2")
    second = exported(lambda: "second", files, "toy", cache)
    assert second != first and (second / FILE_NAME).read_text() == '"second"'
    assert exported(lambda: "third", files, "other", cache).name.startswith("other-")
    monkeypatch.setattr(exported_models, "MODELS", tmp_path)
    (tmp_path / "dsen2.py").touch()
    fourth = exported(lambda: "fourth", files, "toy", cache)
    (tmp_path / "dsen2.py").write_text("another network")
    fifth = exported(lambda: "fifth", files, "toy", cache)
    monkeypatch.setattr(exported_models, "package_versions", lambda: {"tensorflow": "0.0", "keras": "0.0"})
    sixth = exported(lambda: "sixth", files, "toy", cache)
    assert len({first, second, fourth, fifth, sixth}) == 5
    assert export == ["first", "second", "third", "fourth", "fifth", "sixth"]


def test_a_process_that_is_faster_wins_and_a_broken_folder_is_replaced(tmp_path, export):
    (tmp_path / "a").touch()
    cache = tmp_path / "cache"

    def slower():
        assert exported(lambda: "faster", [tmp_path / "a"], "toy", cache).exists()
        return "slower"

    folder = exported(slower, [tmp_path / "a"], "toy", cache)
    assert (folder / FILE_NAME).read_text() == '"faster"' and [p.name for p in cache.iterdir()] == [folder.name]
    (folder / FILE_NAME).unlink()
    (folder / "rest").touch()
    assert exported(lambda: "again", [tmp_path / "a"], "toy", cache) == folder
    assert {path.name for path in folder.iterdir()} == {FILE_NAME, exported_models.CHECKSUMS}
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_written_is_told(tmp_path, export):
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="^cache: expected a folder that can be written .*, got .*/a/cache .Not a dir"):
        exported(refuse, [tmp_path / "a"], "toy", tmp_path / "a" / "cache")


def test_a_model_that_cannot_be_made_leaves_nothing(tmp_path, export):
    (tmp_path / "a").touch()

    def fail():
        raise ValueError("no weights")

    with pytest.raises(ValueError, match="no weights"):
        exported(fail, [tmp_path / "a"], "toy", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        "flipped",
        *(slow(kind) for kind in ("description", "truncated", "removed", "checksums")),
    ],
)
def test_a_damaged_model_in_the_cache_is_made_again(weights_only, tmp_path, damage, caplog):
    cache = tmp_path / "cache"
    folder = served_folder(weights_only, cache)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    names = {"description": FILE_NAME, "checksums": exported_models.CHECKSUMS}
    victim = folder / names.get(damage, "saved_model.pb")
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content[:-1] if damage == "truncated" else content)
    if damage == "removed":
        victim.unlink()
    assert served_folder(weights_only, cache) == folder and "damaged, made again" in caplog.text
    assert exported_models.is_intact(folder) and read_description(folder) == read_description(weights_only)
    assert before.keys() == {path.name for path in folder.iterdir() if path.is_file()}
    assert [path.name for path in cache.iterdir()] == [folder.name]
