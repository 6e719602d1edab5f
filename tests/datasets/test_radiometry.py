# SPDX-License-Identifier: Apache-2.0
"""Gains and offsets of training patches: as strong as stated, and the same for a band's truth as for its source."""

import numpy as np
import pytest

from datasets.radiometry import BALANCED_DEVIATION, LEAST_DEVIATION, balanced, other_radiometry

SHAPES = {"x10": (8, 8, 4), "x20": (4, 4, 6)}


def patch(seed=0):
    rng = np.random.default_rng(seed)
    images = {name: rng.uniform(500, 4000, shape).astype(np.float32) for name, shape in SHAPES.items()}
    return images, rng.uniform(500, 4000, (8, 8, 6)).astype(np.float32)


def test_gains_are_strong_for_each_band():
    """SWIR bands are weak over snow, water vapour darkens B09: ratios of bands differ by more than a factor of 3."""
    images, target = patch()
    logarithms, offsets = [], []
    for seed in range(60):
        changed, truth = other_radiometry(np.random.default_rng(seed), images, target, "x20")
        for before, after in [(images["x10"], changed["x10"]), (images["x20"], changed["x20"])]:
            fits = [np.polyfit(before[..., band].ravel(), after[..., band].ravel(), 1) for band in range(4)]
            logarithms.append([np.log(gain) for gain, _ in fits])
            offsets += [offset for _, offset in fits]
        gain, offset = fits[3]
        np.testing.assert_allclose(truth[..., 3], gain * target[..., 3] + offset, rtol=1e-3, atol=0.5)
        assert truth.dtype == changed["x10"].dtype == np.float32
    assert 0.45 < np.std(logarithms, axis=1).mean() < 0.7
    assert 50 < np.std(offsets) < 70


@pytest.mark.parametrize("gain", [0.1, 1.0, 7.0])
def test_balanced_bands_have_one_deviation(gain):
    images, target = patch()
    images["x20"] *= gain
    found, truth = balanced(images, gain * target, "x20", 2)
    blocks = truth.reshape(4, 2, 4, 2, 6)
    spreads = np.sqrt(np.square(blocks - blocks.mean(axis=(1, 3), keepdims=True)).mean(axis=(0, 1, 2, 3)))
    np.testing.assert_allclose(spreads, BALANCED_DEVIATION, rtol=1e-3)
    gains = (truth / (gain * target))[0, 0]
    np.testing.assert_allclose(found["x20"], images["x20"] * gains, rtol=1e-4)
    assert found["x10"] is images["x10"]


def test_noise_is_not_amplified_without_end():
    images, target = patch()
    _, truth = balanced(images, target * 0 + 300, "x20", 2)
    np.testing.assert_allclose(truth, 300 * BALANCED_DEVIATION / LEAST_DEVIATION, rtol=1e-5)
