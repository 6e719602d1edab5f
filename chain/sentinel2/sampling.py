# SPDX-License-Identifier: Apache-2.0
"""Some pixels of a raster, to tell what its numbers are: quick, whatever its size and place."""

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
from osgeo import gdal

from chain.raster.grids import Region, spread
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

T = TypeVar("T")
_KEPT: ContextVar[dict[Hashable, Any] | None] = ContextVar("samples", default=None)


@contextmanager
def samples_kept() -> Iterator[None]:
    """Look at each raster once for all that is asked in this context: meanwhile none may change under its name."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def _kept(key: Hashable, look: Callable[[], T]) -> T:
    """Return what was seen before, if it is kept, else what is seen now."""
    seen = _KEPT.get()
    if seen is None:
        return look()
    if key not in seen:
        seen[key] = look()
    return seen[key]


def sampled_parts(dataset: gdal.Dataset) -> list[tuple[np.ndarray, float]]:
    """Return what is looked at of a raster: arrays, float64 with NaN where missing, and their pixel sizes in metres.

    Arrays are not to be written to.
    """
    band = dataset.GetRasterBand(1)
    return _kept(
        ("parts", dataset.GetDescription()),
        lambda: [(_numbers(band, pixels), spacing) for pixels, spacing in _windows(dataset, band)],
    )


def sampled_values(dataset: gdal.Dataset, number: int) -> np.ndarray:
    """Return a sample, (count,), of all numbers of a band, missing ones too."""
    parts = [pixels.ravel() for pixels, _ in _windows(dataset, dataset.GetRasterBand(number))]
    return np.concatenate(parts) if parts else np.empty(0)


def sampled_together(names: Sequence[str], gsd: float = 20.0) -> np.ndarray:
    """Return what is looked at of rasters, (rasters, count): means of the same pieces of ground, NaN where missing.

    Args:
        names: rasters on one map, of which the first one's ground is looked at; or that no map places, of one extent.
        gsd: the least side of these pieces, in metres.
    """
    parts = [cells.reshape(len(names), -1) for _, cells in windows_together(names, gsd)]
    return np.concatenate(parts, axis=1)


def windows_together(
    names: Sequence[str], gsd: float = 20.0, windows: Sequence[Region] | None = None
) -> list[tuple[Region, np.ndarray]]:
    """Return windows of rasters: where each is on the first one, and means of the same pieces of ground.

    Means are (rasters, rows, columns), NaN where missing, and empty where a raster cannot be read.

    Args:
        names: as for `sampled_together`.
        gsd: the same.
        windows: those that are looked at, on the first raster; where none are given, or it is quicker, it chooses.
    """
    first = gdal.Open(names[0])
    place = first.GetGeoTransform(can_return_null=True)
    whole = Region(0, 0, first.RasterXSize, first.RasterYSize)
    longest, ratio = max(whole.columns, whole.rows), max(1, round(gsd / _spacing(place)))
    if place is None:
        return [(whole, _sampled(names, max(1, whole.columns // ratio), max(1, whole.rows // ratio)))]
    if longest > WHOLE_SIDE and _is_slow(first):
        ratio, windows = max(ratio, longest // OVERVIEW_SIDE), [whole]
    elif windows is None:
        windows = [whole]
        if longest > WHOLE_SIDE:
            windows = spread((whole.columns, whole.rows), WINDOW_SIDE, WINDOWS)
    found = []
    for w in windows:
        width, height = max(1, w.columns // ratio), max(1, w.rows // ratio)
        left, top = place[0] + w.x * place[1], place[3] + w.y * place[5]
        bounds = (left, top + height * ratio * place[5], left + width * ratio * place[1], top)
        found.append((w, _sampled(names, width, height, outputBounds=bounds)))
    return found


def sampled_at(dataset: gdal.Dataset, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Return the pixels of a raster's first band at places of its map: float64 (ys, xs), NaN where missing or beyond.

    Args:
        dataset: the raster.
        xs: places along x, near each other.
        ys: places along y, the same.

    Raises:
        RuntimeError: the raster cannot be read.
    """
    left, dx, _, top, _, dy = dataset.GetGeoTransform()
    columns, rows = np.floor((xs - left) / dx).astype(int), np.floor((ys - top) / dy).astype(int)
    in_x, in_y = ((0 <= columns) & (columns < dataset.RasterXSize)), ((0 <= rows) & (rows < dataset.RasterYSize))
    found = np.full((ys.size, xs.size), np.nan)
    if in_x.any() and in_y.any():
        x, y, band = columns[in_x], rows[in_y], dataset.GetRasterBand(1)
        pixels = band.ReadAsArray(int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
        found[np.ix_(in_y, in_x)] = _numbers(band, pixels[np.ix_(y - y.min(), x - x.min())])
    return found


def _sampled(names: Sequence[str], width: int, height: int, **how: Any) -> np.ndarray:
    """Return rasters averaged to this size, (rasters, rows, columns); without rows where one cannot be read."""
    how |= {"format": "MEM", "width": width, "height": height, "outputType": gdal.GDT_Float64}
    found = [_kept((name, *sorted(how.items())), functools.partial(_averaged, name, how)) for name in names]
    return np.stack(found) if all(each.size for each in found) else np.empty((len(names), 0, 0))


def _averaged(name: str, how: Mapping[str, Any]) -> np.ndarray:
    """Return a raster averaged as GDAL's options say, (rows, columns); empty where it cannot be read."""
    make = gdal.Warp if "outputBounds" in how else gdal.Translate
    try:
        made = make("", name, resampleAlg="average", **how)
    except RuntimeError:  # its use will say it
        made = None
    if made is None:  # what a raster that cannot be read becomes without exceptions
        return np.empty((0, 0))
    return _numbers(made.GetRasterBand(1), made.ReadAsArray())


def _spacing(place: Sequence[float] | None) -> float:
    """Return the size of a pixel in metres, of a map in metres; that of the finest bands elsewhere."""
    return place[1] if place and place[1] >= 1 else FINEST


def _windows(dataset: gdal.Dataset, band: gdal.Band) -> list[tuple[np.ndarray, float]]:
    """Return what is looked at of a band, and its pixel sizes in metres; nothing where it cannot be read."""
    columns, rows = dataset.RasterXSize, dataset.RasterYSize
    geotransform = dataset.GetGeoTransform(can_return_null=True)
    spacing = _spacing(geotransform)
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
