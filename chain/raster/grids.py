# SPDX-License-Identifier: Apache-2.0
"""Grids of pixels on the ground, and regions of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from osgeo import gdal, osr

gdal.UseExceptions()

TOLERANCE = 1e-3
"""Largest distance between two positions that count as equal, in pixels."""


@dataclass(frozen=True)
class Grid:
    """A north-up grid of pixels in a projected coordinate system."""

    left: float
    """Easting of the upper-left corner, in metres."""
    top: float
    """Northing of the upper-left corner, in metres."""
    dx: float
    """Pixel width, in metres."""
    dy: float
    """Pixel height, in metres, positive."""
    columns: int
    """Number of columns."""
    rows: int
    """Number of rows."""
    projection: str
    """Coordinate reference system, WKT."""

    @property
    def geotransform(self) -> tuple[float, float, float, float, float, float]:
        """GDAL's geotransform."""
        return self.left, self.dx, 0.0, self.top, 0.0, -self.dy


@dataclass(frozen=True)
class Region:
    """A rectangle of the pixels of a product or of an image."""

    x: int
    """First column."""
    y: int
    """First row."""
    columns: int
    """Number of columns."""
    rows: int
    """Number of rows."""

    def scaled(self, factor: int) -> "Region":
        """Return the same ground on a grid `factor` times finer."""
        return Region(self.x * factor, self.y * factor, self.columns * factor, self.rows * factor)

    def grown(self, margin: int, size: tuple[int, int]) -> "Region":
        """Return the region with a margin on each side, within an image of this size (columns, rows)."""
        x, y = max(self.x - margin, 0), max(self.y - margin, 0)
        right = min(self.x + self.columns + margin, size[0])
        bottom = min(self.y + self.rows + margin, size[1])
        return Region(x, y, right - x, bottom - y)


def corner_and_spacing(image: Any) -> tuple[float, float, float, float]:
    """Return the upper-left corner x, y of a pyotb image, and its spacing along x and y (negative: north up)."""
    key = image.output_image_key
    (x, y), (dx, dy) = image.app.GetImageOrigin(key), image.app.GetImageSpacing(key)
    return x - 0.5 * dx, y - 0.5 * dy, dx, dy


def image_grid(image: Any) -> Grid:
    """Return the grid of a pyotb image. Without a coordinate system, units are assumed to be metres.

    Raises:
        ValueError: The image is not north up, or not in metres.
    """
    left, top, dx, dy = corner_and_spacing(image)
    key = image.output_image_key
    columns, rows = image.app.GetImageSize(key)
    projection = image.app.GetImageProjection(key)
    crs = osr.SpatialReference()
    known = not projection or not crs.ImportFromWkt(projection)
    if not known or (projection and (not crs.IsProjected() or crs.GetLinearUnits() != 1.0)):
        raise ValueError(f"input: expected a projected coordinate system in metres, got {crs.GetName()}")
    if dx <= 0 or dy >= 0:
        raise ValueError(f"input: expected a north-up image, got pixels of {dx} x {dy}")
    return Grid(left, top, dx, -dy, columns, rows, projection)


def raster_grid(dataset: gdal.Dataset) -> Grid:
    """Return the grid of a north-up raster."""
    left, dx, _, top, _, dy = dataset.GetGeoTransform()
    return Grid(left, top, dx, -dy, dataset.RasterXSize, dataset.RasterYSize, dataset.GetProjection())


def product_grid(source: Grid, gsd: float) -> Grid:
    """Return the grid of a product that covers a source completely, from its upper-left corner."""
    columns, rows = (
        math.ceil(count * step / gsd - 1e-6) for count, step in ((source.columns, source.dx), (source.rows, source.dy))
    )
    return Grid(source.left, source.top, gsd, gsd, columns, rows, source.projection)


def common_origin(grids: Mapping[str, Grid], aligned: bool = True) -> tuple[float, float]:
    """Return a pixel corner (x, y) that all grids share: the last one before the corner of the finest grid.

    Args:
        grids: Grids by image name.
        aligned: Refuse grids without a common pixel corner.

    Raises:
        ValueError: The grids differ in coordinate system, do not overlap, or have no common pixel corner.
    """
    finest_name = min(grids, key=lambda name: grids[name].dx)
    coarsest_name = max(grids, key=lambda name: grids[name].dx)
    finest, coarsest = grids[finest_name], grids[coarsest_name]
    for name, grid in grids.items():
        if not same_crs(grid.projection, finest.projection):
            raise ValueError(f"input: expected one coordinate system, got another one for {name}")
        if not (
            grid.left < finest.left + finest.columns * finest.dx
            and finest.left < grid.left + grid.columns * grid.dx
            and grid.top > finest.top - finest.rows * finest.dy
            and finest.top > grid.top - grid.rows * grid.dy
        ):
            raise ValueError(f"input: expected images of one place, got {name} and {finest_name}, which do not overlap")
    x = coarsest.left + math.floor((finest.left - coarsest.left) / coarsest.dx + TOLERANCE) * coarsest.dx
    y = coarsest.top - math.floor((coarsest.top - finest.top) / coarsest.dy + TOLERANCE) * coarsest.dy
    for name, grid in grids.items():
        shift = (x - grid.left) / grid.dx, (grid.top - y) / grid.dy
        if aligned and any(abs(value - round(value)) > TOLERANCE for value in shift):
            raise ValueError(
                f"input: expected grids that share their pixel corners, got {name} "
                f"{shift[0] % 1:.3f}, {shift[1] % 1:.3f} of its pixels off {coarsest_name}"
            )
    return x, y


def same_crs(one: str, other: str) -> bool:
    """Return whether two coordinate reference systems, as WKT, are the same."""
    if one == other or not (one and other):
        return one == other
    first, second = osr.SpatialReference(one), osr.SpatialReference(other)
    return bool(first.IsSame(second))


def shifted(grid: Grid, region: Region) -> Grid:
    """Return the grid of a region of a product."""
    left, top = grid.left + region.x * grid.dx, grid.top - region.y * grid.dy
    return replace(grid, left=left, top=top, columns=region.columns, rows=region.rows)


def box_region(box: tuple[int, int, int, int], source: Grid, product: Grid, ratio: int) -> Region:
    """Return the region of a product that covers a box of source pixels, extended to whole pixels of the model source.

    Args:
        box: First column, first row, columns and rows, in native pixels of the first source.
        source: Grid of the first source.
        product: Grid of the whole product.
        ratio: Number of output pixels along one pixel of the model's first source.

    Raises:
        ValueError: The box is not inside the image.
    """
    x, y, columns, rows = box
    if x < 0 or y < 0 or columns < 1 or rows < 1 or x + columns > source.columns or y + rows > source.rows:
        raise ValueError(
            f"--box: expected x,y,w,h inside {source.columns} x {source.rows} input pixels, "
            f"got {x},{y},{columns},{rows}"
        )
    spans = []
    for first, count, step, pixel, limit in (
        (x, columns, source.dx, product.dx, product.columns),
        (y, rows, source.dy, product.dy, product.rows),
    ):
        start = math.floor(first * step / (ratio * pixel) + 1e-6) * ratio
        stop = math.ceil((first + count) * step / (ratio * pixel) - 1e-6) * ratio
        spans.append((start, min(stop, limit)))
    (left, right), (top, bottom) = spans
    return Region(left, top, right - left, bottom - top)


def plan(region: Region, size: int) -> list[Region]:
    """Divide a region of a product into regions of at most `size` pixels a side, in reading order."""
    return [
        Region(x, y, min(size, region.x + region.columns - x), min(size, region.y + region.rows - y))
        for y in range(region.y, region.y + region.rows, size)
        for x in range(region.x, region.x + region.columns, size)
    ]


def spread(size: tuple[int, int], side: int, count: int) -> list[Region]:
    """Return about `count` disjoint square regions, spread over an image of this size (columns, rows)."""
    width, height = (min(side, length) for length in size)
    most = max(1, round(count**0.5))
    lefts, tops = (
        np.linspace(0, length - extent, min(most, length // extent)).astype(int).tolist()
        for length, extent in ((size[0], width), (size[1], height))
    )
    return [Region(left, top, width, height) for top in tops for left in lefts]
