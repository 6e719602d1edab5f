# SPDX-License-Identifier: Apache-2.0
"""The ground that a raster covers: in its own coordinates, in another CRS, in longitude and latitude."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal, ogr, osr

from chain.raster import antimeridian

BOX_PIXELS = 64
"""Pixels along each side of a box of degrees."""
POINTS_PER_SIDE = 21


@dataclass(frozen=True)
class Footprint:
    """The ground of a north-up raster."""

    geotransform: tuple[float, ...]
    """GDAL's six numbers, in units of the CRS."""
    size: tuple[int, int]
    """Columns and rows."""
    projection: str
    """CRS, as WKT."""

    @classmethod
    def of(cls, path: str | Path) -> "Footprint":
        """Read the footprint of a raster.

        Raises:
            ValueError: the raster has no CRS, no geotransform, or is rotated.
        """
        dataset = gdal.Open(str(path))
        geotransform = dataset.GetGeoTransform(can_return_null=True)
        if geotransform is None or not dataset.GetProjection():
            raise ValueError(
                f"{path}: expected an orthorectified image (with CRS and geotransform), "
                f"got no {'geotransform' if geotransform is None else 'CRS'}"
            )
        if geotransform[2] or geotransform[4] or geotransform[1] <= 0 or geotransform[5] >= 0:
            raise ValueError(f"{path}: expected a north-up image, got geotransform {geotransform}")
        return cls(geotransform, (dataset.RasterXSize, dataset.RasterYSize), dataset.GetProjection())

    @classmethod
    def of_box(cls, box: tuple[float, float, float, float], projection: str | None = None) -> "Footprint":
        """Return the footprint of a box: west, south, east, north, in degrees.

        West is larger than east where the box lies across the 180th meridian.

        Args:
            box: the box.
            projection: its coordinate system, as WKT; None for longitudes and latitudes.
        """
        west, south, east, north = box
        if projection is None:
            east += 360.0 * antimeridian.crosses(west, east)
        geotransform = (west, (east - west) / BOX_PIXELS, 0.0, north, 0.0, (south - north) / BOX_PIXELS)
        return cls(geotransform, (BOX_PIXELS, BOX_PIXELS), projection or _spatial_reference(None).ExportToWkt())

    @property
    def corner(self) -> np.ndarray:
        """Upper left corner (x, y)."""
        return np.array((self.geotransform[0], self.geotransform[3]))

    @property
    def spacing(self) -> np.ndarray:
        """Pixel size (x, y), negative in y."""
        return np.array((self.geotransform[1], self.geotransform[5]))

    def sample(self, columns: int, rows: int) -> np.ndarray:
        """Return the cell centres (columns * rows, 2) of a regular grid, in the CRS of the raster."""
        x0, dx, _, y0, _, dy = self.geotransform
        x = x0 + dx * self.size[0] * (np.arange(columns) + 0.5) / columns
        y = y0 + dy * self.size[1] * (np.arange(rows) + 0.5) / rows
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)

    def to_crs(self, points: np.ndarray, wkt: str | None = None) -> np.ndarray:
        """Transform points (n, 2) to a CRS (WKT; WGS 84 by default), always x (or longitude) first."""
        source, target = _spatial_reference(self.projection), _spatial_reference(wkt)
        transform = osr.CoordinateTransformation(source, target)
        return np.array(transform.TransformPoints(points.tolist()))[:, :2]

    def geometry(self) -> ogr.Geometry:
        """Return the footprint as a polygon of longitudes and latitudes, with several points on each side.

        It is in two parts where it lies across the 180th meridian.
        """
        width, height = self.size
        corners = [(0, 0), (width, 0), (width, height), (0, height), (0, 0)]
        pixels = np.concatenate([np.linspace(a, b, POINTS_PER_SIDE)[:-1] for a, b in zip(corners, corners[1:])])
        points = self.to_crs(pixels * self.spacing + self.corner)
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for longitude, latitude in [*points, points[0]]:
            ring.AddPoint_2D(float(longitude), float(latitude))
        polygon = ogr.Geometry(ogr.wkbPolygon)
        polygon.AddGeometry(ring)
        return antimeridian.split(polygon)

    def bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east and north, in degrees; west is larger than east across the 180th meridian."""
        return antimeridian.bounds(self.geometry())


def _spatial_reference(wkt: str | None) -> osr.SpatialReference:
    """Return the CRS of a WKT (WGS 84 for None) with x or longitude as its first axis."""
    reference = osr.SpatialReference()
    if wkt:
        reference.ImportFromWkt(wkt)
    else:
        reference.ImportFromEPSG(4326)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference
