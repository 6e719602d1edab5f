# SPDX-License-Identifier: Apache-2.0
"""`DSen2` against the paper's numbers and a network in numpy: size, outputs, receptive field, export, weights."""

import json

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate
from skimage.transform import resize
from tensorflow import keras

from datasets.wald import degrade
from models import base, weights_file
from models.dsen2 import ROLES, SIZES, SOURCES, DSen2

pytestmark = pytest.mark.keras

TINY = {"depth": 3, "num_blocks": 1}
RATIOS = {name: round(source.gsd / 10) for name, source in SOURCES.items()}


def digital_numbers(role, rows, columns, seed=0, batch=1):
    """Draw the sources of a piece of ground, whose size is given in pixels of 10 m."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(
            1, 8000, (batch, rows // RATIOS[name], columns // RATIOS[name], len(SOURCES[name].bands))
        ).astype("float32")
        for name in ROLES[role]
    }


def randomize(model, positive=False):
    """Draw all weights; positive ones without biases make a network that is linear for positive images."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        weights = [rng.normal(0, 0.3, weight.shape) for weight in layer.get_weights()]
        if positive:
            weights = [np.abs(weight) + 0.1 if weight.ndim > 1 else np.zeros_like(weight) for weight in weights]
        layer.set_weights(weights)


def interpolated(image, ratio):
    """Interpolate (batch, rows, columns, bands) as the authors do."""
    size = [ratio * length for length in image.shape[1:3]]
    return np.stack([resize(one, size, order=1, mode="reflect", anti_aliasing=False) for one in image / 30000]) * 30000


@pytest.fixture(scope="module", params=list(ROLES))
def exported(request, tmp_path_factory):
    """A model with random weights, and the folder it is exported to."""
    model = DSen2.from_bands(request.param, **TINY)
    randomize(model.model)
    folder = tmp_path_factory.mktemp("dsen2") / "model"
    base.export(model, folder)
    return model, folder, request.param


@pytest.mark.parametrize(
    "size, role, parameters",
    [("dsen2", "2x", 1789574), ("dsen2", "6x", 1787266), ("vdsen2", "2x", 37802246), ("vdsen2", "6x", 37797634)],
)
def test_number_of_parameters(size, role, parameters):
    """The large one is not built: each block adds as many parameters."""
    depth, blocks = SIZES[size]["depth"], SIZES[size]["num_blocks"]
    counts = [DSen2.from_bands(role, depth=depth, num_blocks=number).model.count_params() for number in (0, 1)]
    assert counts[0] + blocks * (counts[1] - counts[0]) == parameters
    if size == "dsen2":
        model = DSen2.from_bands(role)
        assert model.arguments == {"role": role, **SIZES[size], "back_projection": False, "consistent": False}
        assert model.model.count_params() == parameters


def test_convolutions_by_name():
    model = DSen2.from_bands("6x", depth=5, num_blocks=2).model
    convolutions = {layer.name: layer for layer in model.layers if layer.weights}
    names = ["first", "block1_1", "block1_2", "block2_1", "block2_2", "last"]
    assert list(convolutions) == names
    shapes = [tuple(convolutions[name].kernel.shape) for name in names]
    assert shapes == [(3, 3, 12, 5), *[(3, 3, 5, 5)] * 4, (3, 3, 5, 2)]
    bound = np.sqrt(6 / (9 * 12))  # he_uniform
    kernel = np.abs(convolutions["first"].get_weights()[0])
    assert 0.9 * bound < kernel.max() <= bound and not convolutions["first"].get_weights()[1].any()


@pytest.mark.parametrize("role", ROLES)
def test_network_is_that_of_the_paper(role):
    """Scaling by 1 / 2000, bilinear inputs, residual blocks scaled by 0.1 without a ReLU behind, one global skip."""
    model = DSen2.from_bands(role, depth=4, num_blocks=2)
    randomize(model.model)
    inputs = digital_numbers(role, 18, 24)
    images = [interpolated(inputs[name], RATIOS[name])[0] / 2000 for name in ROLES[role]]

    def convolution(image, name):
        kernel, bias = model.model.get_layer(name).get_weights()
        padded = np.pad(image.astype("float64"), ((1, 1), (1, 1), (0, 0)))
        channels = [correlate(padded, kernel[..., index], mode="valid")[..., 0] for index in range(kernel.shape[3])]
        return np.stack(channels, axis=-1) + bias

    features = np.maximum(convolution(np.concatenate(images, axis=-1), "first"), 0)
    for block in ("block1", "block2"):
        hidden = np.maximum(convolution(features, f"{block}_1"), 0)
        features = features + 0.1 * convolution(hidden, f"{block}_2")
    wanted = (convolution(features, "last") + images[-1]) * 0.2
    assert wanted.min() < 0 < wanted.max()
    assert np.allclose(model.model(inputs)["sr"][0], wanted, atol=1e-4)


@pytest.mark.parametrize("rows, columns", [(48, 60), (42, 96)])
def test_outputs(exported, rows, columns):
    model, _, role = exported
    inputs = digital_numbers(role, rows, columns, batch=2)
    outputs = model.model(inputs)
    crop = model.crop
    assert sorted(outputs) == sorted(["sr", "sr_dn", f"sr_crop{crop}", f"sr_dn_crop{crop}"])
    image = outputs["sr"].numpy()
    assert image.shape == (2, rows, columns, len(model.bands)) and image.min() < 0
    assert np.array_equal(outputs["sr_dn"], np.round(np.clip(image * np.float32(1e4), 0, 65535)))
    assert np.array_equal(outputs[f"sr_crop{crop}"], image[:, crop:-crop, crop:-crop])
    assert np.array_equal(outputs[f"sr_dn_crop{crop}"], outputs["sr_dn"][:, crop:-crop, crop:-crop])
    assert np.array_equal(model.training_model()(inputs), image)


@pytest.mark.parametrize(
    "size, role, radius, crop",
    [("dsen2", "2x", 15, 16), ("dsen2", "6x", 17, 18), ("vdsen2", "2x", 67, 68), ("vdsen2", "6x", 69, 72)],
)
def test_receptive_field_of_known_networks(size, role, radius, crop):
    """14 or 66 convolutions, and the rows that are interpolated with what lies beyond the border."""
    model = DSen2.from_bands(role, depth=1, num_blocks=SIZES[size]["num_blocks"])
    assert (model.receptive_field_radius, model.crop) == (radius, crop)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("back_projection", [False, True])
def test_receptive_field_is_exact(back_projection, blocks, role):
    """What one pixel beyond a border at rows and columns 0 does, in a linear network: it reaches just so far."""
    model = DSen2.from_bands(role, depth=2, num_blocks=blocks, back_projection=back_projection)
    randomize(model.model, positive=True)
    side, reached = 72, []
    for name in ROLES[role]:
        inputs = {key: np.zeros_like(image) for key, image in digital_numbers(role, 2 * side, 2 * side).items()}
        last = side // RATIOS[name] - 1
        inputs[name][0, last, last] = 1e4
        changed = model.model(inputs)["sr"][0].numpy().any(axis=-1)
        rows, columns = (np.flatnonzero(changed.any(axis=axis))[-1] + 1 - side for axis in (1, 0))
        assert rows == columns
        if not back_projection:
            assert rows == 2 * blocks + 2 + RATIOS[name] // 2
        reached.append(rows)
    assert max(reached) == model.receptive_field_radius


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("additions", [{}, {"back_projection": True}, {"back_projection": True, "consistent": True}])
def test_crop_leaves_no_seam(additions, role):
    model = DSen2.from_bands(role, **TINY, **additions)
    randomize(model.model)
    whole, crop = digital_numbers(role, 96, 96), model.crop
    part = {name: image[:, 24 // RATIOS[name] :, 24 // RATIOS[name] :] for name, image in whole.items()}
    wanted, received = (model.model(images)["sr"][0].numpy() for images in (whole, part))
    errors = np.abs(wanted[24:, 24:] - received).max(axis=-1)
    assert errors[crop:, crop:].max() < 1e-5 < errors[0].max()


@pytest.mark.parametrize("role", ROLES)
def test_back_projection(role):
    """What the means over coarse pixels lack of these is interpolated and added: a colour shift is taken back."""
    plain, model = (DSen2.from_bands(role, **TINY, back_projection=value) for value in (False, True))
    randomize(model.model)
    plain.model.set_weights(model.model.get_weights())
    inputs, ratio = digital_numbers(role, 24, 36), RATIOS[ROLES[role][-1]]
    before = plain.model(inputs)["sr"].numpy().astype("float64")
    means = before.reshape(1, 24 // ratio, ratio, 36 // ratio, ratio, -1).mean(axis=(2, 4))
    wanted = before + interpolated(inputs[ROLES[role][-1]] * 1e-4 - means, ratio)
    received = model.model(inputs)["sr"].numpy()
    assert np.allclose(received, wanted, atol=1e-4) and not np.allclose(received, before, atol=1e-2)
    kernel, bias = model.model.get_layer("last").get_weights()
    model.model.get_layer("last").set_weights([kernel, bias + 3])
    assert np.allclose(model.model(inputs)["sr"], received, atol=1e-4)


@pytest.mark.parametrize("role", ROLES)
def test_consistent_output_made_coarser_is_the_input(role):
    """By the sensor model of Wald's protocol, whatever the weights."""
    model = DSen2.from_bands(role, **TINY, back_projection=True, consistent=True)
    randomize(model.model)
    inputs, ratio = digital_numbers(role, 72, 72), RATIOS[ROLES[role][-1]]
    image = model.training_model()(inputs).numpy()[0] * 1e4
    again = degrade(image.astype("float64"), ratio)
    inner = np.s_[3:-3, 3:-3]  # the blur treats borders otherwise
    np.testing.assert_allclose(again[inner], inputs[ROLES[role][-1]][0][inner], atol=0.2)


@pytest.mark.parametrize("role", ROLES)
def test_starts_at_interpolation(role):
    inputs = digital_numbers(role, 24, 36)
    last = ROLES[role][-1]
    image = DSen2.from_bands(role, **TINY, start_at_interpolation=True).model(inputs)["sr_dn"]
    wanted = interpolated(inputs[last], RATIOS[last])
    assert np.abs(image - wanted).max() < 0.51
    random = DSen2.from_bands(role, **TINY).model(inputs)["sr_dn"]
    assert np.abs(random - wanted).max() > 10


def test_signature_is_the_same_in_both_generations(exported):
    model, folder, role = exported
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (_, specs) = signature.structured_input_signature
    assert {key: (tuple(spec.shape), spec.dtype) for key, spec in specs.items()} == {
        name: ((None, None, None, len(SOURCES[name].bands)), tf.float32) for name in ROLES[role]
    }
    inputs = {name: tf.constant(image) for name, image in digital_numbers(role, 48, 60).items()}
    outputs, wanted = signature(**inputs), model.model(inputs)
    assert sorted(outputs) == sorted(["sr", "sr_dn", f"sr_crop{model.crop}", f"sr_dn_crop{model.crop}"])
    assert all(outputs[key].dtype == tf.float32 for key in outputs)
    assert all(np.allclose(outputs[key], wanted[key], atol=1e-5 if "dn" not in key else 1) for key in outputs)


def test_model_json_and_weights(exported):
    model, folder, role = exported
    content = json.loads((folder / "model.json").read_text())
    assert content["system"] == "dsen2" and content["arguments"] == {
        "role": role,
        **TINY,
        "back_projection": False,
        "consistent": False,
    }
    bands = {"2x": ["B05", "B06", "B07", "B8A", "B11", "B12"], "6x": ["B01", "B09"]}[role]
    assert content["sources"][0] == {"name": "x10", "bands": ["B04", "B03", "B02", "B08"], "gsd": 10.0}
    assert [source["gsd"] for source in content["sources"]] == [10.0, 20.0, 60.0][: len(ROLES[role])]
    assert content["output"] == {"bands": bands, "gsd": 10.0} and content["sources"][-1]["bands"] == bands
    assert content["outputs"] == {"float": f"sr_crop{model.crop}", "integer": f"sr_dn_crop{model.crop}"}
    again = DSen2.from_bands(**base.read_description(folder).arguments)
    weights_file.load_weights(again.model, folder)
    inputs = digital_numbers(role, 12, 18)
    assert np.array_equal(again.model(inputs)["sr"], model.model(inputs)["sr"])
    other = DSen2.from_bands({"2x": "6x", "6x": "2x"}[role], **TINY)
    with pytest.raises(ValueError, match=r"^weights: expected first/kernel of shape .*, got .* in "):
        weights_file.load_weights(other.model, folder)


@pytest.mark.parametrize(
    "arguments", [{"role": "3x"}, {"role": "2x", "depth": 0}, {"role": "6x", "num_blocks": -1}], ids=str
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=f"^{list(arguments)[-1]}: expected .*, got "):
        DSen2.from_bands(**arguments)


def test_bands_of_the_dataset():
    spec = ({"x10": tf.TensorSpec((None, 8, 8, 4)), "x20": tf.TensorSpec((None, 4, 4, 2))}, {})
    with pytest.raises(ValueError, match=r"expected 6 bands \(B05, .*, B12\) in x20, got 2"):
        DSen2(spec, **TINY)


def test_crops_can_be_given():
    spec = ({name: tf.TensorSpec((None, None, None, len(SOURCES[name].bands))) for name in ROLES["2x"]}, {})
    model = DSen2(spec, **TINY, inference_cropping=[8, 16])
    assert model.crop == 8 and {"sr_crop8", "sr_dn_crop8", "sr_crop16", "sr_dn_crop16"} < set(model.model.output)


def test_sixteen_bits_where_they_do_no_harm(tmp_path):
    """In mixed precision the blocks' convolutions have 16 bits, but what the first one adds, and the sums, have 32."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = DSen2.from_bands("6x", **TINY)
        output = model.training_model()(digital_numbers("6x", 12, 12))
        assert output.dtype == tf.float32
        sixteen = {layer.name for layer in model.model.layers if layer.compute_dtype == "bfloat16" and layer.weights}
        weights_file.save_weights(model.model, tmp_path / "weights.h5")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert sixteen == {"block1_1"}
    again = DSen2.from_bands("6x", **TINY)
    weights_file.load_weights(again.model, tmp_path / "weights.h5")
    assert np.allclose(again.model(digital_numbers("6x", 12, 12))["sr"], output, atol=0.02)
