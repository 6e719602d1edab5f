# SPDX-License-Identifier: Apache-2.0
"""A meandering river and ponds, with their banks."""

import numpy as np

from simulate import vegetation
from simulate.layers import GSD, Layers
from simulate.noise import cells, fractal_noise, smooth_noise
from simulate.spectra import CODE


def flood(layers: Layers, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws the river, from the left side to the right one, and ponds.

    Args:
        layers: maps to draw on.
        x: pixel abscissas, in metres.
        y: pixel ordinates, in metres.
        rng: source of randomness.

    Returns:
        Boolean mask of the water.
    """
    distance = np.minimum(_river(layers.shape, x, y, rng), _ponds(layers.shape, x, y, rng))
    vegetation.banks(layers, distance, rng)
    water = distance < 0.0
    ripple = 1.0 + 0.05 * smooth_noise(layers.shape, 30.0 / GSD, rng)
    ripple += 0.04 * rng.standard_normal(layers.shape, dtype=np.float32)
    layers.paint(water, "water_turbid", ripple[water])
    layers.background[water] = CODE["water"]
    depth = 0.5 + 0.3 * smooth_noise(layers.shape, 120.0 / GSD, rng) + np.clip((distance + 9.0) / 12.0, 0.0, 0.5)
    layers.cover[water] = np.clip(depth, 0.0, 1.0)[water]
    return water


def _river(shape: tuple[int, int], x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance outwards from the river's banks, in metres."""
    along = (np.arange(shape[1], dtype=np.float32) + 0.5) * np.float32(GSD)
    line = np.full_like(along, rng.uniform(0.3, 0.7) * shape[0] * GSD)
    for wavelength, amplitude in ((2600.0, 190.0), (900.0, 75.0), (380.0, 16.0)):
        scale = min(1.0, shape[0] * GSD / 2500.0)
        phase = rng.uniform(0.0, 2.0 * np.pi)
        line += np.float32(amplitude * scale) * np.sin(2.0 * np.pi * along / wavelength + phase, dtype=np.float32)
    slope = np.gradient(line, GSD).astype(np.float32)
    half_width = 17.0 + 4.0 * np.sin(2.0 * np.pi * along / 1300.0 + 1.0, dtype=np.float32)
    rough = 1.2 * fractal_noise(shape, 24.0, 3.0, rng)
    return np.abs(y - line[None]) / np.sqrt(1.0 + slope**2)[None] - half_width[None] + rough


def _ponds(shape: tuple[int, int], x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance outwards from the shores of ponds, in metres."""
    sites = cells(x, y, 900.0, rng)
    radius = np.where(rng.random(65536) < 0.55, rng.uniform(15.0, 48.0, 65536), -40.0).astype(np.float32)
    lobes = 14.0 * smooth_noise(shape, 55.0 / GSD, rng) + 1.0 * fractal_noise(shape, 16.0, 3.0, rng)
    return sites.distance - radius[sites.nearest & 0xFFFF] + lobes
