# SPDX-License-Identifier: Apache-2.0
"""Metrics against closed forms, naive loops, scikit-image and published numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from datasets.wald import degrade
from evaluation import metrics
from evaluation.bicubic import bicubic
from evaluation.metrics import METRICS, UNITS, Scores, score, spectral_angles


def pair(seed=0, size=24):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.05, 0.4, (size, size, 3))
    return truth, truth + rng.normal(0, 0.01, truth.shape)


def test_every_metric_has_a_unit():
    truth, estimate = pair()
    assert list(UNITS) == list(METRICS) and set(METRICS) < set(score(truth, estimate, 4))


def test_closed_forms():
    truth = np.full((16, 16, 2), 0.2)
    truth[..., 1] = 0.4
    truth[0, 0] = [0.5, 0.8]
    scores = score(truth, truth + np.array([0.1, -0.2]), scale=4, bands=["B04", "B08"])
    assert scores["bands"]["B04"]["l1"] == pytest.approx(0.1) and scores["bands"]["B08"]["l2"] == pytest.approx(0.04)
    assert scores["l1"] == pytest.approx(0.15) and scores["l2"] == pytest.approx(0.025)
    assert scores["bands"]["B04"]["psnr"] == pytest.approx(20 * np.log10(0.5 / 0.1))
    assert scores["bands"]["B08"]["psnr"] == pytest.approx(20 * np.log10(0.8 / 0.2))
    means = truth.mean(axis=(0, 1))
    assert scores["ergas"] == pytest.approx(25 * np.sqrt(((0.1 / means[0]) ** 2 + (0.2 / means[1]) ** 2) / 2))


def test_scikit_image():
    truth, estimate = pair()
    scores = score(truth, estimate, scale=4)
    for band in range(3):
        peak = truth[..., band].max()
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": peak}
        wanted = structural_similarity(truth[..., band], estimate[..., band], **options)
        assert scores["bands"][str(band + 1)]["ssim"] == pytest.approx(wanted)
        wanted = peak_signal_noise_ratio(truth[..., band], estimate[..., band], data_range=peak)
        assert scores["bands"][str(band + 1)]["psnr"] == pytest.approx(wanted)


def test_a_perfect_image():
    truth, _ = pair()
    scores = score(truth, truth, scale=4)
    assert scores["l1"] == scores["l2"] == scores["ergas"] == 0 and scores["psnr"] == np.inf
    assert scores["ssim"] == pytest.approx(1) and scores["sam"] == pytest.approx(0, abs=1e-6)


@given(angle=st.floats(0, 90), gain=st.floats(0.1, 10))
def test_spectral_angle_ignores_brightness(angle, gain):
    radians = np.radians(angle)
    truth = np.array([[[1.0, 0.0]]])
    estimate = gain * np.array([[[np.cos(radians), np.sin(radians)]]])
    assert spectral_angles(truth, estimate)[0] == pytest.approx(angle, abs=1e-6)


def test_spectral_angle_of_nothing_is_left_out():
    truth, estimate = np.ones((2, 2, 3)), np.ones((2, 2, 3))
    truth[0, 0] = 0
    assert spectral_angles(truth, estimate).size == 3


def test_images_are_accumulated():
    """The scores of four quarters are those of the whole, but for SSIM, whose windows do not cross quarters."""
    truth, estimate = pair(size=32)
    whole, quarters = score(truth, estimate, 4), Scores(truth.max(axis=(0, 1)), 4)
    for rows in (slice(0, 16), slice(16, 32)):
        for columns in (slice(0, 16), slice(16, 32)):
            quarters.update(truth[rows, columns], estimate[rows, columns])
    result = quarters.result(["1", "2", "3"])
    for name in set(METRICS) - {"ssim"}:
        assert result[name] == pytest.approx(whole[name])
    assert result["ssim"] == pytest.approx(whole["ssim"], abs=0.02)


def test_shapes_must_match():
    with pytest.raises(ValueError, match=r"^estimate: expected 3 bands .*, got \(4, 4, 3\)"):
        score(np.ones((16, 16, 3)), np.ones((4, 4, 3)), 4)


def digital_numbers(rows=30, columns=37, bands=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(200, 4000, (rows, columns, bands)).astype(np.float32)
    return truth, truth + rng.normal(10, 100, truth.shape).astype(np.float32)


def naive_uiq(truth, estimate, window=8, step=1):
    """Wang and Bovik's index, window by window, without a case for a denominator of zero."""
    values = []
    for row in range(0, truth.shape[0] - window + 1, step):
        for column in range(0, truth.shape[1] - window + 1, step):
            part = slice(row, row + window), slice(column, column + window)
            x, y = truth[part].astype(float).ravel(), estimate[part].astype(float).ravel()
            covariances = np.cov(x, y)
            numerator = 4 * covariances[0, 1] * x.mean() * y.mean()
            values.append(numerator / ((covariances[0, 0] + covariances[1, 1]) * (x.mean() ** 2 + y.mean() ** 2)))
    return np.mean(values)


def test_errors_in_closed_form():
    truth = np.full((16, 16), 2000, dtype=np.float32)
    estimate = truth + np.where(np.arange(16) % 2, 30, -10).astype(np.float32)
    assert metrics.bias(truth, estimate) == pytest.approx(10)
    assert metrics.rmse(truth, estimate) == pytest.approx(np.sqrt(500))
    assert metrics.sre(truth, estimate) == pytest.approx(10 * np.log10(2000**2 / 500))
    both = np.stack([truth, truth / 2], axis=-1)
    assert metrics.ergas(both, both + 20, scale=2) == pytest.approx(50 * np.sqrt((0.01**2 + 0.02**2) / 2))


def test_spectral_angle_in_closed_form():
    truth = np.zeros((12, 12, 2), dtype=np.float32)
    truth[..., 0] = 1000
    estimate = truth.copy()
    estimate[:6, :, 1] = 1000
    assert metrics.sam(truth, estimate) == pytest.approx(22.5)


@given(rows=st.integers(8, 20), columns=st.integers(8, 20), step=st.sampled_from([1, 3, 8]))
def test_uiq_window_by_window(rows, columns, step):
    truth, estimate = digital_numbers(rows, columns)
    wanted = naive_uiq(truth[..., 0], estimate[..., 0], step=step)
    assert metrics.uiq(truth[..., 0], estimate[..., 0], step=step) == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["uiq", "ssim", "sam"])
def test_strips_do_not_show(name, monkeypatch):
    truth, estimate = digital_numbers(50)
    function = getattr(metrics, name)
    arguments = (truth, estimate) if name == "sam" else (truth[..., 0], estimate[..., 0])
    whole = function(*arguments)
    monkeypatch.setattr(metrics, "STRIP", 7)
    assert function(*arguments) == pytest.approx(whole)


def test_uiq_of_constant_windows():
    ones = np.ones((10, 10), dtype=np.float32)
    varied = np.arange(100, dtype=np.float32).reshape(10, 10)
    assert metrics.uiq(1000.1 * ones, 1000.1 * ones) == 1 and metrics.uiq(0 * ones, 0 * ones) == 1
    assert metrics.uiq(1000 * ones, 3000 * ones) == pytest.approx(2 * 3 / (1 + 9))
    assert metrics.uiq(1000 * ones, varied) == pytest.approx(0)
    assert metrics.uiq(0 * ones, ones) == 0


def test_uiq_is_that_of_large_numbers_too():
    """Sums of squares are exact."""
    truth = 60000 + np.random.default_rng(0).integers(0, 2, (16, 16)).astype(np.float32)
    estimate = np.roll(truth, 1, axis=0)
    assert metrics.uiq(truth, estimate) == pytest.approx(naive_uiq(truth, estimate), rel=1e-6)


def test_ssim_is_that_of_scikit_image():
    truth, estimate = digital_numbers()
    peak = float(truth[..., 0].max())
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": peak}
    wanted = structural_similarity(truth[..., 0].astype(float), estimate[..., 0].astype(float), **options)
    assert metrics.ssim(truth[..., 0], estimate[..., 0]) == pytest.approx(wanted)


def test_missing_pixels_are_left_out():
    """What lies under the mask changes nothing; without it, scores are those of the part that is left."""
    truth, estimate = digital_numbers(40, 40)
    valid = np.ones((40, 40), dtype=bool)
    valid[:, 20:] = False
    left, left_estimate = truth[:, :20], estimate[:, :20]
    truth[:, 20:], estimate[:, 20:] = np.nan, 65535
    for function in (metrics.rmse, metrics.sre, metrics.bias, metrics.uiq, metrics.ssim):
        wanted = function(left[..., 0], left_estimate[..., 0])
        assert function(truth[..., 0], estimate[..., 0], valid) == pytest.approx(wanted), function.__name__
    assert metrics.sam(truth, estimate, valid) == pytest.approx(metrics.sam(left, left_estimate))
    assert metrics.ergas(truth, estimate, 2, valid) == pytest.approx(metrics.ergas(left, left_estimate, 2))


def test_a_single_missing_pixel_takes_its_windows_with_it():
    truth, estimate = digital_numbers(16, 16)
    truth, estimate = truth[..., 0], estimate[..., 0]
    valid = np.ones((16, 16), dtype=bool)
    valid[7, 8] = False
    kept = [
        naive_uiq(truth[row : row + 8, column : column + 8], estimate[row : row + 8, column : column + 8])
        for row in range(9)
        for column in range(9)
        if not (row <= 7 < row + 8 and column <= 8 < column + 8)
    ]
    assert metrics.uiq(truth, estimate, valid) == pytest.approx(np.mean(kept))


def test_nothing_to_score():
    truth, estimate = digital_numbers()
    none = np.zeros(truth.shape[:2], dtype=bool)
    for function in (metrics.rmse, metrics.sre, metrics.bias, metrics.uiq, metrics.ssim):
        assert np.isnan(function(truth[..., 0], estimate[..., 0], none)), function.__name__
    assert np.isnan(metrics.sam(truth, estimate, none)) and np.isnan(metrics.ergas(truth, estimate, 2, none))


def test_perfect_bands():
    truth, _ = digital_numbers()
    band = truth[..., 0]
    assert metrics.rmse(band, band) == metrics.bias(band, band) == metrics.ergas(truth, truth, 2) == 0
    assert metrics.sre(band, band) == np.inf
    assert metrics.uiq(band, band) == pytest.approx(1) and metrics.ssim(band, band) == pytest.approx(1)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"^estimate: expected .*, got \(4, 5\)"):
        metrics.rmse(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"^valid: expected .*, got \(3, 3\)"):
        metrics.sre(np.ones((4, 4)), np.ones((4, 4)), np.ones((3, 3), dtype=bool))
    with pytest.raises(ValueError, match=r"^truth: expected at least 8 x 8 pixels .*, got \(7, 9\)"):
        metrics.uiq(np.ones((7, 9)), np.ones((7, 9)))
    with pytest.raises(ValueError, match=r"^truth: expected at least 11 x 11 pixels .*, got \(10, 10\)"):
        metrics.ssim(np.ones((10, 10)), np.ones((10, 10)))


def test_known_scores_of_bicubic_interpolation(malmo):
    """Of DSen2's own crop, measured with the original's definitions."""
    names = ("B05", "B06", "B07", "B8A", "B11", "B12")
    truth = np.stack([malmo[name] for name in names], axis=-1)
    estimate = bicubic(degrade(truth, 2), 2)
    bands = [(truth[..., band], estimate[..., band]) for band in range(6)]
    assert np.mean([metrics.sre(*pair) for pair in bands]) == pytest.approx(23.95, abs=0.01)
    assert np.mean([metrics.uiq(*pair) for pair in bands]) == pytest.approx(0.886, abs=0.001)
    assert metrics.sam(truth, estimate) == pytest.approx(1.449, abs=0.002)
