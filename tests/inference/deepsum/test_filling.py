# SPDX-License-Identifier: Apache-2.0
"""Concealed pixels filled from other frames: what they were, whatever the frames' brightness; no outlines of masks."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, gaussian_filter

from datasets.deepsum.preparation import Frames, prepare, roll
from evaluation.mask_outlines import outlines
from inference.deepsum.filling import MARGIN, filled
from inference.deepsum.network import find_model, served
from inference.deepsum.options import Options
from inference.deepsum.super_resolution import fused
from inference.deepsum.windows import windows
from simulate.probav import make_scene
from simulate.probav_scenes import read_landscape

SIDE = 90


def frames(seed=0, concealed=4):
    """Nine views of smooth ground, of other brightness and contrast; clouds in some. And the views without clouds."""
    rng = np.random.default_rng(seed)
    ground = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4, mode="wrap")
    ground = 8000 + 1500 * ground / ground.std()
    shifts = np.concatenate([[[0, 0]], rng.integers(-4, 5, (8, 2))])
    truth = np.stack(
        [gain * roll(ground, -shift) + 100 * gain for gain, shift in zip(rng.uniform(0.97, 1.03, 9), shifts)]
    )
    masks = np.ones(truth.shape, bool)
    for mask in masks[9 - concealed :]:
        row, column = rng.integers(15, SIDE - 35, 2)
        mask[row : row + 20, column : column + 15] = False
    images = np.where(masks, truth, 16000).astype(np.float32)
    return Frames(images, masks, shifts), truth


@pytest.mark.parametrize("seed", range(3))
def test_what_clouds_conceal_is_what_other_frames_saw(seed):
    """All frames are as bright as the reference then; their contrast is their own."""
    seen, truth = frames(seed)
    found = filled(seen)
    assert found.images.dtype == np.float32
    np.testing.assert_array_equal(found.images[0], seen.images[0])
    registered = np.stack([roll(image, shift) for image, shift in zip(found.images, seen.shifts)])
    np.testing.assert_allclose((registered - registered[0]).mean(axis=(1, 2)), 0, atol=20)  # drifts are of 250
    off = found.images - truth
    assert np.abs(off - np.median(off, axis=(1, 2), keepdims=True)).max() < 150  # of a deviation of 1500
    square = np.ones((1, 2 * MARGIN + 1, 2 * MARGIN + 1), bool)
    np.testing.assert_array_equal(found.masks, ~binary_dilation(~seen.masks, square))


def test_what_no_frame_sees_stays():
    seen, _ = frames()
    hole = np.zeros((SIDE, SIDE), bool)
    hole[40:50, 30:45] = True
    masks = seen.masks & ~np.stack([roll(hole, -shift) for shift in seen.shifts])
    found = filled(Frames(seen.images, masks, seen.shifts))
    assert not any(mask[hole].any() for mask in found.registered_masks())
    np.testing.assert_array_equal(found.images[0][hole], seen.images[0][hole])


def test_margins_do_not_conceal_what_nothing_else_shows():
    """Where all frames but one are concealed, its pixels beside its own mask count as clear."""
    seen, _ = frames(concealed=0)
    masks = seen.masks.copy()
    masks[1:, 20:60, 20:60] = False
    masks[0, 20:60, 20:40] = False
    found = filled(Frames(seen.images, masks, np.zeros_like(seen.shifts)))
    np.testing.assert_array_equal(found.masks[0], masks[0] | found.masks[1:].any(axis=0) & masks[0])
    assert found.masks[0, 30, 40] and not found.masks[0, 30, 39]


def test_scenes_and_original_windows_leave_it_to_the_network():
    assert Options().filled_before(False) and not Options().filled_before(True)
    assert not Options(original_windows=True).filled_before(False)
    assert not Options(fill="network").filled_before(False)
    assert Options(fill="frames", original_windows=True).filled_before(True)


@pytest.mark.keras
@pytest.mark.slow
def test_outlines_of_masks_are_not_drawn_on_real_ground(shared_data):
    """Gradients along them, beside those of the truth: equal to elsewhere within 10 %, and nearer to it than before."""
    path = shared_data("s2_l1c_coastal_iceland_native") / "coastalA_10m.tif"
    scene = make_scene("NIR", 60, 60, 78, 1, False, read_landscape(path, 4))
    seen, network = prepare(scene.lr, scene.qm), served(find_model(None), Options())
    found = {}
    for fill in (True, False):
        image = fused(seen, network, Options(windows=1), fill).image
        found[fill] = outlines(image, scene.hr, scene.sm, windows(seen, 1)[0].registered_masks())
    assert abs(found[True] - 1) < 0.1 and abs(found[True] - 1) <= abs(found[False] - 1)
