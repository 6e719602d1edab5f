# SPDX-License-Identifier: Apache-2.0
"""Trees: woods with a canopy of crowns, hedges, orchards, single trees.

A crown is half an ellipsoid; a canopy is the upper envelope of crowns whose tops are a jittered grid. Light
and shadow come later from the heights (`illumination`).
"""

import numpy as np

from simulate.fields import Parcels
from simulate.layers import GSD, Layers, local_coordinates, window
from simulate.noise import cells, hashed, smooth_noise
from simulate.spectra import CODE


def canopy(layers: Layers, where: np.ndarray, crown: float, height: float, conifers: np.ndarray | float, rng) -> None:
    """Covers a mask with the canopy of a wood.

    Args:
        layers: maps to draw on.
        where: boolean mask of the wood.
        crown: distance between tree tops, in metres.
        height: mean height of the trees, in metres.
        conifers: share of conifers, 0-1, a number or one value per pixel of the mask.
        rng: source of randomness.
    """
    rows, columns = np.nonzero(where)
    if rows.size == 0:
        return
    x, y = ((axis.astype(np.float32) + 0.5) * GSD for axis in (columns, rows))
    trees = cells(x, y, crown, rng, jitter=0.38)
    tree = hashed(trees.nearest)
    size, tone, hue, draw = rng.random((4, 65536), dtype=np.float32)
    radius = crown * (0.50 + 0.30 * size[tree])
    dome = np.sqrt(np.clip(1.0 - (trees.distance / radius) ** 2, 0.0, 1.0))
    is_conifer = draw[tree] < conifers
    layers.material[where] = np.where(is_conifer, CODE["conifer"], CODE["broadleaf"]).astype(np.uint8)
    layers.background[where] = CODE["soil_dark"]
    layers.cover[where] = np.clip(0.55 + 1.2 * dome, 0.0, 0.97)
    grain = 0.05 * rng.standard_normal(rows.size, dtype=np.float32)
    layers.brightness[where] = 0.80 + 0.45 * tone[tree] + grain
    layers.tint[where] = 1.6 * hue[tree] - 0.6
    layers.height[where] = height * (0.75 + 0.4 * size[tree]) * (0.62 + 0.38 * dome)


def woods(layers: Layers, fields: Parcels, rng: np.random.Generator) -> np.ndarray:
    """Turns some parcels, and strays along the blocks' borders, into woods, copses and hedges.

    Returns:
        Boolean mask of what is wooded.
    """
    shape = layers.shape
    lean = smooth_noise(shape, 450.0 / GSD, rng)
    ragged = smooth_noise(shape, 14.0 / GSD, rng)
    chance = rng.random(65536, dtype=np.float32)[fields.code]
    stand = (lean + 0.9 * chance > 1.45) | (chance > 0.985)
    layers.paint(stand, "dry_grass", 0.6 + 0.05 * ragged[stand], tint=0.5)
    wood = stand & (fields.border > 1.0 + 1.2 * np.abs(ragged)) & (ragged > -2.4)
    conifers = np.float32(0.9) * (rng.random(65536) < 0.25)[fields.code] + np.float32(0.06)
    canopy(layers, wood, 7.5, 17.0, conifers[wood], rng)
    width = 2.6 + 1.1 * smooth_noise(shape, 10.0 / GSD, rng)
    gaps = smooth_noise(shape, 45.0 / GSD, rng) > -0.55
    hedge = (fields.border_code % 3 == 1) & (fields.block_border < width) & gaps & ~wood
    canopy(layers, hedge, 5.0, 7.5, 0.03, rng)
    return wood | hedge


def orchards(layers: Layers, fields: Parcels, free: np.ndarray, rng: np.random.Generator) -> None:
    """Plants a few parcels with rows of small trees over grass or soil."""
    chosen = (rng.random(65536) < 0.035)[fields.code] & free & (fields.border > 5.0)
    if not chosen.any():
        return
    row = np.abs(np.mod(fields.across, 6.0) - 3.0)
    layers.paint(chosen, "dry_grass", 0.95)
    layers.background[chosen] = CODE["soil_brown"]
    layers.cover[chosen] = 0.7
    canopy(layers, chosen & (row < 1.35), 3.4, 3.5, 0.0, rng)


def banks(layers: Layers, distance: np.ndarray, rng: np.random.Generator) -> None:
    """Lines a shore with trees, by places.

    Args:
        layers: maps to draw on.
        distance: distance outwards from the water's edge, in metres, negative inside.
        rng: source of randomness.
    """
    reach = 8.0 + 7.0 * smooth_noise(layers.shape, 40.0 / GSD, rng)
    canopy(layers, (distance > 0.8) & (distance < reach), 6.0, 12.0, 0.0, rng)
    shore = (distance >= 0.0) & (distance <= np.maximum(reach, 2.0)) & (layers.height == 0.0)
    layers.paint(shore, "grass", 0.9)


def tree(layers: Layers, x: float, y: float, radius: float, height: float, rng, conifer: bool = False) -> None:
    """Stands one tree at (x, y), in metres, over whatever is lower than its crown."""
    place = window(layers.shape, x, y, radius)
    if place is None:
        return
    along, across = local_coordinates(place, x, y)
    dome = 1.0 - (along**2 + across**2) / radius**2
    top = height * (0.55 + 0.45 * np.sqrt(np.clip(dome, 0.0, 1.0)))
    inside = (dome > 0.0) & (top > layers.height[place])
    layers.material[place][inside] = CODE["conifer" if conifer else "broadleaf"]
    layers.background[place][inside] = CODE["soil_dark"]
    layers.cover[place][inside] = 0.95
    layers.brightness[place][inside] = rng.uniform(0.85, 1.2)
    layers.tint[place][inside] = rng.uniform(-0.6, 0.9)
    layers.height[place][inside] = top[inside]
