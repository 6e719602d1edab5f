# SPDX-License-Identifier: Apache-2.0
"""Images and grids in GDAL's memory, which OTB opens by name."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from osgeo import gdal

from chain.raster.grids import Grid

gdal.UseExceptions()

_serial = itertools.count()


def new_name(stem: str, extension: str) -> str:
    """Return a new name, unique in this process, of a file in memory."""
    return f"/vsimem/{stem}_{os.getpid()}_{next(_serial)}.{extension}"


@contextmanager
def memory_image(pixels: np.ndarray, grid: Grid) -> Iterator[str]:
    """Hold pixels (rows, columns, bands) as a GeoTIFF in GDAL's memory, and yield the name by which OTB opens it."""
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
    """Hold a grid without pixels as a VRT in GDAL's memory, as the reference of Superimpose, and yield its name."""
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
