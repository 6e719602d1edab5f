# SPDX-License-Identifier: Apache-2.0
"""Whether one offset holds for all parts of an image: a mosaic may be of products with and without it.

Between such parts the numbers jump by 1000 in all bands, whatever the ground, and are level on both sides. Nature has
no such edges: those of clouds, surf and roofs are slopes, or jump by other numbers in other bands. On the higher side
no band is below what an offset allows, on the lower one many pixels are. Where missing pixels lie between the parts,
their darkest pixels are held against each other.

This looks at means of 20 m, of bands of 10 m and 20 m. Of a large image it sees some windows, and what lies between
two of which one carries an offset and the other does not. It sees no part of snow, cloud or desert that lies apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, find_objects, label

from chain.raster.grids import Region
from chain.sentinel2.bands import BANDS, OFFSET
from chain.sentinel2.decision import Decision
from chain.sentinel2.offset import MOST_BANDS
from chain.sentinel2.pixel_evidence import (
    DARK_BANDS,
    DARK_WITH_OFFSET,
    FLOOR,
    IMPOSSIBLE_WITH_OFFSET,
    LEAST_PIXELS,
    MIDDLE_WITH_OFFSET,
)
from chain.sentinel2.sampling import windows_together

CELL = 20.0
"""Side, in metres, of the cells whose means are looked at."""
VISIBLE = ("B02", "B03", "B04")
"""Bands in which the ground changes least from date to date; the first two have to be there."""
SAME_DATE = 400.0
"""How far the jump of two cells may be from 1000, in all bands, where both sides are of one date."""
OTHER_DATE = dict.fromkeys(("B06", "B07", "B08", "B8A"), 1500.0) | dict.fromkeys(("B11", "B12"), 800.0)
"""How far it may be in these bands, where the sides are of two dates."""
REACHES = (1, 3, 8)
"""Cells, on either side of a seam, between which the jump is measured."""
LEAST_CELLS = 12
"""Fewer cells along a line tell nothing."""
BLOCK = 30
"""Cells along a side of the blocks that confirm what a line makes suspect."""
NEVER = 0.001
"""Share of the cells, at most, that are below 950 in any band of a part that carries an offset."""
ALIKE = 300.0
"""How far the darkest pixels of two parts may differ from 1000 in the visible bands, if one carries an offset."""
WAY_OUT = "take the offset off its parts before they are merged, or pass --offset, which holds for all"


class Jump(NamedTuple):
    """A line along which all bands jump by about 1000."""

    row: float
    column: float
    cells: int
    off: tuple[float, ...]
    """How far the jump of the visible bands is from 1000, at most, at each of `REACHES`; medians along the line."""
    off_all: float
    """The same of most bands, at the worst of `REACHES`."""
    high: float
    """Share of the cells beside the line, on its higher side, that are below 950 in a band."""
    low: float
    """The same on its lower side."""

    def is_suspected(self) -> bool:
        """Return whether it may be a seam. None in 38 real scenes is; some between a clear date and a hazy one are."""
        near, middle, far = self.off
        is_exact = self.cells >= 5 * LEAST_CELLS and max(*self.off, self.off_all) <= 60
        is_level = max(near, middle) <= 200 and far <= 300
        return self.high <= 0.1 and (is_exact or (is_level and self.low >= 0.3))

    def is_proven(self) -> bool:
        """Return whether it is a seam, and no border of haze."""
        near, middle, far = self.off
        is_level = max(near, middle) <= 70 and far <= 200
        return is_level and self.is_suspected() and self.cells >= 2 * LEAST_CELLS and self.high <= 0.03


class Part(NamedTuple):
    """Cells that no missing ones separate."""

    window: Region
    darkest: np.ndarray
    """First percentile of each band."""
    carries: bool
    """Whether its numbers lie where an offset of 1000 puts them, and none lower; else many lie where it puts none."""


def mixed_offsets(bands: Mapping[str, str]) -> tuple[str, bool]:
    """Return what shows that parts of an image carry an offset and others do not; and whether that is sure.

    Args:
        bands: for each band, a raster of one band, of digital numbers.
    """
    used = sorted((band for band in bands if BANDS[band] <= CELL), key=lambda band: (band not in VISIBLE, band))
    if len(used) < 3 or used[:2] != [*VISIBLE[:2]]:
        return "", False
    names = [bands[band] for band in used]
    windows = windows_together(names, CELL)
    found = [each for window, cells in windows for each in _seen(used, window, cells)]
    parts = [part for window, cells in windows if cells.size for part in parts_of(used, window, cells)]
    pairs = [(one.window, other.window) for one in parts for other in parts if one.carries and not other.carries]
    pairs.sort(key=lambda pair: abs(pair[0].x - pair[1].x) + abs(pair[0].y - pair[1].y))
    if len(windows) > 1 and pairs and not any(is_proven for _, is_proven in found):
        beside = [pair for pair in pairs if pair[0].x == pair[1].x or pair[0].y == pair[1].y]
        between = windows_together(names, CELL, [_hull(*beside[0])]) if beside else []
        found += [each for window, cells in between for each in _seen(used, window, cells)]
        found.append((_told(*pairs[0]), False))
    return max(found, key=lambda each: each[1], default=("", False))


def check_mixed_offsets(name: str, bands: Mapping[str, str], asked: int | None) -> list[Decision]:
    """Refuse an image of which some parts carry an offset and others do not, or tell it where that is not sure.

    Args:
        name: of the image, for errors.
        bands: as for `mixed_offsets`.
        asked: the offset that the user states: then it is told alone.

    Raises:
        ValueError: the pixels show that there are such parts, and the user states nothing.
    """
    found, is_proven = mixed_offsets(bands)
    if is_proven and asked is None:
        raise ValueError(f"{name}: expected one offset for all of a mosaic, got {found}: {WAY_OUT}")
    return [Decision("pixels", found, "as if parts of a mosaic carried an offset of 1000")] if found else []


def _seen(bands: Sequence[str], window: Region, cells: np.ndarray) -> Iterator[tuple[str, bool]]:
    """Yield what a window shows, and whether that is sure."""
    if not cells.size:
        return
    scale = window.columns / cells.shape[2]
    blocks = cells.copy()
    blocks[:, ::BLOCK] = blocks[:, :, ::BLOCK] = np.nan
    differ = {part.carries for part in parts_of(bands, window, blocks)} == {True, False}
    for jump in jumps_of(bands, cells):
        if jump.is_suspected():
            place = f"column {window.x + jump.column * scale:.0f}, row {window.y + jump.row * scale:.0f}"
            yield f"numbers that jump by about 1000 in all bands along a line near {place}", jump.is_proven() or differ
    parts = parts_of(bands, window, cells)
    for high in (part for part in parts if part.carries):
        for low in (part for part in parts if not part.carries):
            visible = [index for index, band in enumerate(bands) if band in VISIBLE]
            off = np.abs(high.darkest - low.darkest + OFFSET)[visible]
            yield _told(high.window, low.window), bool(off.max() <= ALIKE)


def _hull(one: Region, other: Region) -> Region:
    """Return the least region that holds two."""
    x, y = min(one.x, other.x), min(one.y, other.y)
    right, bottom = (
        max(a + b for a, b in pairs)
        for pairs in (((one.x, one.columns), (other.x, other.columns)), ((one.y, one.rows), (other.y, other.rows)))
    )
    return Region(x, y, right - x, bottom - y)


def _told(carrying: Region, other: Region) -> str:
    """Return in words where parts with and without an offset are."""
    place = "near column {}, row {}"
    high, low = (place.format(each.x + each.columns // 2, each.y + each.rows // 2) for each in (carrying, other))
    return f"no numbers below {FLOOR} in a part {high}, and many in one {low}"


def parts_of(bands: Sequence[str], window: Region, cells: np.ndarray) -> list[Part]:
    """Return the parts of a window of which it can be told whether they carry an offset.

    Args:
        bands: their names.
        window: where it is.
        cells: their numbers, (bands, rows, columns), NaN where missing.
    """
    dark = [index for index, band in enumerate(bands) if band in DARK_BANDS]
    scale = window.columns / cells.shape[2]
    lines, found = label(~np.isnan(cells).any(axis=0))[0], []
    for number, place in enumerate(find_objects(lines), start=1):
        inside = binary_erosion(lines[place] == number)
        values = cells[(slice(None), *place)][:, inside]
        if values.shape[1] < LEAST_PIXELS:
            continue
        darkest, middle = np.percentile(values, (1, 50), axis=1)
        usual = (darkest < DARK_WITH_OFFSET) & (middle < MIDDLE_WITH_OFFSET)
        carries = bool((values < FLOOR).any(axis=0).mean() <= NEVER and usual[dark].mean() >= MOST_BANDS)
        lower = np.any([(values < most).mean(axis=1) > share for most, share in IMPOSSIBLE_WITH_OFFSET], axis=0)
        if carries or lower.sum() >= 2:
            x, y = (round(part.start * scale) for part in reversed(place))
            size = [round((part.stop - part.start) * scale) for part in reversed(place)]
            found.append(Part(Region(window.x + x, window.y + y, *size), darkest, carries))
    return found


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is no NaN; NaN where nothing is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median of each row, of what is no NaN; NaN where nothing is."""
    rows = [row[~np.isnan(row)] for row in values]
    return np.array([np.median(row) if row.size else np.nan for row in rows])


def jumps_of(bands: Sequence[str], cells: np.ndarray) -> list[Jump]:
    """Return lines along which all bands jump by about 1000.

    Args:
        bands: their names, visible ones first.
        cells: their numbers, (bands, rows, columns), NaN where missing.
    """
    reach = max(REACHES)
    padded = np.pad(cells, ((0, 0), (reach, reach), (reach, reach)), constant_values=np.nan)
    shape, numbers = padded.shape[1:], padded.reshape(len(bands), -1)
    inside = np.arange(numbers.shape[1]).reshape(shape)[reach:-reach, reach:-reach].ravel()
    is_dark = np.where(np.isnan(numbers).any(axis=0), np.nan, (numbers < FLOOR).any(axis=0))
    visible = [index for index, band in enumerate(bands) if band in VISIBLE]
    found = []
    for limits in ({}, OTHER_DATE):
        places, steps = [], []
        for step in (1, -1, shape[1], -shape[1]):
            at = inside
            for row, band in zip(numbers, bands):
                at = at[np.abs(row[at + step] - row[at - step] + OFFSET) < limits.get(band, SAME_DATE)]
            places.append(at)
            steps.append(np.full(at.size, step))
        place, step = np.concatenate(places), np.concatenate(steps)
        marked = np.zeros(shape, bool)
        marked.flat[place] = True
        lines = label(binary_dilation(marked, np.ones((3, 3))), np.ones((3, 3)))[0].flat[place]
        for line in np.flatnonzero(np.bincount(lines) >= LEAST_CELLS):
            at, by = place[lines == line], step[lines == line]
            jumps = [_median(numbers[:, at + k * by] - numbers[:, at - k * by] + OFFSET) for k in REACHES]
            off = tuple(float(np.abs(jump[visible]).max()) for jump in jumps)
            high, low = (_mean(np.stack([is_dark[at + sign * k * by] for k in (2, 3, 5, 8)])) for sign in (1, -1))
            off_all = max(float(np.median(np.abs(jump))) for jump in jumps)
            middle = np.median(np.divmod(at, shape[1]), axis=1) - reach
            found.append(Jump(middle[0], middle[1], at.size, off, off_all, high, low))
    return found
