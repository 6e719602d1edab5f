# SPDX-License-Identifier: Apache-2.0
"""Images, networks and expectations of the tests of whole extents."""

from itertools import count

import numpy as np
import pyotb
import tensorflow as tf
from hypothesis import HealthCheck
from hypothesis import strategies as st
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region, plan
from chain.raster.mask import Mask
from models import base
from models.description import Source, read_description
from tests import toy_models

LEFT, TOP = 300000.0, 5000040.0


BANDS = ("B04", "B03", "B02", "B08")


RADIUS = 2


"""Source pixels that toy networks see on each side."""


NEIGHBOURS = np.arange(1, 10, dtype=np.float32).reshape(3, 3)


"""Weights of a pixel and those around it in networks of several sources."""


FACTORS = (1, 2, 3, 4, 6)


GSD = 6.0


UNIT = 0.25


"""All places are multiples of it, in metres: numpy finds pixels by dividing whole numbers."""


EXAMPLES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


NUMBERS = count()


def weights_of(factor):
    """Return weights (row, column, band, pixel of the product)."""
    return np.random.default_rng(factor).integers(1, 4, (2 * RADIUS + 1, 2 * RADIUS + 1, len(BANDS), factor**2))


def phases(folder, factor, crop=None):
    """Export a network of whole numbers, other ones for each of the pixels that one becomes, zero-padded."""
    kernel = tf.constant(weights_of(factor), tf.float32)

    def function(lr):
        found = tf.nn.depthwise_conv2d(lr, kernel, (1, 1, 1, 1), "SAME")
        rows, columns = tf.shape(lr)[1], tf.shape(lr)[2]
        found = tf.reshape(found, (1, rows, columns, len(BANDS), factor, factor))
        found = tf.transpose(found, (0, 1, 4, 2, 5, 3))
        return tf.reshape(found, (1, rows * factor, columns * factor, len(BANDS)))

    crop = RADIUS * factor if crop is None else crop
    return toy_models.export(folder, function, [Source("lr", BANDS, GSD)], GSD / factor, crop, BANDS)


def randomized(model, folder):
    """Export a model of this project whose weights are all drawn, those that start at zero too."""
    rng = np.random.default_rng(3)
    for variable in model.model.weights:
        variable.assign(rng.normal(0, 0.1, variable.shape))
    description = base.export(model, folder)
    sides = {source.name: round(4 * description.crop * model.gsd / source.gsd) for source in model.sources}
    arrays = {s.name: random_pixels(sides[s.name], sides[s.name], len(s.bands), 5000) for s in model.sources}
    numbers = at_once(str(folder), "integer", **arrays)
    assert np.mean((numbers > 0) & (numbers < 65535)) > 0.5 and numbers.std(axis=(0, 1)).min() > 100
    return str(folder)


def sums_around(pixels):
    """Return the weighted sums of pixels (rows, columns, 1) and those around them, mirrored."""
    padded = np.pad(pixels[..., 0], 1, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.einsum("yxij,ij->yx", windows, NEIGHBOURS)[..., np.newaxis]


def projection():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    return crs.ExportToWkt()


def image_of(pixels, gsd=GSD, corner=(LEFT, TOP)):
    """Return a pyotb image of pixels (rows, columns, bands), and the name of the file in GDAL's memory."""
    name = f"/vsimem/test_whole_extent_{next(NUMBERS)}.tif"
    rows, columns, bands = pixels.shape
    dataset = gdal.GetDriverByName("GTiff").Create(name, columns, rows, bands, gdal.GDT_Float32)
    dataset.SetGeoTransform((corner[0], gsd, 0, corner[1], 0, -gsd))
    dataset.SetProjection(projection())
    dataset.WriteArray(np.moveaxis(pixels, 2, 0))
    del dataset
    return pyotb.ExtractROI({"in": name}), name


def random_pixels(rows, columns, bands=4, top=300, seed=0):
    return np.random.default_rng(seed).integers(1, top, (rows, columns, bands)).astype(np.float32)


def at_once(folder, kind, **arrays):
    """Return what TensorFlow makes of arrays (rows, columns, bands), in one call."""
    description = read_description(folder)
    network = tf.saved_model.load(folder).signatures["serving_default"]
    feeds = {name: tf.constant(array[np.newaxis], tf.float32) for name, array in arrays.items()}
    return network(**feeds)[description.outputs[kind]].numpy()[0]


def mirrored(pixels, margin):
    return np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")


def in_regions(compute, region, size):
    """Return what `compute`, which gives values and validity, makes of a region cut into regions of a size."""
    values = valid = None
    for part in plan(region, size):
        found, there = compute(part)
        assert found.dtype == np.float32 and there.dtype == bool
        assert found.shape == there.shape == (part.rows, part.columns, found.shape[2])
        if values is None:
            values = np.full((region.rows, region.columns, found.shape[2]), np.nan, np.float32)
            valid = np.zeros(values.shape, bool)
        window = np.s_[part.y - region.y :, part.x - region.x :]
        values[window][: part.rows, : part.columns] = found
        valid[window][: part.rows, : part.columns] = there
    return values, valid


@st.composite
def shapes(draw, longest=700):
    """Draw rows and columns: small ones, also ones beside powers of two, and long ones of few columns or rows."""
    small = st.one_of(st.integers(1, 9), st.integers(1, 45), st.sampled_from([15, 16, 17, 31, 32, 33, 63, 64, 65]))
    if draw(st.integers(0, 5)):
        return draw(small), draw(small)
    long, narrow = draw(st.integers(100, longest)), draw(st.integers(1, 12))
    return draw(st.sampled_from([(long, narrow), (narrow, long)]))


@st.composite
def cuts(draw, length, least=8, most=12):
    """Draw sides of regions and tiles, for a longest side."""
    size = draw(st.one_of(st.integers(least, 40), st.integers(40, 260)))
    return max(size, -(-length // most)), draw(st.sampled_from([1, 8, 16, 24, 40, 64, 100, 256, 1024]))


@st.composite
def windows(draw, rows, columns):
    """Draw a region of interest of a product: all of it, or a part anywhere."""
    if draw(st.booleans()):
        return Region(0, 0, columns, rows)
    x, y = draw(st.integers(0, columns - 1)), draw(st.integers(0, rows - 1))
    return Region(x, y, draw(st.integers(1, columns - x)), draw(st.integers(1, rows - y)))


engines = st.sampled_from(["otbtf", "tensorflow"])


kinds = st.sampled_from(["integer", "float"])


def holes_in(shape, data):
    """Draw where pixels are missing: rectangles and single pixels."""
    rows, columns = shape
    holes = np.zeros(shape, bool)
    for _ in range(data.draw(st.integers(0, 3))):
        y, x = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
        height, width = (data.draw(st.one_of(st.just(1), st.integers(1, 25))) for _ in "yx")
        holes[y : y + height, x : x + width] = True
    return holes


def mask_over(data):
    """Draw a mask that begins anywhere near the image's corner."""
    spacing = data.draw(st.sampled_from([3.0, 6.0, 7.5, 20.0]))
    x, y = (data.draw(st.integers(-40, 160)) * 4 * UNIT for _ in "xy")
    rows, columns = (data.draw(st.integers(1, 12)) for _ in "yx")
    missing = np.random.default_rng(data.draw(st.integers(0, 99))).random((rows, columns)) < 0.7
    return Mask("mask", Grid(LEFT + x, TOP - y, spacing, spacing, columns, rows, projection()), missing)
