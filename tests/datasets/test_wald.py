# SPDX-License-Identifier: Apache-2.0
"""Wald's degradation against loops, closed forms and the behaviour of the original scripts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.wald import blur_sigmas, degrade, mtf_sigma


def taps(sigma):
    """Return a Gaussian's weights at whole pixels, up to four deviations."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return weights / weights.sum()


def blurred(band, sigma, finish=lambda values: values):
    """Blur (rows, columns) along rows, then columns; edge pixels are repeated by the mirror."""
    for axis in (0, 1):
        weights = taps(sigma)
        padded = np.pad(band, [(len(weights) // 2,) * 2 if side == axis else (0, 0) for side in (0, 1)], "symmetric")
        band = finish(np.apply_along_axis(np.convolve, axis, padded, weights, "valid"))
    return band


def block_means(band, scale):
    rows, columns = (length // scale for length in band.shape)
    return np.array(
        [
            [
                band[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale].mean()
                for column in range(columns)
            ]
            for row in range(rows)
        ]
    )


@settings(deadline=None, max_examples=25)
@given(
    scale=st.sampled_from([2, 6]),
    rows=st.integers(6, 20),
    columns=st.integers(6, 20),
    sigma=st.none() | st.floats(0.2, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_degrade_is_blur_and_means(scale, rows, columns, sigma, seed):
    image = np.random.default_rng(seed).uniform(0, 10000, (rows, columns, 2)).astype("float32")
    coarse = degrade(image, scale, sigma)
    assert coarse.dtype == np.float32 and coarse.shape == (rows // scale, columns // scale, 2)
    whole = image[: rows // scale * scale, : columns // scale * scale].astype("float64")
    for band in range(2):
        wanted = block_means(blurred(whole[..., band], sigma or 1 / scale), scale)
        assert np.allclose(coarse[..., band], wanted, atol=0.01)


def test_taps_of_the_paper():
    """A deviation of 1/2 for a scale of 2; for a scale of 6, 1/6, which is no blur."""
    impulse = np.zeros((9, 9, 1), "float32")
    impulse[4, 4] = 1
    weights = degrade(impulse, 2)[..., 0] * 4
    ends = {"near": 0.10645 + 0.78657, "far": 0.10645 + 0.00026}
    assert np.allclose(weights[2], [0, ends["far"] * ends["near"], ends["near"] ** 2, 0], atol=3e-4)
    image = np.random.default_rng(0).uniform(0, 10000, (24, 30, 1)).astype("float32")
    assert np.allclose(degrade(image, 6)[..., 0], block_means(image[..., 0].astype("float64"), 6), atol=2e-3)


def test_integers_are_truncated_as_in_the_original_scripts():
    """Each of the two passes of the blur truncates; simulated images come out about 1 DN low."""
    image = np.random.default_rng(0).integers(500, 3000, (120, 120, 1)).astype("uint16")
    wanted = blurred(image[..., 0].astype("float64"), 0.5, lambda values: np.floor(values + 1e-9))
    coarse = degrade(image, 2)
    assert coarse.dtype == np.float32 and np.allclose(coarse[..., 0], block_means(wanted, 2), atol=0.01)
    for scale in (2, 6):
        low = degrade(image.astype("float32"), scale) - degrade(image, scale)
        assert 0.8 < low.mean() < 1.2 and low.min() > -0.01


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_a_constant_stays(dtype):
    assert np.allclose(degrade(np.full((12, 12, 3), 1234, dtype), 6, 2.5), 1234, atol=2 if dtype == "uint16" else 1e-3)


def test_each_band_has_its_blur():
    image = np.random.default_rng(0).uniform(0, 10000, (12, 14, 3)).astype("float32")
    coarse = degrade(image, 2, [0.3, 1.2, 0.5])
    for band, sigma in enumerate((0.3, 1.2, 0.5)):
        assert np.array_equal(coarse[..., [band]], degrade(image[..., [band]], 2, sigma))
    assert blur_sigmas(6, 4, None).tolist() == [1 / 6] * 4 and blur_sigmas(2, 2, [1, 2]).tolist() == [1, 2]


@settings(deadline=None)
@given(mtf=st.floats(0.02, 0.99), scale=st.sampled_from([2, 6]))
def test_transfer_at_the_coarse_nyquist_frequency(mtf, scale):
    """The Fourier transform of the Gaussian, summed finely."""
    sigma = mtf_sigma(mtf, scale)
    positions = np.linspace(-9 * sigma, 9 * sigma, 4001)
    weights = np.exp(-0.5 * (positions / sigma) ** 2)
    nyquist = 1 / (2 * scale)
    assert np.sum(weights * np.cos(2 * np.pi * nyquist * positions)) / weights.sum() == pytest.approx(mtf, abs=1e-9)


@pytest.mark.parametrize("scale, mtf", [(2, 0.15), (2, 0.28), (6, 0.15), (6, 0.3)])
def test_a_wave_at_the_coarse_nyquist_frequency_is_damped_by_the_transfer(scale, mtf):
    """And by the mean over blocks."""
    positions = np.arange(scale * 60)
    wave = np.cos(np.pi * (positions + 0.5) / scale - np.pi / 2)  # extremes at the blocks' centres
    image = (1000 + 500 * np.broadcast_to(wave, (scale * 4, wave.size)))[..., None].astype("float64")
    means = wave.reshape(-1, scale).mean(axis=1)
    damped = (degrade(image, scale, mtf_sigma(mtf, scale))[2, 10:-10, 0] - 1000) / 500
    assert np.allclose(damped / means[10:-10], mtf, rtol=0.01)


@pytest.mark.parametrize("scale, reach", [(2, 2), (6, 1)])
def test_missing_pixels_spread_as_far_as_the_blur(scale, reach):
    image = np.ones((4 * scale, 4 * scale, 1), "float32")
    for place in range(4 * scale):
        missing = image.copy()
        missing[place, 2 * scale] = np.nan
        reached = {min(max(place + shift, 0), 4 * scale - 1) // scale for shift in (-reach, 0, reach)}
        assert set(np.flatnonzero(np.isnan(degrade(missing, scale)).any(axis=(1, 2)))) == reached


@pytest.mark.parametrize("shape", [(1, 8, 3), (8, 1, 3), (0, 0, 3)])
def test_too_small(shape):
    with pytest.raises(ValueError, match=r"^image: expected at least 2 x 2 pixels, got \("):
        degrade(np.zeros(shape, "float32"), 2)
    assert degrade(np.zeros((3, 2, 1), "float32"), 2).shape == (1, 1, 1)
