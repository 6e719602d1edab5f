# SPDX-License-Identifier: Apache-2.0
"""The sensors: sharpness as stated, energy kept, pixels where they should be."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from simulate import clouds, sensors
from simulate.illumination import Sun
from simulate.landscape import generate

ALL = [*sensors.SENTINEL2.values(), *sensors.SPOT7.values(), sensors.SPOT7_PAN]


@pytest.mark.parametrize("band", ALL, ids=lambda band: f"{band.name}-{band.gsd:g}m")
def test_transfer_at_nyquist_is_the_stated_one(band):
    """A sinusoid of two pixels' period comes out with its amplitude times the MTF."""
    count = 40
    columns = round(count * band.gsd / 1.5)
    x = (np.arange(columns) + 0.5) * 1.5
    wave = (0.5 + 0.2 * np.sin(np.pi * x / band.gsd)).astype(np.float32)
    grid = sensors.ImageGrid(0.0, 0.0, 4, count, band.gsd)
    seen = sensors.observe(np.tile(wave, (round(4 * band.gsd / 1.5), 1)), band, grid, 1.5)
    amplitude = np.abs(seen[1, 5:-5] - 0.5).mean() / 0.2
    assert amplitude == pytest.approx(band.mtf, rel=0.01)


def test_slanted_edge_gives_the_gaussian_line_spread():
    band = sensors.SENTINEL2["B04"]
    y, x = np.indices((800, 800)) * 1.5 + 0.75
    edge = x - 600.0 - 0.11 * (y - 600.0)
    seen = sensors.observe((edge > 0.0).astype(np.float32), band, sensors.ImageGrid(0.0, 0.0, 120, 120, 10.0), 1.5)
    rows, columns = (np.indices((120, 120))[:, 20:100, 20:100] + 0.5) * 10.0
    distance = (columns - 600.0 - 0.11 * (rows - 600.0)) / np.hypot(1.0, 0.11)
    deviation = sensors.psf_deviation(band.mtf, band.gsd)
    np.testing.assert_allclose(seen[20:100, 20:100], ndtr(distance / deviation), atol=0.02)


def test_continuous_and_discrete_deviations_agree_for_large_pixels():
    assert sensors.discrete_deviation(0.25, 10.0, 1.5) == pytest.approx(sensors.psf_deviation(0.25, 10.0), rel=1e-6)
    assert np.exp(-2 * (np.pi * sensors.psf_deviation(0.25, 10.0) / 20.0) ** 2) == pytest.approx(0.25)


@pytest.mark.parametrize("gsd", [10.0, 20.0, 60.0])
def test_energy_is_kept(gsd):
    ground = generate((400, 400), seed=2).reflectance((780, 886))
    band = sensors.Band("test", (780, 886), gsd, 0.25, 100.0)
    count = round(600 / gsd)
    seen = sensors.observe(ground, band, sensors.ImageGrid(0.0, 0.0, count, count, gsd), 1.5)
    assert seen.mean() == pytest.approx(ground.mean(), rel=0.02)
    flat = sensors.observe(np.full((400, 400), 0.3, np.float32), band, sensors.ImageGrid(3.0, 7.5, 5, 5, gsd), 1.5)
    np.testing.assert_allclose(flat, 0.3, rtol=1e-5)


@pytest.mark.parametrize("phase", [(0.0, 0.0), (3.0, 4.5), (0.7, 2.9)])
def test_pixels_lie_where_the_grid_says(phase):
    """A Gaussian spot is seen with its centre of mass where it is, at any phase of the grid."""
    y, x = (np.indices((300, 300)) + 0.5) * 1.5
    spot = np.exp(-((x - 221.3) ** 2 + (y - 187.9) ** 2) / (2 * 12.0**2)).astype(np.float32)
    grid = sensors.ImageGrid(phase[0], phase[1], 40, 40, 10.0)
    seen = sensors.observe(spot, sensors.SENTINEL2["B02"], grid, 1.5)
    row, column = ndimage.center_of_mass(seen)
    assert (column + 0.5) * 10.0 + phase[0] == pytest.approx(221.3, abs=0.05)
    assert (row + 0.5) * 10.0 + phase[1] == pytest.approx(187.9, abs=0.05)


def test_truth_averaged_to_sentinel2_correlates_best_without_shift():
    landscape = generate((440, 440), seed=4)
    (truth,) = sensors.truth(landscape, [sensors.ImageGrid(30.0, 30.0, 400, 400, 1.5)])
    band = sensors.SENTINEL2["B04"]
    seen = sensors.observe(landscape.reflectance(band.interval), band, sensors.ImageGrid(30.0, 30.0, 60, 60, 10.0), 1.5)
    scores = {}
    for shift in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (3, 3)]:
        moved = np.roll(truth[0], shift, (0, 1)).repeat(3, 0).repeat(3, 1)
        coarse = moved.reshape(60, 20, 60, 20).mean((1, 3))[3:-3, 3:-3]
        scores[shift] = np.corrcoef(coarse.ravel(), seen[3:-3, 3:-3].ravel())[0, 1]
    assert max(scores, key=scores.get) == (0, 0) and scores[0, 0] > 0.95


def test_noise_has_the_stated_deviation():
    band = sensors.SENTINEL2["B08"]
    rng = np.random.default_rng(0)
    noisy = sensors.add_noise(np.full((500, 500), band.reference, np.float32), band, rng)
    assert band.reference / noisy.std() == pytest.approx(band.snr, rel=0.02)
    dark = sensors.add_noise(np.zeros((500, 500), np.float32), band, rng)
    assert dark.std() == pytest.approx(band.reference / band.snr / np.sqrt(3.0), rel=0.02)


def test_digital_numbers_round_and_never_mean_no_data():
    values = np.array([-0.2, 0.0, 0.00004, 0.12346, 9.0])
    assert sensors.digital_numbers(values).tolist() == [1, 1, 1, 1235, 65535]
    assert sensors.digital_numbers(values, 1000).tolist() == [1, 1000, 1000, 2235, 65535]


def test_pan_and_multispectral_share_their_corner():
    landscape = generate((440, 440), seed=4)
    grid = sensors.ImageGrid(9.0, 12.0, 400, 400, 1.5)
    multispectral, pan = sensors.spot7(landscape, grid, np.random.default_rng(0))
    assert multispectral.shape == (4, 100, 100) and pan.shape == (400, 400)
    scores = {}
    for shift in [(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)]:
        coarse = np.roll(pan, shift, (0, 1)).reshape(100, 4, 100, 4).mean((1, 3))[1:-1, 1:-1]
        scores[shift] = np.corrcoef(coarse.ravel(), multispectral[1, 1:-1, 1:-1].ravel())[0, 1]
    assert max(scores, key=scores.get) == (0, 0)


def test_grid_refuses_pixels_that_do_not_fit():
    with pytest.raises(ValueError, match="divisor"):
        sensors.ImageGrid(0.0, 0.0, 10, 10, 1.5).resampled(6.0)


@pytest.mark.parametrize("cover", [0.0, 0.1, 0.5, 1.0])
def test_clouds_cover_what_was_asked(cover):
    over = np.s_[20:90, 10:60]
    sky = clouds.clouds((120, 100), cover, over, Sun(), np.random.default_rng(1))
    assert (sky.opacity[over] > 0.0).mean() == pytest.approx(cover, abs=0.01)


def test_shadows_lie_away_from_the_sun():
    sun = Sun(180.0, 45.0)
    sky = clouds.clouds((120, 120), 0.2, np.s_[:, :], sun, np.random.default_rng(1))
    north = round(clouds.BASE / 20.0)
    np.testing.assert_array_equal(sky.shade[: 120 - north], sky.opacity[north:])


def test_classes_follow_clouds_and_ground():
    shape = (40, 40)
    clear = {name: np.full((80, 80), value, np.float32) for name, value in (("B03", 0.08), ("B04", 0.04), ("B08", 0.4))}
    clear["B11"] = np.full(shape, 0.2, np.float32)
    opacity = np.zeros(shape, np.float32)
    opacity[:10], opacity[10:20] = 0.8, 0.2
    shade = np.zeros(shape, np.float32)
    shade[30:] = 0.9
    classes = clouds.scene_classes(clear, clouds.Clouds(opacity, shade))
    assert [int(classes[row, 0]) for row in (0, 15, 25, 35)] == [9, 8, 4, 3]
