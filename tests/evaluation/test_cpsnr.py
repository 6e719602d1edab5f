# SPDX-License-Identifier: Apache-2.0
"""cPSNR against values of ESA's formula, closed forms, and scikit-image."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from datasets.deepsum.cmse import cmse_matrix
from evaluation.cpsnr import cpsnr, cpsnr_matrix, cssim, score


@pytest.fixture
def vector(shared_data):
    with np.load(shared_data("deepsum_vectors") / "v6_cpsnr.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(5000, 9000, (40, 33))


@pytest.mark.parametrize("name, expected", [("sr", "cpsnr_float"), ("sr16", "cpsnr_u16")])
def test_reference_values(vector, name, expected):
    found = cpsnr_matrix(vector["hr"], vector[name], vector["sm"])
    np.testing.assert_allclose(found, vector[expected], rtol=1e-9)
    assert np.unravel_index(found.argmax(), found.shape) == (5, 2)
    assert cpsnr(vector["hr"], vector[name], vector["sm"]) == pytest.approx(vector[expected].max(), rel=1e-9)


def test_reference_score(vector):
    value = cpsnr(vector["hr"], vector["sr"], vector["sm"])
    assert score({"imgset0000": value}, {"imgset0000": 45.0, "imgset0001": 1.0}) == pytest.approx(45.0 / value)


@pytest.mark.parametrize("displacement", [(0, 0), (3, -3), (-2, 1)])
def test_displacement_and_brightness_do_not_count(image, displacement):
    """An image that is the truth moved by up to 3 pixels and brighter has no error at just that position."""
    moved = np.roll(image, displacement, (0, 1)) + 250.0
    errors = cmse_matrix(image, moved, np.ones(image.shape, bool))
    place = (3 - displacement[0], 3 - displacement[1])
    assert errors[place] == pytest.approx(0, abs=1e-18)
    assert (errors < 1e3).sum() == 1


def test_closed_form(image):
    """Errors +a and -a in halves of the pixels have no bias: cMSE is a^2."""
    signs = np.where(np.arange(image.shape[0])[:, np.newaxis] % 2, 1.0, -1.0)
    assert cpsnr(image, image + 65.535 * signs, np.ones(image.shape, bool)) == pytest.approx(60.0, rel=1e-12)


def test_concealed_pixels_do_not_count(image):
    clear = np.random.default_rng(1).random(image.shape) > 0.3
    sr = image + np.random.default_rng(2).normal(0, 50, image.shape)
    spoiled = np.where(clear, image, 65535.0)
    np.testing.assert_array_equal(cmse_matrix(spoiled, sr, clear), cmse_matrix(image, sr, clear))
    assert cssim(spoiled, sr, clear) == cssim(image, sr, clear)


def test_integers_do_not_wrap():
    hr = np.full((20, 20), 10, np.uint16)
    sr = np.where(np.arange(20) % 2, 12, 8).astype(np.uint16) * np.ones((20, 1), np.uint16)
    assert cmse_matrix(hr, sr, np.ones((20, 20), bool)).tolist() == [[4.0] * 7] * 7


def test_cssim_is_ssim_at_the_best_position(image):
    noise = np.random.default_rng(3).normal(0, 300, image.shape)
    sr = np.roll(image, (2, -1), (0, 1)) + noise
    truth, crop = image[1:35, 4:31], sr[3:-3, 3:-3]
    expected = structural_similarity(
        truth,
        crop + (truth - crop).mean(),
        data_range=65535,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert cssim(image, sr, np.ones(image.shape, bool)) == pytest.approx(expected, rel=1e-12)
    assert expected < 1


def test_score_is_the_mean_of_ratios():
    assert score({"a": 40.0, "b": 50.0}, {"a": 44.0, "b": 45.0}) == pytest.approx((1.1 + 0.9) / 2)


def test_errors(image):
    clear = np.ones(image.shape, bool)
    with pytest.raises(ValueError, match=r"^sr: expected the truth's shape \(40, 33\), got \(39, 33\)$"):
        cpsnr(image, image[1:], clear)
    with pytest.raises(ValueError, match="^clear: expected clear pixels at every shift, got none from row 0"):
        cpsnr(image, image, ~clear)
    with pytest.raises(ValueError, match="^sr: expected finite values, got 1 others$"):
        cpsnr(image, np.where(image == image.max(), np.nan, image), clear)
    with pytest.raises(ValueError, match="^norm: expected a baseline for every scene, got none for b$"):
        score({"a": 40.0, "b": 50.0}, {"a": 44.0})
    with pytest.raises(ValueError, match="^cpsnrs: expected at least one scene"):
        score({}, {})
    with pytest.raises(ValueError, match="^hr: expected more than 6 rows and columns"):
        cpsnr(image[:6], image[:6], clear[:6])
    with pytest.raises(ValueError, match="^sr: expected at least 17 rows and columns"):
        cssim(image[:16], image[:16], clear[:16])
