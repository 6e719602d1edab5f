# SPDX-License-Identifier: Apache-2.0
"""The part that is asked for: a box in any coordinate system is the same ground."""

import pytest
from osgeo import osr

from chain.raster.grids import Grid, Region
from chain.serving.area_options import AreaOptions
from chain.serving.ground import ground_of


def wkt(code):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(code)
    return reference.ExportToWkt()


GRID = Grid(600000.0, 5700000.0, 10.0, 10.0, 1098, 1098, wkt(32631))
BOX = (601200.0, 5690400.0, 604800.0, 5698200.0)


def region(**options):
    _, _, place = ground_of(AreaOptions(**options), {"x10": GRID}, 10.0, 6)
    return place


@pytest.mark.parametrize("crs", ["EPSG:32631", "32631", wkt(32631), wkt(32631).replace("\n", "")])
def test_a_box_of_the_image_s_own_map_is_its_pixels(crs):
    assert region(bbox=BOX, bbox_crs=crs) == Region(120, 180, 360, 780)


@pytest.mark.parametrize("code", [32632, 3857, 4326, 4258, 2154, 3035])
def test_a_box_of_another_map_covers_the_same_ground(code):
    """PROJ's own transformation of the corners is within what is taken; latitude never comes first."""
    target = osr.SpatialReference()
    target.ImportFromEPSG(code)
    source = osr.SpatialReference(wkt(32631))
    for each in (source, target):
        each.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    box = osr.CoordinateTransformation(source, target).TransformBounds(*BOX, 21)
    found = region(bbox=tuple(box), bbox_crs=f"EPSG:{code}")
    assert found.x <= 120 and found.y <= 180
    assert found.x + found.columns >= 480 and found.y + found.rows >= 960
    if code in (4326, 4258):
        assert region(bbox=tuple(box)) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bbox": BOX}, "^--bbox: expected west < east .* in degrees, got '601200,5690400,604800,5698200'"),
        ({"bbox": (5, 1, 4, 2), "bbox_crs": "EPSG:32631"}, "^--bbox: expected left < right and bottom < top, got "),
        ({"bbox_crs": "EPSG:32631"}, "^--bbox-crs requires --bbox"),
        ({"bbox": BOX, "bbox_crs": "utm31.prj"}, "^--bbox-crs: expected a code, such as EPSG:32631, or WKT, got "),
        ({"bbox": BOX, "bbox_crs": "EPSG:1"}, "^--bbox-crs: expected a coordinate system that GDAL knows, got "),
        ({"bbox": BOX, "bbox_crs": "PROJCS[nonsense]"}, "^--bbox-crs: expected a coordinate system that GDAL knows"),
    ],
)
def test_what_is_no_box_and_no_map_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AreaOptions(**options)
