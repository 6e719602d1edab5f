# SPDX-License-Identifier: Apache-2.0
"""Grids of pixels on the ground, parts of them, and images on them in GDAL's memory."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from osgeo import gdal, osr

from chain.raster.gdal_memory import new_name
from chain.serving.tensorflow_model_serve import corner_and_spacing

gdal.UseExceptions()

TOLERANCE = 1e-3
"""Part of a pixel by which two places may differ and still count as the same."""


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
    """Pixels of a product: first column and row, number of columns and rows."""

    x: int
    y: int
    columns: int
    rows: int


def image_grid(image) -> Grid:
    """Return the grid of a pyotb image. One without coordinate system is taken to be in metres.

    Raises:
        ValueError: When it is not north up, in metres.
    """
    left, top, dx, dy = corner_and_spacing(image)
    key = image.output_image_key
    columns, rows = image.app.GetImageSize(key)
    projection = image.app.GetImageProjection(key)
    crs = osr.SpatialReference()
    known = not projection or not crs.ImportFromWkt(projection)
    if not known or (projection and (not crs.IsProjected() or crs.GetLinearUnits() != 1.0)):
        raise ValueError(f"input: a projected coordinate system in metres is wanted. Received: {crs.GetName()}")
    if dx <= 0 or dy >= 0:
        raise ValueError(f"input: a north-up image is wanted. Received: pixels of {dx} x {dy}")
    return Grid(left, top, dx, -dy, columns, rows, projection)


def raster_grid(dataset: gdal.Dataset) -> Grid:
    """Return the grid of a north-up raster."""
    left, dx, _, top, _, dy = dataset.GetGeoTransform()
    return Grid(left, top, dx, -dy, dataset.RasterXSize, dataset.RasterYSize, dataset.GetProjection())


def product_grid(source: Grid, gsd: float) -> Grid:
    """Return the grid of a product: from the source's upper-left corner, to the last part of a pixel."""
    columns, rows = (
        math.ceil(count * step / gsd - 1e-6) for count, step in ((source.columns, source.dx), (source.rows, source.dy))
    )
    return Grid(source.left, source.top, gsd, gsd, columns, rows, source.projection)


def common_origin(grids: Mapping[str, Grid], aligned: bool = True) -> tuple[float, float]:
    """Return a corner (x, y) where pixels of all grids begin: the last one before the finest grid's corner.

    Args:
        grids: Grids by the names of the images.
        aligned: Refuse grids whose pixels begin nowhere together.

    Raises:
        ValueError: When the grids have other coordinate systems, do not overlap, or their pixels begin nowhere
            together.
    """
    finest_name = min(grids, key=lambda name: grids[name].dx)
    coarsest_name = max(grids, key=lambda name: grids[name].dx)
    finest, coarsest = grids[finest_name], grids[coarsest_name]
    for name, grid in grids.items():
        if not same_crs(grid.projection, finest.projection):
            raise ValueError(f"input: one coordinate system is wanted. Received: another one for {name}")
        if not (
            grid.left < finest.left + finest.columns * finest.dx
            and finest.left < grid.left + grid.columns * grid.dx
            and grid.top > finest.top - finest.rows * finest.dy
            and finest.top > grid.top - grid.rows * grid.dy
        ):
            raise ValueError(f"input: images of one place are wanted. Received: {name} and {finest_name} apart")
    x = coarsest.left + math.floor((finest.left - coarsest.left) / coarsest.dx + TOLERANCE) * coarsest.dx
    y = coarsest.top - math.floor((coarsest.top - finest.top) / coarsest.dy + TOLERANCE) * coarsest.dy
    for name, grid in grids.items():
        shift = (x - grid.left) / grid.dx, (grid.top - y) / grid.dy
        if aligned and any(abs(value - round(value)) > TOLERANCE for value in shift):
            raise ValueError(
                f"input: pixels that begin together are wanted. Received: {name} "
                f"{shift[0] % 1:.3f}, {shift[1] % 1:.3f} of its pixels off {coarsest_name}"
            )
    return x, y


def same_crs(one: str, other: str) -> bool:
    """Return whether two coordinate reference systems, WKT, are the same."""
    if one == other or not (one and other):
        return one == other
    first, second = osr.SpatialReference(one), osr.SpatialReference(other)
    return bool(first.IsSame(second))


def shifted(grid: Grid, region: Region) -> Grid:
    """Return the grid of a part of a product."""
    left, top = grid.left + region.x * grid.dx, grid.top - region.y * grid.dy
    return replace(grid, left=left, top=top, columns=region.columns, rows=region.rows)


def box_region(box: tuple[int, int, int, int], source: Grid, product: Grid, ratio: int) -> Region:
    """Return the part of a product that covers a box of source pixels, enlarged to whole pixels of the model's source.

    Args:
        box: First column and row, columns and rows, in native pixels of the first source.
        source: Grid of the first source.
        product: Grid of the whole product.
        ratio: Output pixels along one pixel of the model's first source.

    Raises:
        ValueError: When the box does not lie inside the image.
    """
    x, y, columns, rows = box
    if x < 0 or y < 0 or columns < 1 or rows < 1 or x + columns > source.columns or y + rows > source.rows:
        raise ValueError(
            f"--box: x,y,w,h inside {source.columns} x {source.rows} input pixels is wanted. "
            f"Received: {x},{y},{columns},{rows}"
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
    """Cut a region of a product into regions of at most `size` pixels a side, in reading order."""
    return [
        Region(x, y, min(size, region.x + region.columns - x), min(size, region.y + region.rows - y))
        for y in range(region.y, region.y + region.rows, size)
        for x in range(region.x, region.x + region.columns, size)
    ]


@contextmanager
def memory_image(pixels: np.ndarray, grid: Grid) -> Iterator[str]:
    """Hold pixels (rows, columns, bands) as a GeoTIFF in GDAL's memory, which OTB opens by the name given."""
    name = new_name("region", "tif")
    rows, columns, bands = pixels.shape
    dataset = gdal.GetDriverByName("GTiff").Create(
        name, columns, rows, bands, gdal.GDT_Float32, ["INTERLEAVE=PIXEL", "BIGTIFF=IF_SAFER"]
    )
    dataset.SetGeoTransform(grid.geotransform)
    dataset.SetProjection(grid.projection)
    dataset.WriteArray(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
    dataset.FlushCache()
    del dataset
    try:
        yield name
    finally:
        gdal.Unlink(name)


@contextmanager
def memory_grid(grid: Grid) -> Iterator[str]:
    """Hold a grid without pixels as a VRT in GDAL's memory, for Superimpose to take as its reference."""
    name = new_name("grid", "vrt")
    dataset = gdal.GetDriverByName("VRT").Create(name, grid.columns, grid.rows, 1, gdal.GDT_Byte)
    dataset.SetGeoTransform(grid.geotransform)
    dataset.SetProjection(grid.projection)
    dataset.FlushCache()
    del dataset
    try:
        yield name
    finally:
        gdal.Unlink(name)
