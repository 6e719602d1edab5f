# SPDX-License-Identifier: Apache-2.0
"""Windows of nine frames against the authors' procedure told step by step, their mean, and blocks."""

import numpy as np
import pytest

from datasets.deepsum.preparation import Frames
from inference.deepsum.super_resolution import run_by_blocks
from inference.deepsum.windows import mean_of_windows, windows

MEAN, DEVIATION = 7000.0, 500.0


def frames(count=13, clear=0.8, seed=0, side=12):
    """Draw frames whose masks differ in clearance, and shifts."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(clear, 1.0, count)
    masks = np.stack([rng.uniform(size=(side, side)) < share for share in shares])
    masks[0] = masks[masks.sum(axis=(1, 2)).argmax()]  # the reference is the clearest
    images = rng.uniform(4000, 9000, masks.shape).astype("f4")
    shifts = rng.integers(-4, 5, (count, 2))
    shifts[0] = 0
    return Frames(images, masks, shifts)


def original(scene, n_slide):
    """The authors' procedure, one step after the other, for up to 16 frames: images, and masks as they are moved."""
    numbers = sorted(range(len(scene)), key=lambda number: scene.masks[number].sum())[::-1]
    images, masks = [scene.images[number] for number in numbers], [scene.masks[number] for number in numbers]
    threshold = 0.9
    keep = [number for number, mask in enumerate(masks) if mask.mean() > threshold]
    while len(keep) < 9:
        threshold -= 0.05
        keep = [number for number, mask in enumerate(masks) if mask.mean() > threshold]
    images, masks = [images[number] for number in keep], [masks[number] for number in keep]
    shifts = [scene.shifts[number] for number in keep]  # of unsorted frames
    for window in range(min(n_slide, len(keep) - 9) + 1):
        moved = [np.roll(masks[window + number], shifts[number], (0, 1)) for number in range(9)]
        yield np.stack(images[window : window + 9]), np.stack(moved)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("clear", [0.97, 0.6])
def test_original_windows_are_the_authors(seed, clear):
    scene = frames(13, clear, seed)
    found = windows(scene, 3, original=True)
    wanted = list(original(scene, 2))
    assert len(found) == len(wanted) == (3 if clear > 0.9 else len(wanted))
    for window, (images, masks) in zip(found, wanted):
        np.testing.assert_array_equal(window.images, images)
        np.testing.assert_array_equal(window.registered_masks(), masks)


@pytest.mark.parametrize("seed", range(3))
def test_windows_begin_with_the_clearest_and_lay_masks_onto_their_reference(seed):
    """Masks that are one mask, displaced, come to lie on the reference's wherever a window begins."""
    scene = frames(12, 0.97, seed)
    mask = scene.masks[0]
    rolled = np.stack([np.roll(mask, -shift, (0, 1)) for shift in scene.shifts])
    scene = Frames(scene.images, rolled, scene.shifts)
    found = windows(scene, 4)
    assert len(found) == 4
    for number, window in enumerate(found):
        np.testing.assert_array_equal(window.images, scene.images[number : number + 9])
        np.testing.assert_array_equal(window.registered_masks(), np.stack([window.masks[0]] * 9))


def test_windows_are_ordered_by_clearance_and_of_frames_that_are_clear_enough():
    """Of 144 pixels 3, 6, … are hidden. Five frames hide less than 10 %, eight less than 15 %, ten less than 20 %."""
    scene = frames(14, 1.0)
    hidden = 3 * np.array([0, 12, 4, 9, 7, 2, 1, 3, 5, 6, 8, 10, 11, 13])
    for mask, pixels in zip(scene.masks, hidden):
        mask.flat[:pixels] = False
    first, second = windows(scene, 5)
    order = np.argsort(hidden)
    np.testing.assert_array_equal(first.images, scene.images[order[:9]])
    np.testing.assert_array_equal(second.images, scene.images[order[1:10]])


def test_a_scene_of_nine_is_one_window():
    assert len(windows(frames(9, 0.3), 5)) == 1


def test_useless_frames_are_refused():
    with pytest.raises(ValueError, match="expected at least 9, got 8"):
        windows(frames(8), 1)
    scene = frames(9)
    with pytest.raises(ValueError, match="expected clear pixels, got none"):
        windows(Frames(scene.images, np.zeros_like(scene.masks), scene.shifts), 1)


def test_means_are_of_images_laid_onto_the_first():
    image = np.random.default_rng(1).normal(MEAN, DEVIATION, (20, 22)).astype("f4")
    brighter = np.roll(image, (-2, 3), (0, 1)) + 10
    far = np.roll(image, (5, 0), (0, 1))
    found, used = mean_of_windows([image, brighter, far], MEAN, DEVIATION)
    assert used == 2 and found.dtype == np.float32
    np.testing.assert_allclose(found, image + 5, atol=2e-3)


def mean(images, masks):
    return np.where(masks, images, 0).mean(axis=0, dtype="f4")


@pytest.mark.parametrize("size,margin", [(5, 2), (8, 0), (7, 30), (100, 3)])
def test_blocks_of_a_local_computation_are_the_whole(size, margin):
    scene = frames(9, side=17)
    found, difference = run_by_blocks(mean, scene.images, scene.masks, size, margin)
    np.testing.assert_array_equal(found, mean(scene.images, scene.masks))
    assert (difference is None) == (size > 17 or margin == 0)
    assert difference is None or difference.largest == 0


def test_blocks_are_compared_where_they_overlap():
    """Each block is higher by 1 than the one before it."""
    calls = []

    def count(images, masks):
        calls.append(images.shape)
        return np.full(images.shape[1:], len(calls), "f4")

    images = np.zeros((9, 6, 12), "f4")
    found, difference = run_by_blocks(count, images, images, 6, 2)
    assert calls == [(9, 6, 8), (9, 6, 8)]
    np.testing.assert_array_equal(found, np.repeat([[1] * 6 + [2] * 6], 6, axis=0))
    assert (difference.largest, difference.rms) == (1, 1)
    _, difference = run_by_blocks(count, np.zeros((9, 12, 12), "f4"), np.zeros((9, 12, 12), "f4"), 6, 2)
    assert difference.largest == 3
