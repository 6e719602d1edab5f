# SPDX-License-Identifier: Apache-2.0
"""Images brought from one grid to another, on any map."""

import numpy as np
from osgeo import gdal

from chain.raster.grids import TOLERANCE, Grid, same_crs

gdal.UseExceptions()


def same_grid(one: Grid, other: Grid) -> bool:
    """Return whether two grids are the same, but for rounding."""
    if (one.rows, one.columns) != (other.rows, other.columns) or not same_crs(one.projection, other.projection):
        return False
    off = (
        (one.left - other.left) / one.dx,
        (one.top - other.top) / one.dy,
        (one.dx - other.dx) / one.dx * one.columns,
        (one.dy - other.dy) / one.dy * one.rows,
    )
    return all(abs(value) < TOLERANCE for value in off)


def warped(values: np.ndarray, grid: Grid, target: Grid, method: str, missing: float) -> np.ndarray:
    """Bring values to another grid; they are taken as they are where it is the same.

    Args:
        values: float32 (rows, columns).
        grid: theirs.
        target: the other one, on any map.
        method: GDAL's: `cubic` (Keys, a = -0.5; averaging where the target is coarser) or `near`.
        missing: value of missing pixels, and of those beyond the grid.

    Raises:
        ValueError: there is no way from the one map to the other.
    """
    if same_grid(grid, target):
        return values
    source, result = (
        _memory(values, grid, missing),
        _memory(np.full((target.rows, target.columns), missing), target, missing),
    )
    try:
        gdal.Warp(result, source, resampleAlg=method, srcNodata=missing, dstNodata=missing, errorThreshold=0)
    except RuntimeError as error:
        raise ValueError(f"--input: expected images of one place ({error})") from error
    return result.ReadAsArray()


def _memory(values: np.ndarray, grid: Grid, missing: float) -> gdal.Dataset:
    """Hold values in GDAL's memory."""
    dataset = gdal.GetDriverByName("MEM").Create("", grid.columns, grid.rows, 1, gdal.GDT_Float32)
    dataset.SetGeoTransform(grid.geotransform)
    dataset.SetProjection(grid.projection)
    dataset.GetRasterBand(1).WriteArray(values)
    dataset.GetRasterBand(1).SetNoDataValue(missing)
    return dataset
