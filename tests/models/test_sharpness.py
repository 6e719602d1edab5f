# SPDX-License-Identifier: Apache-2.0
"""What larger pixels see of an image, and back-projection, against closed forms and scipy."""

import numpy as np
import pytest
from scipy import ndimage

from models.sharpness import BORDER, REACH, TRANSFER, BackProjection, blurred, interpolated, seen_coarser
from models.warp import warp

pytestmark = pytest.mark.keras


def wave(period, rows=64, columns=48):
    """A wave along the rows, of some pixels."""
    image = 300 + 100 * np.cos(2 * np.pi * np.arange(rows) / period)
    return np.broadcast_to(image[:, np.newaxis, np.newaxis], (1, rows, columns, 4)).astype(np.float32)


def contrast(image):
    return np.ptp(np.asarray(image)[0, 8:-8, 8, 0])


@pytest.mark.parametrize("period", [4, 8, 16])
def test_waves_keep_what_a_gaussian_transfers(period):
    """TRANSFER of four pixels, and of longer waves the root of it that is square in the length."""
    assert contrast(blurred(wave(period))) / 200 == pytest.approx(TRANSFER ** ((4 / period) ** 2), abs=0.011)


def test_blur_is_that_of_scipy():
    image = np.random.default_rng(0).uniform(100, 900, (1, 20, 23, 4)).astype(np.float32)
    deviation = 2 * np.sqrt(-2 * np.log(TRANSFER)) / np.pi
    wanted = ndimage.gaussian_filter(image[0].astype(np.float64), (deviation, deviation, 0), mode="mirror", radius=4)
    np.testing.assert_allclose(blurred(image)[0], wanted, rtol=1e-5)
    np.testing.assert_array_equal(seen_coarser(image), blurred(image)[:, ::2, ::2])


def test_interpolation_is_that_of_warps():
    image = np.random.default_rng(0).uniform(100, 900, (1, 9, 12, 4)).astype(np.float32)
    finer = interpolated(image).numpy()
    for row in (0, 1):
        for column in (0, 1):
            flow = np.broadcast_to(np.float32([column / 2, row / 2]), (1, 9, 12, 2))
            np.testing.assert_allclose(finer[:, row::2, column::2], warp(image, flow), rtol=1e-5)


def test_back_projection_leaves_what_is_consistent():
    image = np.random.default_rng(0).uniform(100, 900, (1, 40, 30, 4)).astype(np.float32)
    np.testing.assert_allclose(BackProjection()([image, seen_coarser(image)]), image, rtol=1e-5)


@pytest.mark.parametrize("period, remains", [(2, 1 - TRANSFER), (16, 0.01)])
def test_back_projection_takes_away_differences(period, remains):
    """Of an image that is level and should show a wave: 0.4 of the shortest remains, next to nothing of long ones."""
    seen, level = wave(period, 32, 24), np.full((1, 64, 48, 4), 300, np.float32)
    left = seen - seen_coarser(BackProjection()([level, seen])).numpy()
    assert contrast(left) / contrast(seen) == pytest.approx(remains, abs=0.012)


def test_reach_of_back_projection():
    """A pixel that is changed changes none beyond REACH; one of the image itself, none beyond either."""
    seen, image = np.full((1, 30, 30, 4), 300, np.float32), np.full((1, 60, 60, 4), 300, np.float32)
    before = BackProjection()([image, seen]).numpy()
    for changed, place in ((image, 30), (seen, 15)):
        there = changed.copy()
        there[0, place, place] += 1000
        after = BackProjection()([there, seen] if changed is image else [image, there]).numpy()
        rows = np.flatnonzero(np.abs(after - before)[0].max(axis=(1, 2)) > 1e-3) / 2
        assert 15 - REACH <= rows.min() and rows.max() <= 15 + REACH
    assert REACH == BORDER + 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2)])
def test_any_size(shape):
    seen = np.full((1, *shape, 4), 300, np.float32)
    made = BackProjection()([np.full((1, 2 * shape[0], 2 * shape[1], 4), 280, np.float32), seen])
    np.testing.assert_allclose(made, 300, rtol=1e-5)
