# SPDX-License-Identifier: Apache-2.0
"""Where people live and how they move: villages, the roads between them, streets and gardens.

Village sites are a jittered grid that goes on beyond the landscape's edges, so that roads leave it. Buildings
themselves are in `buildings`.
"""

from typing import NamedTuple

import numpy as np

from simulate import buildings, vegetation
from simulate.layers import GSD, Layers, distance_to_line
from simulate.noise import cells, hashed, smooth_noise
from simulate.spectra import CODE


class Village(NamedTuple):
    """A settlement."""

    x: float
    """Metres from the left edge."""
    y: float
    """Metres from the top edge."""
    radius: float
    """Metres."""
    angle: float
    """Direction of its streets, radians."""


SITE = 1150.0
"""Mean distance between villages, in metres."""


def _sites(shape: tuple[int, int], rng: np.random.Generator) -> dict[tuple[int, int], Village]:
    """Villages by place in the grid of sites, two rings beyond the landscape included."""
    rows, columns = (int(np.ceil(length * GSD / SITE)) for length in shape)
    sites = {}
    for row in range(-1, rows + 1):
        for column in range(-1, columns + 1):
            x, y = ((place + 0.5 + rng.uniform(-0.25, 0.25)) * SITE for place in (column, row))
            radius = rng.choice([0.0, 110.0, 190.0, 280.0], p=[0.12, 0.28, 0.35, 0.25])
            sites[row, column] = Village(x, y, float(radius), rng.uniform(0.0, np.pi))
    return sites


def _road(start: Village, end: Village, rng: np.random.Generator) -> np.ndarray:
    """A winding line between two villages, x and y in metres, (n, 2)."""
    begin, finish = np.array([start.x, start.y]), np.array([end.x, end.y])
    course = finish - begin
    length = float(np.hypot(*course))
    aside = np.array([-course[1], course[0]]) / length
    way = np.linspace(0.0, 1.0, max(int(length / 25.0), 2))[:, None]
    bends = sum(
        rng.normal(0.0, amplitude) * length * np.sin(np.pi * way * turns)
        for turns, amplitude in ((1, 0.06), (2, 0.035), (3, 0.02), (5, 0.008))
    )
    return begin + way * course + bends * aside


def _streets(village: Village, rng: np.random.Generator) -> list[np.ndarray]:
    """Streets of a village: two families of lines, fewer across than along."""
    streets = []
    for turn, spacing in ((0.0, 72.0), (np.pi / 2.0, 118.0)):
        direction = np.array([np.cos(village.angle + turn), np.sin(village.angle + turn)])
        aside = np.array([-direction[1], direction[0]])
        count = int(village.radius / spacing)
        for number in range(-count, count + 1):
            offset = (number + rng.uniform(-0.15, 0.15)) * spacing
            half = np.sqrt(max(village.radius**2 - offset**2, 0.0))
            ends = rng.uniform(0.55, 1.0, 2) * half * (-1.0, 1.0)
            way = np.linspace(*ends, max(int(half / 10.0), 3))[:, None]
            bend = rng.normal(0.0, 0.04) * (way**2 - half**2) / max(half, 1.0)
            streets.append(np.array([village.x, village.y]) + way * direction + (offset + bend) * aside)
    return streets


def settle(layers: Layers, x: np.ndarray, y: np.ndarray, water: np.ndarray, rng: np.random.Generator) -> None:
    """Builds roads and villages.

    Args:
        layers: maps to draw on.
        x: pixel abscissas, in metres.
        y: pixel ordinates, in metres.
        water: boolean mask of the water; roads bridge it, buildings keep off.
        rng: source of randomness.
    """
    sites = _sites(layers.shape, rng)
    roads, streets = np.full((2, *layers.shape), np.inf, np.float32)
    for (row, column), village in sites.items():
        for neighbour in ((row, column + 1), (row + 1, column), (row + 1, column + 1)):
            skipped = rng.random() < (0.12 if neighbour != (row + 1, column + 1) else 0.75)
            if neighbour in sites and not skipped:
                distance_to_line(roads, _road(village, sites[neighbour], rng), 16.0)
    villages = [village for village in sites.values() if village.radius > 0.0]
    lines = [(village, _streets(village, rng)) for village in villages]
    for _, village_streets in lines:
        for line in village_streets:
            distance_to_line(streets, line, 48.0)
    _gardens(layers, x, y, (streets < 42.0) & ~water, rng)
    _pave(layers, roads, streets, water, rng)
    taken = (roads < 6.5) | (streets < 4.5) | water
    for village, village_streets in lines:
        buildings.houses(layers, taken, village_streets, rng)
        buildings.works(layers, taken, village.x, village.y, village.radius, village.angle, rng)
    for _ in range(int(layers.material.size * GSD**2 / 450e3)):
        place = rng.uniform(0.0, np.array(layers.shape) * GSD)
        buildings.farmstead(layers, taken, float(place[1]), float(place[0]), rng)
    _trees(layers, roads, streets, taken, rng)


def _gardens(layers: Layers, x: np.ndarray, y: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> None:
    """Cuts the village's ground into plots: lawns, kitchen gardens, yards."""
    plots = cells(x, y, 24.0, rng)
    plot = hashed(plots.nearest)
    kind, tone = rng.random((2, 65536), dtype=np.float32)
    grain = rng.standard_normal(layers.shape, dtype=np.float32)
    rough = smooth_noise(layers.shape, 4.0, rng)
    for low, high, material, soil in (
        (0.0, 0.64, "grass", "dry_grass"),
        (0.64, 0.78, "dry_grass", "soil_light"),
        (0.78, 0.91, "crop_green", "soil_brown"),
        (0.91, 0.98, "gravel", "grass"),
        (0.98, 1.0, "concrete", "gravel"),
    ):
        chosen = where & (kind[plot] >= low) & (kind[plot] < high)
        layers.paint(chosen, material, (0.75 + 0.3 * tone[plot] + 0.06 * grain)[chosen])
        layers.background[chosen] = CODE[soil]
        layers.cover[chosen] = np.clip(0.75 + 0.25 * rough, 0.1, 1.0)[chosen]
    hedges = where & (plots.border < 0.9) & (hashed(plot, 3) % 2 == 0)
    vegetation.canopy(layers, hedges, 2.5, 2.0, 0.3, rng)


def _pave(layers: Layers, roads: np.ndarray, streets: np.ndarray, water: np.ndarray, rng) -> None:
    """Lays verges, roads and streets; roads cross water on bridges."""
    grain = rng.standard_normal(layers.shape, dtype=np.float32)
    wear = smooth_noise(layers.shape, 60.0, rng)
    surface = 1.0 + 0.08 * wear + 0.05 * grain
    verge = (roads < 6.5) & ~water
    layers.paint(verge, "grass", (0.95 + 0.06 * grain)[verge])
    pavement = (streets < 4.0) & ~water
    layers.paint(pavement, "concrete", 0.75 * surface[pavement])
    for distance, half_width, tone in ((streets, 2.7, 1.05), (roads, 3.6, 1.0)):
        tarmac = (distance < half_width) & ((distance is roads) | ~water)
        layers.paint(tarmac, "asphalt", tone * surface[tarmac])
    deck = water & (roads >= 3.6) & (roads < 5.0)
    layers.paint(deck, "concrete", surface[deck], height=1.0)


def _trees(layers: Layers, roads: np.ndarray, streets: np.ndarray, taken: np.ndarray, rng) -> None:
    """Stands trees in gardens, along some roads, and alone in the fields."""
    alley = smooth_noise(layers.shape, 300.0, rng)
    density = np.where(streets < 42.0, 0.0042, 0.000035) + np.where(
        (np.abs(roads - 7.0) < 1.2) & (alley > 0.5), 0.03, 0
    )
    rows, columns = np.nonzero((rng.random(layers.shape, dtype=np.float32) < density) & ~taken)
    for row, column in zip(rows, columns, strict=True):
        radius = rng.uniform(1.8, 4.6)
        vegetation.tree(layers, (column + 0.5) * GSD, (row + 0.5) * GSD, radius, 2.4 * radius, rng, rng.random() < 0.15)
