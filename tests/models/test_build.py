# SPDX-License-Identifier: Apache-2.0
"""Models made of their descriptions, and where they have 16 bits."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from models import base, weights_file
from models.build import build
from models.description import FILE_NAME, read_description
from models.dsen2 import DSen2
from models.l1bsr import CSR, REC
from models.spot7 import SRModel

pytestmark = pytest.mark.keras

CLASSES = {"dsen2": DSen2, "l1bsr": REC, "spot7": SRModel}
ARGUMENTS = {
    "dsen2": {"role": "2x", "depth": 4, "num_blocks": 2, "back_projection": True},
    "l1bsr": {"num_groups": 1, "num_blocks": 2, "depth": 4, "reduction": 2},
    "spot7": {"depth": 4, "num_blocks": 2},
}
INNER = {
    "dsen2": {"block1_1", "block2_1", "block2_2"},
    "l1bsr": {f"group1_{name}" for name in ("block1_1", "block1_2", "block2_1", "block2_2", "last")} | {"body_last"},
    "spot7": {"block1_1", "block1_2", "block2_1", "block2_2", "upsampling1", "upsampling2"},
}
SYSTEMS = list(CLASSES)


def read(model, folder):
    """Return what `model.json` says of a model."""
    (folder / FILE_NAME).write_text(json.dumps(model.description()))
    return read_description(folder)


@pytest.fixture
def small(tmp_path):
    """Return a function giving a small model of a system, and its description."""

    def make(system):
        model = CLASSES[system].from_bands(**ARGUMENTS[system])
        model.levels, model.origin = ("L2A",), {"file": "x.hdf5"}
        return model, read(model, tmp_path)

    return make


def inputs_of(model, side=24):
    rng = np.random.default_rng(0)
    finest = min(source.gsd for source in model.sources)
    shapes = {s.name: (1, *[round(side * finest / s.gsd)] * 2, len(s.bands)) for s in model.sources}
    return {name: tf.constant(rng.integers(1, 9000, shape), tf.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_description_becomes_its_model(small, system, precision, tmp_path):
    model, wanted = small(system)
    built = build(wanted, precision)
    assert type(built) is CLASSES[system] and built.precision == precision
    assert read(built, tmp_path) == dataclasses.replace(wanted, precision=precision)
    assert [v.shape for v in built.model.weights] == [v.shape for v in model.model.weights]
    assert keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize("system", SYSTEMS)
def test_inner_convolutions_have_16_bits_and_all_else_32(small, system):
    model = build(small(system)[1], "bfloat16").model
    sixteen = [layer for layer in model.layers if layer.compute_dtype == "bfloat16"]
    assert {layer.name for layer in sixteen if layer.weights} == INNER[system]
    assert all(weight.dtype == "float32" for weight in model.weights)
    for layer in sixteen:  # nothing that sums, and no end
        assert layer.name.startswith(("block", "upsampling", "group", "body")) and not layer.name.endswith("_add"), (
            layer.name
        )
    assert all(output.dtype in ("float32", tf.float32) for output in model.output.values())


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_export_says_its_precision_and_keeps_float32_around(small, system, tmp_path):
    model, wanted = small(system)
    for variable in model.model.weights:  # those that start at zero too
        variable.assign(np.random.default_rng(1).normal(0, 0.1, variable.shape))
    base.export(model, tmp_path / "float32")
    built = build(wanted, "bfloat16")
    weights_file.load_weights(built.model, tmp_path / "float32")
    base.export(built, tmp_path / "bfloat16")
    said, before = read_description(tmp_path / "bfloat16"), read_description(tmp_path / "float32")
    assert said == dataclasses.replace(before, precision="bfloat16") and before.precision == "float32"
    tensors = inputs_of(model, 48 if system == "dsen2" else 32)
    exact, rounded = (
        tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"](**tensors)["sr"].numpy()
        for name in ("float32", "bfloat16")
    )
    error = np.abs(rounded - exact).max()
    assert 0 < error < 0.02 * np.abs(exact).max()
    assert np.unique(rounded).size > 0.5 * rounded.size  # the output itself is not rounded to 8 bits


@pytest.mark.parametrize("system", ["", "none", "layers", "base", "description", "build", "../dsen2", "os", "DSen2"])
def test_other_systems_are_refused(small, system):
    _, wanted = small("spot7")
    with pytest.raises(ValueError, match=f"^--model-dir: expected a system with a file in models/.*{system!r}$"):
        build(dataclasses.replace(wanted, system=system))


def test_of_several_classes_the_named_one_is_made(tmp_path):
    for model in (REC.from_bands(**ARGUMENTS["l1bsr"]), CSR.from_bands(depth=2)):
        description = read(model, tmp_path)
        assert description.model == type(model).__name__ and type(build(description)) is type(model)
    for name in ("", "Pairs"):
        with pytest.raises(ValueError, match=f"^--model-dir: expected a model of l1bsr .CSR, REC., .*{name!r}$"):
            build(dataclasses.replace(description, model=name))


def test_other_arguments_and_precisions_are_refused(small):
    _, wanted = small("spot7")
    with pytest.raises(ValueError, match="^--model-dir: its arguments do not fit SRModel .*width"):
        build(dataclasses.replace(wanted, arguments={"width": 3}), "bfloat16")
    assert keras.mixed_precision.global_policy().name == "float32"
    with pytest.raises(ValueError, match="^precision: expected one of float32, bfloat16, got int8$"):
        build(wanted, "int8")


def test_folders_beside_an_export_stay_whatever_their_names(tmp_path):
    for name in ("model.partial", ".model.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "letter.txt").write_text("mine")
    model = SRModel.from_bands(depth=2, num_blocks=1)
    base.export(model, tmp_path / "model")
    base.export(model, tmp_path / "model", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.partial", ".model.replaced"}
    assert all((tmp_path / name / "letter.txt").exists() for name in ("model.partial", ".model.replaced"))


def test_a_model_stays_when_the_one_that_replaces_it_cannot_be_moved(tmp_path, monkeypatch):
    for name in ("new", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(name)
    rename = os.rename

    def refuse(source, target):
        if Path(target) == tmp_path / "model" and Path(source).name == "new":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr("models.base.os.rename", refuse)
    with pytest.raises(OSError):
        base.replace_folder(tmp_path / "new", tmp_path / "model")
    assert (tmp_path / "model" / "model.json").read_text() == "model"
