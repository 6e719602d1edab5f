# SPDX-License-Identifier: Apache-2.0
"""A folder in which the commands of the docs can be typed: the project, its programs, and inputs of the names there."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from osgeo import gdal, ogr, osr

from chain.sentinel2.bands import BANDS
from simulate.probav_scenes import write_scenes
from tests.conftest import REPOSITORY
from tests.inference.dsen2.scenes import ALL, FILES, write_safe
from tests.toy_models import nearest

SIDE = 360
"""Rows and columns of the Sentinel-2 scene, at 10 m."""
PRODUCT = "S2A_MSIL2A_….SAFE"
PROGRAMS = {
    "sr-dataset": "sr_dataset",
    **{f"sr-{name}": f"inference.{name}" for name in ("dsen2", "spot7", "l1bsr", "deepsum")},
}


def prepare(folder, write_raster):
    """Fill a folder.

    Args:
        folder: an empty folder.
        write_raster: as `tests.conftest.raster_writer` gives it.
    """
    for path in REPOSITORY.iterdir():
        if path.name not in ("demo", "site") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    _programs(folder / ".venv" / "bin")
    smooth = gdal.GetDriverByName("MEM").Create("", 24, 24, 1, gdal.GDT_Float32)
    rng, pixels = np.random.default_rng(0), {}
    smooth.WriteArray(rng.uniform(100, 3000, (24, 24)))  # dark pixels tell the offset where nothing states it
    for number, band in enumerate((*ALL, "B10")):
        side = round(SIDE * 10 / BANDS[band])
        resampled = smooth.ReadAsArray(buf_xsize=side, buf_ysize=side, resample_alg=gdal.GRIORA_Cubic)
        pixels[band] = (np.maximum(resampled, 50) * (1 + 0.05 * number) + 1000).astype(np.uint16)
    images = folder / "images"
    images.mkdir()
    safe = write_safe(folder, pixels, write_raster, "L2A")
    safe.rename(folder / PRODUCT)
    shutil.copytree(folder / PRODUCT, images / PRODUCT)
    for stem in ("S", "T1"):
        for gsd, names in FILES.items():
            stack = np.stack([pixels[band] - 1000 for band in names], axis=-1)[: 1200 // gsd, : 1200 // gsd]
            shutil.move(write_raster("s.tif", stack, gsd=gsd, bands=names), folder / f"{stem}_{gsd}m.tif")
    counts = np.stack([pixels[band][:96, :96] // 8 for band in ("B02", "B03", "B04", "B08")], axis=-1)
    for name in ("l1b.tif", "image.tif"):
        shutil.move(write_raster("l.tif", counts, bands=("B02", "B03", "B04", "B08")), folder / name)
    (folder / "l1b_images").mkdir()
    shutil.copy(folder / "l1b.tif", folder / "l1b_images")
    (folder / "demo").mkdir()
    nearest(folder / "demo" / "model")
    _probav(folder)
    _vectors(folder)


def _programs(folder):
    """Make the commands that the project's environment has."""
    folder.mkdir(parents=True)
    for name in ("python", "python3"):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for name, module in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
    for path in folder.iterdir():
        path.chmod(0o755)


def _probav(folder):
    """Write scenes of the challenge: one to be looked at, and a whole set."""
    write_scenes(folder / "probav_data", 1, test_scenes=1, rows=48, columns=48, seed=990)
    shutil.copytree(next((folder / "probav_data" / "test" / "NIR").iterdir()), folder / "imgset1306")


def _vectors(folder):
    """Write vectors that do not suit PatchesExtraction as they are."""
    for name, driver, kind, epsg in (
        ("lonlat.geojson", "GeoJSON", ogr.wkbPoint, 4326),
        ("points.gpkg", "GPKG", ogr.wkbPoint, 32631),
        ("polygons.gpkg", "GPKG", ogr.wkbPolygon, 32631),
        ("classes.gpkg", "GPKG", ogr.wkbPoint, 32631),
    ):
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(epsg)
        crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        source = ogr.GetDriverByName(driver).CreateDataSource(str(folder / name))
        layer = source.CreateLayer(Path(name).stem, crs, kind)
        layer.CreateField(ogr.FieldDefn("class", ogr.OFTString))
        x, y = (3.0, 45.0) if epsg == 4326 else (300500.0, 4999500.0)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature["class"] = "forest"
        shape = ogr.CreateGeometryFromWkt(f"POINT ({x} {y})")
        feature.SetGeometry(shape.Buffer(50) if kind == ogr.wkbPolygon else shape)
        layer.CreateFeature(feature)


def environment(folder):
    """Return the environment in which the commands of a prepared folder run."""
    path = os.pathsep.join([str(folder / ".venv" / "bin"), os.environ["PATH"]])
    native = str(REPOSITORY / "native")
    python = os.pathsep.join(filter(None, [str(folder), native, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PATH": path, "PYTHONPATH": python}
