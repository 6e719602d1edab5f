# SPDX-License-Identifier: Apache-2.0
"""GDAL's options: files beside an image on a disk are seen, those beside a remote one are not asked for."""

import http.server
import subprocess
import sys

import numpy as np
import pytest
from osgeo import gdal

from tests.servers import serving

MASKED = """
import sys
from osgeo import gdal
from chain.raster import http
http.configure()
dataset = gdal.Open(sys.argv[1])
print(dataset.GetRasterBand(1).GetMaskBand().ReadAsArray().sum())
"""


def _masked(path):
    """Write an image whose mask, a file beside it, leaves 3 pixels."""
    gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", "NO")
    driver = gdal.GetDriverByName("GTiff")
    driver.Create(str(path), 4, 4, 1).WriteArray(np.ones((4, 4), np.uint8))
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    dataset.GetRasterBand(1).GetMaskBand().WriteArray(np.eye(4, 4, 1, np.uint8) * 255)
    return str(path)


def _sum_of_mask(name):
    found = subprocess.run([sys.executable, "-c", MASKED, name], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.parametrize("set_by_user", [None, "EMPTY_DIR", "TRUE"])
def test_a_mask_beside_an_image_is_seen(tmp_path, monkeypatch, set_by_user):
    if set_by_user:
        monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", set_by_user)
    assert _sum_of_mask(_masked(tmp_path / "image.tif")) == 3 * 255


def test_nothing_beside_a_remote_image_is_asked_for(tmp_path):
    _masked(tmp_path / "image.tif")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_):
            asked.append(self.path)

    with serving(Handler) as server:
        assert _sum_of_mask(f"/vsicurl/{server.url}/image.tif") == 16 * 255
    assert set(asked) == {"/image.tif"}
