# SPDX-License-Identifier: Apache-2.0
"""XS and PAN that do not show one place, or hold bands that are none, are refused; real bundles are taken."""

import numpy as np
import pytest
from osgeo import gdal
from scipy.ndimage import gaussian_filter, zoom

from chain.patches.content import check_content, tell_size
from chain.raster.footprint import Footprint

BANDS = ("B04", "B03", "B02", "B08")
ORIGIN = (3e5, 5e6)


@pytest.fixture
def bundle(write_raster):
    """Return a function that writes XS and PAN, and returns their names; a place's corner is missing."""

    def write(change=lambda xs, pan: None, gsd=6.0):
        rng = np.random.default_rng(0)
        ground = gaussian_filter(rng.normal(size=(48, 40)), 1.5)
        xs = np.stack([1900 + 2000 * ground + 60 * rng.normal(size=ground.shape) + 200 * band for band in range(4)])
        pan = 1800 + 2000 * zoom(ground, 4, order=1)
        xs[:, :5, :5] = pan[:20, :20] = 0
        change(xs, pan)
        xs, pan = (np.maximum(each, 0).astype(np.uint16) for each in (np.moveaxis(xs, 0, -1), pan))
        names = (("xs.tif", xs, gsd), ("pan.tif", pan, gsd / 4))
        return tuple(str(write_raster(name, pixels, gsd=size, origin=ORIGIN)) for name, pixels, size in names)

    return write


def turned(xs, pan):
    pan[:] = pan[::-1, ::-1].copy()


def constant(xs, pan):
    pan[pan > 0] = 700


def one_number(xs, pan):
    xs[1][xs[1] > 0] = 500


def twice(xs, pan):
    xs[2] = xs[3]


@pytest.mark.parametrize(
    "change, message",
    [
        (turned, "--pan: expected the place and the moment of --xs, got a correlation of "),
        (constant, "--pan: expected an image that varies, got 700 in all of "),
        (one_number, "--xs: expected bands that vary, got 500 in all of B03 in "),
        (twice, "--xs: expected bands that differ, got the same pixels in B02 and B08 of "),
    ],
)
def test_what_shows_nothing_or_another_place_is_refused(bundle, change, message):
    check_content(*bundle(), BANDS, 0.0)
    with pytest.raises(ValueError, match=f"^{message}"):
        check_content(*bundle(change), BANDS, 0.0)


def test_a_real_bundle_is_taken(shared_data):
    folder = shared_data("spot67_pan_xs_tiny")
    check_content(str(folder / "xs_subset.tif"), str(folder / "pan_subset.tif"), BANDS, None)


def test_bundles_of_landsat_are_taken(shared_data, tmp_path):
    """The correlation is that of any sensor's PAN."""
    files = [str(shared_data("landsat8_pan_ms") / f"l8_B{number}.tif") for number in (4, 3, 2, 5)]
    gdal.BuildVRT(str(tmp_path / "xs.vrt"), files, separate=True).FlushCache()
    check_content(str(tmp_path / "xs.vrt"), str(shared_data("landsat8_pan_ms") / "l8_B8.tif"), BANDS, 0.0)


@pytest.mark.parametrize("gsd, told", [(6.0, False), (6.3, False), (2.0, True), (10.0, True)])
def test_pixels_of_another_size_are_told(bundle, caplog, gsd, told):
    tell_size(Footprint.of(bundle(gsd=gsd)[0]))
    assert bool(caplog.records) == told
    assert not told or f"pixels of {gsd:g} m in --xs: train.spot7's model is made for 6 m" in caplog.text
