# SPDX-License-Identifier: Apache-2.0
"""`FastDSen2`: what a band's gain changes, what its output is made coarser, and how far its pixels see."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from models import base, weights_file
from models.build import build
from models.consistency import ConsistentUpsampling, Degradation
from models.dsen2 import FAST_SIZES, ROLES, SOURCES, FastDSen2
from models.local_statistics import (
    ByPhase,
    LocalCorrelation,
    LocalStatistics,
    SpaceToDepth,
    Standardization,
    WeightedSum,
)
from tests.examples import slow

pytestmark = pytest.mark.keras

TINY = {"depth": 4, "num_blocks": 1}
RATIOS = {name: round(source.gsd / 10) for name, source in SOURCES.items()}


def ground(role, side=96, seed=0):
    """Draw the sources of a piece of ground, whose size is given in pixels of 10 m."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(200, 6000, (1, side // RATIOS[name], side // RATIOS[name], len(SOURCES[name].bands))).astype(
            "float32"
        )
        for name in ROLES[role]
    }


def randomized(role, **arguments):
    """Make a model whose weights are all drawn, those that start at zero too."""
    model = FastDSen2.from_bands(role, **{**TINY, **arguments})
    rng = np.random.default_rng(1)
    for layer in model.model.layers:
        layer.set_weights(
            [rng.normal(0, (2 / max(np.prod(w.shape[:-1]), 1)) ** 0.5, w.shape) for w in layer.get_weights()]
        )
    return model


def sharpened(model, inputs):
    """Return the output in digital numbers."""
    return model.model(inputs)["sr"].numpy()[0].astype("float64") * 1e4


@pytest.mark.parametrize("role", ["2x", slow("6x")])
@pytest.mark.parametrize(
    "gain, offset",
    [(0.3, 900), *(slow(*both) for both in ((0.1, 0), (4.0, 0), (1.0, -150)))],
)
def test_gain_and_offset_of_a_band_change_its_own_output_alone(role, gain, offset):
    model, inputs, target = randomized(role), ground(role), ROLES[role][-1]
    before = sharpened(model, inputs)
    detail = before - ConsistentUpsampling(RATIOS[target])(inputs[target]).numpy()[0]
    assert detail.std() > 100
    for name in ROLES[role]:
        for band in range(len(SOURCES[name].bands)):
            changed = {key: image.copy() for key, image in inputs.items()}
            changed[name][..., band] = gain * changed[name][..., band] + offset
            wanted = before.copy()
            if name == target:
                wanted[..., band] = gain * wanted[..., band] + offset
            np.testing.assert_allclose(sharpened(model, changed), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("role", ROLES)
def test_output_is_consistent(role):
    """Made coarser again it is the input, whatever the weights: to 0.1 DN."""
    model, inputs, target = randomized(role), ground(role, 180), ROLES[role][-1]
    again = Degradation(RATIOS[target])(model.model(inputs)["sr"]).numpy()[0] * 1e4
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(again[inner], inputs[target][0][inner], atol=0.1)


@pytest.mark.parametrize("role", ROLES)
def test_starts_at_interpolation(role):
    target = ROLES[role][-1]
    model, inputs = FastDSen2.from_bands(role, **TINY), ground(role)
    wanted = ConsistentUpsampling(RATIOS[target])(inputs[target]).numpy()[0]
    np.testing.assert_allclose(sharpened(model, inputs), wanted, atol=0.05)


@pytest.mark.parametrize("role", ROLES)
def test_smooth_ground_has_no_grid(role):
    """A slope in all bands, whatever the weights: differences across and inside coarse pixels are alike to 2 %.

    The pixels of the network's own grid have phases of their own. On a slope its details would be the same in each of
    them, and add a grid; made consistent, nothing is left of them that a coarse pixel sees.
    """
    model = FastDSen2.from_bands(role, **TINY)
    rows = np.arange(180, dtype="float32")
    inputs = {
        name: np.broadcast_to(
            (1000 + 8 * rows.reshape(-1, RATIOS[name]).mean(axis=1))[None, :, None, None],
            (1, 180 // RATIOS[name], 180 // RATIOS[name], len(SOURCES[name].bands)),
        ).astype("float32")
        for name in ROLES[role]
    }
    inner = sharpened(model, inputs)[60:120, 60:120]
    np.testing.assert_allclose(np.diff(inner, axis=0), 8, rtol=0.02)
    np.testing.assert_allclose(np.diff(inner, axis=1), 0, atol=0.02)


@pytest.mark.parametrize("role, radius", [("2x", 46), slow("6x", 72)])
def test_crop_leaves_no_seam(role, radius):
    model = randomized(role, **FAST_SIZES["fast"])
    assert model.receptive_field_radius == model.crop == radius
    side, cut = 300, 60
    whole = ground(role, side)
    part = {name: image[:, cut // RATIOS[name] :, cut // RATIOS[name] :] for name, image in whole.items()}
    errors = np.abs(sharpened(model, whole)[cut:, cut:] - sharpened(model, part)).max(axis=-1)
    crop = model.crop
    assert errors[crop:, crop:].max() < 0.05 < errors[0].max()


@pytest.mark.parametrize("precision", [None, slow("mixed_bfloat16")])
@pytest.mark.parametrize(
    "arguments",
    [
        slow({"num_blocks": 0}),
        {"num_blocks": 1},
        slow({"depth": 8, "num_blocks": 3}),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_a_cropped_model_makes_what_is_left_of_the_whole_output(role, arguments, precision):
    with base.policy(precision or "float32"):
        whole = randomized(role, **arguments)
        cropped = FastDSen2.from_bands(role, **{**TINY, **arguments}, cropped=True)
    cropped.model.set_weights(whole.model.get_weights())
    crop = whole.crop
    inputs = ground(role, 2 * crop + 36)
    inputs = {name: image[:, :, : image.shape[2] - 12 // RATIOS[name]] for name, image in inputs.items()}
    found, wanted = cropped.model(inputs), whole.model(inputs)
    assert set(found) == {f"sr_crop{crop}", f"sr_dn_crop{crop}"} < set(wanted)
    for name, image in found.items():
        assert image.shape == (1, 36, 24, len(whole.bands)) and np.ptp(image) > 0.01
        tolerance = {"rtol": 1e-5, "atol": 2e-5} if name.startswith("sr_c") else {"atol": 1}
        np.testing.assert_allclose(image, wanted[name], **tolerance)
    assert cropped.description() == whole.description()


def test_a_cropped_model_has_one_crop():
    with pytest.raises(ValueError, match=r"^inference_cropping: expected none of a cropped model, got \[64\]"):
        FastDSen2.from_bands("2x", inference_cropping=[64], cropped=True)


def test_model_json_and_weights(tmp_path):
    model = randomized("2x")
    base.export(model, tmp_path / "model")
    content = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (content["system"], content["model"]) == ("dsen2", "FAST")
    assert content["arguments"] == {"role": "2x", **TINY}
    again = build(base.read_description(tmp_path / "model"))
    weights_file.load_weights(again.model, tmp_path / "model")
    inputs = ground("2x")
    assert isinstance(again, FastDSen2) and np.array_equal(sharpened(again, inputs), sharpened(model, inputs))


@pytest.mark.parametrize("arguments", [{"role": "3x"}, {"role": "2x", "depth": 0}, {"role": "6x", "num_blocks": -1}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=f"^{list(arguments)[-1]}: expected .*, got "):
        FastDSen2.from_bands(**arguments)


def test_sixteen_bits_where_they_do_no_harm():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = FastDSen2.from_bands("2x", **TINY)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    sixteen = {layer.name for layer in model.model.layers if layer.compute_dtype == "bfloat16" and layer.weights}
    assert sixteen == {"first", "block1_1", "block1_2", "details", "weights"}


def test_a_third_of_the_multiplications():
    """Of convolutions, for each 10 m pixel, beside those of the narrow network that was trained before: 451 000."""
    model = FastDSen2.from_bands("2x", **FAST_SIZES["fast"])
    kernels = {layer.name: np.prod(layer.kernel.shape) for layer in model.model.layers if hasattr(layer, "kernel")}
    fine = kernels.pop("last")
    assert sum(kernels.values()) / 4 + fine < 0.35 * 451_000


def test_local_statistics_are_those_of_numpy():
    image = np.random.default_rng(0).uniform(0, 1, (1, 30, 30, 2)).astype("float32")
    level, spread = (tensor.numpy() for tensor in LocalStatistics(3, 2)(image))
    row, column = 14, 17

    def mean(i, j):
        return image[0, i - 3 : i + 4, j - 3 : j + 4].mean(axis=(0, 1))

    around = [(row + i, column + j) for i in range(-2, 3) for j in range(-2, 3)]
    wanted = np.sqrt(np.mean([(image[0, i, j] - mean(i, j)) ** 2 for i, j in around], axis=0))
    np.testing.assert_allclose(level[0, row, column], mean(row, column), rtol=1e-4)
    np.testing.assert_allclose(spread[0, row, column], wanted, rtol=1e-4)


def test_spread_of_pixels_is_more_than_that_of_their_means():
    image = np.random.default_rng(0).normal(0, 1, (1, 48, 48, 2)).astype("float32")
    means = image.reshape(1, 24, 2, 24, 2, 2).mean(axis=(2, 4))
    found = [
        LocalStatistics(4, 4)(*seen)[1].numpy()[0, 8:-8, 8:-8].mean()
        for seen in ([means], [means, SpaceToDepth(2)(image)])
    ]
    np.testing.assert_allclose(found, [0.5, 1.0], rtol=0.05)


def test_phases_share_level_and_spread():
    rng = np.random.default_rng(0)
    image, level, spread = (rng.uniform(1, 2, (1, n, n, 3)).astype("float32") for n in (24, 12, 12))
    found = Standardization(phases=4)(SpaceToDepth(2)(image), level, spread)
    level, spread = (each.repeat(2, axis=1).repeat(2, axis=2) for each in (level, spread))
    np.testing.assert_allclose(tf.nn.depth_to_space(found, 2), (image - level) / spread, rtol=1e-4, atol=1e-5)


def test_correlation_tells_how_bands_go_together():
    fine = np.random.default_rng(0).normal(0, 1, (1, 40, 40, 2)).astype("float32")
    found = LocalCorrelation(6)(fine * [1, -1], fine).numpy()[0, 10:-10, 10:-10].mean(axis=(0, 1))
    np.testing.assert_allclose(found, [1, 0, 0, -1, 0], atol=0.2)


def test_weighted_sum_weighs_each_pixel_of_a_square():
    rng = np.random.default_rng(0)
    fine, weights = rng.normal(0, 1, (1, 3, 3, 8)).astype("float32"), rng.normal(0, 1, (1, 3, 3, 6)).astype("float32")
    found = WeightedSum(4)(weights, fine).numpy().reshape(3, 3, 4, 3)
    wanted = np.einsum("hwpf,hwfb->hwpb", fine.reshape(3, 3, 4, 2), weights.reshape(3, 3, 2, 3))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    joined = ByPhase(4)([fine, weights]).numpy()
    np.testing.assert_array_equal(joined[..., 8:10], fine[..., 2:4])
    np.testing.assert_array_equal(joined[..., 10:16], weights)
