# SPDX-License-Identifier: Apache-2.0
"""One band of the image of a date, and where it is clear: of a raster, a SAFE product or a STAC item.

What conceals a raster is told by a mask beside it (not 0 where it is clear), or by the classes of one of its bands; a
Sentinel-2 product has its scene classification. Missing pixels are always concealed.

    date = read_date("20220714.tif", DateOptions(mask="20220714_clear.tif"))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster import http
from chain.raster.area_of_interest import bbox_bounds, bounds_region
from chain.raster.blocks import read_block
from chain.raster.grids import TOLERANCE, Grid, Region, image_grid, same_crs, shifted
from chain.sentinel2.bands import CLASSES_NAME
from chain.sentinel2.cloud_cover import CLOUDY_CLASSES, NODATA_CLASS
from chain.sentinel2.offset import FLOATING
from chain.serving.inputs import is_address, is_item, shown

gdal.UseExceptions()

CONCEALED = (NODATA_CLASS, *CLOUDY_CLASSES)
"""Classes of Sentinel-2's scene classification that are not clear."""
LARGEST = 65535
"""Largest number of uint16."""


@dataclass(frozen=True)
class DateOptions:
    """What of an image is asked for."""

    band: str | None = None
    """Its name, or its number, from 1 on; the only one by default."""
    mask: str | None = None
    """Raster that is not 0 where the image is clear."""
    qa: str | None = None
    """Name or number of the image's band of classes."""
    concealed: Sequence[int] = CONCEALED
    """Classes that are not clear."""
    unmasked: bool = False
    """Whether all pixels with data count as clear."""
    offset: int | None = None
    """Offset of Sentinel-2's digital numbers, which overrides the metadata."""
    box: tuple[int, int, int, int] | None = None
    """Part of the image: first column and row, columns and rows."""
    bbox: tuple[float, float, float, float] | None = None
    """Part of the image: west, south, east, north, in degrees."""


@dataclass(frozen=True)
class Date:
    """The image of a date."""

    name: str
    """Its name, for people."""
    band: str
    """Name of its band; may be empty."""
    values: np.ndarray
    """float32 (rows, columns); NaN where there is none."""
    clear: np.ndarray
    """Whether a pixel is there and not concealed, of the same shape."""
    grid: Grid
    """Where the pixels lie, on any map."""
    placed: bool
    """Whether the image states where; otherwise pixels are counted."""
    integer: bool
    """Whether numbers are those of uint16."""
    files: tuple[str, ...]
    """The local files that were read."""

    @property
    def clearance(self) -> float:
        """Share of its pixels that are clear."""
        return float(self.clear.mean())


def read_date(source, asked: DateOptions) -> Date:
    """Read the image of a date.

    Args:
        source: a raster; a SAFE folder or zip, or a STAC item, also as a mapping.
        asked: what of it.

    Raises:
        ValueError: it cannot be read, has no such band or part, or nothing tells where it is clear.
        RemoteError: an item's images cannot be reached.
    """
    return _read_product(source, asked) if _is_product(source) else _read_raster(str(source), asked)


def _is_product(source) -> bool:
    """Return whether a source is a SAFE product or a STAC item."""
    if not isinstance(source, str):
        return True
    path = Path(source)
    return is_item(source) or path.suffix.lower() == ".zip" or path.name.startswith("MTD_MSI") or path.is_dir()


def _read_raster(name: str, asked: DateOptions) -> Date:
    """Read a raster, which may lie anywhere on any map, or nowhere."""
    dataset = _open(name, "--input")
    number = _band_number(dataset, name, asked.band, "--band")
    grid, placed = _grid_of(dataset, name)
    region = _region(grid, asked)
    window = (region.x, region.y, region.columns, region.rows)
    band = dataset.GetRasterBand(number)
    values, present = _read(band, window, name)
    grid = shifted(grid, region)
    if asked.mask:
        clear = _mask_on(asked.mask, grid, placed, (dataset.RasterYSize, dataset.RasterXSize), window)
    elif asked.qa:
        qa = dataset.GetRasterBand(_band_number(dataset, name, asked.qa, "--qa"))
        classes, known = _read(qa, window, name)
        clear = known & ~np.isin(classes, asked.concealed)
    elif asked.unmasked:
        clear = present
    else:
        raise ValueError(f"--masks: they, --qa or --unmasked are wanted for rasters. Received: {shown(name)} alone")
    label = band.GetDescription() or (asked.band if asked.band and not asked.band.isdigit() else "")
    files = _local(name, asked.mask)
    integer = band.DataType not in FLOATING and bool(np.all((values >= 0) & (values <= LARGEST) | ~present))
    return Date(Path(shown(name)).stem, label, _hidden(values, present), clear & present, grid, placed, integer, files)


def _read_product(source, asked: DateOptions) -> Date:
    """Read a band of a product of Sentinel-2, in harmonised digital numbers."""
    from chain.sentinel2.image import open_product

    if not asked.band:
        raise ValueError(f"--band: a band of Sentinel-2, such as B08, is wanted. Received: none for {_label(source)}")
    if asked.qa and asked.qa.upper() != CLASSES_NAME:
        raise ValueError(f"--qa: {CLASSES_NAME} is wanted for Sentinel-2. Received: {asked.qa} for {_label(source)}")
    product = open_product(source, [asked.band], asked.offset)
    try:
        image = product.image([asked.band])
        grid = image_grid(image)
        grid = shifted(grid, _region(grid, asked))
        block = read_block(image, [grid], 0, product.nodata)
        values, present = block.pixels[..., 0], block.present[..., 0]
        if asked.mask:
            clear = _mask_on(asked.mask, grid, True, values.shape, None)
        elif asked.unmasked:
            clear = present
        elif product.classes:
            clear = ~np.isin(_classes_on(product.classes, grid), asked.concealed)
        else:
            raise ValueError(
                f"--masks: they, or a product with a scene classification (SCL), are wanted. Received: {_label(source)}"
            )
        name = str(product.identity["id"])
        local = _local(*product.bands.values(), product.classes, asked.mask)
        return Date(name, asked.band, _hidden(values, present), clear & present, grid, True, True, local)
    finally:
        product.close()


def _local(*names: str | None) -> tuple[str, ...]:
    """Return the names that are of files on this machine."""
    return tuple(name for name in names if name and not name.startswith("/vsi") and not is_address(name))


def _label(source) -> str:
    """Return how messages call a source."""
    return shown(source) if isinstance(source, str) else str(source["id"])


def _open(name: str, argument: str) -> gdal.Dataset:
    """Open a raster."""
    try:
        return gdal.Open(http.gdal_name(http.sign(name)) if is_address(name) else name)
    except RuntimeError as error:
        raise ValueError(f"{argument}: rasters are wanted. Received: {shown(name)} ({http.reason(error)})") from error


def _read(band: gdal.Band, window: tuple[int, int, int, int], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a window of a band, float32, and whether pixels are there."""
    try:
        values = band.ReadAsArray(*window).astype(np.float32)
        present = band.GetMaskBand().ReadAsArray(*window) != 0
    except RuntimeError as error:
        raise ValueError(
            f"--input: pixels that can be read are wanted. Received: {shown(name)} ({http.reason(error)})"
        ) from error
    return values, present & np.isfinite(values)


def _hidden(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return values with NaN where there are none."""
    return np.where(present, values, np.float32(np.nan))


def _band_number(dataset: gdal.Dataset, name: str, wanted: str | None, argument: str) -> int:
    """Return the number of a band that is asked for by its name or number, or of the only one."""
    names = [dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1)]
    if wanted is None and len(names) == 1:
        return 1
    found = [number for number, each in enumerate(names, 1) if wanted and each.lower() == wanted.lower()]
    if len(found) == 1:
        return found[0]
    if wanted and wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return int(wanted)
    described = ", ".join(filter(None, names))
    raise ValueError(
        f"{argument}: one of the bands 1 to {len(names)}{f' ({described})' if described else ''} of {shown(name)} is "
        f"wanted. Received: {wanted or 'none'}"
    )


def _grid_of(dataset: gdal.Dataset, name: str) -> tuple[Grid, bool]:
    """Return where pixels lie, and whether the raster says it; otherwise pixels are counted from its corner."""
    geotransform = dataset.GetGeoTransform(can_return_null=True)
    left, dx, row_turn, top, column_turn, dy = geotransform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    if dx <= 0 or dy >= 0 or row_turn or column_turn:
        raise ValueError(
            f"--input: north-up rasters are wanted. Received: geotransform {geotransform} of {shown(name)}"
        )
    grid = Grid(left, top, dx, -dy, dataset.RasterXSize, dataset.RasterYSize, dataset.GetProjection())
    return grid, geotransform is not None


def _region(grid: Grid, asked: DateOptions) -> Region:
    """Return the part of an image that is asked for."""
    if asked.bbox:
        bounds = bbox_bounds(asked.bbox, grid.projection)
        return bounds_region(bounds, grid, (grid.left, grid.top), 1, "--bbox")
    x, y, columns, rows = asked.box or (0, 0, grid.columns, grid.rows)
    if columns < 1 or rows < 1 or x + columns > grid.columns or y + rows > grid.rows:
        raise ValueError(
            f"--box: x,y,w,h inside {grid.columns} x {grid.rows} pixels is wanted. Received: {x},{y},{columns},{rows}"
        )
    return Region(x, y, columns, rows)


def _mask_on(
    name: str, grid: Grid, placed: bool, size: tuple[int, int], window: tuple[int, int, int, int] | None
) -> np.ndarray:
    """Return whether a mask says that pixels are clear.

    Args:
        name: the mask.
        grid: the pixels.
        placed: whether their place is known; if not, the mask is of the whole image's `size`.
        size: rows and columns of the whole image.
        window: what of it is asked for.
    """
    dataset = _open(name, "--masks")
    if dataset.RasterCount != 1:
        raise ValueError(f"--masks: rasters of one band are wanted. Received: {dataset.RasterCount} in {shown(name)}")
    mask_grid, mask_placed = _grid_of(dataset, name)
    if placed and mask_placed:
        values = dataset.ReadAsArray() != 0
        return warped(values.astype(np.float32), mask_grid, grid, "near", 0.0) != 0
    if (mask_grid.rows, mask_grid.columns) != size:
        raise ValueError(
            f"--masks: masks of their images' size, {size[0]} x {size[1]}, or with georeference, are wanted. "
            f"Received: {mask_grid.rows} x {mask_grid.columns} of {shown(name)}"
        )
    return dataset.ReadAsArray(*(window or ())) != 0


def _classes_on(name: str, grid: Grid) -> np.ndarray:
    """Return the classes of a scene classification at pixels; `NODATA_CLASS` beyond it."""
    dataset = _open(name, "--input")
    values = dataset.GetRasterBand(1).ReadAsArray().astype(np.float32)
    return warped(values, _grid_of(dataset, name)[0], grid, "near", float(NODATA_CLASS))


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
        missing: value of pixels that are not there, and beyond the grid.

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
        raise ValueError(f"--input: images of one place are wanted. Received: {error}") from error
    return result.ReadAsArray()


def _memory(values: np.ndarray, grid: Grid, missing: float) -> gdal.Dataset:
    """Hold values in GDAL's memory."""
    dataset = gdal.GetDriverByName("MEM").Create("", grid.columns, grid.rows, 1, gdal.GDT_Float32)
    dataset.SetGeoTransform(grid.geotransform)
    dataset.SetProjection(grid.projection)
    dataset.GetRasterBand(1).WriteArray(values)
    dataset.GetRasterBand(1).SetNoDataValue(missing)
    return dataset
