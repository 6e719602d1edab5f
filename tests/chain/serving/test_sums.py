# SPDX-License-Identifier: Apache-2.0
"""Statistics from sums that add up, against numpy, whole numbers of Python, and GDAL."""

import json
import math
import statistics
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from osgeo import gdal

from chain.serving.sums import Sums

KINDS = {"uint16": (gdal.GDT_UInt16, 0), "float32": (gdal.GDT_Float32, math.nan)}
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
INTEGERS = hnp.arrays(np.uint16, SHAPES, elements=st.one_of(st.integers(0, 3), st.integers(0, 65535)))
REFLECTANCES = hnp.arrays(np.float32, SHAPES, elements=st.one_of(st.just(np.nan), st.floats(-0.5, 2, width=32)))


def valid(pixels):
    """Return the valid pixels, as Python's numbers."""
    return [value for value in pixels.ravel().tolist() if (value != 0 if pixels.dtype == np.uint16 else value == value)]


def image(kind, seed=0, shape=(190, 230)):
    """Return pixels that look like a band's, a fifth of them missing."""
    rng = np.random.default_rng(seed)
    values = np.clip(rng.normal(2600, 900, shape), 1, 65535)
    hole = rng.random(shape) < 0.2
    if kind == "uint16":
        return np.where(hole, 0, np.rint(values)).astype(np.uint16)
    return np.where(hole, np.nan, values * 1e-4).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_those_of_numpy_and_gdal(kind):
    pixels = image(kind)
    sums, code_and_nodata = Sums.of(pixels), KINDS[kind]
    values = np.array(valid(pixels), np.float64)
    assert (sums.count, sums.minimum, sums.maximum) == (values.size, values.min(), values.max())
    assert sums.mean == pytest.approx(values.mean(), rel=1e-12)
    assert sums.deviation == pytest.approx(values.std(), rel=1e-12)
    dataset = gdal.GetDriverByName("MEM").Create("", *pixels.shape[::-1], 1, code_and_nodata[0])
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(code_and_nodata[1])
    band.WriteArray(pixels)
    minimum, maximum, mean, deviation = band.ComputeStatistics(False)
    assert (sums.minimum, sums.maximum) == (minimum, maximum)
    assert sums.mean == pytest.approx(mean, rel=1e-12) and sums.deviation == pytest.approx(deviation, rel=1e-12)
    share = float(band.GetMetadataItem("STATISTICS_VALID_PERCENT"))
    assert 100 * sums.count / pixels.size == pytest.approx(share, abs=0.01)


@given(INTEGERS)
def test_sums_of_integers_are_exact(pixels):
    sums, values = Sums.of(pixels), valid(pixels)
    assert sums.count == len(values)
    assert (sums.total, sums.squares) == (sum(values), sum(value * value for value in values))
    if values:
        assert (sums.minimum, sums.maximum) == (min(values), max(values))
        assert sums.mean == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert sums.deviation == pytest.approx(statistics.pstdev(values), rel=1e-12, abs=0)


def test_a_nearly_even_band_of_integers_keeps_its_deviation():
    """The square of the mean is 10 billion times the variance."""
    pixels = np.full((1000, 1000), 60000, np.uint16)
    pixels[::3, ::7] += 1
    values = pixels.astype(np.float64)
    assert Sums.of(pixels).deviation == pytest.approx((values - 60000).std(), rel=1e-12)


@given(REFLECTANCES)
def test_sums_of_reflectances(pixels):
    sums, values = Sums.of(pixels), valid(pixels)
    assert sums.count == len(values)
    if values:
        assert (sums.minimum, sums.maximum) == (min(values), max(values))
        assert sums.mean == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-15)
        assert sums.deviation**2 == pytest.approx(statistics.pvariance(values), rel=1e-12, abs=1e-14)


@settings(max_examples=60)
@given(st.one_of(INTEGERS, REFLECTANCES), st.data())
def test_sums_of_parts_add_up_to_those_of_the_whole(pixels, data):
    rows, columns = pixels.shape
    row, column = data.draw(st.integers(0, rows)), data.draw(st.integers(0, columns))
    parts = [pixels[:row], pixels[row:, :column], pixels[row:, column:]]
    order = data.draw(st.permutations(range(3)))
    total = Sums()
    for index in order:
        # As regions keep them, in their files.
        total = total + Sums(*json.loads(json.dumps(astuple(Sums.of(parts[index])))))
    whole = Sums.of(pixels)
    exactly = (whole.count, whole.minimum, whole.maximum)
    assert (total.count, total.minimum, total.maximum) == exactly
    if pixels.dtype == np.uint16:
        assert total == whole
    else:
        assert total.total == pytest.approx(whole.total, rel=1e-12, abs=1e-12)
        assert total.squares == pytest.approx(whole.squares, rel=1e-12)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((5, 4), np.uint16),
        np.zeros((0, 4), np.uint16),
        np.full((5, 4), np.nan, np.float32),
        np.zeros((0, 4), np.float32),
    ],
    ids=["integers", "no integers", "floats", "no floats"],
)
def test_a_band_without_valid_pixels_adds_nothing(pixels):
    sums = Sums.of(pixels)
    assert sums.count == 0
    other = Sums.of(image("uint16"))
    assert other + sums == sums + other == other


def test_a_reflectance_of_zero_is_valid_and_a_dark_integer_too():
    sums = Sums.of(np.array([[0.0, -0.1, np.nan]], np.float32))
    assert (sums.count, sums.minimum, sums.maximum) == (2, np.float32(-0.1), 0.0)
    assert Sums.of(np.array([[0, 1, 65535]], np.uint16)) == Sums(2, 1, 65535, 65536, 1 + 65535**2)


def test_sums_of_a_whole_tile_do_not_overflow():
    """A Sentinel-2 tile at 1.5 m has 5e9 pixels: sums of squares pass what 64 bits hold."""
    brightest = Sums.of(np.full((1000, 1000), 65535, np.uint16))
    total = Sums()
    for _ in range(5358):
        total = total + brightest
    assert total.squares == 5358 * 10**6 * 65535**2 > 2**64
    assert (total.mean, total.deviation) == (65535, 0)
