# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by all tests: a georeferenced raster writer and the folder of real images."""

import gc
import os
from pathlib import Path

import numpy as np
import otbApplication  # noqa: F401 (before tensorflow, whose copy of sqlite lacks rtree)
import pyotb  # noqa: F401 (before tensorflow: setting up its log closes the stream of absl's)
import pytest
from osgeo import gdal, osr

import tests.examples  # noqa: F401 (hypothesis' profiles)
import train  # noqa: F401 (before tensorflow: turns oneDNN on)

gdal.UseExceptions()
os.fsync = lambda descriptor: None  # what tests write need not outlive a power cut

REPOSITORY = Path(__file__).resolve().parents[1]


PREFIXES = ("OTB_", "PYOTB_", "TF_")
VARIABLES = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}


def pytest_collection_modifyitems(items):
    """Run files of networks first, which take longest: workers that are given file after file then end together."""
    items.sort(key=lambda item: item.get_closest_marker("keras") is None)


def pytest_collection_finish(session):
    """Keep Python's garbage collector from walking over all of TensorFlow's modules: a tenth of the time of a test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def pytest_sessionfinish(session):
    """Let what is left be collected before modules are: sessions of TensorFlow print errors after that."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def variables():
    """Undo what pyotb, and programs that run in this process, do to OTB's and TensorFlow's environment variables.

    What fixtures of a wider scope have run was before this one: what is undone is all since the start.
    """
    yield
    for name in [name for name in os.environ if name.startswith(PREFIXES) and name not in VARIABLES]:
        del os.environ[name]
    os.environ.update(VARIABLES)


@pytest.fixture(scope="session")
def shared_data():
    """Return a function `folder(name)` giving a folder of real images, or skipping the test.

    The folder is `$SR_TEST_DATA`, else `shared/data` beside the checkout.
    """
    root = Path(os.environ.get("SR_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

    def folder(name):
        if not (root / name).is_dir():
            pytest.skip(f"real images of '{name}' are not on this machine (SR_TEST_DATA names their folder)")
        return root / name

    return folder


def raster_writer(folder):
    """Return a function writing an array (rows, columns[, bands]) as a GeoTIFF with true georeference in a folder."""

    def write(name, array, gsd=10.0, origin=(300000.0, 5000040.0), epsg=32631, bands=None, nodata=None):
        array = np.asarray(array)
        cube = array[..., np.newaxis] if array.ndim == 2 else array
        rows, columns, count = cube.shape
        path = folder / name
        code = {
            "uint8": gdal.GDT_Byte,
            "uint16": gdal.GDT_UInt16,
            "int16": gdal.GDT_Int16,
            "float32": gdal.GDT_Float32,
        }[cube.dtype.name]
        dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, count, code)
        dataset.SetGeoTransform((origin[0], gsd, 0.0, origin[1], 0.0, -gsd))
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(epsg)
        dataset.SetProjection(crs.ExportToWkt())
        for number in range(count):
            band = dataset.GetRasterBand(number + 1)
            band.WriteArray(cube[..., number])
            if bands:
                band.SetDescription(bands[number])
            if nodata is not None:
                band.SetNoDataValue(nodata)
        dataset = None
        return path

    return write


@pytest.fixture
def write_raster(tmp_path):
    """Return a function writing an array (rows, columns[, bands]) as a GeoTIFF with true georeference."""
    return raster_writer(tmp_path)
