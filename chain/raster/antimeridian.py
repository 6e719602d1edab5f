# SPDX-License-Identifier: Apache-2.0
"""Ground across the 180th meridian, where longitudes jump from 180 to -180.

A polygon that lies on both sides is written in two parts (RFC 7946, 3.1.9); many programs write one that seems to go
around the Earth the other way.
"""

from collections.abc import Iterator

from osgeo import ogr

ogr.UseExceptions()

HALF = 180.0


def crosses(west: float, east: float) -> bool:
    """Return whether a box of longitudes lies across the 180th meridian: it begins in the east and ends in the west."""
    return west > east


def unwrapped(geometry: ogr.Geometry) -> ogr.Geometry:
    """Return a geometry of longitudes and latitudes whose longitudes go on beyond 180 where they would jump to -180."""
    made = geometry.Clone()
    for part in _parts(made):
        left, right, _, _ = part.GetEnvelope()
        if right - left <= HALF:
            continue
        for line in _lines(part):
            for index in range(line.GetPointCount()):
                x, y = line.GetX(index), line.GetY(index)
                if x < 0:
                    line.SetPoint_2D(index, x + 2 * HALF, y)
    return made


def split(geometry: ogr.Geometry) -> ogr.Geometry:
    """Return a polygon, or polygons, of longitudes and latitudes, cut at the 180th meridian where they cross it."""
    whole = unwrapped(geometry)
    if whole.GetEnvelope()[1] <= HALF:
        return whole
    pieces = ogr.Geometry(ogr.wkbMultiPolygon)
    for shift in (0.0, 2 * HALF):
        piece = whole.Intersection(_box(shift - HALF, shift + HALF))
        for polygon in _polygons(piece):
            for line in _lines(polygon):
                for index in range(line.GetPointCount()):
                    line.SetPoint_2D(index, line.GetX(index) - shift, line.GetY(index))
            pieces.AddGeometry(polygon)
    return pieces


def bounds(geometry: ogr.Geometry) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a geometry; west is larger than east where it crosses the meridian."""
    made = unwrapped(geometry)
    left, right, bottom, top = made.GetEnvelope()
    if right - left > HALF and made.GetGeometryCount() > 1:  # parts on both sides
        sides = [part.GetEnvelope() for part in _parts(made)]
        left = min(side[0] for side in sides if side[0] >= 0)
        right = max(side[1] for side in sides if side[0] < 0)
    return left, bottom, right - 2 * HALF if right > HALF else right, top


def _parts(geometry: ogr.Geometry) -> Iterator[ogr.Geometry]:
    """Yield the polygons, lines or points that a geometry consists of."""
    if ogr.GT_IsSubClassOf(ogr.GT_Flatten(geometry.GetGeometryType()), ogr.wkbGeometryCollection):
        for index in range(geometry.GetGeometryCount()):
            yield from _parts(geometry.GetGeometryRef(index))
    else:
        yield geometry


def _polygons(geometry: ogr.Geometry) -> Iterator[ogr.Geometry]:
    """Yield the polygons of a geometry."""
    yield from (part for part in _parts(geometry) if ogr.GT_Flatten(part.GetGeometryType()) == ogr.wkbPolygon)


def _lines(geometry: ogr.Geometry) -> Iterator[ogr.Geometry]:
    """Yield what holds the points of a part: its rings, or itself."""
    if geometry.GetGeometryCount():
        yield from (geometry.GetGeometryRef(index) for index in range(geometry.GetGeometryCount()))
    else:
        yield geometry


def _box(left: float, right: float) -> ogr.Geometry:
    """Return all latitudes between two longitudes."""
    return ogr.CreateGeometryFromWkt(f"POLYGON (({left} -90, {right} -90, {right} 90, {left} 90, {left} -90))")
