# SPDX-License-Identifier: Apache-2.0
"""Some pixels of a raster, to tell what its numbers are: quick, whatever its size and place."""

import numpy as np
from osgeo import gdal

from chain.raster.grids import spread
from chain.raster.http import REMOTE_PREFIXES
from chain.sentinel2.bands import FINEST, NODATA

FLOATING = (gdal.GDT_Float32, gdal.GDT_Float64)
LARGEST = 1000000
"""Floating point numbers from here on, and those that are not numbers, are no digital numbers: OTB reads an infinite
one as the largest of its type."""
WHOLE_SIDE = 1024
"""Images up to this size, in pixels along a side, are looked at as a whole."""
WINDOW_SIDE, WINDOWS = 192, 16
"""Side, in pixels, and number of the windows of a larger image that are looked at."""
OVERVIEW_SIDE = 512
"""Pixels along a side, at most, of what is looked at of a remote or JPEG 2000 image, whose overviews are quick."""


def sampled_parts(dataset: gdal.Dataset) -> list[tuple[np.ndarray, float]]:
    """Return what is looked at of a raster: arrays, float64 with NaN where missing, and their pixel sizes in metres."""
    band = dataset.GetRasterBand(1)
    return [(_numbers(band, pixels), spacing) for pixels, spacing in _windows(dataset, band)]


def sampled_values(dataset: gdal.Dataset, number: int) -> np.ndarray:
    """Return a sample, (count,), of all numbers of a band, missing ones too."""
    parts = [pixels.ravel() for pixels, _ in _windows(dataset, dataset.GetRasterBand(number))]
    return np.concatenate(parts) if parts else np.empty(0)


def _windows(dataset: gdal.Dataset, band: gdal.Band) -> list[tuple[np.ndarray, float]]:
    """Return what is looked at of a band, and its pixel sizes in metres; nothing where it cannot be read."""
    columns, rows = dataset.RasterXSize, dataset.RasterYSize
    geotransform = dataset.GetGeoTransform(can_return_null=True)
    spacing = geotransform[1] if geotransform and geotransform[1] >= 1 else FINEST
    try:
        if max(columns, rows) <= WHOLE_SIDE:
            return [(band.ReadAsArray(), spacing)]
        if _is_slow(dataset):
            shape = [max(1, round(size * OVERVIEW_SIDE / max(columns, rows))) for size in (columns, rows)]
            pixels = band.ReadAsArray(buf_xsize=shape[0], buf_ysize=shape[1])
            return [(pixels, spacing * columns / shape[0])]
        windows = spread((columns, rows), WINDOW_SIDE, WINDOWS)
        return [(band.ReadAsArray(w.x, w.y, w.columns, w.rows), spacing) for w in windows]
    except RuntimeError:  # its use will say it
        return []


def _is_slow(dataset: gdal.Dataset) -> bool:
    """Return whether windows of a raster cost much more than its overviews: it is remote, or JPEG 2000."""
    files = [dataset.GetDescription(), *(dataset.GetFileList() or ())]
    return any(name.startswith(REMOTE_PREFIXES) or name.lower().endswith(".jp2") for name in files)


def _numbers(band: gdal.Band, pixels: np.ndarray) -> np.ndarray:
    """Return pixels as float64, NaN where they are missing."""
    values = pixels.astype(np.float64)
    declared = band.GetNoDataValue()
    missing = ~(np.abs(values) < LARGEST) | (values == NODATA)
    if declared is not None:
        missing |= values == declared
    values[missing] = np.nan
    return values


def sampled_numbers(dataset: gdal.Dataset) -> np.ndarray:
    """Return a sample, (count,), of the numbers of a raster's first band that are not missing."""
    parts = [array[~np.isnan(array)] for array, _ in sampled_parts(dataset)]
    return np.concatenate(parts) if parts else np.empty(0)
