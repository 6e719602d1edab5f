# SPDX-License-Identifier: Apache-2.0
"""Measures of pairs: statistics, alignment; and the fit of one radiometry to another."""

import numpy as np
import pytest

from chain.patches import radiometry
from chain.patches import statistics as pairs

BANDS = ["B04", "B03"]


def _ground(count, size, seed=0):
    """Smooth random HR patches (count, size, size, 2), as if averaged from something finer."""
    rng = np.random.default_rng(seed)
    noise = rng.random((count, size + 8, size + 8, 2))
    for axis in (1, 2):
        noise = sum(np.roll(noise, shift, axis) for shift in range(-3, 4)) / 7
    return (noise[:, 4:-4, 4:-4] * 4000).astype(np.uint16)


def test_statistics_are_those_of_numpy():
    hr = _ground(6, 32)
    lr = pairs.averaged(hr, 4).astype(np.uint16) + 50
    statistics = pairs.Statistics(2)
    statistics.add(lr[:2], hr[:2])
    statistics.add(lr[2:], hr[2:])
    report = statistics.report(BANDS)
    for side, patches in (("lr", lr), ("hr", hr)):
        for number, band in enumerate(BANDS):
            values = patches[..., number].astype(float)
            expected = (values.mean(), values.std(), values.min(), values.max())
            assert tuple(report[side][band].values()) == pytest.approx(expected, abs=0.01)
    correlation = np.corrcoef(lr[..., 1].ravel(), pairs.averaged(hr, 4)[..., 1].ravel())[0, 1]
    assert report["correlation"]["B03"] == pytest.approx(correlation, abs=1e-4)


def test_correlation_of_a_uniform_band_is_unknown():
    statistics = pairs.Statistics(2)
    statistics.add(np.ones((1, 4, 4, 2), np.uint16), np.ones((1, 16, 16, 2), np.uint16))
    assert statistics.report(BANDS)["correlation"] == {"B04": None, "B03": None}


@pytest.mark.parametrize("dx, dy", [(0, 0), (3, -2), (-4, 5)])
def test_a_shift_of_hr_content_is_measured(dx, dy):
    ground = _ground(8, 80)
    lr = pairs.averaged(ground[:, 8:72, 8:72], 4)
    hr = ground[:, 8 - dy : 72 - dy, 8 - dx : 72 - dx]
    measured = pairs.alignment(lr, hr)
    assert (measured["shift_x"], measured["shift_y"]) == (dx, dy)
    assert measured["correlation"] == pytest.approx(1.0, abs=1e-3)
    assert (measured["correlation_unshifted"] < 0.99) == bool(dx or dy)


def test_alignment_of_patches_too_small_for_shifts_is_not_measured():
    hr = _ground(3, 8)
    measured = pairs.alignment(pairs.averaged(hr, 4), hr)
    assert (measured["shift_x"], measured["shift_y"], measured["correlation"]) == (0, 0, pytest.approx(1.0))


def test_contact_sheet(tmp_path):
    from matplotlib.image import imread

    hr = np.repeat(_ground(5, 32), 2, axis=-1)
    pairs.contact_sheet(tmp_path / "contact_sheet.png", pairs.averaged(hr, 4), hr)
    assert imread(tmp_path / "contact_sheet.png")[..., :3].std() > 0.1


def test_radiometry_is_found_despite_changes_and_noise():
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.uniform(200, 3000, (40, 40, 2)), 5, 0), 5, 1)
    reference = image * (1.2, 0.8) + (-60, 40) + rng.normal(0, 20, image.shape)
    reference[:40, :40] += 3000
    image[100:110, 100:110] = 0
    lines = radiometry.fit([(image[:100], reference[:100]), (image[100:], reference[100:])])
    assert [line.gain for line in lines] == pytest.approx([1.2, 0.8], rel=0.01)
    assert [line.offset for line in lines] == pytest.approx([-60, 40], abs=12)
    assert lines[0].cells == 1600 - 4


@pytest.mark.parametrize(
    "image, message",
    [(np.zeros((60, 60, 1)), "got 0"), (np.full((60, 60, 1), 9.0), "uniform"), (None, "gain of -")],
)
def test_radiometry_which_cannot_be_fitted(image, message):
    reference = np.kron(np.arange(144).reshape(12, 12), np.ones((5, 5)))[..., np.newaxis] + 1.0
    with pytest.raises(ValueError, match=f"--match-radiometry.*{message}"):
        radiometry.fit([(1000.0 - reference if image is None else image, reference)])
