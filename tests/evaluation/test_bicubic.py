# SPDX-License-Identifier: Apache-2.0
"""The baseline: closed forms, and the errors that are known of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.wald import degrade
from evaluation.bicubic import bicubic
from evaluation.metrics import rmse

sizes = st.integers(1, 7)


def cubic(distance):
    """Keys' kernel as MATLAB's `imresize` writes it."""
    x = abs(distance)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def naive(signal, scale):
    """Interpolate a row, pixel by pixel."""
    size, result = len(signal), []
    for target in range(size * scale):
        position = (target + 0.5) / scale - 0.5
        value = 0.0
        for neighbour in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            mirrored = neighbour % (2 * size)
            value += cubic(position - neighbour) * signal[min(mirrored, 2 * size - 1 - mirrored)]
        result.append(value)
    return np.array(result)


@given(rows=sizes, columns=sizes, scale=st.sampled_from([1, 2, 3, 4, 6]), seed=st.integers(0, 9))
def test_pixel_by_pixel(rows, columns, scale, seed):
    image = np.random.default_rng(seed).uniform(0, 1000, (rows, columns, 2)).astype(np.float32)
    result = bicubic(image, scale)
    assert result.shape == (rows * scale, columns * scale, 2) and result.dtype == np.float32
    wanted = np.apply_along_axis(naive, 1, np.apply_along_axis(naive, 0, image, scale), scale)
    np.testing.assert_allclose(result, wanted, atol=1e-2)


@given(rows=st.integers(6, 9), scale=st.sampled_from([2, 6]))
def test_a_ramp_stays_a_ramp_inside(rows, scale):
    ramp = np.arange(rows, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((1, 6, 1), dtype=np.float32)
    inside = slice(2 * scale, -2 * scale)
    wanted = ((np.arange(rows * scale) + 0.5) / scale - 0.5)[inside]
    np.testing.assert_allclose(bicubic(ramp, scale)[inside, 0, 0], wanted, atol=1e-4)


def test_edges_overshoot():
    """MATLAB clips only what is of 8 bits."""
    step = np.repeat(np.array([0, 0, 0, 1, 1, 1], dtype=np.float32), 1)[np.newaxis, :, np.newaxis]
    assert bicubic(step, 2).min() < 0 and bicubic(step, 2).max() > 1


def test_missing_pixels_spread_as_far_as_the_kernel_reaches():
    image = np.ones((9, 9, 1), dtype=np.float32)
    image[4, 4] = np.nan
    missing = np.isnan(bicubic(image, 2)[..., 0])
    rows = np.flatnonzero(missing.any(axis=1))
    assert (rows[0], rows[-1]) == (5, 12) and missing[5:13, 5:13].all()


def test_arguments():
    with pytest.raises(ValueError, match=r"^image: expected .*, got \(4, 4\)"):
        bicubic(np.ones((4, 4)), 2)
    with pytest.raises(ValueError, match=r"^scale: expected .*, got 1.5"):
        bicubic(np.ones((4, 4, 1)), 1.5)


@pytest.mark.parametrize("dtype, joint", [("float32", 158.6096), ("uint16", 158.613)])
def test_known_errors_of_20_m_bands(malmo, dtype, joint):
    """Of 16 bits: as the authors' scripts simulate."""
    names = ("B05", "B06", "B07", "B8A", "B11", "B12")
    truth = np.stack([malmo[name] for name in names], axis=-1)
    estimate = bicubic(degrade(truth.astype(dtype), 2), 2)
    assert rmse(truth, estimate) == pytest.approx(joint, abs=0.005)
    errors = [rmse(truth[..., band], estimate[..., band]) for band in range(6)]
    assert errors == pytest.approx([79.41, 157.98, 218.77, 231.76, 92.76, 97.50], abs=0.02)


def test_known_errors_of_60_m_bands(malmo):
    truth = np.stack([malmo[name][:96, :96] for name in ("B01", "B09")], axis=-1)
    estimate = bicubic(degrade(truth, 6), 6)
    assert rmse(truth, estimate) == pytest.approx(106.99, abs=0.02)
    errors = [rmse(truth[..., band], estimate[..., band]) for band in range(2)]
    assert errors == pytest.approx([88.02, 123.07], abs=0.02)
