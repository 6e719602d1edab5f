# SPDX-License-Identifier: Apache-2.0
"""Metrics against closed forms and scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

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
    with pytest.raises(ValueError, match=r"^estimate: 3 bands .* Received: \(4, 4, 3\)"):
        score(np.ones((16, 16, 3)), np.ones((4, 4, 3)), 4)
