# SPDX-License-Identifier: Apache-2.0
"""Blocks of native pixels, read once through OTB.

Only the part of the chain that a block needs is computed. Beyond the edges of the image, pixels are mirrored. Missing
pixels (nodata, NaN) are marked, and can be filled from their surroundings so that a network sees no sharp edge.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from chain.raster.grids import Grid, Region, image_grid
from chain.raster.otb import OtbImage


@dataclass(frozen=True)
class Block:
    """Native pixels of part of an image."""

    pixels: np.ndarray
    """float32 (rows, columns, bands)."""
    present: np.ndarray
    """Whether pixels are valid, (rows, columns, bands)."""
    place: Grid
    """Their grid."""
    image: Grid
    """Grid of the whole image."""

    @cached_property
    def complete(self) -> bool:
        """Whether no pixel is missing."""
        return bool(self.present.all())

    def window(self, grid: Grid) -> tuple[slice, slice] | None:
        """Return the rows and columns of a grid within the block, or None if its pixels are not the block's."""
        place = self.place
        x, y = (grid.left - place.left) / place.dx, (place.top - grid.top) / place.dy
        off = (grid.dx / place.dx - 1, grid.dy / place.dy - 1, x - round(x), y - round(y))
        if any(abs(value) > 1e-6 for value in off):
            return None
        return slice(round(y), round(y) + grid.rows), slice(round(x), round(x) + grid.columns)


@dataclass(frozen=True)
class Window:
    """Part of an image, mirrored beyond its edges, of which the pixels are still to be read."""

    image: Grid
    """Grid of the whole image."""
    place: Grid
    """Where the part lies."""
    rows: np.ndarray
    """For each of its rows, that of the image."""
    columns: np.ndarray
    """For each of its columns, that of the image."""

    @property
    def region(self) -> Region:
        """The pixels of the image that are needed."""
        x, y = int(self.columns.min()), int(self.rows.min())
        return Region(x, y, int(self.columns.max()) + 1 - x, int(self.rows.max()) + 1 - y)

    def block(self, pixels: np.ndarray, nodata: float) -> Block:
        """Return the block, given the pixels of `region`: float32 (rows, columns, bands), which are copied.

        Args:
            pixels: The pixels.
            nodata: Value of missing ones, besides NaN.
        """
        if pixels.shape[:2] == (self.place.rows, self.place.columns):
            pixels = pixels.copy()
        else:
            pixels = pixels[np.ix_(self.rows - self.region.y, self.columns - self.region.x)]
        return Block(pixels, np.isfinite(pixels) & (pixels != nodata), self.place, self.image)


def window_around(native: Grid, grids: Iterable[Grid], reach: int) -> Window:
    """Return the part of an image that covers grids, with a margin on each side.

    Args:
        native: Grid of the image.
        grids: The grids to cover.
        reach: Margin, in native pixels.
    """
    grids = list(grids)
    left, right = _span(
        min(grid.left for grid in grids) - native.left,
        max(grid.left + grid.columns * grid.dx for grid in grids) - native.left,
        native.dx,
        reach,
    )
    top, bottom = _span(
        native.top - max(grid.top for grid in grids),
        native.top - min(grid.top - grid.rows * grid.dy for grid in grids),
        native.dy,
        reach,
    )
    place = replace(
        native,
        left=native.left + left * native.dx,
        top=native.top - top * native.dy,
        columns=right - left,
        rows=bottom - top,
    )
    return Window(native, place, mirrored(top, bottom, native.rows), mirrored(left, right, native.columns))


def read_block(image: OtbImage, grids: Iterable[Grid], reach: int, nodata: float) -> Block:
    """Read the native pixels that cover grids, with a margin on each side, mirrored beyond the image.

    Args:
        image: pyotb image of native pixels.
        grids: The grids to cover.
        reach: Margin, in native pixels.
        nodata: Value of missing pixels, besides NaN.

    Raises:
        RuntimeError: OTB cannot compute or read the pixels.
    """
    import pyotb

    window = window_around(image_grid(image), grids, reach)
    region = window.region
    part = pyotb.ExtractROI(
        {"in": image, "startx": region.x, "starty": region.y, "sizex": region.columns, "sizey": region.rows}
    )
    return window.block(np.asarray(part.to_numpy(), np.float32), nodata)


def _span(start: float, stop: float, pixel: float, reach: int) -> tuple[int, int]:
    """Return the first and the end of the pixels that an interval in metres touches, with a margin of `reach`."""
    return math.floor(start / pixel + 1e-6) - reach, math.ceil(stop / pixel - 1e-6) + reach


def mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """Return the pixel indices for positions `[start, stop)` of an image that is mirrored repeatedly at its edges."""
    positions = np.arange(start, stop) % (2 * size)
    return np.where(positions < size, positions, 2 * size - 1 - positions)


def fill_missing(pixels: np.ndarray, present: np.ndarray, reach: int) -> np.ndarray:
    """Fill missing pixels with the mean of their valid or already filled neighbours, from the edges inwards.

    A pixel at distance `d` from the nearest valid one depends only on pixels within distance `d`.

    Args:
        pixels: (rows, columns, bands).
        present: Whether they are valid, (rows, columns, bands).
        reach: Distance, in pixels, up to which pixels are filled like this. Pixels farther away, which no valid output
            pixel depends on, get the mean of the valid pixels.

    Returns:
        The filled pixels; valid ones are unchanged. Zeros if no pixel is valid.
    """
    if present.all():
        return pixels
    values = np.where(present, pixels, np.float32(0))
    if not present.any():
        return values
    known = present.copy()
    for _ in range(reach):
        count = _sum_of_neighbours(known.astype(np.float32))
        ring = ~known & (count > 0)
        if not ring.any():
            break
        values[ring] = _sum_of_neighbours(values)[ring] / count[ring]
        known |= ring
    counts = np.maximum(present.sum(axis=(0, 1)), 1)
    means = np.where(present, pixels, 0).sum(axis=(0, 1), dtype=np.float64) / counts
    return np.where(known, values, means.astype(np.float32))


def _sum_of_neighbours(values: np.ndarray) -> np.ndarray:
    """Return the sum over each pixel and its eight neighbours; unknown values must be 0."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    rows, columns = values.shape[:2]
    parts = (padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    return sum(parts, start=np.zeros_like(values))
