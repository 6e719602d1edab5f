# SPDX-License-Identifier: Apache-2.0
"""Windows brought from one grid to another: native pixels made finer, and a product's made as coarse as native ones.

Grids have one map and any ratio, and pixels need not share corners: along each axis the weights are a small matrix.
"""

import numpy as np

from chain.raster.grids import Grid, Region
from chain.raster.resampling.interpolation import METHODS
from models.degradation import blur_kernel, blur_radius

CUBIC = METHODS["cubic"]
"""Keys' kernel with a = -0.5."""
WHOLE = 1 - 1e-6
"""Share of a pixel from which on it counts as covered."""


def bicubic(pixels: np.ndarray, place: Grid, wanted: Grid) -> np.ndarray:
    """Interpolate pixels between their centres; weights of missing ones go to the others.

    Args:
        pixels: (rows, columns), missing ones NaN.
        place: where they lie.
        wanted: where values are wanted.

    Returns:
        float32 (rows, columns); NaN where the native pixel below is missing, or there is none.
    """
    rows = _cubic_weights(place.rows, place.dy, place.top - wanted.top, wanted.dy, wanted.rows)
    columns = _cubic_weights(place.columns, place.dx, wanted.left - place.left, wanted.dx, wanted.columns)
    there = np.isfinite(pixels)
    values = rows @ np.where(there, pixels, 0) @ columns.T
    weights = rows @ there @ columns.T
    below = _nearest(there, place, wanted)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below & (weights > 0), values / weights, np.nan).astype(np.float32)


def averaged(pixels: np.ndarray, place: Grid, wanted: Grid) -> np.ndarray:
    """Average pixels over larger ones, by area.

    Args:
        pixels: (rows, columns), missing ones NaN.
        place: where they lie.
        wanted: the larger pixels.

    Returns:
        float32 (rows, columns); NaN where a part of the larger pixel is missing or beyond.
    """
    return _weighted(pixels, *_shares_of(place, wanted))


def degraded(pixels: np.ndarray, place: Grid, wanted: Grid) -> np.ndarray:
    """Make pixels as coarse as larger ones: blur, then average, as `models.degradation`; of equal size, no blur.

    Args:
        pixels: (rows, columns), missing ones NaN.
        place: where they lie.
        wanted: the larger pixels.

    Returns:
        float32 (rows, columns); NaN where a pixel that the larger one sees is missing or beyond.
    """
    rows, columns = _shares_of(place, wanted)
    rows = rows @ _blur(place.rows, wanted.dy / place.dy)
    return _weighted(pixels, rows, columns @ _blur(place.columns, wanted.dx / place.dx))


def covering(image: Grid, wanted: Grid, margin: int) -> Region:
    """Return the pixels of an image that cover a grid, with a margin, as far as there are any; it may be empty."""
    spans = []
    for start, length, pixel, count in (
        (wanted.left - image.left, wanted.columns * wanted.dx, image.dx, image.columns),
        (image.top - wanted.top, wanted.rows * wanted.dy, image.dy, image.rows),
    ):
        first = max(int(np.floor(start / pixel + 1e-6)) - margin, 0)
        last = min(int(np.ceil((start + length) / pixel - 1e-6)) + margin, count)
        spans.append((first, max(last - first, 0)))
    (x, columns), (y, rows) = spans
    return Region(x, y, columns, rows)


def inside(image: Grid, around: Grid) -> Region:
    """Return the pixels of an image that lie wholly within a grid; it may be empty."""
    spans = []
    for start, length, pixel, count in (
        (around.left - image.left, around.columns * around.dx, image.dx, image.columns),
        (image.top - around.top, around.rows * around.dy, image.dy, image.rows),
    ):
        first = max(int(np.ceil(start / pixel - 1e-6)), 0)
        last = min(int(np.floor((start + length) / pixel + 1e-6)), count)
        spans.append((first, max(last - first, 0)))
    (x, columns), (y, rows) = spans
    return Region(x, y, columns, rows)


def _centres(pixel: float, start: float, step: float, wanted: int) -> np.ndarray:
    """Return where the centres of wanted pixels are, in pixels, counted from the edge of the first one."""
    return (start + (np.arange(wanted) + 0.5) * step) / pixel


def _cubic_weights(count: int, pixel: float, start: float, step: float, wanted: int) -> np.ndarray:
    """Return the weights (wanted, count) of pixels along an axis; those beyond the edge go to the outermost."""
    centres = _centres(pixel, start, step, wanted) - 0.5
    first = np.floor(centres).astype(int)
    weights = np.zeros((wanted, count))
    for tap in range(1 - CUBIC.reach, CUBIC.reach + 1):
        index = first + tap
        weight = CUBIC.kernel(centres - index)
        np.add.at(weights, (np.arange(wanted), np.clip(index, 0, count - 1)), weight)
    return weights


def _weighted(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Weigh pixels along both axes; NaN where one that has a weight is missing or beyond."""
    there = np.isfinite(pixels)
    values = rows @ np.where(there, pixels, 0) @ columns.T
    return np.where(rows @ there @ columns.T > WHOLE, values, np.nan).astype(np.float32)


def _blur(count: int, ratio: float) -> np.ndarray:
    """Return the weights (count, count) of the blur of pixels of which `ratio` lie along a larger one."""
    ratio = round(ratio, 3)
    radius = blur_radius(ratio)
    return sum(
        weight * np.eye(count, k=shift)
        for shift, weight in zip(range(-radius, radius + 1), blur_kernel(ratio), strict=True)
    )


def _shares_of(place: Grid, wanted: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares that pixels have of larger ones, along rows and along columns."""
    rows = _shares(place.rows, place.dy, place.top - wanted.top, wanted.dy, wanted.rows)
    return rows, _shares(place.columns, place.dx, wanted.left - place.left, wanted.dx, wanted.columns)


def _shares(count: int, pixel: float, start: float, step: float, wanted: int) -> np.ndarray:
    """Return the shares (wanted, count) that pixels along an axis have of larger ones."""
    edges = (start + np.arange(wanted + 1) * step) / pixel
    places = np.arange(count)
    left = np.maximum(edges[:-1, np.newaxis], places)
    right = np.minimum(edges[1:, np.newaxis], places + 1)
    return np.maximum(right - left, 0) * (pixel / step)


def _nearest(there: np.ndarray, place: Grid, wanted: Grid) -> np.ndarray:
    """Return whether the native pixel below the centre of each wanted one is there."""
    indices, within = [], []
    for pixel, start, step, number, count in (
        (place.dy, place.top - wanted.top, wanted.dy, wanted.rows, place.rows),
        (place.dx, wanted.left - place.left, wanted.dx, wanted.columns, place.columns),
    ):
        index = np.floor(_centres(pixel, start, step, number) + 1e-6).astype(int)
        within.append((index >= -1) & (index <= count))  # less than a pixel beyond the edge counts as on it
        indices.append(np.clip(index, 0, count - 1))
    return there[np.ix_(*indices)] & np.logical_and.outer(*within)
