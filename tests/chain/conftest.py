# SPDX-License-Identifier: Apache-2.0
"""Small Sentinel-2 items behind a local stand-in for Planetary Computer."""

import datetime
import os

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.raster import http, signatures
from chain.sentinel2.bands import BANDS, offset_of_baseline
from simulate.items import footprint, make_item
from simulate.planetary_computer import LocalPlanetaryComputer

ORIGIN, EPSG, SIZE = (500000.0, 5400000.0), 32631, 192
"""Upper left corner, CRS, and side in pixels of 10 m, of each item."""


@pytest.fixture
def online(monkeypatch):
    """Return a function that leads this process's HTTP clients to a server."""
    from planetary_computer.settings import Settings

    def lead(server):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(http, "TRIES", 3)
        Settings.get.cache_clear()
        signatures.forget_tokens()
        http.forget_failures()
        return server

    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    yield lead
    Settings.get.cache_clear()
    signatures.forget_tokens()
    http.forget_failures()


def _write(path, array, gsd, origin=ORIGIN, epsg=EPSG):
    path.parent.mkdir(parents=True, exist_ok=True)
    memory = gdal.GetDriverByName("MEM").Create(
        "", array.shape[1], array.shape[0], 1, gdal.GDT_Byte if array.dtype == np.uint8 else gdal.GDT_UInt16
    )
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    memory.SetProjection(crs.ExportToWkt())
    memory.SetGeoTransform((origin[0], gsd, 0.0, origin[1], 0.0, -gsd))
    memory.GetRasterBand(1).WriteArray(array)
    gdal.Translate(str(path), memory, format="COG", creationOptions=["BLOCKSIZE=128"])


@pytest.fixture
def make_sentinel2_item(tmp_path):
    """Return a function writing the COGs of an item with a given SCL (96 x 96 pixels of 20 m)."""

    def make(
        identity,
        scl,
        day="2022-07-01",
        tile_cover=1.0,
        baseline="04.00",
        bands=("B04",),
        covers=1.0,
        size=SIZE,
        origin=ORIGIN,
        epsg=EPSG,
    ):
        folder = tmp_path / "sentinel2" / identity
        rng = np.random.default_rng(sum(map(ord, identity)))
        darkest = 1 - (offset_of_baseline(baseline) or 0)
        _write(folder / "SCL.tif", np.asarray(scl, np.uint8), 20.0, origin, epsg)
        for band in bands:
            side = round(size * 10.0 / BANDS[band])
            _write(
                folder / f"{band}.tif",
                rng.integers(darkest, darkest + 4000, (side, side)).astype(np.uint16),
                BANDS[band],
                origin,
                epsg,
            )
        left, top, side = *origin, size * 10.0
        right = left + covers * side
        ring = [(left, top), (right, top), (right, top - side), (left, top - side)]
        geometry, bbox = footprint(ring, epsg)
        when = datetime.datetime.fromisoformat(f"{day}T10:56:29+00:00")
        properties = {"eo:cloud_cover": tile_cover, "s2:processing_baseline": baseline, "proj:epsg": epsg}
        return make_item(identity, folder, when, geometry, bbox, properties)

    return make


@pytest.fixture
def planetary_computer(tmp_path, online):
    """Return a function starting a server of items, to which this process's HTTP clients are led."""
    servers = []

    def start(items, **options):
        (tmp_path / "sentinel2").mkdir(exist_ok=True)
        servers.append(LocalPlanetaryComputer(items, tmp_path / "sentinel2", **options).start())
        return online(servers[-1])

    yield start
    for server in servers:
        server.stop()
    assert "http_proxy" in os.environ or not servers
