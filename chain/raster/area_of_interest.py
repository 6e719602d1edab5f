# SPDX-License-Identifier: Apache-2.0
"""Parts of images, as users name them: a box of longitudes and latitudes, a geometry in a file."""

import math
from pathlib import Path

from osgeo import gdal, ogr, osr

from chain.raster.grids import Grid, Region

gdal.UseExceptions()
ogr.UseExceptions()

DENSIFICATION = 21
"""Points along each side of a box of longitudes and latitudes, or of a geometry, which other maps show curved."""


def geometry_bounds(path: str, projection: str) -> tuple[float, float, float, float]:
    """Return the bounds (left, bottom, right, top), in a coordinate system, of all geometries of a file.

    Args:
        path: A file that OGR reads (GeoJSON, GeoPackage, Shapefile).
        projection: The coordinate system, WKT.

    Raises:
        ValueError: The file holds no geometry, or does not say its coordinate system, or they cannot be brought there.
    """
    try:
        dataset = gdal.OpenEx(path, gdal.OF_VECTOR)
    except RuntimeError as error:
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
    return (*(min(box[k] for box in bounds) for k in (0, 1)), *(max(box[k] for box in bounds) for k in (2, 3)))


def _bounds_of(geometry: ogr.Geometry, transform: osr.CoordinateTransformation) -> tuple[float, float, float, float]:
    """Return the bounds (left, bottom, right, top) of a geometry once transformed; straight sides may then be curved.

    Raises:
        ValueError: It cannot be transformed.
    """
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
        RuntimeError: One is no number.
    """
    if not all(math.isfinite(value) for value in bounds):
        raise RuntimeError("a place that its coordinate system does not reach")


def bbox_bounds(bbox: tuple[float, float, float, float], projection: str) -> tuple[float, float, float, float]:
    """Return the bounds (left, bottom, right, top), in a coordinate system, of a box of longitudes and latitudes.

    Args:
        bbox: West, south, east, north, in degrees (WGS 84).
        projection: The coordinate system, WKT.

    Raises:
        ValueError: The box cannot be brought there.
    """
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    try:
        bounds = _transform(crs, projection).TransformBounds(*bbox, DENSIFICATION)
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
    bounds: tuple[float, float, float, float],
    product: Grid,
    origin: tuple[float, float],
    step: int,
    argument: str,
) -> Region:
    """Return the part of a product that covers bounds, enlarged to whole steps from an origin, inside the product.

    Args:
        bounds: Left, bottom, right, top, in the product's coordinate system.
        product: Grid of the whole product.
        origin: Corner (x, y) that steps are counted from.
        step: Number of product pixels along a step.
        argument: Name of the option, for errors.

    Returns:
        The region, counted from the product's first pixel.

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
