# SPDX-License-Identifier: Apache-2.0
"""True flows of simulated pairs, between any bands of any detectors, and turned with their images."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from datasets.l1bsr.folders import read_pairs
from datasets.l1bsr.pairs import FINE, FLOWS
from simulate.detector_pairs import write_pairs
from simulate.detectors import draw_motions, find_flow
from train.l1bsr.truth import flow_between, inverse

pytestmark = pytest.mark.keras

SIZE = 64


@pytest.fixture(scope="module")
def motions():
    return draw_motions(np.random.default_rng(5))


@pytest.fixture(scope="module")
def pixels():
    y, x = np.indices((SIZE, SIZE)).astype(float)
    return np.stack([x, y], axis=-1)


def test_the_way_back(pixels):
    """A flow followed by its inverse leads to where it began."""
    flow = np.stack([2 + np.sin(pixels[..., 0] / 40), np.cos(pixels[..., 1] / 50) - 1], axis=-1).astype("float32")
    back = inverse(tf.constant(flow[np.newaxis]))[0].numpy()
    inside = pixels[8:-8, 8:-8]
    places = inside + back[8:-8, 8:-8]
    there = np.stack([2 + np.sin(places[..., 0] / 40), np.cos(places[..., 1] / 50) - 1], axis=-1)
    assert_allclose(places + there, inside, atol=2e-3)


@pytest.mark.parametrize("first", [("left", 0), ("left", 1), ("right", 3)])
@pytest.mark.parametrize("second", [("left", 3), ("right", 1), ("right", 2)])
def test_flows_between_any_views(motions, pixels, first, second):
    """They are those that the simulator finds directly."""
    truth = {
        f"flow_{name}": np.stack([find_flow(motions[name][1], band, pixels) for band in motions[name]], axis=2)
        for name in ("left", "right")
    }
    truth["cross"] = find_flow(motions["left"][1], motions["right"][1], pixels)
    truth = {name: tf.constant(value[np.newaxis], tf.float32) for name, value in truth.items()}
    detectors = tf.constant([[("left", "right").index(view[0]) for view in (first, second)]])
    flow = flow_between(truth, detectors, tf.constant([[first[1], second[1]]]))[0].numpy()
    wanted = find_flow(motions[first[0]][first[1]], motions[second[0]][second[1]], pixels)
    assert_allclose(flow[12:-12, 12:-12], wanted[12:-12, 12:-12], atol=5e-3)


def test_flows_turn_with_their_images(tmp_path):
    """Each way that samples are turned, the flow of a sample leads from its left green band to its right one."""
    write_pairs(tmp_path / "set", 1, rows=64, columns=64, seed=2)
    pairs = read_pairs(tmp_path / "set")
    seen = 0
    for epoch in range(6):
        batches = pairs.dataset(2, 48, True, epoch, crops_per_pair=2, truths=FLOWS)
        for inputs, truth in batches:
            for left, right, flow in zip(inputs["left"].numpy(), inputs["right"].numpy(), truth["cross"].numpy()):
                y, x = np.indices((48, 48))
                places = np.round(np.stack([x, y], axis=-1) + flow).astype(int)[14:-14, 14:-14]
                found = right[places[..., 1], places[..., 0], 1]
                assert np.corrcoef(found.ravel(), left[14:-14, 14:-14, 1].ravel())[0, 1] > 0.7
                seen += 1
    assert seen == 12


@pytest.mark.slow
def test_fine_images_turn_with_their_images(tmp_path):
    """Each way that samples are turned, pixel (2y, 2x) of the truth is that of the green band at (y, x)."""
    write_pairs(tmp_path / "set", 1, rows=64, columns=64, seed=2)
    pairs = read_pairs(tmp_path / "set")
    seen = set()
    for epoch in range(12):
        for inputs, truth in pairs.dataset(1, 48, True, epoch, truths=FINE):
            for name in ("left", "right"):
                green, fine = inputs[name].numpy()[0, ..., 1], truth[f"hr_{name}"].numpy()[0, ..., 1]
                assert fine.shape == (96, 96)
                assert np.abs(green - fine[::2, ::2])[1:-1, 1:-1].max() < 12  # noise of 2 counts at most
            seen.add(green.tobytes())
    assert len(seen) == 12
