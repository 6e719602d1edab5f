# SPDX-License-Identifier: Apache-2.0
"""A Spot image across the 180th meridian: the search, the place and the pixels."""

import json
import shutil

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.raster.footprint import Footprint
from simulate.planetary_computer import LocalPlanetaryComputer
from tests.sr_dataset.program import CLEAR, SETS, SMALL, patches_of, run

FIJI = 32701
EASTING, NORTHING = 180500.0, 8118000.0
"""A place on the meridian, at 17 degrees south, in the zone east of it."""


@pytest.fixture
def moved(scene, tmp_path):
    """The simulated scene with its middle on the meridian, and items cut there as catalogues do."""
    folder = tmp_path / "moved"
    shutil.copytree(scene, folder)
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(FIJI)
    middle = Footprint.of(str(folder / "spot7" / "xs.tif"))
    centre = middle.corner + middle.spacing * np.array(middle.size) / 2
    shift = np.round((np.array((EASTING, NORTHING)) - centre) / 60) * 60
    for path in folder.rglob("*.tif"):
        dataset = gdal.Open(str(path), gdal.GA_Update)
        left, dx, _, top, _, dy = dataset.GetGeoTransform()
        dataset.SetGeoTransform((left + shift[0], dx, 0, top + shift[1], 0, dy))
        dataset.SetProjection(crs.ExportToWkt())
        dataset = None
    document = json.loads((folder / "items.json").read_text())
    for item in document["features"]:
        ground = Footprint.of(str(folder / "sentinel2" / item["id"] / "B02.tif"))
        item["geometry"] = json.loads(ground.geometry().ExportToJson())
        item["bbox"] = list(ground.bounds())
        item["properties"]["proj:epsg"] = FIJI
    (folder / "items.json").write_text(json.dumps(document))
    return folder


def test_a_spot_image_across_the_180th_meridian(moved, server, reference, tmp_path, monkeypatch):
    xs, pan = moved / "spot7" / "xs.tif", moved / "spot7" / "pan.tif"
    west, _, east, _ = Footprint.of(str(xs)).bounds()
    assert 179.9 < west < 180 and -180 < east < -179.9
    with LocalPlanetaryComputer.of_scenes(moved) as computer:
        for name, value in computer.environment().items():
            monkeypatch.setenv(name, value)
        output = tmp_path / "patches"
        assert run("--xs", xs, "--pan", pan, "--stac-url", computer.stac_url, "--output", output, *SMALL) == 0
    assert json.loads((output / "dataset.json").read_text())["sentinel2"]["id"] == CLEAR
    for name in SETS:
        for side in ("lr", "hr"):
            np.testing.assert_array_equal(patches_of(output, f"{name}_{side}"), patches_of(reference, f"{name}_{side}"))
