# SPDX-License-Identifier: Apache-2.0
"""The scene classification (SCL) of the input on the product's grid, as a file beside the product.

Each pixel has the class in which its centre lies: nothing is interpolated. The file is a Cloud-Optimized GeoTIFF of 8
bits with the colours of ESA; 0 is nodata.

    write_classes(image.classes, grid, Path("sr_SCL.tif"), identity)
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster import http, signatures
from chain.raster.gdal_memory import reported_errors
from chain.raster.grids import Grid, Region, raster_grid, same_crs
from chain.raster.opening import open_raster
from chain.raster.writing import check_whole, write_copy
from chain.runtime.resources import threads
from chain.sentinel2.bands import CLASSES, CLASSES_NAME
from chain.serving.provenance import IDENTITY_KEY, digest

gdal.UseExceptions()

CLASS_KEY = "CLASS_"
"""Begins the metadata of the file that name a class: `CLASS_4=vegetation`."""


def check_classes(name: str, grid: Grid) -> None:
    """Refuse a scene classification that cannot be laid onto a product.

    Args:
        name: the raster, a name for GDAL or an address.
        grid: the product's.

    Raises:
        ValueError: it cannot be read, is not north up, or lies on another map.
    """
    dataset = _opened(name)
    turned = any(dataset.GetGeoTransform()[index] for index in (2, 4))
    if turned or not same_crs(raster_grid(dataset).projection, grid.projection):
        raise ValueError(
            f"--scl: expected a scene classification on the image's map, north up, got {name}; --no-scl leaves it out"
        )


def write_classes(name: str, grid: Grid, path: Path, identity: Mapping) -> None:
    """Write the scene classification on a product's grid.

    Args:
        name: the raster, a name for GDAL or an address.
        grid: the product's.
        path: the file, which is written as it is: whoever calls this renames it.
        identity: all that the product's pixels depend on.

    Raises:
        ValueError: it cannot be read.
        OSError: the disk refuses.
    """
    right, bottom = grid.left + grid.columns * grid.dx, grid.top - grid.rows * grid.dy
    laid = gdal.Warp(
        "",
        _opened(name),
        format="VRT",
        outputBounds=(grid.left, bottom, right, grid.top),
        width=grid.columns,
        height=grid.rows,
        resampleAlg="near",
        srcNodata=0,
        dstNodata=0,
        errorThreshold=0,
        outputType=gdal.GDT_Byte,
    )
    _write(laid, path, identity)


def write_class_pixels(blocks: Iterable[tuple[Region, np.ndarray]], grid: Grid, path: Path, identity: Mapping) -> None:
    """Write the scene classification of regions of a product.

    Args:
        blocks: regions that cover the product, and their classes (rows, columns).
        grid: the product's.
        path: the file, which is written as it is: whoever calls this renames it.
        identity: all that the product's pixels depend on.

    Raises:
        OSError: the disk refuses.
    """
    raw = path.with_name(f"{path.name}.partial.tif")
    options = ["TILED=YES", "COMPRESS=DEFLATE", "SPARSE_OK=TRUE", "BIGTIFF=IF_SAFER"]
    with reported_errors() as errors:
        dataset = gdal.GetDriverByName("GTiff").Create(str(raw), grid.columns, grid.rows, 1, gdal.GDT_Byte, options)
        dataset.SetGeoTransform(grid.geotransform)
        dataset.SetProjection(grid.projection)
        dataset.GetRasterBand(1).SetNoDataValue(0)
        for region, classes in blocks:
            dataset.GetRasterBand(1).WriteArray(classes, region.x, region.y)
        del dataset
    if errors:
        raise OSError(f"--scl: expected a disk that takes {path}, got {errors[0]}")
    check_whole(raw, "--scl")
    _write(gdal.Translate("", str(raw), format="VRT"), path, identity)
    raw.unlink()


def _write(laid: gdal.Dataset, path: Path, identity: Mapping) -> None:
    """Write classes, a VRT, with their colours and names."""
    band = laid.GetRasterBand(1)
    band.SetDescription(CLASSES_NAME)
    band.SetColorInterpretation(gdal.GCI_PaletteIndex)
    colours = gdal.ColorTable()
    for number, (_, colour) in enumerate(CLASSES):
        colours.SetColorEntry(number, (*bytes.fromhex(colour), 255 if number else 0))
    band.SetColorTable(colours)
    names = {f"{CLASS_KEY}{number}": name for number, (name, _) in enumerate(CLASSES)}
    laid.SetMetadata({**names, IDENTITY_KEY: digest(identity), "AREA_OR_POINT": "Area"})
    options = ["COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=NEAREST", f"NUM_THREADS={threads()}"]
    write_copy(path, "COG", laid, options, "--scl")


def _opened(name: str) -> gdal.Dataset:
    """Open the classification."""
    try:
        return open_raster(http.gdal_name(signatures.sign(name)))
    except RuntimeError as error:
        raise ValueError(
            f"--scl: expected a scene classification that can be read, got {name.split('?')[0]} "
            f"({http.why(name, error)}); --no-scl leaves it out"
        ) from error
