# SPDX-License-Identifier: Apache-2.0
"""Masks of ground to leave out of products: classes of the scene classification, or a raster of the user's."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from osgeo import gdal

from chain.raster import http, signatures
from chain.raster.grids import Grid, raster_grid, same_crs
from chain.raster.opening import open_raster

gdal.UseExceptions()


@dataclass(frozen=True)
class Mask:
    """Ground to leave out."""

    name: str
    """File it was read from."""
    grid: Grid
    """Grid of its pixels."""
    missing: np.ndarray
    """(rows, columns): whether to leave a pixel out."""

    def digest(self) -> str:
        """Return the SHA-256 of the masked pixels and their grid."""
        place = repr((self.grid.geotransform, self.missing.shape)).encode()
        return hashlib.sha256(place + np.packbits(self.missing).tobytes()).hexdigest()

    def at(self, grid: Grid) -> np.ndarray:
        """Return whether the centres of a grid's pixels, (rows, columns), are masked; those beyond the mask are not."""
        indices, inside = [], []
        for shift, step, count, pixel, size in (
            (self.grid.top - grid.top, grid.dy, grid.rows, self.grid.dy, self.grid.rows),
            (grid.left - self.grid.left, grid.dx, grid.columns, self.grid.dx, self.grid.columns),
        ):
            index = np.floor((shift + (np.arange(count) + 0.5) * step) / pixel + 1e-6).astype(int)
            inside.append((index >= 0) & (index < size))
            indices.append(np.clip(index, 0, size - 1))
        return self.missing[np.ix_(*indices)] & np.logical_and.outer(*inside)


def covered(masks: Sequence[Mask], grid: Grid) -> np.ndarray:
    """Return whether the centres of a grid's pixels, (rows, columns), are masked by any of the masks."""
    result = np.zeros((grid.rows, grid.columns), bool)
    for mask in masks:
        result |= mask.at(grid)
    return result


def wholly_covered(masks: Sequence[Mask], grid: Grid, parts: int) -> np.ndarray:
    """Return whether all `parts` x `parts` parts of each pixel of a grid, (rows, columns), are masked."""
    finer = replace(grid, dx=grid.dx / parts, dy=grid.dy / parts, columns=grid.columns * parts, rows=grid.rows * parts)
    blocks = covered(masks, finer).reshape(grid.rows, parts, grid.columns, parts)
    return blocks.all(axis=(1, 3))


def reached(mask: Mask, grid: Grid) -> float:
    """Return the share of the ground of a grid that a mask lies on, whether it leaves it out or not."""
    share = 1.0
    for start, length, first, size in (
        (mask.grid.left, mask.grid.columns * mask.grid.dx, grid.left, grid.columns * grid.dx),
        (-mask.grid.top, mask.grid.rows * mask.grid.dy, -grid.top, grid.rows * grid.dy),
    ):
        share *= max(min(start + length, first + size) - max(start, first), 0.0) / size
    return share


def grow(mask: np.ndarray, reach: int) -> np.ndarray:
    """Dilate a mask by `reach` pixels in both directions of both axes."""
    for axis in (0, 1):
        padding = [(reach + 1, reach) if side == axis else (0, 0) for side in (0, 1)]
        sums = np.cumsum(np.pad(mask.astype(np.int64), padding), axis=axis)
        length, window = mask.shape[axis], 2 * reach + 1
        mask = np.take(sums, np.arange(window, window + length), axis) > np.take(sums, np.arange(length), axis)
    return mask


def read_mask(name: str, projection: str, argument: str, classes: Sequence[int] | None = None) -> Mask:
    """Read a mask.

    Args:
        name: a raster of one band, path or URL.
        projection: coordinate reference system of the image to mask, as WKT.
        argument: name of the option, for errors.
        classes: values to leave out; all but 0 by default.

    Raises:
        ValueError: the raster cannot be read, has several bands, is not north up, or has another coordinate system than
            the image.
    """
    try:
        dataset = open_raster(http.gdal_name(signatures.sign(name)))
        values = dataset.GetRasterBand(1).ReadAsArray()
    except RuntimeError as error:
        raise ValueError(f"{argument}: expected a readable raster, got {name} ({http.why(name, error)})") from error
    kinds = [dataset.GetRasterBand(number + 1).GetColorInterpretation() for number in range(dataset.RasterCount)]
    if sum(kind != gdal.GCI_AlphaBand for kind in kinds) > 1:
        raise ValueError(f"{argument}: expected a raster of one band, got {len(kinds)} in {name}")
    grid = raster_grid(dataset)
    geotransform = dataset.GetGeoTransform()
    if grid.dx <= 0 or grid.dy <= 0 or geotransform[2] or geotransform[4]:
        raise ValueError(f"{argument}: expected a north-up raster, got geotransform {geotransform} of {name}")
    if not same_crs(grid.projection, projection):
        raise ValueError(f"{argument}: expected the image's coordinate system, got another one for {name}")
    return Mask(name, grid, np.isin(values, classes) if classes else values != 0)
