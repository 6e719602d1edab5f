# SPDX-License-Identifier: Apache-2.0
"""The losses of L1BSR against numbers of the authors' helpers, and against closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from models.warp import compose, warp, warp_and_decimate
from train.l1bsr.losses import (
    DOUBLE_WARP_BORDER,
    WARP_BORDER,
    absolute_difference,
    anchor_consistency,
    consistency,
    inner,
    roll,
    super_resolution_loss,
    total_variation,
)

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def vectors(shared_data):
    """Return a function giving arrays of a file of vectors, channels last."""
    folder = shared_data("l1bsr_vectors")

    def read(name):
        found = {key: np.asarray(array) for key, array in np.load(folder / f"{name}.npz").items()}
        return {key: np.moveaxis(a, 1, -1) if a.ndim == 4 else a for key, a in found.items()}

    return read


def test_total_variation(vectors):
    found = vectors("warp_loss")
    assert total_variation(found["L_flow1"]).numpy() == pytest.approx(found["L_tv"], rel=1e-6)


def test_a_flow_that_rises_evenly_varies_by_its_slopes():
    y, x = np.mgrid[:7, :9].astype(np.float32)
    flows = np.stack([0.5 * x - 0.25 * y, 2 * y], -1)[np.newaxis]
    assert total_variation(flows).numpy() == pytest.approx((0.25 + 2) / 2 + 0.5 / 2)


def test_warped_images_are_as_far_from_their_targets_as_the_authors(vectors):
    found = vectors("warp_loss")
    loss = absolute_difference(warp(found["L_target"], found["L_flow1"]), found["L_input"], WARP_BORDER)
    assert loss.numpy() == pytest.approx(found["L_warp_p1"], rel=1e-5)


def test_anchor_consistency_agrees_with_the_double_warp_inside(vectors):
    found = vectors("warp_loss")
    distance = 10  # farther from the border than the flows reach, where the authors' lookup meets zeros
    expected = np.abs(found["L_doublewarp"] - found["L_input"])[:, distance:-distance, distance:-distance].mean()
    arrays = [found[name] for name in ("L_input", "L_target", "L_flow1", "L_flow2")]
    warped = warp(arrays[1], compose(arrays[2], arrays[3]))
    assert absolute_difference(warped, arrays[0], distance).numpy() == pytest.approx(expected, rel=1e-4)
    loss = anchor_consistency(*arrays).numpy()
    assert loss == pytest.approx(absolute_difference(warped, arrays[0], DOUBLE_WARP_BORDER).numpy())


def test_opposite_flows_by_way_of_an_anchor_change_nothing():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (2, 24, 28, 1)).astype(np.float32)
    there = np.full((2, 24, 28, 2), (1.75, -0.5), np.float32)
    assert anchor_consistency(image, image, there, -there).numpy() == pytest.approx(0, abs=1e-6)
    assert anchor_consistency(image, image, there, there).numpy() > 0.1


def test_warp_and_decimate(vectors):
    found = vectors("train_ops")
    flows = np.moveaxis(found["flow_per_band_lr"], (1, 2), (3, 4))
    np.testing.assert_allclose(warp_and_decimate(found["hr"], flows), found["warp_ds"], atol=2e-4)


def test_super_resolution_loss_and_its_gradient(vectors):
    found = vectors("train_ops")
    assert found["border"] == WARP_BORDER
    flows, images = np.moveaxis(found["flow_per_band_lr"], (1, 2), (3, 4)), tf.constant(found["hr"])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = super_resolution_loss(found["target"], images, flows)
    assert loss.numpy() == pytest.approx(found["l1"], rel=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, images), found["grad_hr"], atol=1e-6)


def test_without_displacements_every_second_pixel_is_seen():
    images = np.random.default_rng(0).normal(size=(2, 12, 16, 4)).astype(np.float32)
    np.testing.assert_allclose(
        warp_and_decimate(images, np.zeros((2, 6, 8, 4, 2), np.float32)), images[:, ::2, ::2], atol=1e-6
    )


def test_roll(vectors):
    found = vectors("warp_loss")
    np.testing.assert_array_equal(roll(found["L_input"], found["roll_shifts"].astype(np.int32)), found["roll_out"])


def test_inner_pixels():
    images = np.arange(7 * 9, dtype=np.float32).reshape(1, 7, 9, 1)
    np.testing.assert_array_equal(inner(images, 2), images[:, 2:5, 2:7])


def test_consistency_is_with_what_larger_pixels_see():
    """Of a wave of two of their pixels they see 0.6 (0.61, as the kernel is sampled), at every second pixel."""
    wave = np.cos(np.pi * np.arange(48) / 2)[np.newaxis, :, np.newaxis, np.newaxis]
    images = tf.constant(300 + 100 * np.broadcast_to(wave, (1, 48, 40, 4)), tf.float32)
    seen = 300 + 0.61 * (images[:, ::2, ::2] - 300)
    assert consistency(seen, images).numpy() == pytest.approx(0, abs=0.2)
    assert consistency(images[:, ::2, ::2], images).numpy() == pytest.approx(39, abs=0.2)
    assert consistency(tf.roll(seen, 1, axis=1), images).numpy() == pytest.approx(122, abs=0.2)
