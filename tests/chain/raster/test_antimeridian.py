# SPDX-License-Identifier: Apache-2.0
"""Ground across the 180th meridian: footprints, boxes, geometries, items."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import ogr, osr

from chain.raster import antimeridian
from chain.raster.area_of_interest import bbox_bounds, geometry_bounds
from chain.raster.footprint import Footprint
from chain.sentinel2.cloud_cover import overlap
from chain.serving.area_options import bbox

FIJI = 179.9, -17.0, -179.9, -16.8
"""West, south, east, north of a box on both sides."""


def wkt(epsg):
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    return crs.ExportToWkt()


def place(longitude, latitude, epsg):
    crs, utm = osr.SpatialReference(), osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    utm.ImportFromEPSG(epsg)
    for each in (crs, utm):
        each.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return osr.CoordinateTransformation(crs, utm).TransformPoint(longitude, latitude)[:2]


def ring(*points):
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


AROUND = ring((179.9, -17), (-179.9, -17), (-179.9, -16.8), (179.9, -16.8))
"""The box as many programs write it: it seems to go around the Earth."""
SPLIT = {
    "type": "MultiPolygon",
    "coordinates": [
        ring((179.9, -17), (180, -17), (180, -16.8), (179.9, -16.8))["coordinates"],
        ring((-180, -17), (-179.9, -17), (-179.9, -16.8), (-180, -16.8))["coordinates"],
    ],
}


@pytest.mark.parametrize("document", [AROUND, SPLIT])
def test_geometries_are_cut_at_the_meridian(document):
    geometry = antimeridian.split(ogr.CreateGeometryFromJson(json.dumps(document)))
    assert geometry.GetArea() == pytest.approx(0.2 * 0.2)
    sides = sorted(geometry.GetGeometryRef(index).GetEnvelope()[:2] for index in range(2))
    assert sides == [pytest.approx((-180, -179.9)), pytest.approx((179.9, 180))]
    assert antimeridian.bounds(ogr.CreateGeometryFromJson(json.dumps(document))) == pytest.approx(FIJI)


def test_other_geometries_stay():
    geometry = ogr.CreateGeometryFromJson(json.dumps(ring((-5, 1), (170, 1), (170, 2), (-5, 2))))
    assert antimeridian.split(geometry).Equals(geometry) and antimeridian.unwrapped(geometry).Equals(geometry)
    assert antimeridian.bounds(geometry) == (-5, 1, 170, 2)


@pytest.mark.parametrize("epsg", [32701, 32760])
def test_footprints_of_images_and_boxes(epsg):
    left, top = place(179.95, -16.8, epsg)
    image = Footprint((left, 10.0, 0.0, top, 0.0, -10.0), (1000, 1000), wkt(epsg))
    west, south, east, north = image.bounds()
    assert 179.9 < west < 180 and -180 < east < -179.9 and south < north < -16.7
    assert image.geometry().GetArea() < 0.02
    box = Footprint.of_box(FIJI)
    assert box.bounds() == pytest.approx(FIJI) and box.geometry().GetArea() == pytest.approx(0.04)
    assert np.all(np.abs(box.to_crs(box.sample(8, 8), wkt(epsg))[:, 0] - left) < 30000)


@pytest.mark.parametrize("epsg", [32701, 32760])
@pytest.mark.parametrize("document", [AROUND, SPLIT])
def test_boxes_and_geometries_on_images(tmp_path, epsg, document):
    corners = [place(longitude, latitude, epsg) for longitude in FIJI[::2] for latitude in FIJI[1::2]]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    (tmp_path / "fiji.geojson").write_text(json.dumps(document))
    for found in (bbox_bounds(FIJI, wkt(epsg)), geometry_bounds(str(tmp_path / "fiji.geojson"), wkt(epsg))):
        np.testing.assert_allclose(found[:2], low, atol=20)
        np.testing.assert_allclose(found[2:], high, atol=20)


@pytest.mark.parametrize("document", [AROUND, SPLIT])
def test_items_contain_footprints_on_both_sides(document):
    item = SimpleNamespace(geometry=document)
    assert overlap(item, Footprint.of_box((179.95, -16.95, -179.95, -16.85))) == pytest.approx(1)
    assert overlap(item, Footprint.of_box((179.91, -16.95, 179.99, -16.85))) == pytest.approx(1)
    assert overlap(item, Footprint.of_box((179.8, -16.95, -179.9, -16.85))) == pytest.approx(2 / 3)
    assert overlap(item, Footprint.of_box((-1, -16.95, 1, -16.85))) == 0


def test_a_box_on_the_command_line():
    assert bbox("179.9,-17,-179.9,-16.8") == FIJI
    for text in ("3,2,1,4", "1,2,1,4", "179,2,181,4", "-181,2,3,4", "10,2,-169,4"):
        with pytest.raises(ValueError, match="expected west < east .or a box across the 180th meridian"):
            bbox(text)
