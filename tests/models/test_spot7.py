# SPDX-License-Identifier: Apache-2.0
"""`SRModel`: outputs, exact receptive field, export, weights, one training step; in both generations of Keras."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from models import base, weights_file
from models.spot7 import SIZES, SRModel

pytestmark = pytest.mark.keras

TINY = {"depth": 3, "num_blocks": 1}


def digital_numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype("float32")


def randomize(model, positive=False):
    rng = np.random.default_rng(1)
    for layer in model.layers:
        weights = [rng.normal(0, 0.3, weight.shape) for weight in layer.get_weights()]
        layer.set_weights([np.abs(weight) + 0.1 if positive else weight for weight in weights])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with random weights, and the folder it is exported to."""
    model = SRModel.from_bands(**TINY)
    randomize(model.model)
    folder = tmp_path_factory.mktemp("spot7") / "model"
    base.export(model, folder)
    return model, folder


@pytest.mark.parametrize("height, width", [(32, 32), (17, 40)])
def test_outputs(exported, height, width):
    model, _ = exported
    outputs = model.model({"lr": digital_numbers(2, height, width, 4)})
    crop = model.crop
    assert sorted(outputs) == sorted(["sr", "sr_dn", f"sr_crop{crop}", f"sr_dn_crop{crop}"])
    image = outputs["sr"].numpy()
    assert image.shape == (2, 4 * height, 4 * width, 4) and image.min() >= 0
    assert np.array_equal(outputs["sr_dn"], np.round(np.clip(image * np.float32(1e4), 0, 65535)))
    assert np.array_equal(outputs[f"sr_crop{crop}"], image[:, crop:-crop, crop:-crop])
    assert np.array_equal(outputs[f"sr_dn_crop{crop}"], outputs["sr_dn"][:, crop:-crop, crop:-crop])


def test_starts_as_bicubic_interpolation():
    lr = digital_numbers(1, 10, 12, 4)
    image = SRModel.from_bands(**TINY).model({"lr": lr})["sr"]
    wanted = np.maximum(tf.image.resize(lr * 1e-4, (40, 48), "bicubic"), 0)
    assert np.allclose(image, wanted, atol=1e-6)


@pytest.mark.parametrize("global_skip", [True, False])
@pytest.mark.parametrize("kernel", [2, 4, 6])
@pytest.mark.parametrize("blocks", [0, 2])
def test_receptive_field_is_exact(blocks, kernel, global_skip):
    """With positive linear weights, what a row of the border spoils is all it can: the radius is that, on all sides."""
    model = SRModel.from_bands(
        depth=2, num_blocks=blocks, upsampling_kernel=kernel, activation="linear", global_skip=global_skip
    )
    randomize(model.model, positive=True)
    margin, size = 2, model.receptive_field_radius // 2 + 8
    large = digital_numbers(1, size + 2 * margin, size + 2 * margin, 4)
    whole = model.training_model()({"lr": large}).numpy()[0, 4 * margin : -4 * margin, 4 * margin : -4 * margin]
    part = model.training_model()({"lr": large[:, margin:-margin, margin:-margin]}).numpy()[0]
    differs = np.abs(whole - part).max(axis=-1) > 1e-5 * np.abs(whole).max()
    middle = 2 * size
    for line in (differs[middle], differs[:, middle]):
        same = np.flatnonzero(~line)
        assert same[0] == model.receptive_field_radius == 4 * size - 1 - same[-1]
    assert not differs[same[0] : same[-1] + 1, same[0] : same[-1] + 1].any()
    assert model.crop >= model.receptive_field_radius > model.crop - 8 and model.crop % 8 == 0


@pytest.mark.parametrize("blocks, kernel, radius", [(1, 4, 26), (2, 4, 34), (16, 4, 146), (4, 2, 47)])
def test_receptive_field_of_known_networks(blocks, kernel, radius):
    assert SRModel.from_bands(depth=1, num_blocks=blocks, upsampling_kernel=kernel).receptive_field_radius == radius


def test_signature_is_the_same_in_both_generations(exported):
    model, folder = exported
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (_, inputs) = signature.structured_input_signature
    assert {key: (tuple(spec.shape), spec.dtype) for key, spec in inputs.items()} == {
        "lr": ((None, None, None, 4), tf.float32)
    }
    lr = tf.constant(digital_numbers(1, 24, 20, 4))
    outputs, wanted = signature(lr=lr), model.model({"lr": lr})
    assert sorted(outputs) == sorted(["sr", "sr_dn", f"sr_crop{model.crop}", f"sr_dn_crop{model.crop}"])
    assert all(outputs[key].dtype == tf.float32 and outputs[key].shape[-1] == 4 for key in outputs)
    assert all(np.allclose(outputs[key], wanted[key], atol=1e-5 if "dn" not in key else 1) for key in outputs)


def test_model_json(exported):
    model, folder = exported
    content = json.loads((folder / "model.json").read_text())
    assert content["system"] == "spot7" and content["arguments"]["depth"] == 3
    assert content["sources"] == [{"name": "lr", "bands": ["B04", "B03", "B02", "B08"], "gsd": 6.0}]
    assert content["output"] == {"bands": ["B04", "B03", "B02", "B08"], "gsd": 1.5}
    assert content["crop"] == 32 and content["outputs"] == {"float": "sr_crop32", "integer": "sr_dn_crop32"}
    again = SRModel.from_bands(**base.read_description(folder).arguments)
    weights_file.load_weights(again.model, folder)
    lr = digital_numbers(1, 9, 9, 4)
    assert np.array_equal(again.model({"lr": lr})["sr"], model.model({"lr": lr})["sr"])


def test_weights_of_another_model(exported, tmp_path):
    _, folder = exported
    for arguments in ({"depth": 4, "num_blocks": 1}, {"depth": 3, "num_blocks": 2}, {"depth": 3, "num_blocks": 0}):
        with pytest.raises(ValueError, match="^weights: expected .*, got "):
            weights_file.load_weights(SRModel.from_bands(**arguments).model, folder)
    (tmp_path / "weights.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="^weights: .*, got "):
        weights_file.load_weights(SRModel.from_bands(**TINY).model, tmp_path)


def test_export_replaces_only_when_asked(exported, tmp_path):
    model, _ = exported
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    (folder / "model.json").touch()
    with pytest.raises(FileExistsError, match="overwrite"):
        base.export(model, folder)
    assert (folder / "old").exists()
    base.export(model, folder, overwrite=True)
    assert not (folder / "old").exists() and [path.name for path in tmp_path.iterdir()] == ["model"]


def test_export_prints_nothing(exported, tmp_path, capfd):
    """And Keras prints what it likes afterwards."""
    base.export(exported[0], tmp_path / "model")
    assert capfd.readouterr().out == "" and keras.utils.is_interactive_logging_enabled()


def test_export_replaces_nothing_but_a_model(exported, tmp_path):
    """Folders that are empty, or hold `model.json`; files and other folders stay as they are."""
    model, _ = exported
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.odt").touch()
    for name in ("file", "other"):
        wanted = f"^folder: --overwrite replaces exported models only, got .*{name}$"
        with pytest.raises(FileExistsError, match=wanted):
            base.export(model, tmp_path / name, overwrite=True)
        (tmp_path / "new").mkdir()
        with pytest.raises(FileExistsError, match=wanted):
            base.replace_folder(tmp_path / "new", tmp_path / name)
        (tmp_path / "new").rmdir()
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "other", "thesis.odt"}
    (tmp_path / "empty").mkdir()
    (tmp_path / "new").mkdir()
    base.replace_folder(tmp_path / "new", tmp_path / "empty")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "other", "empty"}


@pytest.mark.parametrize(
    "arguments", [{"depth": 0}, {"num_blocks": -1}, {"upsampling_kernel": 3}, {"upsampling_kernel": 0}]
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))}: .*, got "):
        SRModel.from_bands(**arguments)


def test_bands_of_the_dataset():
    spec = ({"lr": tf.TensorSpec((None, 8, 8, 3))}, {})
    with pytest.raises(ValueError, match=r"expected 4 bands \(B04, B03, B02, B08\) in lr, got 3"):
        SRModel(spec, **TINY)


def test_sizes():
    small, large = (SRModel.from_bands(**SIZES[size]) for size in ("small", "base"))
    assert small.model.count_params() < large.model.count_params() / 5
    assert (small.crop, large.crop) == (56, 152)


def test_one_training_step_lowers_the_loss():
    keras.utils.set_random_seed(0)
    lr, hr = digital_numbers(2, 8, 8, 4), digital_numbers(2, 32, 32, 4, seed=1) * 1e-4
    spec = tf.data.Dataset.from_tensors(({"lr": lr}, {"sr": hr})).element_spec
    model = SRModel(spec, **TINY).training_model()
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    before = model.evaluate({"lr": lr}, hr, verbose=0)
    model.fit({"lr": lr}, hr, epochs=1, verbose=0)
    assert model.evaluate({"lr": lr}, hr, verbose=0) < before


@pytest.mark.slow
def test_trains_as_any_otbtf_model():
    """By way of `compile` and `fit` of the whole model, with losses and metrics by output key."""
    lr, hr = digital_numbers(2, 16, 16, 4), digital_numbers(2, 64, 64, 4, seed=1) * 1e-4
    data = tf.data.Dataset.from_tensors(({"lr": lr}, {"sr": hr}))
    model = SRModel(data.element_spec, **TINY)
    model.compile(optimizer="adam", loss={"sr": "mae"}, metrics={"sr": ["mse"]})
    history = model.fit(data.repeat(4), epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_export_of_a_model_trained_in_sixteen_bits(tmp_path):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        trained = SRModel.from_bands(**TINY)
        assert trained.training_model().output.dtype in ("float32", tf.float32)
        weights_file.save_weights(trained.model, tmp_path / "weights.h5")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model = SRModel.from_bands(**TINY)
    weights_file.load_weights(model.model, tmp_path / "weights.h5")
    assert all(output.dtype in ("float32", tf.float32) for output in model.model.output.values())
