# SPDX-License-Identifier: Apache-2.0
"""A small simulated scene, behind a local stand-in for Planetary Computer."""

import pytest
from osgeo import gdal

import sr_dataset
from simulate.planetary_computer import LocalPlanetaryComputer
from simulate.scenes import ACQUISITIONS, write_scenes
from tests.sr_dataset.program import CLEAR, SMALL, run


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """A Spot image of 512 pixels of PAN, and four Sentinel-2 items over it."""
    folder = tmp_path_factory.mktemp("scene")
    write_scenes(folder, 512, 40, 3, ACQUISITIONS[:4])
    return folder


@pytest.fixture
def server(scene, monkeypatch):
    """The local stand-in, and this process led to it."""
    from planetary_computer.settings import Settings

    from chain.raster import http, signatures

    with LocalPlanetaryComputer.of_scenes(scene) as computer:
        for name, value in computer.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
        monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
        monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
        Settings.get.cache_clear()
        signatures.forget_tokens()
        http.forget_failures()
        yield computer
    Settings.get.cache_clear()
    signatures.forget_tokens()


@pytest.fixture
def spot(scene):
    return "--xs", str(scene / "spot7/xs.tif"), "--pan", str(scene / "spot7/pan.tif")


@pytest.fixture
def local(scene):
    """Arguments that take the clear item's files instead of searching."""
    return "--sentinel2", *(str(scene / "sentinel2" / CLEAR / f"{band}.tif") for band in sr_dataset.BANDS)


@pytest.fixture(scope="session")
def reference(scene, tmp_path_factory):
    """The patches which the clear item's files give."""
    output = tmp_path_factory.mktemp("reference") / "patches"
    bands = (scene / "sentinel2" / CLEAR / f"{band}.tif" for band in sr_dataset.BANDS)
    spot = ("--xs", scene / "spot7/xs.tif", "--pan", scene / "spot7/pan.tif")
    assert run(*spot, "--sentinel2", *bands, "--output", output, *SMALL) == 0
    return output


@pytest.fixture
def altered(spot, tmp_path):
    """Return a function copying XS and PAN with their pixels or georeference changed."""

    def make(which, change=None, **options):
        path = tmp_path / f"altered_{which}.tif"
        source = spot[1] if which == "xs" else spot[3]
        gdal.Translate(str(path), source, **options)
        if change:
            dataset = gdal.Open(str(path), gdal.GA_Update)
            array = dataset.ReadAsArray()
            change(array)
            dataset.WriteArray(array)
            dataset = None
        paths = {"xs": spot[1], "pan": spot[3], which: str(path)}
        return "--xs", paths["xs"], "--pan", paths["pan"]

    return make
