# SPDX-License-Identifier: Apache-2.0
"""Warping against reference vectors, scipy and closed forms: pixels, gradients, borders, flows in a row, statistics."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from models.warp import compose, mirrored, sample, standardize, warp

pytestmark = pytest.mark.keras


@pytest.fixture
def vectors(shared_data):
    """Return a function reading a file of reference vectors, with bands last."""

    def read(name):
        arrays = np.load(shared_data("l1bsr_vectors") / f"{name}.npz")
        return {key: np.moveaxis(arrays[key], 1, -1) if arrays[key].ndim == 4 else arrays[key] for key in arrays.files}

    return read


def draw(rows, columns, bands=2, seed=0):
    return np.random.default_rng(seed).uniform(0, 1000, (1, rows, columns, bands)).astype("float32")


def constant_flow(rows, columns, x, y):
    return np.broadcast_to(np.array([x, y], "float32"), (1, rows, columns, 2))


def test_warp_is_that_of_the_reference(vectors):
    """Flows of up to 12 pixels, one line of far larger ones: float64, but for the reference's rounding of positions."""
    arrays = vectors("warp_loss")
    warped = warp(arrays["img"], arrays["flow"]).numpy()
    assert np.abs(warped - arrays["warp_bicubic_reflection_exact64"]).max() < 0.05
    assert np.abs(warped - arrays["warp_bicubic_reflection_f32"]).max() < 0.05
    in_64_bits = warp(arrays["img"].astype("float64"), arrays["flow"].astype("float64")).numpy()
    assert np.abs(in_64_bits - arrays["warp_bicubic_reflection_exact64"]).max() < 1e-8
    for other in ("bilinear_reflection", "bicubic_zeros"):
        assert np.abs(warped - arrays[f"warp_{other}_f64"]).max() > 100


def test_gradients_are_those_of_the_reference(vectors):
    arrays = vectors("warp_loss")
    images, flow = tf.constant(arrays["img"]), tf.constant(arrays["flow"])
    with tf.GradientTape() as tape:
        tape.watch([images, flow])
        total = tf.reduce_sum(arrays["grad_weight"] * warp(images, flow))
    for found, name in zip(tape.gradient(total, [images, flow]), ("grad_img", "grad_flow")):
        # At whole positions the cubic kernel's slope is continuous, so that rounding does not matter there either.
        assert np.abs(found - arrays[name]).max() < 1e-4 * np.abs(arrays[name]).max()


def test_zero_flow_keeps_pixels_to_the_bit(vectors):
    images = draw(9, 13)
    assert np.array_equal(warp(images, constant_flow(9, 13, 0, 0)), images)
    arrays = vectors("warp_loss")
    assert np.array_equal(warp(arrays["img"], 0 * arrays["flow"]), arrays["warp_zero_flow"])


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), x=st.integers(-40, 40), y=st.integers(-40, 40))
def test_whole_flows_take_mirrored_pixels(rows, columns, x, y):
    """numpy's padding "reflect" is the mirror, as many times as needed; one pixel is repeated."""
    images = draw(rows, columns)
    padded = np.pad(images, ((0, 0), (40, 40), (40, 40), (0, 0)), mode="reflect")
    wanted = padded[:, 40 + y : 40 + y + rows, 40 + x : 40 + x + columns]
    assert np.array_equal(warp(images, constant_flow(rows, columns, x, y)), wanted)


def test_polynomials_and_signs():
    """The kernel with a = -0.75 keeps constants, and at half pixels lines; x is along columns, y along rows."""
    rows, columns = np.mgrid[0:12.0, 0:15.0].astype("float32")
    images = np.stack([rows, columns, np.full_like(rows, 7)], axis=-1)[np.newaxis]
    warped = warp(images, constant_flow(12, 15, 1.5, -2.5)).numpy()[0, 4:-4, 4:-4]
    assert np.allclose(warped, np.stack([rows - 2.5, columns + 1.5, 7 + 0 * rows], axis=-1)[4:-4, 4:-4], atol=1e-4)
    quarter = warp(images, constant_flow(12, 15, 0.25, 0)).numpy()[0, 4:-4, 4:-4]
    weights = [-0.10546875, 0.87890625, 0.26171875, -0.03515625]  # of Keys' formula, computed by hand at t = 0.25
    assert np.allclose(quarter[..., 1], columns[4:-4, 4:-4] + np.dot(weights, [-1, 0, 1, 2]), atol=1e-5)


def test_sampling_at_other_positions_than_a_grid(vectors):
    """A twice finer image, band by band, where another view has its pixels."""
    arrays = vectors("train_ops")
    fine, flows = arrays["hr"], arrays["flow_per_band_lr"]
    rows, columns = np.mgrid[0:16.0, 0:20.0].astype("float32")
    for band in range(4):
        x, y = 2 * (columns + flows[:, band, 0]), 2 * (rows + flows[:, band, 1])
        found = sample(fine[..., band : band + 1], x, y)[..., 0]
        assert found.shape == (2, 16, 20)
        assert np.abs(found - arrays["warp_ds"][..., band]).max() < 1e-4 * np.abs(fine).max()


def test_flows_follow_each_other_as_in_the_reference(vectors):
    arrays = vectors("train_ops")
    composed = compose(arrays["f1"], arrays["f2"]).numpy()
    assert np.abs(composed - arrays["composed_residual_border_pad"]).max() < 1e-5
    assert np.abs(composed - arrays["composed_abs_zero_pad"]).max() > 1e-2  # at borders


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), largest=st.floats(0, 20))
def test_flows_follow_each_other_as_in_scipy(rows, columns, seed, largest):
    rng = np.random.default_rng(seed)
    first, second = (rng.uniform(-largest, largest, (1, rows, columns, 2)).astype("float32") for _ in range(2))
    y, x = np.mgrid[0:rows, 0:columns]
    places = np.stack([y + first[0, ..., 1], x + first[0, ..., 0]])
    seen = [map_coordinates(second[0, ..., axis].astype("float64"), places, order=1, mode="nearest") for axis in (0, 1)]
    assert np.allclose(compose(first, second)[0], first[0] + np.stack(seen, axis=-1), atol=1e-4)


@pytest.mark.slow
def test_flows_have_gradients():
    rng = np.random.default_rng(0)
    first, second = (tf.constant(rng.uniform(-1, 1, (1, 8, 8, 2)), tf.float64) for _ in range(2))
    theoretical, numerical = tf.test.compute_gradient(compose, [first, second], 1e-6)
    for found, wanted in zip(theoretical, numerical):
        assert np.abs(found - wanted).max() < 1e-5


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_mirrored_indices_are_numpys(size):
    wanted = np.pad(np.arange(size), 30, mode="reflect")
    assert np.array_equal(mirrored(tf.range(-30, size + 30), size), wanted)


def test_standardized_images_are_those_of_the_reference(vectors):
    arrays = vectors("warp_loss")
    assert np.abs(standardize(arrays["img"]) - arrays["norm_img_bias0"]).max() < 1e-5
    images = draw(7, 5)
    found = standardize(images).numpy()
    assert np.allclose(found, (images - images.mean((1, 2))) / images.std((1, 2), ddof=1), atol=1e-5)


@pytest.mark.parametrize("rows, columns", [(1, 1), (300, 200)])
def test_constant_bands_become_zero_and_have_gradients(rows, columns):
    images = tf.constant(np.full((1, rows, columns, 3), [0, 777.7, 65535], "float32"))
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = standardize(images)
    assert not found.numpy().any()
    assert np.isfinite(tape.gradient(found, images)).all()
