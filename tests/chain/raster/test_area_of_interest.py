# SPDX-License-Identifier: Apache-2.0
"""Parts of images by longitudes and latitudes, and by geometries: against PROJ, pixel by pixel."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, ogr, osr

from chain.raster.area_of_interest import bbox_bounds, bounds_region, geometry_bounds
from chain.raster.grids import Grid, Region
from inference import spot7
from tests import toy_models

LEFT, TOP = 300000.0, 5000040.0


def crs_of(epsg):
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return crs


UTM = crs_of(32631).ExportToWkt()


def transformed(ring, epsg=4326, count=400):
    """Return the bounds in UTM 31N of points along the straight sides of a ring."""
    transform = osr.CoordinateTransformation(crs_of(epsg), crs_of(32631))
    points = [
        (x0 + (x1 - x0) * k / count, y0 + (y1 - y0) * k / count)
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]])
        for k in range(count)
    ]
    places = np.array(transform.TransformPoints(points))[:, :2]
    return (*places.min(axis=0), *places.max(axis=0))


def ring_of(west, south, east, north):
    return [(west, south), (east, south), (east, north), (west, north)]


BOXES = [(0.5, 45.1, 0.52, 45.11), (0.0, 44.0, 2.0, 46.0), (2.5, 45.0, 3.5, 45.2), (2.99, -45.1, 3.2, -45.0)]


@pytest.mark.parametrize("box", BOXES)
def test_the_bounds_of_a_box_are_those_of_its_curved_sides(box):
    found, expected = bbox_bounds(box, UTM), transformed(ring_of(*box))
    size = expected[2] - expected[0]
    np.testing.assert_allclose(found, expected, atol=max(1e-3, 1e-4 * size))


@pytest.mark.parametrize("box", BOXES)
def test_the_bounds_of_a_geometry_are_those_of_its_curved_sides(tmp_path, box):
    write_geojson(tmp_path / "area.geojson", [polygon(ring_of(*box))])
    found, expected = geometry_bounds(str(tmp_path / "area.geojson"), UTM), transformed(ring_of(*box))
    np.testing.assert_allclose(found, expected, atol=max(1e-3, 1e-4 * (expected[2] - expected[0])))


def polygon(ring):
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def write_geojson(path, geometries):
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_all_geometries_count_but_empty_ones(tmp_path):
    rings = [[(0.5, 45.0), (0.6, 45.05), (0.55, 45.1)], [(0.7, 44.9), (0.71, 44.9), (0.7, 44.91)]]
    geometries = [None, {"type": "Polygon", "coordinates": []}, *map(polygon, rings)]
    geometries.append({"type": "Point", "coordinates": (0.45, 45.02)})
    path = write_geojson(tmp_path / "areas.geojson", geometries)
    boxes = np.array([transformed(ring) for ring in [*rings, [(0.45, 45.02)]]])
    expected = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    np.testing.assert_allclose(geometry_bounds(str(path), UTM), expected, atol=0.01)


def write_vector(path, driver, epsg, wkts):
    dataset = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    layer = dataset.CreateLayer("areas", crs_of(epsg) if epsg else None, ogr.wkbUnknown)
    for text in wkts:
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(ogr.CreateGeometryFromWkt(text))
        layer.CreateFeature(feature)
    return str(path)


def test_a_geopackage_on_the_images_own_map(tmp_path):
    wkts = ["POLYGON ((300100 4999000, 300700 4999100, 300500 4999900, 300100 4999000))", "POINT (300050 4999500)"]
    path = write_vector(tmp_path / "areas.gpkg", "GPKG", 32631, wkts)
    np.testing.assert_allclose(geometry_bounds(path, UTM), (300050, 4999000, 300700, 4999900), atol=1e-6)


def test_a_geopackage_of_another_zone(tmp_path):
    ring = [(-170000.0, 5000000.0), (-160000.0, 5000500.0), (-165000.0, 5010000.0)]
    text = ", ".join(f"{x} {y}" for x, y in [*ring, ring[0]])
    path = write_vector(tmp_path / "areas.gpkg", "GPKG", 32632, [f"POLYGON (({text}))"])
    np.testing.assert_allclose(geometry_bounds(path, UTM), transformed(ring, 32632), atol=1.0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: write_geojson(path / "a.geojson", []), "expected a file with a geometry, got a.geojson"),
        (lambda path: write_geojson(path / "a.geojson", [None]), "expected a file with a geometry"),
        (
            lambda path: write_vector(path / "a.shp", "ESRI Shapefile", None, ["POINT (1 1)"]),
            "expected a file that states its coordinate system",
        ),
        (lambda path: path / "none.geojson", "expected a readable vector file"),
        (lambda path: (path / "a.geojson").write_text("{}") and path / "a.geojson", "expected a readable vector file"),
        (
            lambda path: write_geojson(path / "a.geojson", [{"type": "Point", "coordinates": (-87, 0)}]),
            "cannot be projected onto the image",
        ),
    ],
)
def test_files_without_a_usable_geometry_are_refused(tmp_path, make, message):
    path = str(make(tmp_path))
    with pytest.raises(ValueError, match=f"^--geometry: {message}"):
        geometry_bounds(path, UTM)


def test_boxes_that_the_map_does_not_reach_and_images_without_a_map_are_refused():
    with pytest.raises(ValueError, match="^--bbox: cannot be projected onto the image"):
        bbox_bounds((-87.5, -1, -87, 1), UTM)
    with pytest.raises(ValueError, match="^input: expected an image with a coordinate system"):
        bbox_bounds((0, 45, 1, 46), "")


@settings(deadline=None, max_examples=50)
@given(
    corner=st.tuples(st.integers(-6, 5), st.integers(-6, 5)),
    place=st.tuples(st.integers(-8, 30), st.integers(-8, 30)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    step=st.sampled_from([1, 2, 4, 6]),
)
def test_the_region_is_what_the_bounds_touch_in_whole_steps_inside_the_product(corner, place, size, step):
    product = Grid(LEFT + 10 * corner[0], TOP - 10 * corner[1], 10.0, 10.0, 25, 19, "")
    left, top = LEFT + 10 * place[0] - 5, TOP - 10 * place[1] + 5
    right, bottom = left + 10 * size[0], top - 10 * size[1]
    touched = []
    for count, first, low, high in (
        (25, corner[0], left - LEFT, right - LEFT),
        (19, corner[1], TOP - top, TOP - bottom),
    ):
        cells = [(first + pixel) // step for pixel in range(count)]
        touched.append([p for p, c in enumerate(cells) if c * step * 10 < high and low < (c + 1) * step * 10])
    if not all(touched):
        with pytest.raises(ValueError, match="^--bbox: expected ground of the image .*, got x "):
            bounds_region((left, bottom, right, top), product, (LEFT, TOP), step, "--bbox")
        return
    columns, rows = touched
    found = bounds_region((left, bottom, right, top), product, (LEFT, TOP), step, "--bbox")
    assert found == Region(columns[0], rows[0], len(columns), len(rows))


def test_bounds_on_edges_of_pixels_are_not_enlarged_and_a_point_is_one_step():
    product = Grid(LEFT, TOP, 10.0, 10.0, 60, 60, "")
    edges = (LEFT + 60, TOP - 180, LEFT + 120, TOP - 60)
    assert bounds_region(edges, product, (LEFT, TOP), 6, "--bbox") == Region(6, 6, 6, 12)
    point = (LEFT + 60, TOP - 60, LEFT + 60, TOP - 60)
    assert bounds_region(point, product, (LEFT, TOP), 6, "--bbox") == Region(6, 6, 6, 6)
    for beside in ((LEFT - 60, TOP - 60, LEFT, TOP), (LEFT + 600, TOP - 60, LEFT + 660, TOP)):
        with pytest.raises(ValueError, match="expected ground of the image"):
            bounds_region(beside, product, (LEFT, TOP), 6, "--bbox")


@pytest.mark.parametrize("option", ["--bbox", "--geometry"])
def test_the_product_of_a_part_equals_that_part_of_the_whole(tmp_path, write_raster, option, capsys):
    model = toy_models.blurring(tmp_path / "model")
    pixels = np.random.default_rng(1).integers(1, 9000, (60, 70, 4)).astype(np.uint16)
    path = str(write_raster("s2.tif", pixels, gsd=6.0, bands=toy_models.BANDS))
    back = osr.CoordinateTransformation(crs_of(32631), crs_of(4326))
    box = back.TransformBounds(LEFT + 101, TOP - 223, LEFT + 202, TOP - 88, 21)
    area = str(write_geojson(tmp_path / "area.geojson", [polygon(ring_of(*box))]))
    value = ",".join(map(repr, box)) if option == "--bbox" else area

    def infer(name, *more):
        arguments = ["--input", path, "--output", str(tmp_path / name), "--model-dir", model, "--offset", "0"]
        status = spot7.main([*arguments, "--tile-size", "64", *more])
        return status, gdal.Open(str(tmp_path / name)) if status == 0 else None

    (_, whole), (_, part) = infer("whole.tif"), infer("part.tif", option, value)
    bounds = transformed(ring_of(*box))
    left, right = LEFT + 6 * np.floor((bounds[0] - LEFT) / 6), LEFT + 6 * np.ceil((bounds[2] - LEFT) / 6)
    top, bottom = TOP - 6 * np.floor((TOP - bounds[3]) / 6), TOP - 6 * np.ceil((TOP - bounds[1]) / 6)
    assert part.GetGeoTransform() == (left, 1.5, 0, top, 0, -1.5)
    x, y, columns, rows = (round(v / 1.5) for v in (left - LEFT, TOP - top, right - left, top - bottom))
    np.testing.assert_array_equal(part.ReadAsArray(), whole.ReadAsArray(x, y, columns, rows))
    assert infer("far.tif", "--bbox", "10,10,11,11")[0] == 1
    assert "--bbox: expected ground of the image (x 300000 to 300420, y 4999680 to 5000040)" in capsys.readouterr().err
