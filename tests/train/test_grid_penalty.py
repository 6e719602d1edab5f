# SPDX-License-Identifier: Apache-2.0
"""The penalty on a grid: nothing for ground without one, what NumPy counts for others, less of it after a training."""

import numpy as np
import pytest
import tensorflow as tf

from tests.train.dsen2.test_dsen2 import read_json, write_scene
from tests.train.steps import steps
from train import dsen2
from train.grid_penalty import GridPenalty, grid_penalty

pytestmark = pytest.mark.keras


def logarithms(band, ratio):
    """Return the logarithms of the mean gradients of each phase, in the mean of both directions."""
    found = []
    for image in (band, band.T):
        differences = np.abs(np.diff(image, axis=0))
        found.append([np.log(differences[phase::ratio].mean()) for phase in range(ratio)])
    return np.mean(found, axis=0)


@pytest.mark.parametrize("ratio", [2, 3, 6])
def test_it_is_the_mean_difference_of_logarithms(ratio):
    images = np.random.default_rng(0).uniform(0, 1, (3, 24, 36, 2)).astype("float32")
    blocks = np.random.default_rng(1).uniform(0, 3, (24 // ratio, 36 // ratio, 2))
    images[1] += np.kron(blocks, np.ones((ratio, ratio, 1)))
    found = grid_penalty(tf.constant(images), ratio).numpy()
    for image, penalty in zip(images, found):
        each = [logarithms(image[..., band], ratio) for band in range(2)]
        wanted = np.mean([abs(one[phase] - one[phase - 1]) for one in each for phase in range(ratio)])
        np.testing.assert_allclose(penalty, wanted, rtol=1e-3)
    assert found[1] > 3 * found[0]


def test_slopes_and_constant_ground_have_no_grid():
    slope = np.broadcast_to(np.arange(24, dtype="float32")[:, None, None] / 100, (1, 24, 24, 3))
    np.testing.assert_allclose(grid_penalty(tf.constant(slope), 2), [0], atol=1e-6)
    np.testing.assert_allclose(grid_penalty(tf.ones((2, 12, 12, 1)), 6), [0, 0], atol=1e-12)


def test_what_the_ground_itself_shows_is_no_grid():
    """Stripes in the middle of coarse pixels, in all bands."""
    band = np.random.default_rng(0).uniform(0, 1, (1, 24, 24, 1)).astype("float32")
    band[:, ::4] += 2
    images = np.concatenate([3 * band, 0.5 * band + 1], axis=-1)
    assert grid_penalty(tf.constant(images), 4)[0] > 0.2
    np.testing.assert_allclose(grid_penalty(tf.constant(images), 4, tf.constant(band)), [0], atol=1e-5)


def test_it_is_added_to_the_loss_of_trainings_alone():
    image = tf.constant(np.random.default_rng(0).uniform(0, 1, (2, 12, 12, 3)).astype("float32"))
    ground = tf.constant(np.random.default_rng(1).uniform(0, 1, (2, 12, 12, 1)).astype("float32"))
    layer = GridPenalty(0.5, 2)
    for training, wanted in ((False, []), (True, [0.5 * float(tf.reduce_mean(grid_penalty(image, 2, ground)))])):
        np.testing.assert_array_equal(layer([image, ground], training=training), image)
        np.testing.assert_allclose([float(each) for each in layer.losses], wanted, rtol=1e-5)
    assert GridPenalty.from_config(layer.get_config()).get_config() == layer.get_config()


def test_going_down_takes_the_grid_away():
    coarse = np.random.default_rng(0).uniform(0, 1, (1, 12, 12, 1)).astype("float32")
    image = tf.Variable(
        np.kron(coarse, np.ones((1, 2, 2, 1), "float32"))
        + 0.02 * np.random.default_rng(1).normal(size=(1, 24, 24, 1)).astype("float32")
    )
    before = float(grid_penalty(image, 2)[0])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            penalty = grid_penalty(image, 2)
        image.assign_sub(0.05 * tape.gradient(penalty, image))

    with steps(eager=False):
        for _ in range(200):
            step()
    assert float(grid_penalty(image, 2)[0]) < 0.1 * before


@pytest.mark.slow
def test_trainings_take_it(tmp_path):
    """It is in the loss that falls, and not in that of validation."""
    scene, valid = write_scene(tmp_path, seed=0), write_scene(tmp_path, seed=1)
    common = [
        "--role",
        "2x",
        "--input",
        *scene,
        "--valid",
        *valid,
        "--offset",
        "0",
        "--patch-size",
        "16",
        "--samples",
        "8",
    ]
    tiny = ["--size", "fast", "--depth", "4", "--blocks", "1", "--epochs", "1"]
    assert dsen2.main([*common, *tiny, "--model-dir", str(tmp_path / "model"), "--grid-penalty", "0.5"]) == 0
    run = read_json(tmp_path / "model" / "run.json")
    assert run["arguments"]["grid_penalty"] == 0.5
    (epoch,) = run["history"]
    assert epoch["loss"] > 1.5 * epoch["l1"] and epoch["val_loss"] == pytest.approx(epoch["val_l1"], rel=1e-3)
