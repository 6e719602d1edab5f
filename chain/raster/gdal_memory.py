# SPDX-License-Identifier: Apache-2.0
"""GDAL's memory: images and grids in it, which OTB opens by name, its caches, and the errors that it reports."""

import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from osgeo import gdal, gdal_array

from chain.raster.grids import Grid

gdal.UseExceptions()

CACHE_BYTES = 64 * 2**20
"""GDAL's block cache while files are written whose blocks are read once: more would only fill the memory."""
_serial = itertools.count()
_CACHE_LOCK = threading.Lock()


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


def memory_dataset(pixels: np.ndarray, grid: Grid, bands: Sequence[str], nodata: float) -> gdal.Dataset:
    """Return pixels (rows, columns, bands) as a dataset, which reads them where they are."""
    dataset = gdal_array.OpenArray(np.moveaxis(pixels, 2, 0))
    dataset.SetGeoTransform(grid.geotransform)
    dataset.SetProjection(grid.projection)
    for number, name in enumerate(bands, 1):
        dataset.GetRasterBand(number).SetDescription(name)
        dataset.GetRasterBand(number).SetNoDataValue(nodata)
    return dataset


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


@contextmanager
def small_cache() -> Iterator[None]:
    """Bound GDAL's caches for a while: the one of blocks, and the one that VSI_CACHE gives to each of the parts.

    One thread at a time may do so.
    """
    with _CACHE_LOCK, configured(VSI_CACHE="FALSE"):
        size = gdal.GetCacheMax()
        gdal.SetCacheMax(min(size, CACHE_BYTES))
        try:
            yield
        finally:
            gdal.SetCacheMax(size)


@contextmanager
def configured(**options: str) -> Iterator[None]:
    """Set options of GDAL's configuration for a while, in all threads."""
    before = {name: gdal.GetConfigOption(name) for name in options}
    for name, value in options.items():
        gdal.SetConfigOption(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            gdal.SetConfigOption(name, value)


@contextmanager
def reported_errors() -> Iterator[list[str]]:
    """Collect the errors that GDAL reports, also where it does not fail."""
    errors: list[str] = []

    def collect(severity: int, number: int, message: str) -> None:
        if severity >= gdal.CE_Failure:
            errors.append(message)

    gdal.PushErrorHandler(collect)
    try:
        yield errors
    finally:
        gdal.PopErrorHandler()
