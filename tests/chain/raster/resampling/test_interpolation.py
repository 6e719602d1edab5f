# SPDX-License-Identifier: Apache-2.0
"""Interpolation as the usual tools do it: pixels equal to theirs, borders included."""

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.resampling.interpolation import FRAME, METHODS, OPEN, axis, interpolate


def _resample(native, ratio, tool, algorithm):
    """Make an array finer with GDAL, in float64."""
    rows, columns = native.shape
    source = gdal.GetDriverByName("MEM").Create("", columns, rows, 1, gdal.GDT_Float64)
    source.SetGeoTransform((0, 10 * ratio, 0, 0, 0, -10 * ratio))
    source.GetRasterBand(1).WriteArray(native)
    size = {"width": columns * ratio, "height": rows * ratio}
    make = gdal.Warp if tool == "warp" else gdal.Translate
    fine = make("", source, format="MEM", resampleAlg=algorithm, **size)
    return fine.ReadAsArray()


@pytest.fixture
def native():
    return np.random.default_rng(0).uniform(1, 5000, (11, 14))


@pytest.mark.parametrize("ratio", [2, 3, 6])
@pytest.mark.parametrize(
    "tool, algorithm, method, border",
    [
        ("warp", "near", "nearest", "edge"),
        ("warp", "bilinear", "bilinear", "edge"),
        ("translate", "bilinear", "bilinear", "edge"),
        ("warp", "cubic", "cubic", FRAME),
        ("translate", "cubic", "cubic", "renormalised"),
        ("warp", "lanczos", "lanczos", "renormalised"),
        ("translate", "lanczos", "lanczos", "renormalised"),
    ],
)
def test_equals_gdal(native, ratio, tool, algorithm, method, border):
    expected = _resample(native, ratio, tool, algorithm)
    np.testing.assert_allclose(interpolate(native, ratio, method, border), expected, atol=1e-4 * 5000)
    assert np.abs(interpolate(native, ratio, method, border) - expected).max() < 0.01


@pytest.mark.parametrize("ratio", [2, 6])
@pytest.mark.parametrize(
    "order, mode, method, border",
    [(0, "reflect", "nearest", "edge"), (1, "reflect", "bilinear", "mirror"), (1, "edge", "bilinear", "edge")],
)
def test_equals_scikit_image(native, ratio, order, mode, method, border):
    transform = pytest.importorskip("skimage.transform")
    size = tuple(ratio * length for length in native.shape)
    expected = transform.resize(native, size, order=order, mode=mode, preserve_range=True, anti_aliasing=False)
    np.testing.assert_allclose(interpolate(native, ratio, method, border), expected, atol=1e-6)


@pytest.mark.parametrize("interpolator, method", [("nn", "nearest"), ("linear", "bilinear"), ("bco", "cubic")])
def test_equals_superimpose(native, write_raster, interpolator, method):
    import pyotb

    coarse = write_raster("coarse.tif", native.astype(np.float32), gsd=20.0)
    fine = write_raster("fine.tif", np.zeros((22, 28), np.float32), gsd=10.0)
    expected = pyotb.Superimpose(inr=str(fine), inm=str(coarse), interpolator=interpolator).to_numpy()[..., 0]
    np.testing.assert_allclose(interpolate(native, 2, method, "edge"), expected, atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_weights_sum_to_one(method):
    for border in (OPEN, *METHODS[method].borders):
        for ratio, phase in ((2, 0), (2, 1), (3, 2), (6, 5)):
            lines = axis(method, ratio, phase if border == OPEN else 0, 6 * ratio + 1, border, OPEN)
            np.testing.assert_allclose(np.asarray(lines.matrix.sum(axis=1)).ravel(), 1)
            assert lines.count == int(np.ceil((6 * ratio + 1 + (phase if border == OPEN else 0)) / ratio))


def test_snap_extrapolates():
    assert interpolate(np.array([[100.0, 200.0, 300.0]]), 2, "bilinear", "extrapolated")[0, 0] == pytest.approx(75)
