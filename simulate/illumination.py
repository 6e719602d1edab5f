# SPDX-License-Identifier: Apache-2.0
"""Sunlight on the landscape: slopes and cast shadows, from the heights.

Flat ground in full sun receives 1. Slopes receive the sun by the cosine of its incidence; a pixel is in
shadow where the ray towards the sun passes below something higher.
"""

from typing import NamedTuple

import numpy as np

from simulate.layers import GSD


class Sun(NamedTuple):
    """Where the sun stands."""

    azimuth: float = 152.0
    """Degrees clockwise from north; the default is late morning in Paris in June."""
    elevation: float = 58.0
    """Degrees above the horizon."""


def _slope(height: np.ndarray, axis: int) -> np.ndarray:
    """Slope along an axis: the gentler of the two one-sided differences, so that walls are not slopes."""
    step = np.diff(height, axis=axis) / np.float32(GSD)
    before = np.concatenate([np.take(step, [0], axis), step], axis)
    after = np.concatenate([step, np.take(step, [-1], axis)], axis)
    gentler = np.where(np.abs(before) < np.abs(after), before, after)
    gentler[before * after <= 0.0] *= 0.5
    return gentler


def sunlight(height: np.ndarray, sun: Sun) -> np.ndarray:
    """Direct sunlight on each pixel, relative to flat ground in full sun.

    Args:
        height: metres above the ground, rows southwards and columns eastwards, float32.
        sun: where the sun stands.

    Returns:
        float32 array, 0 in full shadow, 1 on flat sunlit ground, up to about 1.4 on slopes that face the sun.
    """
    azimuth, elevation = np.radians(sun.azimuth), np.radians(sun.elevation)
    east, north = float(np.sin(azimuth)), float(np.cos(azimuth))
    towards_sun = np.float32(east) * _slope(height, 1) - np.float32(north) * _slope(height, 0)
    steepness = np.clip(-towards_sun / np.float32(np.tan(elevation)), -1.0, 1.0)
    light = np.clip(1.0 + 0.75 * steepness, 0.1, 1.45)
    return light * (1.0 - _shadow(height, east, north, float(np.tan(elevation))))


def _shadow(height: np.ndarray, east: float, north: float, tangent: float) -> np.ndarray:
    """Share of each pixel in cast shadow, 0-1: the ray towards the sun, followed pixel by pixel."""
    highest = float(height.max())
    shadow = np.zeros_like(height)
    for step in range(1, int(np.ceil(highest / tangent / GSD)) + 1):
        rows, columns = round(-north * step), round(east * step)
        rise = np.float32(step * GSD * tangent)
        taller = _shifted(height, rows, columns)
        np.maximum(shadow, np.clip((taller - rise - height) / np.float32(GSD * tangent), 0.0, 1.0), out=shadow)
    return shadow


def _shifted(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The array read `rows` below and `columns` to the right, zero beyond its edges."""
    moved = np.zeros_like(array)
    height, width = array.shape
    source = (
        slice(max(rows, 0), min(height + rows, height)),
        slice(max(columns, 0), min(width + columns, width)),
    )
    target = (
        slice(max(-rows, 0), min(height - rows, height)),
        slice(max(-columns, 0), min(width - columns, width)),
    )
    moved[target] = array[source]
    return moved
