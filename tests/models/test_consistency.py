# SPDX-License-Identifier: Apache-2.0
"""The layers of consistency: degradation is that of Wald's protocol, and upsampling is what it undoes."""

import numpy as np
import pytest

from datasets.wald import degrade
from models.consistency import RADIUS, ConsistentUpsampling, Degradation, upsampling_kernel
from models.degradation import degradation_kernel

pytestmark = pytest.mark.keras
SCALES = [2, 6]


def image(rows, columns, bands=3, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (rows, columns, bands)).astype(np.float32)


@pytest.mark.parametrize("scale", SCALES)
def test_degradation_is_that_of_the_protocol(scale):
    fine = image(8 * scale, 11 * scale)
    found = Degradation(scale)(fine[None]).numpy()[0]
    np.testing.assert_allclose(found[1:-1, 1:-1], degrade(fine, scale)[1:-1, 1:-1], atol=1e-6)
    assert found.shape == (8, 11, 3) and degradation_kernel(scale).sum() == pytest.approx(1)


@pytest.mark.parametrize("scale", SCALES)
def test_degradation_undoes_upsampling(scale):
    coarse = image(9, 13)
    fine = ConsistentUpsampling(scale)(coarse[None])
    assert fine.shape == (1, 9 * scale, 13 * scale, 3)
    inner = np.s_[0, RADIUS + 1 : -RADIUS - 1, RADIUS + 1 : -RADIUS - 1]
    again = Degradation(scale)(fine).numpy()
    np.testing.assert_allclose(again[inner], coarse[inner[1:]], atol=2e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_any_image_becomes_consistent(scale):
    coarse, guess = image(9, 9), image(9 * scale, 9 * scale, seed=1)
    lacking = coarse - Degradation(scale)(guess[None])
    found = Degradation(scale)(guess + ConsistentUpsampling(scale)(lacking)).numpy()[0]
    np.testing.assert_allclose(found[3:-3, 3:-3], coarse[3:-3, 3:-3], atol=5e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_smooth_ground_has_no_grid(scale):
    """A ramp stays one: differences across and inside coarse pixels are equal, in both directions."""
    rows, columns = np.mgrid[:12, :10].astype(np.float32)
    ramp = np.stack([rows, columns, 3 * rows - 2 * columns], axis=-1)
    fine = ConsistentUpsampling(scale)(ramp[None]).numpy()[0, 2 * scale : -2 * scale, 2 * scale : -2 * scale]
    for axis, slopes in ((0, (1, 0, 3)), (1, (0, 1, -2))):
        differences = np.diff(fine, axis=axis) - np.array(slopes) / scale
        assert np.abs(differences).max() < 1e-4


@pytest.mark.parametrize("scale", SCALES)
def test_interpolation_is_tame(scale):
    """Symmetric, without the large lobes of an unstable inverse."""
    kernel = upsampling_kernel(scale)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-6)
    assert kernel.shape == ((2 * RADIUS + 1) * scale,) and np.abs(kernel).sum() / scale < 1.6


def test_images_smaller_than_the_kernel():
    assert ConsistentUpsampling(2)(image(1, 2)[None]).shape == (1, 2, 4, 3)
    np.testing.assert_allclose(ConsistentUpsampling(6)(np.full((1, 1, 1, 2), 5, np.float32)), 5, rtol=1e-6)
