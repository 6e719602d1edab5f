# SPDX-License-Identifier: Apache-2.0
"""The preparation of DeepSUM's samples against the arrays that the authors' pipeline makes, and scipy."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import fourier_shift
from skimage.registration import phase_cross_correlation

from datasets.deepsum.preparation import (
    Frames,
    best_frames,
    descending,
    enlarge,
    enlarge_mask,
    prepare,
    register,
    roll,
    translation,
)
from datasets.deepsum.scenes import Sample, corners, patches, prepare_sample, split


@pytest.fixture
def vector(shared_data):
    with np.load(shared_data("deepsum_vectors") / "v5_data_pipeline.npz") as arrays:
        return dict(arrays)


def registered(vector, scene):
    """Register a scene of the reference arrays."""
    return register(
        np.stack([enlarge(image) for image in vector[f"reg{scene}_lr"]]),
        np.stack([enlarge_mask(mask) for mask in vector[f"reg{scene}_qm"]]),
    )


def texture(shape, seed=0):
    return np.random.default_rng(seed).uniform(4000, 9000, shape)


def scene(count=12, size=16, seed=0):
    """Make a scene of equal, clear images."""
    lr = np.repeat(texture((1, size, size), seed).astype(np.uint16), count, axis=0)
    return lr, np.ones(lr.shape, bool)


def test_enlarged_images_are_the_reference(vector):
    found = enlarge(vector["bicubic_lr"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vector["bicubic_up"])


def test_enlarged_masks_are_the_reference(vector):
    np.testing.assert_array_equal(enlarge_mask(vector["mask_lr"]), vector["mask_up"])


@pytest.mark.parametrize("number", [0, 1])
def test_registration_is_the_reference(vector, number):
    frames, lr = registered(vector, number), vector[f"reg{number}_lr"]
    np.testing.assert_array_equal(frames.shifts, vector[f"reg{number}_shifts"])
    order = vector[f"reg{number}_order"]
    np.testing.assert_array_equal(frames.images, np.stack([enlarge(lr[index]) for index in order]))
    rolled = [roll(image, shift) for image, shift in zip(frames.images[:3], frames.shifts)]
    np.testing.assert_allclose(rolled, vector[f"reg{number}_registered"], rtol=1e-6)


@pytest.mark.parametrize("number", [0, 1])
def test_best_frames_are_the_reference(vector, number):
    np.testing.assert_array_equal(best_frames(registered(vector, number).masks), vector[f"best9_idx{number}"])


@pytest.mark.parametrize("count", [9, 12, 16, 17, 20, 25, 30])
def test_order_of_ties_is_the_reference(vector, count):
    np.testing.assert_array_equal(descending(vector[f"argsort_in_{count}"]), vector[f"argsort_rev_{count}"])


@pytest.mark.parametrize("count", [12, 17, 20, 30])
def test_order_of_equal_values_is_the_reference(vector, count):
    np.testing.assert_array_equal(descending(np.ones(count, int)), vector[f"argsort_const_rev_{count}"])


@given(st.lists(st.integers(0, 5), max_size=80))
def test_descending_sorts(values):
    indices = descending(values)
    assert sorted(indices.tolist()) == list(range(len(values)))
    assert [values[index] for index in indices] == sorted(values, reverse=True)


@given(st.integers(1, 7), st.integers(1, 7), st.floats(0, 6e4), st.floats(-1e3, 1e3))
def test_enlarging_keeps_ramps_inside_and_the_range(rows, columns, start, slope):
    """Cubic convolution reproduces straight lines away from the border."""
    image = start + slope * np.add.outer(np.arange(rows + 4), np.arange(columns + 4))
    fine = enlarge(image)
    exact = start + slope * np.add.outer(*(((np.arange(3 * length) + 0.5) / 3 - 0.5) for length in image.shape))
    np.testing.assert_allclose(fine[6:-6, 6:-6], exact[6:-6, 6:-6], rtol=1e-5, atol=1e-2)
    assert np.float32(image.min()) <= fine.min() and fine.max() <= np.float32(image.max())


@pytest.mark.parametrize("shift", [(0, 0), (4, -3), (-7, 2), (12, 12)])
@pytest.mark.parametrize("shape", [(24, 24), (25, 27)])
def test_translation_undoes_a_displacement(shift, shape):
    reference = texture(shape)
    moved = np.roll(reference, (-shift[0], -shift[1]), (0, 1))
    assert translation(reference, moved) == shift
    np.testing.assert_array_equal(roll(moved, shift), reference)


def test_correlation_is_not_normalised():
    """A bright cloud decides, though the ground says otherwise: phase correlation follows the ground."""
    reference = texture((48, 48))
    moved = np.roll(reference, (3, 0), (0, 1))
    cloud = 4e4 * np.exp(-((np.arange(48) - 20) ** 2) / 60)
    cloud = np.outer(cloud, cloud) / cloud.max()
    reference, moved = reference + cloud, moved + np.roll(cloud, 2, 1)
    assert translation(reference, moved) == (0, -2)
    assert tuple(phase_cross_correlation(reference, moved, normalization=None)[0]) == (0, -2)
    assert tuple(phase_cross_correlation(reference, moved, normalization="phase")[0]) == (-3, 0)


def test_masks_move_as_fourier_shift_moves_them():
    masks = np.random.default_rng(0).random((3, 12, 15)) > 0.4
    shifts = np.array([(0, 0), (4, -2), (-1, 3)])
    frames = Frames(np.zeros(masks.shape, np.float32), masks, shifts)
    expected = [np.fft.ifft2(fourier_shift(np.fft.fft2(m), s)).real.round() for m, s in zip(masks, shifts)]
    np.testing.assert_array_equal(frames.registered_masks(), expected)


def test_classes_are_places_in_the_filters():
    """The ideal filter of a frame, applied as cross-correlation, does what its shift does."""
    image = texture((20, 20))
    shifts = np.array([(0, 0), (4, -4), (-4, 4), (1, 3)])
    frames = Frames(np.zeros((4, 20, 20), np.float32), np.ones((4, 20, 20), bool), shifts)
    for index, shift in zip(frames.classes(), shifts):
        row, column = divmod(int(index), 9)
        np.testing.assert_array_equal(image[row : row + 12, column : column + 12], roll(image, shift)[4:16, 4:16])
    with pytest.raises(ValueError, match="^shifts: expected at most 4 pixels, got 5$"):
        Frames(frames.images[:1], frames.masks[:1], np.array([(0, -5)])).classes()


def test_corrupt_images_are_left_out():
    lr, qm = scene(11)
    lr[3, 5, 5], lr[7, 0, 0], lr[8] = 60001, 60000, 100
    frames = prepare(lr, qm)
    assert len(frames) == 10
    assert frames.images.max() == 60000
    lr[1:3, 1, 1] = 65535
    assert prepare(lr, qm) is None


def test_far_images_are_left_out():
    lr, qm = scene(10)
    lr[2] = np.roll(lr[2], 2, 0)
    qm[:4, 0, 0] = False
    frames = prepare(lr, qm)
    assert len(frames) == 9 and frames.images.shape == (9, 48, 48) and frames.images.dtype == np.float32
    assert frames.masks.dtype == bool and frames.shifts.dtype == np.int64
    assert (frames.shifts == 0).all()
    lr[5] = np.roll(lr[5], -2, 1)
    assert prepare(lr, qm) is None


def test_near_images_keep_their_shift():
    lr, qm = scene(9)
    lr[2] = np.roll(lr[2], (1, -1), (0, 1))
    frames = prepare(lr, qm)
    assert sorted(map(tuple, frames.shifts.tolist())) == [(-3, 3)] + [(0, 0)] * 8


def test_parts_hold_the_same_place():
    frames = Frames(texture((9, 30, 30)), texture((9, 30, 30)) > 6000, np.zeros((9, 2), int))
    part = frames.part(3, 17, 12)
    np.testing.assert_array_equal(part.images, frames.images[:, 3:15, 17:29])
    np.testing.assert_array_equal(part.masks, frames.masks[:, 3:15, 17:29])


def test_errors():
    with pytest.raises(ValueError, match=r"^qm: expected the images' shape \(9, 8, 8\), got \(9, 8, 7\)$"):
        prepare(np.ones((9, 8, 8)), np.ones((9, 8, 7)))
    with pytest.raises(ValueError, match=r"^lr: expected shape \(frames, rows, columns\), none of them 0,"):
        prepare(np.ones((0, 8, 8)), np.ones((0, 8, 8)))
    with pytest.raises(ValueError, match="^masks: expected at least 9 frames, got 8$"):
        best_frames(np.ones((8, 4, 4), bool))


@pytest.mark.parametrize("band", ["NIR", "RED"])
def test_split_is_the_reference(vector, band):
    train, valid = vector[f"train_imgsets_{band}"], vector[f"valid_imgsets_{band}"]
    names = [f"imgset{number:04d}" for number in sorted([*train, *valid])]
    training, validation = split(names[::-1])
    assert training == [f"imgset{number:04d}" for number in train]
    assert validation == [f"imgset{number:04d}" for number in valid]
    indices = [names.index(name) for name in training + validation]
    np.testing.assert_array_equal(indices, vector[f"perm_{band}"])


def test_places_of_patches_are_the_reference(vector):
    """One stream of random numbers goes on from scene to scene."""
    stream = random.Random(4)
    for number in (0, 1):
        found = corners(registered(vector, number).masks, vector["patch_hr_mask"][number], stream, size=24, count=5)
        expected = vector["patch_coords"][number]
        np.testing.assert_array_equal(found, expected[:, 0])
        np.testing.assert_array_equal(np.add(found, 24), expected[:, 1])


def test_stream_is_the_reference(vector):
    clear = np.ones((72, 72), bool)
    found = corners(np.repeat(clear[np.newaxis], 9, axis=0), clear, random.Random(4), size=24, count=50)
    np.testing.assert_array_equal(found, vector["coords_stream_first50"])


def test_patches_are_clear_enough():
    """Exactly the places that counting pixels of each patch accepts, of all that are tried."""
    generator = np.random.default_rng(0)
    coarse = generator.random((11, 6, 6)) > 0.2
    masks, clear = (
        np.kron(coarse, np.ones((1, 5, 5))) > 0,
        np.kron(generator.random((6, 6)) > 0.12, np.ones((5, 5))) > 0,
    )
    found = corners(masks, clear, random.Random(7), size=10, count=1000, trials=300)
    stream, expected = random.Random(7), []
    for _ in range(300):
        row, column = stream.randint(0, 19), stream.randint(0, 19)
        place = np.s_[..., row : row + 10, column : column + 10]
        if (masks[place].mean(axis=(1, 2)) > 0.7).sum() >= 9 and clear[place].mean() > 0.85:
            expected.append((row, column))
    assert 0 < len(expected) < 300
    assert found == expected


def test_no_patch_where_all_is_concealed():
    masks = np.ones((9, 20, 20), bool)
    assert corners(masks, np.zeros((20, 20), bool), random.Random(0), size=8, trials=50) == []
    assert corners(masks[:8], np.ones((20, 20), bool), random.Random(0), size=8, trials=50) == []


def test_patches_hold_the_best_frames_of_their_place():
    frames = Frames(
        texture((12, 40, 40)).astype(np.float32), texture((12, 40, 40)) > 5000, np.arange(24).reshape(12, 2)
    )
    hr, clear = texture((40, 40), 1), np.ones((40, 40), bool)
    sample = Sample(frames, hr, clear)
    places = corners(frames.masks, clear, random.Random(3), size=16, count=4)
    found = list(patches(sample, random.Random(3), size=16, count=4))
    assert len(found) == len(places) == 4
    for patch, (row, column) in zip(found, places):
        place = np.s_[..., row : row + 16, column : column + 16]
        best = best_frames(frames.masks[place])
        np.testing.assert_array_equal(patch.frames.images, frames.images[place][best])
        np.testing.assert_array_equal(patch.frames.masks, frames.masks[place][best])
        np.testing.assert_array_equal(patch.frames.shifts, frames.shifts[best])
        np.testing.assert_array_equal(patch.hr, hr[place])
        assert patch.clear.shape == (16, 16)


def test_prepared_sample():
    lr, qm = scene(9, size=8)
    hr, clear = texture((24, 24)), np.ones((24, 24), np.uint8)
    sample = prepare_sample(lr, qm, hr, clear)
    assert len(sample.best().frames) == 9 and sample.clear.dtype == bool
    np.testing.assert_array_equal(sample.hr, hr)
    assert prepare_sample(lr[:8], qm[:8], hr, clear) is None
    with pytest.raises(ValueError, match=r"^hr: expected shape \(24, 24\), got \(23, 24\)$"):
        prepare_sample(lr, qm, hr[1:], clear)


def test_patch_that_does_not_fit():
    with pytest.raises(ValueError, match="^size: expected fewer than 24 pixels, got 24$"):
        corners(np.ones((9, 24, 24), bool), np.ones((24, 24), bool), random.Random(0), size=24)
