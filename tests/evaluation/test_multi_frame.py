# SPDX-License-Identifier: Apache-2.0
"""The baselines of multi-image super-resolution: closed forms, the reference arrays, and ESA's rule done otherwise."""

import numpy as np
import pytest
from scipy.ndimage import fourier_shift

from datasets.deepsum.preparation import Frames, enlarge, enlarge_mask, mean_of_registered, prepare, register
from evaluation.cpsnr import cpsnr
from evaluation.multi_frame import clearest, esa_baseline
from simulate.challenge_norm import baseline_cpsnr
from simulate.probav import make_scene


def texture(shape, seed=0):
    return np.random.default_rng(seed).uniform(4000, 9000, shape)


@pytest.fixture(scope="module")
def scene():
    """A scene some of whose images are equally clear."""
    return make_scene("NIR", 32, 32, 1, 0)


def test_mean_of_clear_pixels():
    """Frame k is k everywhere: the mean tells which frames took part, and all do where none is clear."""
    images = np.broadcast_to(np.arange(3, dtype=np.float32)[:, None, None], (3, 2, 2))
    masks = np.array([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 1], [1, 0]]], bool)
    frames = Frames(images, masks, np.zeros((3, 2), int))
    np.testing.assert_array_equal(mean_of_registered(frames), [[0.5, 1.5], [2.0, 1.0]])
    assert frames.masks.sum() == 5


def test_displaced_images_and_masks_come_back():
    """Displaced copies of one image, hidden in places: their mean is the image."""
    image = texture((24, 30)).astype(np.float32)
    clear = np.random.default_rng(1).random((4, 24, 30)) > 0.3
    shifts = np.array([(0, 0), (3, -2), (-4, 4), (1, 0)])
    images = np.stack([np.roll(np.where(mask, image, 60000), -shift, (0, 1)) for mask, shift in zip(clear, shifts)])
    masks = np.stack([np.roll(mask, -shift, (0, 1)) for mask, shift in zip(clear, shifts)])
    found = mean_of_registered(Frames(images, masks, shifts))
    seen = clear.any(axis=0)
    np.testing.assert_allclose(found[seen], image[seen], rtol=1e-6)
    assert 0 < (~seen).sum() and (found[~seen] == 60000).all()
    assert found.dtype == np.float32


@pytest.mark.parametrize("number", [0, 1])
def test_mean_of_the_reference_arrays(shared_data, number):
    """Against images moved by Fourier's shift theorem, and the authors' registered masks."""
    with np.load(shared_data("deepsum_vectors") / "v5_data_pipeline.npz") as arrays:
        lr, qm, order, shifts = (arrays[f"reg{number}_{name}"] for name in ("lr", "qm", "order", "shifts"))
    fine = [enlarge(image) for image in lr]
    frames = register(np.stack(fine), np.stack([enlarge_mask(mask != 0) for mask in qm]))
    np.testing.assert_array_equal(clearest(frames), fine[order[0]])
    moved = np.stack([np.fft.ifft2(fourier_shift(np.fft.fft2(fine[k]), s)).real for k, s in zip(order, shifts)])
    masks = np.stack([np.roll(enlarge_mask(qm[k] != 0), s.astype(int), (0, 1)) for k, s in zip(order, shifts)])
    count = masks.sum(axis=0)
    expected = np.where(count, (moved * masks).sum(axis=0) / np.maximum(count, 1), moved.mean(axis=0))
    np.testing.assert_allclose(mean_of_registered(frames), expected, rtol=1e-5)


def test_clearest_is_the_one_with_most_clear_pixels():
    lr, qm = texture((9, 8, 8)).astype(np.uint16), np.zeros((9, 8, 8), bool)
    lr[:] = lr[0] + np.arange(9, dtype=np.uint16)[:, None, None]
    qm[4], qm[:4, :5] = True, True
    np.testing.assert_array_equal(clearest(prepare(lr, qm)), enlarge(lr[4]))


def test_esa_baseline_takes_the_clearest_images_only():
    lr, qm = texture((4, 6, 7)), np.ones((4, 6, 7), bool)
    qm[[0, 2], 1, 1] = False
    np.testing.assert_allclose(esa_baseline(lr, qm), (enlarge(lr[1]) + enlarge(lr[3])) / 2, rtol=1e-6)
    qm[3, 0] = False
    np.testing.assert_array_equal(esa_baseline(lr, qm), enlarge(lr[1]))
    np.testing.assert_array_equal(esa_baseline(lr, qm.astype(np.uint8) * 255), enlarge(lr[1]))


def test_esa_baseline_scores_as_the_simulator_says(scene):
    """Both are written apart: the simulator stands in for ESA."""
    found = cpsnr(scene.hr, esa_baseline(scene.lr, scene.qm), scene.sm)
    assert found == pytest.approx(baseline_cpsnr(scene.lr, scene.qm, scene.hr, scene.sm), abs=1e-5)
    assert (scene.qm.mean((1, 2)) == 1).sum() > 1


def test_averaging_registered_images_lessens_noise():
    """Nine copies with independent noise: a third of the error is left, 9.5 dB."""
    image, generator = enlarge(texture((40, 40))), np.random.default_rng(2)
    images = (image + generator.normal(0, 300, (9, *image.shape))).astype(np.float32)
    frames = Frames(images, np.ones(images.shape, bool), np.zeros((9, 2), int))
    clear = np.ones(image.shape, bool)
    gain = cpsnr(image, mean_of_registered(frames), clear) - cpsnr(image, clearest(frames), clear)
    assert gain == pytest.approx(20 * np.log10(3), abs=0.2)


def test_errors():
    with pytest.raises(
        ValueError, match=r"^lr, qm: expected equal shapes \(images, rows, columns\), .*\(2, 3, 3\) and \(2, 3, 4\)$"
    ):
        esa_baseline(np.ones((2, 3, 3)), np.ones((2, 3, 4)))
