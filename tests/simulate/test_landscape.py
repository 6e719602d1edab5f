# SPDX-License-Identifier: Apache-2.0
"""The landscape: reproducible, plausible, lit as geometry says."""

import numpy as np
import pytest

from simulate import landscape, spectra
from simulate.illumination import Sun, sunlight
from simulate.noise import cells, fractal_noise, smooth_noise
from simulate.sensors import SENTINEL2


@pytest.fixture(scope="module")
def ground():
    return landscape.generate((320, 400), seed=5)


def test_same_seed_same_landscape(ground):
    again, other = landscape.generate((320, 400), seed=5), landscape.generate((320, 400), seed=6)
    band = (625, 695)
    np.testing.assert_array_equal(ground.reflectance(band), again.reflectance(band))
    assert np.abs(ground.reflectance(band) - other.reflectance(band)).mean() > 0.01


def test_reflectances_are_plausible(ground):
    bands = {name: ground.reflectance(band.interval) for name, band in SENTINEL2.items()}
    for name, image in bands.items():
        assert image.dtype == np.float32 and image.shape == (320, 400), name
        assert 0.0 < image.min() and image.max() <= 1.0, name
    ndvi = (bands["B08"] - bands["B04"]) / (bands["B08"] + bands["B04"])
    assert np.percentile(ndvi, 10) < 0.3 and np.percentile(ndvi, 90) > 0.6
    material = ground.layers.material
    water = np.isin(material, [spectra.CODE["water"], spectra.CODE["water_turbid"]])
    assert water.any()
    assert bands["B08"][water].mean() < 0.04 < bands["B03"][water].mean()
    assert bands["B11"][water].mean() < 0.02


@pytest.mark.slow
def test_a_landscape_has_every_subject():
    kinds = np.unique(landscape.generate((1000, 1000), seed=3).layers.material)
    wanted = ("crop_green", "crop_ripe", "grass", "broadleaf", "water_turbid", "asphalt", "tile_red", "soil_dark")
    assert {spectra.CODE[name] for name in wanted} <= set(kinds.tolist())


@pytest.mark.parametrize("shape", [(16, 16), (17, 233), (64, 33)])
def test_any_size(shape):
    assert landscape.generate(shape, seed=0).reflectance((450, 745)).shape == shape


def test_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 16 x 16"):
        landscape.generate((8, 100), seed=0)


def test_material_spectra_tie_bands_together():
    red, edge, infrared, shortwave = (
        spectra.band_reflectance(SENTINEL2[name].interval) for name in ("B04", "B06", "B08", "B11")
    )
    for plant in ("crop_green", "grass", "broadleaf", "conifer"):
        code = spectra.CODE[plant]
        assert red[code] < edge[code] < infrared[code] and shortwave[code] < infrared[code], plant
    for soil in ("soil_brown", "soil_light", "soil_dark"):
        code = spectra.CODE[soil]
        assert red[code] < infrared[code] < shortwave[code], soil


def test_band_outside_the_curves_is_refused():
    with pytest.raises(ValueError, match="interval"):
        spectra.band_reflectance((2200, 2600))


def test_flat_ground_receives_one():
    np.testing.assert_allclose(sunlight(np.zeros((20, 30), np.float32), Sun()), 1.0)


@pytest.mark.parametrize("azimuth, towards", [(180.0, (-1, 0)), (90.0, (0, -1)), (0.0, (1, 0)), (270.0, (0, 1))])
def test_shadow_lies_opposite_the_sun_and_is_as_long_as_the_height_says(azimuth, towards):
    height = np.zeros((61, 61), np.float32)
    height[30, 30] = 15.0
    light = sunlight(height, Sun(azimuth, 45.0))
    shaded = {(row - 30, column - 30) for row, column in zip(*np.nonzero(light < 0.5), strict=True)}
    assert shaded - {(0, 0)} == {(towards[0] * step, towards[1] * step) for step in range(1, 10)}


def test_slopes_facing_the_sun_are_brighter():
    roof = np.maximum(0.0, 6.0 - np.abs(np.arange(-20, 21, dtype=np.float32)))[:, None] * np.ones((1, 41), np.float32)
    light = sunlight(roof, Sun(180.0, 60.0))
    assert light[23, 20] > 1.1 and light[17, 20] < 0.9


def test_smooth_noise_has_unit_deviation():
    field = smooth_noise((900, 900), 6.0, np.random.default_rng(0))
    assert abs(field.mean()) < 0.05 and field.std() == pytest.approx(1.0, abs=0.05)
    assert fractal_noise((900, 900), 16.0, 4.0, np.random.default_rng(0)).std() == pytest.approx(1.0, abs=0.07)


def test_cells_are_the_nearest_seeds():
    """The distance to the nearest of fixed points changes by no more than the step taken; borders are half-way."""
    y, x = np.indices((160, 160), dtype=np.float32)
    found = cells(x, y, 20.0, np.random.default_rng(3))
    for axis in (0, 1):
        assert np.abs(np.diff(found.distance, axis=axis)).max() <= 1.0 + 1e-4
    left, right = found.nearest[:, :-1], found.nearest[:, 1:]
    crossing = (left != right) & (found.second[:, :-1] == right) & (found.second[:, 1:] == left)
    assert crossing.sum() > 500
    assert (found.border[:, :-1] + found.border[:, 1:])[crossing].max() <= 1.0 + 1e-4
    assert (found.nearest != found.second).all() and (found.border >= 0.0).all()
