# SPDX-License-Identifier: Apache-2.0
"""What a mosaic was made of, as a report reads it: each pixel of the input of the scene that the product took there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chain.raster.grids import TOLERANCE, Grid, Region
from chain.serving.report.native import Band, Given

Chosen = Callable[[Region], np.ndarray]
"""Returns the number of the scene of each pixel of a region of the product, (rows, columns); -1 for none."""


@dataclass(frozen=True)
class MosaicBand:
    """A band of several inputs on one grid. Missing are pixels under which the product is not of one scene."""

    scenes: Sequence[Band]
    """The band of each scene, by its number."""
    grid: Grid
    """Where its pixels lie: those of the inputs, over the whole product."""
    ratio: int
    """Pixels of the product along one of these."""
    first: tuple[int, int]
    """Column and row of the product's pixels at which the first of these begins."""
    chosen: Chosen
    """Tells which scene the product took."""
    product: Grid
    """Where the product's pixels lie."""

    def read(self, region: Region) -> np.ndarray:
        """Read a region: float32 (rows, columns), in numbers of the product, missing pixels NaN.

        Raises:
            RuntimeError: GDAL cannot read it.
        """
        scene = self._scenes_below(region)
        values = np.full((region.rows, region.columns), np.nan, np.float32)
        for number, band in enumerate(self.scenes):
            grid = band.grid
            x, y = round((grid.left - self.grid.left) / grid.dx), round((self.grid.top - grid.top) / grid.dy)
            left, top = max(region.x, x), max(region.y, y)
            right = min(region.x + region.columns, x + grid.columns)
            bottom = min(region.y + region.rows, y + grid.rows)
            if left >= right or top >= bottom or not (scene == number).any():
                continue
            pixels = band.read(Region(left - x, top - y, right - left, bottom - top))
            inside = np.s_[top - region.y : bottom - region.y, left - region.x : right - region.x]
            values[inside] = np.where(scene[inside] == number, pixels, values[inside])
        return values

    def _scenes_below(self, region: Region) -> np.ndarray:
        """Return the number of the one scene of the product's pixels below each pixel of a region; -1 without one."""
        x, y = self.first[0] + region.x * self.ratio, self.first[1] + region.y * self.ratio
        columns, rows = region.columns * self.ratio, region.rows * self.ratio
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + columns, self.product.columns), min(y + rows, self.product.rows)
        fine = np.full((rows, columns), -1, np.int32)
        if left < right and top < bottom:
            found = self.chosen(Region(left, top, right - left, bottom - top))
            fine[top - y : bottom - y, left - x : right - x] = found
        blocks = fine.reshape(region.rows, self.ratio, region.columns, self.ratio)
        lowest, highest = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
        return np.where(lowest == highest, lowest, -1)


def given_of_mosaic(scenes: Sequence[Given], product: Grid, chosen: Chosen, classes: Path | None) -> Given:
    """Return what the inputs of a mosaic have to show; bands whose pixels do not lie on one grid are left out.

    Args:
        scenes: what each scene has to show.
        product: where the product's pixels lie.
        chosen: tells which scene the product took.
        classes: the scene classification of the product, if there is one.
    """
    names = [name for name in scenes[0].bands if all(name in each.bands for each in scenes)]
    bands = {name: _band([each.bands[name] for each in scenes], product, chosen) for name in names}
    shown = {name: band for name, band in bands.items() if band}
    return Given(shown, str(classes) if classes else None)


def _band(scenes: Sequence[Band], product: Grid, chosen: Chosen) -> MosaicBand | None:
    """Return a band of several inputs; None where their pixels do not lie on one grid that the product's divide."""
    first = scenes[0].grid
    ratio = round(first.dx / product.dx)
    if ratio < 1 or any((each.grid.dx, each.grid.dy) != (ratio * product.dx, ratio * product.dy) for each in scenes):
        return None
    for each in scenes:
        apart = ((each.grid.left - first.left) / first.dx, (first.top - each.grid.top) / first.dy)
        if max(abs(value - round(value)) for value in apart) > TOLERANCE:
            return None
    x, y = round((first.left - product.left) / product.dx), round((product.top - first.top) / product.dy)
    left, top = (start % ratio - (ratio if start % ratio else 0) for start in (x, y))
    grid = replace(
        first,
        left=product.left + left * product.dx,
        top=product.top - top * product.dy,
        columns=-(-(product.columns - left) // ratio),
        rows=-(-(product.rows - top) // ratio),
    )
    return MosaicBand(scenes, grid, ratio, (left, top), chosen, product)
