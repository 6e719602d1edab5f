# SPDX-License-Identifier: Apache-2.0
"""Areas of interest given by users: a box of longitudes and latitudes, or a geometry in a file."""

import math
from pathlib import Path

from osgeo import gdal, ogr, osr

from chain.raster import antimeridian
from chain.raster.grids import Grid, Region
from chain.raster.vsi import refuse_devices

gdal.UseExceptions()
ogr.UseExceptions()

DENSIFICATION = 21
"""Points along each side of a box or a geometry, whose sides become curved in another coordinate system."""

VECTORS = ("GeoJSON", "GPKG", "ESRI Shapefile", "FlatGeobuf", "GML", "KML", "LIBKML")
"""GDAL's drivers of the vector files that are read. Others reach servers, databases and programs."""

Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top; west, south, east and north in degrees."""


def geometry_bounds(path: str, projection: str) -> Bounds:
    """Return the bounds (left, bottom, right, top), in a coordinate system, of all geometries of a file.

    Args:
        path: A file that OGR reads (GeoJSON, GeoPackage, Shapefile).
        projection: The coordinate system, as WKT.

    Raises:
        ValueError: The file has no geometry or no coordinate system, or its geometries cannot be transformed.
    """
    try:
        refuse_devices(path)
        dataset = gdal.OpenEx(path, gdal.OF_VECTOR, allowed_drivers=list(VECTORS))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"--geometry: expected a readable vector file, got {path} ({error})") from error
    bounds = []
    for index in range(dataset.GetLayerCount()):
        layer = dataset.GetLayer(index)
        for feature in layer:
            geometry = feature.GetGeometryRef()
            if geometry is None or geometry.IsEmpty():
                continue
            if layer.GetSpatialRef() is None:
                raise ValueError(f"--geometry: expected a file that states its coordinate system, got {path}")
            bounds.append(_bounds_of(geometry.Clone(), _transform(layer.GetSpatialRef(), projection)))
    if not bounds:
        raise ValueError(f"--geometry: expected a file with a geometry, got {Path(path).name}, which has none")
    left, bottom, right, top = zip(*bounds)
    return min(left), min(bottom), max(right), max(top)


def _bounds_of(geometry: ogr.Geometry, transform: osr.CoordinateTransformation) -> Bounds:
    """Return the bounds (left, bottom, right, top) of a transformed geometry, whose sides may have become curved.

    Raises:
        ValueError: The geometry cannot be transformed.
    """
    crs = geometry.GetSpatialReference()
    if crs is not None and crs.IsGeographic():
        geometry = antimeridian.unwrapped(geometry)
    left, right, bottom, top = geometry.GetEnvelope()
    if max(right - left, top - bottom) > 0:
        geometry.Segmentize(max(right - left, top - bottom) / DENSIFICATION)
    try:
        geometry.Transform(transform)
        left, right, bottom, top = geometry.GetEnvelope()
        _check_finite(left, bottom, right, top)
    except RuntimeError as error:
        raise ValueError(f"--geometry: cannot be projected onto the image ({error})") from error
    return left, bottom, right, top


def _check_finite(*bounds: float) -> None:
    """Refuse bounds that PROJ could not compute.

    Raises:
        RuntimeError: One of them is not finite.
    """
    if not all(math.isfinite(value) for value in bounds):
        raise RuntimeError("outside the coordinate system")


def coordinate_system(text: str | None) -> osr.SpatialReference:
    """Return the coordinate system of a code (`EPSG:32631`, `32631`) or of WKT; WGS 84 for None.

    Raises:
        ValueError: GDAL knows none of that name.
    """
    crs = osr.SpatialReference()
    if text is None:
        crs.ImportFromEPSG(4326)
        return crs
    name = f"EPSG:{text}" if text.isdigit() else text
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        is_known = (crs.ImportFromWkt(name) if "[" in name else crs.SetFromUserInput(name)) == ogr.OGRERR_NONE
    except RuntimeError:  # where exceptions of `osr` are on
        is_known = False
    finally:
        gdal.PopErrorHandler()
    if not is_known:
        raise ValueError(f"expected a coordinate system that GDAL knows, got {text!r}")
    return crs


def bbox_bounds(bbox: Bounds, projection: str, crs: str | None = None) -> Bounds:
    """Return the bounds (left, bottom, right, top), in a coordinate system, of a box in another one.

    Args:
        bbox: West, south, east, north, in degrees (WGS 84); west is larger than east across the 180th meridian. With
            `crs`, left, bottom, right and top, x (or longitude) first.
        projection: The coordinate system, as WKT.
        crs: That of the box, as `coordinate_system` takes it.

    Raises:
        ValueError: The box cannot be transformed.
    """
    try:
        bounds = _transform(coordinate_system(crs), projection).TransformBounds(*bbox, DENSIFICATION)
        _check_finite(*bounds)
    except RuntimeError as error:
        raise ValueError(f"--bbox: cannot be projected onto the image ({error})") from error
    return bounds


def _transform(source: osr.SpatialReference, projection: str) -> osr.CoordinateTransformation:
    """Return the transformation to a coordinate system, x (or longitude) first on both sides."""
    if not projection:
        raise ValueError("input: expected an image with a coordinate system for --bbox and --geometry, got none")
    source = source.Clone()
    target = osr.SpatialReference(projection)
    for crs in (source, target):
        crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return osr.CoordinateTransformation(source, target)


def bounds_region(
    bounds: Bounds,
    product: Grid,
    origin: tuple[float, float],
    step: int,
    argument: str,
) -> Region:
    """Return the region of a product that covers bounds, extended to whole steps from an origin, inside the product.

    Args:
        bounds: Left, bottom, right, top, in the product's coordinate system.
        product: Grid of the whole product.
        origin: Corner (x, y) from which steps are counted.
        step: Length of a step, in product pixels.
        argument: Name of the option, for errors.

    Returns:
        The region, in pixels of the product.

    Raises:
        ValueError: The bounds do not touch the product.
    """
    left, bottom, right, top = bounds
    spans = []
    for low, high, corner, pixel, count in (
        (left - origin[0], right - origin[0], product.left - origin[0], product.dx, product.columns),
        (origin[1] - top, origin[1] - bottom, origin[1] - product.top, product.dy, product.rows),
    ):
        length, shift = step * pixel, round(corner / pixel)
        start = math.floor(low / length + 1e-6) * step - shift
        stop = max(math.ceil(high / length - 1e-6) * step - shift, start + step)
        start, stop = max(start, 0), min(stop, count)
        if start >= stop:
            edges = product.left + product.columns * product.dx, product.top - product.rows * product.dy
            raise ValueError(
                f"{argument}: expected ground of the image (x {product.left:.0f} to {edges[0]:.0f}, y {edges[1]:.0f} "
                f"to {product.top:.0f}), got x {left:.0f} to {right:.0f}, y {bottom:.0f} to {top:.0f}"
            )
        spans.append((start, stop - start))
    (x, columns), (y, rows) = spans
    return Region(x, y, columns, rows)
