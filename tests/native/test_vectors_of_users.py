# SPDX-License-Identifier: Apache-2.0
"""Vectors that people bring to PatchesExtraction: what happens, and what the documentation says to do about it."""

import re
import shutil
import subprocess

import numpy as np
import otbApplication as otb
import pytest
from osgeo import gdal, ogr, osr

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not on this machine")

NOTHING = "There is no geometry to sample"
OUTSIDE = "No patch to sample"
PLACES = [(300300.0, 4999730.0), (300050.0, 4999980.0)]
"""Points in UTM 31 N, on the borders of pixels (30, 31) and (5, 6)."""


def commands():
    """Return the commands of the documentation, by their numbers."""
    text = (REPOSITORY / "docs" / "otbtf_compatibility.md").read_text(encoding="utf-8")
    block = text.split("### Points of your own")[1].split("```sh\n")[1].split("```")[0].replace("\\\n", " ")
    return {int(number): line for line, number in re.findall(r"^(ogr2ogr .*?) +# (\d)$", block, re.MULTILINE)}


def write(path, layer, epsg, geometries, field=None, values=()):
    """Write geometries, given in well-known text, and a field of text or integers."""
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    dataset = ogr.GetDriverByName("GPKG" if path.suffix == ".gpkg" else "GeoJSON").CreateDataSource(str(path))
    features = dataset.CreateLayer(layer, crs, ogr.wkbUnknown)
    if field:
        features.CreateField(ogr.FieldDefn(field, ogr.OFTString if type(values[0]) is str else ogr.OFTInteger))
    for rank, text in enumerate(geometries):
        feature = ogr.Feature(features.GetLayerDefn())
        if field:
            feature.SetField(field, values[rank])
        feature.SetGeometry(ogr.CreateGeometryFromWkt(text))
        features.CreateFeature(feature)


def points(places):
    return [f"POINT ({x!r} {y!r})" for x, y in places]


def lonlat(folder):
    utm, geographic = osr.SpatialReference(), osr.SpatialReference()
    utm.ImportFromEPSG(32631)
    geographic.ImportFromEPSG(4326)
    geographic.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    transform = osr.CoordinateTransformation(utm, geographic)
    # A quarter of a pixel inside, lest rounding in degrees move them into a neighbour.
    there = [transform.TransformPoint(x + 2.5, y - 2.5)[:2] for x, y in PLACES]
    write(folder / "lonlat.geojson", "lonlat", 4326, points(there), "id", [1, 2])


def without_field(folder):
    write(folder / "points.gpkg", "points", 32631, points(PLACES))


def polygons(folder):
    rings = [f"POLYGON (({x} {y}, {x + 6} {y}, {x + 6} {y - 6}, {x} {y - 6}, {x} {y}))" for x, y in PLACES]
    write(folder / "polygons.gpkg", "polygons", 32631, rings, "id", [1, 2])


def text_classes(folder):
    write(folder / "classes.gpkg", "classes", 32631, points(PLACES), "class", ["forest", "water"])


def extracted(monkeypatch, folder, image, vec, field):
    """Return the middle pixels of the patches at the points of a file, and their labels."""
    monkeypatch.setenv("OTB_TF_NSOURCES", "1")
    app = otb.Registry.CreateApplicationWithoutLogger("PatchesExtraction")
    app.SetParameterStringList("source1.il", [image])
    for key, value in (("patchsizex", 8), ("patchsizey", 8)):
        app.SetParameterInt(f"source1.{key}", value)
    for key, value in (("source1.out", "p.tif"), ("outlabels", "l.tif")):
        app.SetParameterString(key, str(folder / value))
    app.SetParameterString("vec", str(folder / vec))
    app.SetParameterString("field", field)
    app.ExecuteAndWriteOutput()
    patches = np.moveaxis(gdal.Open(str(folder / "p.tif")).ReadAsArray(), 0, -1).reshape(-1, 8, 8, 2)
    return patches[:, 4, 4].tolist(), gdal.Open(str(folder / "l.tif")).ReadAsArray().ravel().tolist()


@pytest.fixture
def coded_image(write_raster):
    """A raster of 10 m whose bands are column and row."""
    rows, columns = np.mgrid[:50, :60]
    return str(write_raster("image.tif", np.stack([columns, rows], axis=-1).astype(np.uint16)))


CASES = {
    1: (lonlat, "lonlat.geojson", "id", OUTSIDE, "utm.geojson", "id", [1, 2]),
    2: (without_field, "points.gpkg", "fid", NOTHING, "with_id.gpkg", "id", [1, 2]),
    3: (polygons, "polygons.gpkg", "id", NOTHING, "inside.gpkg", "id", [1, 2]),
    4: (text_classes, "classes.gpkg", "class", None, "numbered.gpkg", "label", [1, 0]),
}


def test_all_commands_are_tested():
    assert commands().keys() == CASES.keys()


@pytest.mark.parametrize("number", CASES)
def test_what_the_documentation_says_helps(monkeypatch, tmp_path, coded_image, number):
    make, name, field, message, mended, mended_field, labels = CASES[number]
    make(tmp_path)
    if message:
        with pytest.raises(RuntimeError, match=message):
            extracted(monkeypatch, tmp_path, coded_image, name, field)
    else:
        assert extracted(monkeypatch, tmp_path, coded_image, name, field)[1] == [0, 0]
    subprocess.run(["bash", "-c", commands()[number]], cwd=tmp_path, check=True)
    assert extracted(monkeypatch, tmp_path, coded_image, mended, mended_field) == ([[30, 31], [5, 6]], labels)
