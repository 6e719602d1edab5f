# SPDX-License-Identifier: Apache-2.0
"""Native pixels around a piece of ground: read once through OTB, for all that needs them.

Only the part of the chain upstream that a block needs is computed. Beyond the image's edges its pixels are mirrored.
Missing pixels (nodata, NaN) are told apart, and can be filled from those around them, so that a network sees no cliff.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from chain.raster.grids import Grid, image_grid


@dataclass(frozen=True)
class Block:
    """Native pixels of an image around a piece of ground."""

    pixels: np.ndarray
    """float32 (rows, columns, bands)."""
    present: np.ndarray
    """Whether they are not missing, (rows, columns, bands)."""
    place: Grid
    """Where they lie."""
    image: Grid
    """The grid of the whole image."""

    @cached_property
    def complete(self) -> bool:
        """Whether no pixel is missing."""
        return bool(self.present.all())

    def window(self, wanted: Grid) -> tuple[slice, slice] | None:
        """Return where a grid lies in the block when its pixels are the block's, else None."""
        place = self.place
        x, y = (wanted.left - place.left) / place.dx, (place.top - wanted.top) / place.dy
        off = (wanted.dx / place.dx - 1, wanted.dy / place.dy - 1, x - round(x), y - round(y))
        if any(abs(value) > 1e-6 for value in off):
            return None
        return slice(round(y), round(y) + wanted.rows), slice(round(x), round(x) + wanted.columns)


def read_block(image, wanted: Iterable[Grid], reach: int, nodata: float) -> Block:
    """Read the native pixels that grids need, and `reach` more on each side, mirrored beyond the image.

    Args:
        image: pyotb image of native pixels.
        wanted: What is needed.
        reach: Native pixels beyond it.
        nodata: Value of missing pixels, beside NaN.

    Raises:
        RuntimeError: When OTB cannot compute or read them.
    """
    native, wanted = image_grid(image), list(wanted)
    left, right = _span(
        min(grid.left for grid in wanted) - native.left,
        max(grid.left + grid.columns * grid.dx for grid in wanted) - native.left,
        native.dx,
        reach,
    )
    top, bottom = _span(
        native.top - max(grid.top for grid in wanted),
        native.top - min(grid.top - grid.rows * grid.dy for grid in wanted),
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
    pixels = _read_mirrored(image, native, left, top, right, bottom)
    return Block(pixels, np.isfinite(pixels) & (pixels != nodata), place, native)


def _span(start: float, stop: float, pixel: float, reach: int) -> tuple[int, int]:
    """Return the first pixel and the end of those that a stretch of metres touches, and `reach` more on each side."""
    return math.floor(start / pixel + 1e-6) - reach, math.ceil(stop / pixel - 1e-6) + reach


def mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """Return the pixels that stand at the places `[start, stop)` of an image mirrored at its edges, again and again."""
    places = np.arange(start, stop) % (2 * size)
    return np.where(places < size, places, 2 * size - 1 - places)


def _read_mirrored(image, grid: Grid, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Read native pixels, float32 (rows, columns, bands), mirrored beyond the edges of the image."""
    import pyotb

    columns, rows = mirrored(left, right, grid.columns), mirrored(top, bottom, grid.rows)
    x, y = int(columns.min()), int(rows.min())
    part = pyotb.ExtractROI(
        {
            "in": image,
            "startx": x,
            "starty": y,
            "sizex": int(columns.max()) + 1 - x,
            "sizey": int(rows.max()) + 1 - y,
        }
    )
    pixels = np.asarray(part.to_numpy(), np.float32)
    if left >= 0 and top >= 0 and right <= grid.columns and bottom <= grid.rows:
        return pixels.copy()
    return pixels[np.ix_(rows - y, columns - x)]


def fill_missing(pixels: np.ndarray, present: np.ndarray, reach: int) -> np.ndarray:
    """Fill missing pixels by the mean of their present or already filled neighbours, from the edges inwards.

    A pixel `d` pixels away from the nearest present one depends on what is within `d` pixels only.

    Args:
        pixels: (rows, columns, bands).
        present: (rows, columns, bands).
        reach: Distance up to which pixels are filled so. Farther ones, which no valid output pixel sees, are given
            the mean of the present pixels.

    Returns:
        Pixels without missing ones; present ones are unchanged. Without any present pixel: zeros.
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
    """Return the sum over each pixel and its eight neighbours; values are 0 where nothing is known."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    rows, columns = values.shape[:2]
    return sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
