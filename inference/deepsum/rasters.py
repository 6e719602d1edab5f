# SPDX-License-Identifier: Apache-2.0
"""Reading rasters with GDAL: bands, grids, missing pixels, masks."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster import http, opening, signatures
from chain.raster.grids import Grid
from chain.sentinel2.bands import NODATA
from chain.serving.inputs import is_address, shown
from inference.deepsum.warping import warped

gdal.UseExceptions()

DAY = re.compile(r"(?:19|20)\d\d([-_/.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])")
"""A day, in the name of a band or of a file."""

FAR_BELOW = -1000.0
"""Numbers below are not those of an image whose others lie far above."""
GAP = 0.5
"""Part of the range of the other numbers, but for the highest, that such a number lies below them, at least."""
GAP_ABOVE = 1.0
"""Part of the range of nearly all other numbers that a number that means no data lies above them, at least."""
TIMES_ABOVE = 2.0
"""As many times as large as nearly all other numbers such a number is, at least: ground may be nearly constant."""
MANY = 0.001
"""Share of the pixels that hold it, at least, if it is the highest one, or if other numbers are below 0 too."""
SOME = 4
"""Numbers of a mask that are named."""
Window = tuple[int, int, int, int]
"""First column and row, columns and rows."""


def open_raster(name: str, argument: str) -> gdal.Dataset:
    """Open a raster.

    Args:
        name: its file or address.
        argument: the option that names it, for errors.

    Raises:
        ValueError: it cannot be opened.
    """
    if is_address(name):
        http.configure()
    try:
        return opening.open_raster(http.gdal_name(signatures.sign(name)) if is_address(name) else name)
    except RuntimeError as error:
        raise ValueError(f"{argument}: expected a raster, got {shown(name)} ({http.why(name, error)})") from error


def data_bands(dataset: gdal.Dataset) -> dict[int, str]:
    """Return the descriptions of a raster's bands by number, without alpha."""
    bands = {number: dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1)}
    return {
        number: band.GetDescription()
        for number, band in bands.items()
        if band.GetColorInterpretation() != gdal.GCI_AlphaBand
    }


def days_in(name: str) -> set[str]:
    """Return the days that the last part of a path states that states any, as `20220714`."""
    for part in reversed(Path(name).parts):
        found = {match[0].replace(match[1], "") for match in DAY.finditer(part)}
        if found:
            return found
    return set()


def named_after_days(names: Sequence[str]) -> bool:
    """Return whether the names of bands differ in the day only, as in `2022-07-14_B8`."""
    days = [found[0] if (found := DAY.search(name)) else "" for name in names]
    rests = {name.replace(day, "", 1) for name, day in zip(names, days)}
    return len(days) > 1 and all(days) and len(set(days)) == len(days) and len(rests) == 1


def band_number(dataset: gdal.Dataset, name: str, asked: str | None, argument: str) -> int:
    """Return the number of a band, given its name or number, or of the only band.

    Args:
        dataset: a raster.
        name: its name, for errors.
        asked: the band.
        argument: the option that names it, for errors.

    Raises:
        ValueError: there is no such band, or there are several.
    """
    bands = data_bands(dataset)
    if asked is None and len(bands) == 1:
        return next(iter(bands))
    found = [number for number, each in bands.items() if asked and each.lower() == asked.lower()]
    if len(found) == 1:
        return found[0]
    if asked and asked.isdigit() and 1 <= int(asked) <= dataset.RasterCount:
        return int(asked)
    described = ", ".join(filter(None, bands.values()))
    more = "; --bands-are-dates treats each band as a date" if argument == "--band" and asked is None else ""
    raise ValueError(
        f"{argument}: expected one of the bands 1 to {dataset.RasterCount}{f' ({described})' if described else ''} of "
        f"{shown(name)}, got {asked or 'none'}{more}"
    )


def place_of(dataset: gdal.Dataset, name: str) -> tuple[Grid, bool]:
    """Return the grid of a raster, and whether it is georeferenced; if not, the grid counts pixels from its corner.

    Raises:
        ValueError: it is not north up, or has ground control points or RPCs only.
    """
    geotransform = dataset.GetGeoTransform(can_return_null=True)
    if geotransform is None and (dataset.GetGCPCount() or dataset.GetMetadata("RPC")):
        raise ValueError(
            f"--input: expected a georeferenced raster, got {shown(name)} with ground control points or RPCs only: "
            "warp it first (gdalwarp)"
        )
    left, dx, row_turn, top, column_turn, dy = geotransform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    if dx <= 0 or dy >= 0 or row_turn or column_turn:
        raise ValueError(f"--input: expected a north-up raster, got geotransform {geotransform} of {shown(name)}")
    grid = Grid(left, top, dx, -dy, dataset.RasterXSize, dataset.RasterYSize, dataset.GetProjection())
    return grid, geotransform is not None


def scaling_of(band: gdal.Band) -> tuple[float, float]:
    """Return the scale and offset tags of a band: physical value = pixel value x scale + offset."""
    scale, offset = band.GetScale(), band.GetOffset()
    return 1.0 if scale is None else scale, 0.0 if offset is None else offset


def read_pixels(band: gdal.Band, window: Window, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a window of a band.

    Returns:
        Values, float32 (rows, columns), and whether they are valid: neither nodata nor infinite.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        values = band.ReadAsArray(*window).astype(np.float32)
        present = band.GetMaskBand().ReadAsArray(*window) != 0
    except RuntimeError as error:
        raise ValueError(f"--input: cannot read the pixels of {shown(name)} ({http.reason(error)})") from error
    return values, present & np.isfinite(values)


def check_not_filled(values: np.ndarray, present: np.ndarray, name: str) -> None:
    """Refuse an image whose lowest or highest number lies far from all others, as one that means no data does.

    Args:
        values: (rows, columns).
        present: where nothing says that they are missing, of the same shape.
        name: its name, for errors.

    Raises:
        ValueError: it holds such a number.
    """
    numbers, counts = np.unique(values[present], return_counts=True)
    if numbers.size < 2:
        return
    for found, nearest in ((0, 1), (-1, -2)):
        share = counts[found] / values.size
        if _is_far(numbers.astype(np.float64), counts, found, share):
            fill = f"{numbers[found]:g}"
            raise ValueError(
                f"--input: expected nodata that the raster declares, got {fill} in {100 * share:.2g} % of the pixels "
                f"of {shown(name)}, and {numbers[nearest]:g} and {'more' if found == 0 else 'less'} in others, "
                f"undeclared (gdal_edit.py -a_nodata {fill} declares it)"
            )


def _is_far(numbers: np.ndarray, counts: np.ndarray, index: int, share: float) -> bool:
    """Return whether the lowest (0) or the highest (-1) of numbers lies far from the others, which range less.

    Where clouds or glint are clipped, numbers lead up to the highest one.
    """
    if index == 0:
        others = numbers[1:]
        span = np.percentile(np.repeat(others, counts[1:]), 95) - others[0]
        is_beyond = numbers[0] < FAR_BELOW and (others[0] >= 0 or share > MANY)
        return bool(is_beyond and others[0] - numbers[0] > GAP * span)
    others = np.repeat(numbers[:-1], counts[:-1])
    others = others[others != NODATA]
    if not others.size or share <= MANY:
        return False
    low, high = np.percentile(others, (5, 99.9))
    return bool(numbers[-1] > TIMES_ABOVE * high and numbers[-1] - high > GAP_ABOVE * (high - low))


def without_zeros(values: np.ndarray, present: np.ndarray, valid_zero: bool) -> np.ndarray:
    """Return which pixels are present if those that are 0 count as missing."""
    return present if valid_zero else present & (values != NODATA)


def read_mask(
    name: str, number: int | None, grid: Grid, placed: bool, size: tuple[int, int], window: Window | None
) -> np.ndarray:
    """Return where a mask is non-zero, that is where pixels are clear, bool (rows, columns).

    Args:
        name: the mask.
        number: its band, where it has one for each date; its only one by default.
        grid: the pixels.
        placed: whether their place is known; if not, the mask is of the whole image's `size`.
        size: rows and columns of the whole image.
        window: what of it is asked for.

    Raises:
        ValueError: it cannot be read, has another number of bands, or another size.
    """
    dataset = open_raster(name, "--clear-masks")
    if dataset.RasterCount > 1 and (number is None or number > dataset.RasterCount):
        raise ValueError(f"--clear-masks: expected rasters of one band, got {dataset.RasterCount} in {shown(name)}")
    band = dataset.GetRasterBand(number if number and dataset.RasterCount > 1 else 1)
    mask_grid, mask_placed = place_of(dataset, name)
    if placed and mask_placed:
        clear = _is_clear(band, None, name).astype(np.float32)
        return warped(clear, mask_grid, grid, "near", 0.0) != 0
    if (mask_grid.rows, mask_grid.columns) != size:
        raise ValueError(
            f"--clear-masks: expected masks of their images' size, {size[0]} x {size[1]}, or with georeference, "
            f"got {mask_grid.rows} x {mask_grid.columns} in {shown(name)}"
        )
    return _is_clear(band, window, name)


def _is_clear(band: gdal.Band, window: Window | None, name: str) -> np.ndarray:
    """Return where a mask is neither 0 nor missing, bool (rows, columns).

    Raises:
        ValueError: it cannot be read, or has several numbers beside 0, as classes have.
    """
    try:
        values = band.ReadAsArray(*(window or ()))
        known = band.GetMaskBand().ReadAsArray(*(window or ())) != 0
    except RuntimeError as error:
        raise ValueError(f"--clear-masks: cannot read the pixels of {shown(name)} ({http.reason(error)})") from error
    clear = known & np.isfinite(values) & (values != 0)
    numbers = np.unique(values[clear])
    if numbers.size > 1:
        some = ", ".join(f"{number:g}" for number in numbers[:SOME])
        raise ValueError(
            f"--clear-masks: expected 0 where concealed and one other number where clear, got {some}"
            f"{' and more' if numbers.size > SOME else ''} in {shown(name)}; classes in a band of the images go by --qa"
        )
    return clear


def read_classes(name: str, grid: Grid, outside: int) -> np.ndarray:
    """Return the classes of a scene classification at pixels; `outside` beyond it."""
    dataset = open_raster(name, "--input")
    values = dataset.GetRasterBand(1).ReadAsArray().astype(np.float32)
    return warped(values, place_of(dataset, name)[0], grid, "near", float(outside))
