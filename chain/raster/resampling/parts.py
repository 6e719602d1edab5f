# SPDX-License-Identifier: Apache-2.0
"""Parts of an image by which it is recognised how the image was made finer.

Those without missing pixels tell most, and in the least time. Where an image has none, small parts are taken as they
are, with the places of their missing pixels.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

PARTS = 8
"""Most parts of an image to recognise it by."""
SIDE_PARTS = 4
"""Most parts of each of its sides."""
AWAY = 3
"""Native pixels beside missing ones, or the border, to leave out where neither is to count."""
NEAR = 2
"""The same of borders alone."""
LONG = 48
"""Native pixels along a side to look at from one corner on."""
SMALL = 24
"""Native pixels along a part that has missing pixels."""
LEAST = 0.1
"""Least share of pixels with data in a part of which some are missing."""
Read = Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]
"""Gives fine pixels of an image, and where they are missing, from first row, first column, rows, columns."""
Absent = Callable[[np.ndarray, np.ndarray], float | None]
"""Gives the number of missing pixels, where they can have been interpolated as one, from pixels and what is missing."""


@dataclass(frozen=True)
class Part:
    """A part of an image."""

    pixels: np.ndarray
    """Fine pixels, (rows, columns)."""
    missing: np.ndarray | None = None
    """Where there is no data; None where no pixel is missing."""
    absent: float | None = None
    """The number of missing pixels, where it can have been interpolated as one."""

    @property
    def valid(self) -> np.ndarray:
        """The pixels that have data."""
        return self.pixels.ravel() if self.missing is None else self.pixels[~self.missing]

    def turned(self, transposed: bool, reversed_: bool) -> "Part":
        """Return the part with rows for columns, and then its last row first, where that is asked for."""

        def turn(array: np.ndarray) -> np.ndarray:
            array = array.T if transposed else array
            return array[::-1] if reversed_ else array

        return Part(turn(self.pixels), None if self.missing is None else turn(self.missing), self.absent)


def _spread(low: int, high: int, number: int, ratio: int) -> list[int]:
    """Return at most `number` multiples of `ratio` spread from `low` to `high`."""
    places = np.linspace(low, max(low, high), number) // ratio * ratio
    return sorted({int(place) for place in places})


def complete_parts(
    read: Read, shape: tuple[int, int], ratio: int, places: Iterable[tuple[int, int, int, int]]
) -> list[Part]:
    """Read parts of an image; return those without missing pixels, and away from them: those change interpolation."""
    parts = []
    for row, column, rows, columns in places:
        top, left = max(0, row - AWAY * ratio), max(0, column - AWAY * ratio)
        bottom, right = (min(size, last + AWAY * ratio) for size, last in zip(shape, (row + rows, column + columns)))
        pixels, missing = read(top, left, bottom - top, right - left)
        if not missing.any():
            parts.append(Part(pixels[row - top :, column - left :][:rows, :columns]))
    return parts


def _varied(parts: list[Part]) -> list[Part]:
    """Return the most varied parts of an image."""
    return sorted(parts, key=lambda part: -float(np.std(part.valid, dtype=float)))[:PARTS]


def insets_of(shape: tuple[int, int], ratio: int) -> tuple[int, int, int, int]:
    """Return native pixels along each side that border rules may concern, if the image is large enough to do without.

    Returns:
        Those of the upper, lower, left and right side.
    """
    rows, columns = (AWAY if size >= 4 * AWAY * ratio else 0 for size in shape)
    return rows, rows, columns, columns


def fewer_sides(shape: tuple[int, int], ratio: int) -> Iterator[tuple[int, int, int, int]]:
    """Give other native pixels to leave out along each side of an image that is too small to do without all."""
    sizes = [size // ratio for size in shape for _ in range(2)]
    usual = insets_of(shape, ratio)
    for near in (NEAR, AWAY):
        each = [(least,) if least else (0, near) for least in usual]
        for top, bottom, left, right in itertools.product(*each):
            insets = top, bottom, left, right
            if insets != usual and all(size - sum(insets[2 * n :][:2]) >= 2 for n, size in enumerate(sizes[::2])):
                yield insets


def inner_parts(
    read: Read, shape: tuple[int, int], ratio: int, insets: tuple[int, int, int, int] | None = None
) -> list[Part]:
    """Read parts of an image away from its borders: of those without missing pixels, the most varied ones.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        insets: native pixels to leave out along the upper, lower, left and right side, by default those of `insets_of`.
    """
    insets = insets_of(shape, ratio) if insets is None else insets
    before, after = ([inset * ratio for inset in insets[first::2]] for first in (0, 1))
    for natives, number in ((32, 6), (16, 12), (8, 12)):
        most = max(natives * ratio, 3 * natives)
        height, width = (min(most, length - sum(ends)) for length, *ends in zip(shape, before, after))
        rows, columns = (
            _spread(start, length - end - size, number, ratio)
            for length, start, end, size in zip(shape, before, after, (height, width))
        )
        places = [(row, column, height, width) for row in rows for column in columns]
        parts = complete_parts(read, shape, ratio, places)
        if parts:
            return _varied(parts)
    return _searched_parts(read, shape, ratio)


def _searched_parts(read: Read, shape: tuple[int, int], ratio: int) -> list[Part]:
    """Read small parts of an image which has few without missing pixels."""
    size, away, parts = 8 * ratio, AWAY * ratio, []
    for row in range(away, shape[0] - size - away, size):
        pixels, missing = read(row - away, 0, size + 2 * away, shape[1])
        holes = np.pad(np.cumsum(missing.any(axis=0)), (1, 0))
        for column in range(away, shape[1] - size - away, size):
            if holes[column - away] == holes[column + size + away]:
                parts.append(Part(pixels[away : away + size, column : column + size]))
        if len(parts) > 8 * PARTS:
            break
    return _varied(parts)


def read_part(read: Read, place: tuple[int, int, int, int], absent: Absent) -> Part:
    """Read a part of an image, with what is missing in it: first row, first column, rows, columns."""
    pixels, missing = read(*place)
    return Part(pixels, missing, absent(pixels, missing)) if missing.any() else Part(pixels)


def _tells(part: Part) -> bool:
    """Return whether enough pixels of a part have data."""
    return part.missing is None or bool(np.mean(part.missing) <= 1 - LEAST)


def holed_parts(
    read: Read,
    shape: tuple[int, int],
    ratio: int,
    absent: Absent,
    inset: int = 0,
) -> list[Part]:
    """Read small parts of an image which has none without missing pixels: those with the most pixels, and varied ones.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        absent: gives the number of missing pixels from a part and where they are missing in it.
        inset: native pixels to leave out along each side.
    """
    inside = [max(length - 2 * inset * ratio, 0) for length in shape]
    height, width = size = [min(SMALL * ratio, length) for length in inside]
    if min(size) < 2 * ratio:
        return []
    number = [min(12, -(-length // side)) for length, side in zip(inside, size)]
    rows, columns = (
        [inset * ratio + start for start in _spread(0, length - side, each, ratio)]
        for length, side, each in zip(inside, size, number)
    )
    read_parts = (read_part(read, (row, column, height, width), absent) for row in rows for column in columns)
    parts = filter(_tells, read_parts)
    return sorted(parts, key=lambda part: -float(np.std(part.valid, dtype=float) * part.valid.size**0.5))[:PARTS]


def _strip(shape: tuple[int, int], ratio: int, side: str) -> tuple[int, int, int]:
    """Return the axis along a side, and the first fine pixel across and the number of those that count as beside it."""
    along = 1 if side in ("top", "bottom") else 0
    across = shape[1 - along]
    depth = min(12 * ratio, max(across - 2 * ratio, across // 2))
    return along, 0 if side in ("top", "left") else across - depth, depth


def whole_side(read: Read, shape: tuple[int, int], ratio: int, side: str, absent: Absent) -> Part:
    """Read a side of an image from corner to corner, or the beginning of a long one; its first row is the border."""
    along, first, depth = _strip(shape, ratio, side)
    length = min(shape[along], LONG * ratio)
    part = read_part(read, (first, 0, depth, length) if along else (0, first, length, depth), absent)
    return part.turned(not along, side in ("bottom", "right"))


def side_parts(
    read: Read,
    shape: tuple[int, int],
    ratio: int,
    side: str,
    absent: Absent,
) -> list[Part]:
    """Read parts of an image along a side, each turned so that its first row is the border."""
    along, first, depth = _strip(shape, ratio, side)
    inset = (insets_of(shape, ratio)[2 * along] or NEAR * (shape[along] >= 3 * NEAR * ratio)) * ratio
    parts: list[Part] = []
    for natives in (32, 16, 8):
        size = min(natives * ratio, shape[along] - 2 * inset)
        starts = _spread(inset, shape[along] - inset - size, 12, ratio)
        places = [(first, start, depth, size) if along else (start, first, size, depth) for start in starts]
        parts = parts or complete_parts(read, shape, ratio, places)
    if not parts:
        parts = [part for place in places if _tells(part := read_part(read, place, absent))]
    return _varied([part.turned(not along, side in ("bottom", "right")) for part in parts])[:SIDE_PARTS]
