# SPDX-License-Identifier: Apache-2.0
"""Read the points of a vector file and an integer field of theirs, as OTB's own vector data hold them.

All layers are read, in their order; the points of a multi-point are taken one by one; other geometries, and
points without the field, are left out. A field of another type is turned into an integer the way OTB does:
real numbers lose their decimals, text is read up to the first character that belongs to no number.

    python -c "from otbtf_applications.point_layer import read_points; print(read_points('points.geojson',
    'id'))"
"""

import re
from collections.abc import Iterator

import numpy as np
from osgeo import gdal, ogr

_INTEGER = re.compile(r"\s*([+-]?\d+)")


def read_points(file_name: str, field: str) -> tuple[np.ndarray, np.ndarray]:
    """Read points and a field.

    Args:
        file_name: Anything GDAL opens as vector data.
        field: Name of the field, as written in the file.

    Returns:
        (points, 2) float64 coordinates, in the coordinate system of the file, and int64 values of the field.

    Raises:
        RuntimeError: If the file cannot be opened as vector data.
    """
    dataset = _open(file_name)
    coordinates, values = [], []
    for layer in (dataset.GetLayerByIndex(number) for number in range(dataset.GetLayerCount())):
        rank = _field_rank(layer.GetLayerDefn(), field)
        if rank is None:
            continue
        for feature in layer:
            if not feature.IsFieldSetAndNotNull(rank):
                continue
            for x, y in _points(feature.GetGeometryRef()):
                coordinates.append((x, y))
                values.append(_integer(feature, rank))
    return np.array(coordinates, dtype=np.float64).reshape(-1, 2), np.array(values, dtype=np.int64)


def _open(file_name: str) -> gdal.Dataset:
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        dataset = gdal.OpenEx(file_name, gdal.OF_VECTOR)
    except RuntimeError:
        dataset = None
    finally:
        gdal.PopErrorHandler()
    if dataset is None:
        raise RuntimeError(f"vec: expected a readable vector file, got {file_name}")
    return dataset


def _field_rank(definition: ogr.FeatureDefn, field: str) -> int | None:
    """Return the rank of the field of exactly this name."""
    names = (definition.GetFieldDefn(rank).GetName() for rank in range(definition.GetFieldCount()))
    return next((rank for rank, name in enumerate(names) if name == field), None)


def _points(geometry: ogr.Geometry | None) -> Iterator[tuple[float, float]]:
    """Yield the coordinates of a point, or of each point of a collection of points."""
    if geometry is None or geometry.IsEmpty():
        return
    if ogr.GT_Flatten(geometry.GetGeometryType()) == ogr.wkbPoint:
        yield geometry.GetX(), geometry.GetY()
    elif ogr.GT_IsSubClassOf(ogr.GT_Flatten(geometry.GetGeometryType()), ogr.wkbGeometryCollection):
        for part in range(geometry.GetGeometryCount()):
            yield from _points(geometry.GetGeometryRef(part))


def _integer(feature: ogr.Feature, rank: int) -> int:
    """Return the value of a field as an integer."""
    if feature.GetFieldDefnRef(rank).GetType() == ogr.OFTReal:
        return int(feature.GetFieldAsDouble(rank))
    if feature.GetFieldDefnRef(rank).GetType() == ogr.OFTString:
        found = _INTEGER.match(feature.GetFieldAsString(rank))
        return int(found[1]) if found else 0
    return feature.GetFieldAsInteger64(rank)
