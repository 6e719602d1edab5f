# SPDX-License-Identifier: Apache-2.0
"""Random fields and irregular tessellations, fast on large grids.

Smooth noise is white noise on a coarse lattice carried to the pixels by cubic B-splines: two matrix products,
so that a 4096 x 4096 field takes a fraction of a second. Cells are those of a Voronoi diagram whose seeds are
a jittered grid, so that only the nine seeds around a pixel matter.
"""

from typing import NamedTuple

import numpy as np

_SPLINE_DEVIATION = 0.4794
"""Mean over phases of the sum of the squared cubic B-spline weights: one axis of the field's variance."""


class Cells(NamedTuple):
    """Cells around the pixels."""

    nearest: np.ndarray
    """int32, the cell a pixel is in."""
    second: np.ndarray
    """int32, the cell across the nearest border."""
    border: np.ndarray
    """float32, distance to that border, in metres."""
    distance: np.ndarray
    """float32, distance to the cell's seed, in metres."""


def _spline_weights(length: int, spacing: float) -> np.ndarray:
    """Cubic B-spline weights, (length, lattice nodes), of nodes `spacing` pixels apart."""
    nodes = int(np.ceil(length / spacing)) + 4
    position = np.arange(length, dtype=np.float32)[:, None] / spacing + 1.0
    distance = np.abs(position - np.arange(nodes, dtype=np.float32)[None])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    return np.where(distance < 1.0, near, far).astype(np.float32)


def smooth_noise(shape: tuple[int, int], spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise without detail finer than about twice `spacing`.

    Args:
        shape: rows and columns.
        spacing: distance of the lattice's nodes, in pixels.
        rng: source of randomness.

    Returns:
        float32 array of `shape`, of zero mean and unit standard deviation over realisations.
    """
    rows, columns = (_spline_weights(length, spacing) for length in shape)
    lattice = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32) / _SPLINE_DEVIATION
    return rows @ lattice @ columns.T


def fractal_noise(
    shape: tuple[int, int], coarsest: float, finest: float, rng: np.random.Generator, persistence: float = 0.6
) -> np.ndarray:
    """Sum of smooth noises of halving spacing, each `persistence` times weaker than the coarser one.

    Args:
        shape: rows and columns.
        coarsest: spacing of the first noise, in pixels.
        finest: no noise of a smaller spacing is added, in pixels.
        rng: source of randomness.
        persistence: ratio of amplitudes.

    Returns:
        float32 array of `shape`, of unit standard deviation over realisations.
    """
    total = np.zeros(shape, np.float32)
    amplitude, power, spacing = 1.0, 0.0, coarsest
    while spacing >= finest:
        total += amplitude * smooth_noise(shape, spacing, rng)
        power += amplitude**2
        amplitude, spacing = amplitude * persistence, spacing / 2.0
    return total / np.float32(np.sqrt(power))


def hashed(*keys: np.ndarray | int) -> np.ndarray:
    """Mixes integers into 16-bit codes, to look up random attributes of cells.

    Args:
        *keys: integer arrays (or integers) that broadcast together.

    Returns:
        int32 array of codes in 0-65535.
    """
    mixed = np.uint32(2166136261)
    for key in keys:
        mixed = (mixed ^ np.asarray(key).astype(np.uint32)) * np.uint32(2654435761)
        mixed = mixed ^ (mixed >> np.uint32(15))
    return ((mixed >> np.uint32(8)) & np.uint32(0xFFFF)).astype(np.int32)


def cells(x: np.ndarray, y: np.ndarray, size: float, rng: np.random.Generator, jitter: float = 0.42) -> Cells:
    """Voronoi cells of a jittered square grid of seeds.

    Args:
        x: pixel abscissas, in metres, float32.
        y: pixel ordinates, in metres, float32, of the same shape.
        size: distance between the grid's nodes, in metres.
        rng: source of randomness.
        jitter: how far a seed may leave its node, in units of `size`.

    Returns:
        The cells of the pixels.
    """
    columns, rows = (np.floor(axis / size).astype(np.int32) for axis in (x, y))
    first_column, first_row = int(columns.min()) - 1, int(rows.min()) - 1
    counts = int(rows.max()) - first_row + 2, int(columns.max()) - first_column + 2
    offsets = rng.uniform(0.5 - jitter, 0.5 + jitter, (2, *counts))
    seed_y = ((np.arange(counts[0])[:, None] + first_row + offsets[0]) * size).astype(np.float32)
    seed_x = ((np.arange(counts[1])[None] + first_column + offsets[1]) * size).astype(np.float32)
    best, runner_up = np.full(x.shape, np.inf, np.float32), np.full(x.shape, np.inf, np.float32)
    nearest, second = np.zeros(x.shape, np.int32), np.zeros(x.shape, np.int32)
    base = (rows - first_row) * counts[1] + (columns - first_column)
    for step in (dy * counts[1] + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
        cell = base + np.int32(step)
        squared = (x - seed_x.ravel()[cell]) ** 2 + (y - seed_y.ravel()[cell]) ** 2
        closer, between = squared < best, (squared >= best) & (squared < runner_up)
        second = np.where(closer, nearest, np.where(between, cell, second))
        runner_up = np.where(closer, best, np.where(between, squared, runner_up))
        nearest, best = np.where(closer, cell, nearest), np.where(closer, squared, best)
    apart = np.hypot(seed_x.ravel()[nearest] - seed_x.ravel()[second], seed_y.ravel()[nearest] - seed_y.ravel()[second])
    return Cells(nearest, second, (runner_up - best) / (2.0 * np.maximum(apart, 1e-3)), np.sqrt(best))
