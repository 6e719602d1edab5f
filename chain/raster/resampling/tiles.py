# SPDX-License-Identifier: Apache-2.0
"""Parts of an image whose native pixels are found one part after the other.

Each part is read with a margin of native pixels: the inverse of an interpolation looks no further.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chain.raster.resampling.interpolation import METHODS, OPEN, SIDES, Resampling

MARGIN = 12
"""Native pixels around a part that its own ones are fitted with. Errors at a cut fall to a third from one to the next
for bilinear by 2, which is the slowest."""

Sides = tuple[int, int, int, int]
"""Numbers of the upper, lower, left and right side."""


@dataclass(frozen=True)
class Tile:
    """A part of an image. Its places are rows and columns."""

    fine: tuple[slice, slice]
    """Fine pixels of the image to fit with."""
    native: tuple[slice, slice]
    """Native pixels of the image that this gives."""
    kept: tuple[slice, slice]
    """The same among all native pixels that these fine ones show."""
    checked: tuple[slice, slice]
    """The fine pixels, among those of the tile, that show the native ones."""
    found: Resampling
    """How its pixels were made: the image's, with borders where the tile has any."""


def native_shape(shape: tuple[int, ...], ratio: int, phase: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of the native pixels that an image of a shape shows."""
    rows, columns = (-(-(size + first) // ratio) for size, first in zip(shape, phase))
    return rows, columns


def tiles(
    found: Resampling, ratio: int, shape: tuple[int, ...], size: int, rows: tuple[int, int] | None = None
) -> Iterator[Tile]:
    """Cut an image into tiles, row by row.

    Args:
        found: how the image was made.
        ratio: fine pixels along a native one.
        shape: fine pixels of the image, rows and columns.
        size: native pixels along a tile, at most.
        rows: first and last native row (exclusive) to cut, all by default.
    """
    margin = MARGIN if METHODS[found.method].reach else 0
    whole = native_shape(shape, ratio, found.phase)
    first_row, last_row = rows or (0, whole[0])
    for row in range(first_row, last_row, size):
        down = _span(row, min(row + size, last_row), shape[0], ratio, found.phase[0], margin)
        for column in range(0, whole[1], size):
            across = _span(column, min(column + size, whole[1]), shape[1], ratio, found.phase[1], margin)
            fine, native, kept, checked = zip(down, across)
            yield Tile(fine, native, kept, checked, _cut(found, fine, shape))


def _cut(found: Resampling, fine: tuple[slice, slice], shape: tuple[int, ...]) -> Resampling:
    """Return how a part of an image was made: borders that it has no part of are open."""
    has = [end for span, size in zip(fine, shape) for end in (span.start == 0, span.stop == size)]
    top, bottom, left, right = (getattr(found, side) if whole else OPEN for side, whole in zip(SIDES, has))
    return replace(
        found,
        phase=(found.phase[0] if has[0] else 0, found.phase[1] if has[2] else 0),
        top=top,
        bottom=bottom,
        left=left,
        right=right,
        hidden=_at_sides(found.hidden, has),
        trimmed=_at_sides(found.trimmed, has),
    )


def _at_sides(numbers: Sides, has: Sequence[bool]) -> Sides:
    """Return numbers of sides, 0 where a part of an image does not have the side."""
    top, bottom, left, right = (number if whole else 0 for number, whole in zip(numbers, has))
    return top, bottom, left, right


def _span(first: int, last: int, length: int, ratio: int, phase: int, margin: int) -> tuple[slice, slice, slice, slice]:
    """Return a tile's places along one axis, from its first and last native pixel (exclusive)."""
    begin = max(0, first - margin)
    start = max(0, begin * ratio - phase)
    stop = min(length, (last + margin) * ratio - phase)
    checked = slice(max(0, first * ratio - phase) - start, min(length, last * ratio - phase) - start)
    return slice(start, stop), slice(first, last), slice(first - begin, last - begin), checked
