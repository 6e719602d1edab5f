# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2 in numpy arrays and `xarray` datasets: from scenes to them, and from them to what opens as a scene.

A dataset has a variable for each band, of 10 000 x reflectance, on dimensions `y` and `x`; bands of another grid have
dimensions of their own (`y_20m`, `x_20m`). Coordinates are pixel centres; the CRS stands in the coordinate
`spatial_ref`, by the conventions of CF and rioxarray.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from osgeo import gdal, osr

from chain.raster.blocks import read_block
from chain.raster.gdal_memory import new_name
from chain.raster.grids import Grid, image_grid
from chain.sentinel2.bands import BANDS
from chain.sentinel2.opened_image import OpenedImage

gdal.UseExceptions()

CRS = "spatial_ref"
"""Name of the coordinate that states the CRS."""
LEVEL, OFFSET = "sentinel2_level", "sentinel2_offset"
"""Attributes of a dataset: the level of its product, and what is still to be added to its numbers."""
TYPES = {"uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"}
TOLERANCE = 1e-4
"""Largest irregularity of coordinates, in pixels."""


@contextmanager
def images_in_memory(images: Sequence[tuple[Mapping[str, np.ndarray], Grid]]) -> Iterator[list[str]]:
    """Hold bands as rasters in GDAL's memory for a while.

    Args:
        images: for each raster, its bands (rows, columns) by name, and its grid.

    Yields:
        The names of the rasters.

    Raises:
        ValueError: a band has not the size of its grid, or a type that rasters do not have.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(_in_memory(bands, grid)) for bands, grid in images]


@contextmanager
def _in_memory(bands: Mapping[str, np.ndarray], grid: Grid) -> Iterator[str]:
    """Hold the bands of one grid as a raster."""
    from osgeo import gdal_array

    dtype = np.result_type(*bands.values())
    for band, pixels in bands.items():
        if pixels.shape != (grid.rows, grid.columns):
            raise ValueError(f"{band}: expected {grid.rows} x {grid.columns} pixels, got {pixels.shape}")
        if pixels.dtype.name not in TYPES:
            raise ValueError(f"{band}: expected numbers of a type that rasters have, got {pixels.dtype}")
    name = new_name("array", "tif")
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(dtype)
    dataset = gdal.GetDriverByName("GTiff").Create(
        name, grid.columns, grid.rows, len(bands), kind, ["BIGTIFF=IF_SAFER"]
    )
    dataset.SetGeoTransform(grid.geotransform)
    if grid.projection:
        dataset.SetProjection(grid.projection)
    for number, (band, pixels) in enumerate(bands.items(), start=1):
        dataset.GetRasterBand(number).SetDescription(band)
        dataset.GetRasterBand(number).WriteArray(np.ascontiguousarray(pixels, dtype))
    dataset.FlushCache()
    del dataset
    try:
        yield name
    finally:
        gdal.Unlink(name)


def to_dataset(image: OpenedImage, box: tuple[float, float, float, float] | None = None) -> Any:
    """Read the bands of an open image at their native resolutions.

    Args:
        image: the open image.
        box: left, top, right and bottom of the part to read, in units of the CRS, in whole pixels of all bands; all
            of it by default.

    Returns:
        An `xarray.Dataset`, float32, 10 000 x reflectance, missing pixels NaN.

    Raises:
        ValueError: the box is not on the image.
        RuntimeError: OTB cannot read it.
    """
    parts, attributes = native_parts(image, box)
    found = []
    for bands, part in parts:
        block = read_block(image.image(bands), [part], 0, image.nodata)
        values = np.where(block.present, block.pixels, np.float32(np.nan))[block.window(part)]
        found.append(({band: values[..., index] for index, band in enumerate(bands)}, part))
    return dataset_of(found, attributes)


def native_parts(
    image: OpenedImage, box: tuple[float, float, float, float] | None
) -> tuple[list[tuple[tuple[str, ...], Grid]], dict[str, Any]]:
    """Return the bands of each native resolution, finest first, with the grid of what is read; and attributes.

    Args:
        image: the open image.
        box: left, top, right and bottom of the part to read, as of `to_dataset`.

    Raises:
        ValueError: the box is not on the image.
    """
    groups: dict[float, list[str]] = {}
    for band in image.bands:
        groups.setdefault(BANDS[band], []).append(band)
    found = []
    for _, bands in sorted(groups.items()):
        whole = image_grid(image.image(bands))
        found.append((tuple(bands), whole if box is None else _part(whole, box)))
    return found, {LEVEL: image.level, OFFSET: 0, "id": str(image.identity.get("id", ""))}


def dataset_of(
    images: Sequence[tuple[Mapping[str, np.ndarray], Grid]], attributes: Mapping[str, Any], nodata: float | None = None
) -> Any:
    """Return an `xarray.Dataset` of bands.

    Args:
        images: for each grid, its bands (rows, columns) by name, and the grid; the first one's dimensions are y and x.
        attributes: those of the dataset.
        nodata: number of missing pixels, which each band states as rioxarray reads it; NaN needs no word.
    """
    import xarray

    stated = {} if nodata is None or np.isnan(nodata) else {"nodata": nodata}
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for number, (bands, grid) in enumerate(images):
        suffix = f"_{grid.dx:g}m" if number else ""
        y, x = f"y{suffix}", f"x{suffix}"
        coordinates[y] = (y, grid.top - (np.arange(grid.rows) + 0.5) * grid.dy, {"units": "metre"})
        coordinates[x] = (x, grid.left + (np.arange(grid.columns) + 0.5) * grid.dx, {"units": "metre"})
        for band, pixels in bands.items():
            variables[band] = ((y, x), pixels, {"grid_mapping": CRS, **stated})
    first = images[0][1]
    reference = {"GeoTransform": " ".join(map(repr, first.geotransform))}
    if first.projection:
        reference |= {"crs_wkt": first.projection, CRS: first.projection}
    coordinates[CRS] = ((), 0, reference)
    return xarray.Dataset(variables, coordinates, dict(attributes))


def images_of(dataset: Any) -> list[tuple[dict[str, Any], Grid]]:
    """Return the bands of an `xarray.Dataset` by grid: numpy arrays, or Dask's where the dataset has chunks.

    Variables that are no bands of Sentinel-2, or have other dimensions than two, are left out.

    Raises:
        ValueError: there is no band, coordinates are missing or irregular, or there is no CRS.
    """
    groups: dict[tuple, dict[str, Any]] = {}
    for name, variable in dataset.data_vars.items():
        if name in BANDS and variable.ndim == 2:
            groups.setdefault(variable.dims, {})[name] = variable.data
    if not groups:
        raise ValueError(f"dataset: expected bands such as B02 with two dimensions, got {', '.join(dataset.data_vars)}")
    projection = _projection(dataset)
    return [(bands, _grid(dataset, dims, projection)) for dims, bands in groups.items()]


def _part(grid: Grid, box: tuple[float, float, float, float]) -> Grid:
    """Return the part of a grid in a box."""
    left, top, right, bottom = box
    edges = (
        (left - grid.left) / grid.dx,
        (grid.top - top) / grid.dy,
        (right - left) / grid.dx,
        (top - bottom) / grid.dy,
    )
    x, y, columns, rows = (round(edge) for edge in edges)
    if max(abs(edge - round(edge)) for edge in edges) > TOLERANCE:
        raise ValueError(f"box: expected whole pixels of {grid.dx:g} m, got {box}")
    if min(x, y) < 0 or min(columns, rows) < 1 or x + columns > grid.columns or y + rows > grid.rows:
        raise ValueError(f"box: expected a part of the image, got {box}")
    return Grid(left, top, grid.dx, grid.dy, columns, rows, grid.projection)


def _grid(dataset: Any, dims: tuple, projection: str) -> Grid:
    """Return the grid of two dimensions, rows first, by their coordinates."""
    rows, columns = dims
    for dim in dims:
        if dim not in dataset.coords or dataset.sizes[dim] < 2:
            raise ValueError(f"dataset: expected coordinates of at least 2 pixels for {dim}, got none")
    y, x = (np.asarray(dataset.coords[dim].values, np.float64) for dim in (rows, columns))
    dy, dx = (y[0] - y[-1]) / (len(y) - 1), (x[-1] - x[0]) / (len(x) - 1)
    for values, step in ((y, -dy), (x, dx)):
        irregular = np.abs(values - (values[0] + step * np.arange(len(values)))).max()
        if not (step and irregular < TOLERANCE * abs(step)):
            raise ValueError(f"dataset: expected equally spaced coordinates of {dims}, got others")
    if dx <= 0 or dy <= 0:
        raise ValueError("dataset: expected y from north to south and x from west to east, got another order")
    return Grid(float(x[0] - dx / 2), float(y[0] + dy / 2), float(dx), float(dy), len(x), len(y), projection)


def _projection(dataset: Any) -> str:
    """Return the CRS of a dataset, as WKT."""
    names = {each.attrs.get("grid_mapping") or each.encoding.get("grid_mapping") for each in dataset.data_vars.values()}
    for name in [*filter(None, names), CRS]:
        stated = dataset.coords[name].attrs if name in dataset.coords else {}
        text = stated.get("crs_wkt") or stated.get(CRS)
        if text:
            reference = osr.SpatialReference()
            reference.SetFromUserInput(text)
            return reference.ExportToWkt()
    raise ValueError(f"dataset: expected a CRS in the coordinate {CRS} (crs_wkt), got none")
