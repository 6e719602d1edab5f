# SPDX-License-Identifier: Apache-2.0
"""Clouds over Sentinel-2's images, their shadows, and the scene classification that follows.

Clouds are thresholded fractal noise, so that the cover is the one asked for; their shadows are the same
clouds, moved away from the sun by the height of their base. Scene classes are Sen2Cor's, from the clouds and
from spectral thresholds on the clear ground.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from simulate.illumination import Sun
from simulate.noise import fractal_noise
from simulate.spectra import diffuse_fraction

GSD = 20.0
"""Side of the clouds' pixels, and of the scene classification's, in metres."""

BASE = 900.0
"""Height of the clouds' base above the ground, in metres."""

NO_DATA, DARK, SHADOW, VEGETATION, BARE, WATER, CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS = (
    0,
    2,
    3,
    4,
    5,
    6,
    8,
    9,
    10,
)
"""Sen2Cor's scene classes that occur here."""


class Clouds(NamedTuple):
    """Clouds over a 20 m grid."""

    opacity: np.ndarray
    """float32, 0 (clear) to 1."""
    shade: np.ndarray
    """float32, share of the direct sunlight that the clouds take from the ground, 0-1."""


def clouds(
    shape: tuple[int, int], cover: float, over: tuple[slice, slice], sun: Sun, rng: np.random.Generator
) -> Clouds:
    """Makes clouds of a given cover.

    Args:
        shape: rows and columns of the grid.
        cover: share of the pixels of `over` that are under cloud, 0-1.
        over: rows and columns of the area that `cover` is about.
        sun: where the sun stands.
        rng: source of randomness.
    """
    if cover <= 0.0:
        return Clouds(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    away = BASE / np.tan(np.radians(sun.elevation)) / GSD
    rows, columns = (round(away * part) for part in (np.cos(np.radians(sun.azimuth)), -np.sin(np.radians(sun.azimuth))))
    margin = max(abs(rows), abs(columns))
    field = fractal_noise((shape[0] + 2 * margin, shape[1] + 2 * margin), 600.0 / GSD, 1.0, rng, 0.55)
    inside = field[margin : margin + shape[0], margin : margin + shape[1]]
    threshold = np.quantile(inside[over], 1.0 - min(cover, 1.0))
    opacity = (1.0 - np.exp(-2.2 * np.maximum(field - threshold, 0.0))).astype(np.float32)
    cast = np.roll(opacity, (rows, columns), (0, 1))
    window = np.s_[margin : margin + shape[0], margin : margin + shape[1]]
    return Clouds(opacity[window], cast[window])


def veil(reflectance: np.ndarray, sky: Clouds, wavelength: float, gsd: float) -> np.ndarray:
    """Puts clouds and their shadows over a band.

    Args:
        reflectance: float32 image of the clear ground.
        sky: clouds on the 20 m grid of the same ground.
        wavelength: of the band, in nm.
        gsd: side of the image's pixels, in metres.

    Returns:
        float32 image of the same shape.
    """
    opacity, shade = (_on_grid(layer, reflectance.shape, gsd) for layer in sky)
    bright = 0.68 if wavelength < 1200.0 else 0.35 if wavelength < 2000.0 else 0.25
    lit = reflectance * (1.0 - 0.85 * shade * (1.0 - diffuse_fraction(wavelength)))
    return (1.0 - opacity) * lit + opacity * (0.7 + 0.3 * opacity) * np.float32(bright)


def _on_grid(layer: np.ndarray, shape: tuple[int, int], gsd: float) -> np.ndarray:
    """A 20 m layer at 10, 20 or 60 m."""
    if gsd < GSD:
        return ndimage.zoom(layer, GSD / gsd, order=1, mode="nearest", grid_mode=True)
    return layer.reshape(shape[0], round(gsd / GSD), shape[1], round(gsd / GSD)).mean((1, 3))


def scene_classes(clear: dict[str, np.ndarray], sky: Clouds) -> np.ndarray:
    """Classifies the 20 m pixels of a scene as Sen2Cor does, roughly.

    Args:
        clear: reflectance of the clear ground by band; B03, B04 and B08 at 10 m, B11 at 20 m.
        sky: the clouds.

    Returns:
        uint8 array of classes at 20 m.
    """
    green, red, infrared = (
        clear[name].reshape(sky.opacity.shape[0], 2, sky.opacity.shape[1], 2).mean((1, 3))
        for name in ("B03", "B04", "B08")
    )
    vegetation = (infrared - red) / (infrared + red)
    water = (green - infrared) / (green + infrared)
    classes = np.where(vegetation > 0.4, VEGETATION, BARE).astype(np.uint8)
    classes[(infrared < 0.06) & (clear["B11"] < 0.08)] = DARK
    classes[water > 0.1] = WATER
    classes[sky.shade > 0.35] = SHADOW
    classes[sky.opacity > 0.0] = CIRRUS
    classes[sky.opacity > 0.15] = CLOUD_MEDIUM
    classes[sky.opacity > 0.5] = CLOUD_HIGH
    return classes
