# SPDX-License-Identifier: Apache-2.0
"""Any image, in any regions and tiles, by any engine, gives what the network makes of the whole image at once.

The whole is what TensorFlow returns when it is called once on the image with numpy's mirrored margins. Toy networks
compute with whole numbers, so that they are exact whatever the order of their sums.
"""

import dataclasses
import math
from itertools import count
from types import SimpleNamespace

import numpy as np
import pyotb
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from osgeo import gdal, osr
from scipy import ndimage

from chain.raster.grids import Grid, Region, image_grid, plan, product_grid, shifted
from chain.raster.mask import Mask
from chain.raster.otb import OTB_LOCK
from chain.serving.network import Network
from chain.serving.product_file import Layout, write_product
from chain.serving.recipe import Recipe
from models import base
from models.description import Source, read_description
from models.dsen2 import DSen2
from models.spot7 import SRModel
from tests import toy_models
from tests.examples import examples
from tests.products import computed, super_resolved

pytestmark = pytest.mark.keras

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


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    root = tmp_path_factory.mktemp("toys")
    folders = {factor: phases(root / str(factor), factor) for factor in FACTORS}
    return {factor: (read_description(folder), folder) for factor, folder in folders.items()}


def sums_around(pixels):
    """Return the weighted sums of pixels (rows, columns, 1) and those around them, mirrored."""
    padded = np.pad(pixels[..., 0], 1, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.einsum("yxij,ij->yx", windows, NEIGHBOURS)[..., np.newaxis]


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """Networks of several sources, which add the weighted sums around the pixels of all, however coarse they are."""
    root, found = tmp_path_factory.mktemp("stacks"), []
    for ratios in ((1, 2), (2, 1), (1, 6), (1, 2, 6), (6, 1, 2), (2, 3), (2, 6), (3, 3)):
        sources = [Source(f"x{number}", (BANDS[number],), 10.0 * ratio) for number, ratio in enumerate(ratios)]

        def network(*tensors, ratios=ratios):
            kernel = tf.constant(NEIGHBOURS[..., np.newaxis, np.newaxis], tf.float32)
            sums = [tf.nn.conv2d(tensor, kernel, 1, "SAME") for tensor in tensors]
            return tf.add_n([toy_models.upsample(total, ratio) for total, ratio in zip(sums, ratios)])

        folder = root / "_".join(map(str, ratios))
        toy_models.export(folder, network, sources, 10.0, math.lcm(*ratios), bands=("B04",))
        found.append((read_description(folder), str(folder)))
    return found


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    models = {
        "2x": DSen2.from_bands("2x", depth=4, num_blocks=1),
        "6x": DSen2.from_bands("6x", depth=4, num_blocks=1),
        "spot7": SRModel.from_bands(depth=4, num_blocks=1),
    }
    return {name: randomized(model, root / name) for name, model in models.items()}


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


@pytest.fixture(autouse=True)
def memory():
    """Free GDAL's memory."""
    yield
    for name in gdal.ReadDir("/vsimem/") or ():
        if name.startswith("test_whole_extent_"):
            gdal.Unlink(f"/vsimem/{name}")


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


def test_toy_networks_are_what_they_are_taken_for(toys):
    """Pixels of the product by numpy: each has its own weights, of the pixels up to two away."""
    pixels = random_pixels(6, 7)
    padded, side = mirrored(pixels, RADIUS), 2 * RADIUS + 1
    for factor, (description, folder) in toys.items():
        kernel = weights_of(factor)
        whole = at_once(folder, "integer", lr=padded)
        assert whole.shape == (6 * factor, 7 * factor, 4) and description.crop == RADIUS * factor
        for y, x, band in ((0, 0, 0), (6 * factor - 1, 3, 2), (2 * factor + 1, 7 * factor - 1, 3)):
            window = padded[y // factor :, x // factor :, band][:side, :side]
            assert whole[y, x, band] == (window * kernel[:, :, band, (y % factor) * factor + x % factor]).sum()
    assert weights_of(4).min() > 0  # all of them count, the farthest ones too


@settings(max_examples=examples(70), **EXAMPLES)
@given(shape=shapes(), factor=st.sampled_from(FACTORS), engine=engines, kind=kinds, data=st.data())
def test_a_product_is_that_of_the_whole_image_to_its_last_pixel(toys, shape, factor, engine, kind, data):
    description, folder = toys[factor]
    rows, columns = (factor * length for length in shape)
    region = data.draw(windows(rows, columns))
    size, tile = data.draw(cuts(max(region.rows, region.columns)))
    pixels = random_pixels(*shape)
    image, _ = image_of(pixels)
    options = {"output_kind": kind, "tile_size": tile, "engine": engine}
    values, valid = in_regions(
        lambda part: super_resolved({"lr": image}, description, folder, part, **options), region, size
    )
    whole = at_once(folder, kind, lr=mirrored(pixels, RADIUS))
    assert whole.shape == (rows, columns, 4)
    expected = whole[region.y : region.y + region.rows, region.x : region.x + region.columns]
    np.testing.assert_array_equal(values, expected)
    assert valid.all()


def test_a_network_that_sees_one_pixel_more_than_it_says_is_found_out(tmp_path, toys):
    """What the equality above is worth: it is not there for a crop that is too small."""
    folder = phases(tmp_path / "model", 2, crop=2 * (RADIUS - 1))
    pixels = random_pixels(40, 40)
    image, _ = image_of(pixels)
    values, _ = in_regions(
        lambda part: super_resolved({"lr": image}, read_description(folder), folder, part), Region(0, 0, 80, 80), 32
    )
    wrong = (values != at_once(toys[2][1], "integer", lr=mirrored(pixels, RADIUS)))[10:20].any(axis=(0, 2))
    assert np.flatnonzero(wrong).tolist() == [0, 1, 30, 31, 32, 33, 62, 63, 64, 65, 78, 79]


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


def under_centres(number, gsd, pixel, shift=0.0):
    """Return the indices of the pixels, of a size and from a shift on, under the centres of a product's pixels."""
    half = UNIT / 2
    centres = np.arange(number) * round(gsd / half) + round(gsd / 2 / half) - round(shift / half)
    return centres // round(pixel / half)


def masked_by(mask, grid):
    """Return where a mask covers the centres of a grid's pixels."""
    y = under_centres(grid.rows, grid.dy, mask.grid.dy, grid.top - mask.grid.top)
    x = under_centres(grid.columns, grid.dx, mask.grid.dx, mask.grid.left - grid.left)
    inside = [(index >= 0) & (index < size) for index, size in zip((y, x), mask.missing.shape)]
    found = np.zeros((grid.rows, grid.columns), bool)
    found[np.ix_(*inside)] = mask.missing[np.ix_(y[inside[0]], x[inside[1]])]
    return found


def filled_whole(pixels, missing):
    """Return an image with its margins, whose missing pixels are filled from the edges inwards by their neighbours.

    Computed in doubles; farther than a network sees from a present pixel, they stay zero.
    """
    margin = 3 * RADIUS
    pixels, present = mirrored(pixels, margin), ~np.pad(missing, margin, mode="symmetric")
    distance = ndimage.distance_transform_cdt(~present, "chessboard")
    values = np.where(present[..., np.newaxis], pixels, 0).astype(np.float64)
    for ring in range(1, RADIUS + 1):
        known = (distance < ring).astype(np.float64)
        number = ndimage.convolve(known, np.ones((3, 3)), mode="constant")
        for band in range(pixels.shape[2]):
            total = ndimage.convolve(values[..., band] * known, np.ones((3, 3)), mode="constant")
            here = distance == ring
            values[..., band][here] = total[here] / number[here]
    return values[2 * RADIUS : -2 * RADIUS, 2 * RADIUS : -2 * RADIUS].astype(np.float32)


@settings(max_examples=examples(50), **EXAMPLES)
@given(shape=shapes(), factor=st.sampled_from(FACTORS), engine=engines, data=st.data())
def test_missing_pixels_are_missing_and_the_others_what_the_filled_whole_gives(toys, shape, factor, engine, data):
    description, folder = toys[factor]
    holes, masks = holes_in(shape, data), [mask_over(data) for _ in range(data.draw(st.integers(0, 2)))]
    pixels = random_pixels(*shape)
    bands = data.draw(st.sampled_from([[0, 1, 2, 3], [2], [0, 3]]))  # one is enough
    missing = holes[..., np.newaxis] & np.isin(np.arange(4), bands)
    image, _ = image_of(np.where(missing, np.float32(data.draw(st.sampled_from([0, np.nan]))), pixels))
    region = data.draw(windows(factor * shape[0], factor * shape[1]))
    size, tile = data.draw(cuts(max(region.rows, region.columns)))
    options = {"masks": masks, "engine": engine, "tile_size": tile}
    values, valid = in_regions(
        lambda part: super_resolved({"lr": image}, description, folder, part, **options), region, size
    )

    grid = Grid(LEFT, TOP, GSD / factor, GSD / factor, factor * shape[1], factor * shape[0], "")
    masked = np.zeros((grid.rows, grid.columns), bool)
    for mask in masks:
        masked |= masked_by(mask, grid)
    rows, columns = (under_centres(factor * length, GSD / factor, GSD) for length in shape)
    window = np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]
    present = ~(holes[np.ix_(rows, columns)] | masked)[window]
    np.testing.assert_array_equal(valid, np.broadcast_to(present[..., np.newaxis], valid.shape))

    hidden = masked.reshape(shape[0], factor, shape[1], factor).all(axis=(1, 3))
    whole = at_once(folder, "integer", lr=filled_whole(pixels, holes | hidden))[window]
    assert np.abs(values - whole)[valid].max(initial=0) <= 1
    touched = ndimage.maximum_filter(holes | hidden, 2 * RADIUS + 1, mode="reflect")
    untouched = valid & ~touched[np.ix_(rows, columns)][window][..., np.newaxis]
    np.testing.assert_array_equal(values[untouched], whole[untouched])


@settings(max_examples=examples(25), **EXAMPLES)
@given(shape=shapes(120), factor=st.sampled_from(FACTORS), gsd=st.sampled_from([7.5, 10.0, 20.0]), data=st.data())
def test_images_of_another_spacing_are_missing_where_their_nearest_pixel_is(toys, shape, factor, gsd, data):
    """And the others are the same in any regions and tiles, by any engine."""
    description, folder = toys[factor]
    holes = holes_in(shape, data)
    image, _ = image_of(np.where(holes[..., np.newaxis], np.float32(0), random_pixels(*shape)), gsd)
    grid = product_grid(image_grid(image), description.gsd)
    assert (grid.rows, grid.columns) == tuple(-(-round(n * gsd / UNIT) // round(grid.dx / UNIT)) for n in shape)
    region = data.draw(windows(grid.rows, grid.columns))

    def made_by(engine):
        size, tile = data.draw(cuts(max(region.rows, region.columns), most=6))
        options = {"engine": engine, "tile_size": tile}
        return in_regions(
            lambda part: super_resolved({"lr": image}, description, folder, part, **options), region, size
        )

    (values, valid), (others, valid_too) = made_by("otbtf"), made_by("tensorflow")
    rows, columns = (
        np.minimum(under_centres(number, grid.dx, gsd), length - 1)
        for number, length in zip((grid.rows, grid.columns), shape)
    )
    present = ~holes[np.ix_(rows, columns)][region.y :, region.x :][: region.rows, : region.columns]
    np.testing.assert_array_equal(valid, np.broadcast_to(present[..., np.newaxis], valid.shape))
    np.testing.assert_array_equal(valid_too, valid)
    assert np.abs(values - others)[valid].max(initial=0) <= 1


def mirrored_from(pixels, first, stop):
    """Return pixels from a place (row, column) before the image to one behind it, mirrored by numpy."""
    before = [max(-start, 0) for start in first]
    after = [max(end - size, 0) for end, size in zip(stop, pixels.shape)]
    padded = np.pad(pixels, (*zip(before, after), (0, 0)), mode="symmetric")
    top, left = (start + more for start, more in zip(first, before))
    return padded[top : top + stop[0] - first[0], left : left + stop[1] - first[1]]


@settings(max_examples=examples(60), **EXAMPLES)
@given(shape=shapes(), data=st.data())
def test_engines_agree_on_sources_of_any_spacings_in_any_order(stacks, shape, data):
    """Where OTBTF cuts the ground that sources of several spacings share, no pixel is lost or moved."""
    description, folder = data.draw(st.sampled_from(stacks))
    ratios = [round(source.gsd / description.gsd) for source in description.sources]
    arrays, images = [], {}
    for source, ratio in zip(description.sources, ratios):
        size = tuple(-(-length // ratio) for length in shape)
        missing = holes_in(size, data)[..., np.newaxis]
        arrays.append(np.where(missing, np.float32(0), random_pixels(*size, 1, seed=ratio)))
        images[source.name], _ = image_of(arrays[-1], source.gsd)
    masks = [mask_over(data)] if data.draw(st.booleans()) else []
    region = data.draw(windows(*shape))

    def made_by(engine):
        size, tile = data.draw(cuts(max(region.rows, region.columns), most=4))
        options = {"engine": engine, "tile_size": tile, "masks": masks}
        return in_regions(
            lambda part: super_resolved(images, description, folder, part, (LEFT, TOP), **options), region, size
        )

    (values, valid), (others, valid_too) = made_by("otbtf"), made_by("tensorflow")
    np.testing.assert_array_equal(valid, valid_too)
    np.testing.assert_array_equal(values[valid], others[valid])
    if not masks and all(array.all() for array in arrays):
        expected = sum(
            np.repeat(np.repeat(sums_around(array), ratio, 0), ratio, 1)[: shape[0], : shape[1]]
            for array, ratio in zip(arrays, ratios)
        )
        assert valid.all()
        np.testing.assert_array_equal(
            values, expected[region.y : region.y + region.rows, region.x : region.x + region.columns]
        )


@settings(max_examples=examples(12), **EXAMPLES)
@given(shape=shapes(200), engine=engines, kind=kinds, data=st.data())
@pytest.mark.parametrize("role", ["2x", "6x"])
def test_dsen2_makes_of_parts_what_it_makes_of_the_whole(real, role, shape, engine, kind, data):
    """Also where the 10 m bands begin or end inside of a pixel of 60 m."""
    folder = real[role]
    description = read_description(folder)
    ratios = {source.name: round(source.gsd / 10) for source in description.sources}
    rows, columns = shape
    images, arrays, step, crop = {}, {}, max(ratios.values()), description.crop
    y, x = (data.draw(st.integers(0, step - 1)) for _ in "yx")
    stop = [-(-length // step) * step + crop for length in (y + rows, x + columns)]
    for source in description.sources:
        ratio = ratios[source.name]
        first = (y, x) if ratio == 1 else (0, 0)
        size = (rows, columns) if ratio == 1 else [-(-length // ratio) for length in (y + rows, x + columns)]
        pixels = random_pixels(*size, len(source.bands), top=5000, seed=ratio)
        images[source.name], _ = image_of(pixels, source.gsd, (LEFT + 10 * first[1], TOP - 10 * first[0]))
        start = [-crop // ratio - place for place in first]
        arrays[source.name] = mirrored_from(pixels, start, [end // ratio - place for end, place in zip(stop, first)])
    whole = at_once(folder, kind, **arrays)[y : y + rows, x : x + columns]

    part = data.draw(windows(rows, columns))
    region = dataclasses.replace(part, x=part.x + x, y=part.y + y)
    size, tile = data.draw(cuts(max(region.rows, region.columns), most=4))
    recipe = Recipe(description.bands, 10.0, (Network(description, folder, engine),))
    options = {"floating": kind == "float", "tile_size": tile}
    values, valid = in_regions(lambda part: computed(recipe, images, part, (LEFT, TOP), **options), region, size)
    expected = whole[part.y : part.y + part.rows, part.x : part.x + part.columns]
    assert values.shape == expected.shape and valid.all()
    assert np.abs(values - expected).max() <= (1 if kind == "integer" else 1e-4)


@settings(max_examples=examples(12), **EXAMPLES)
@given(shape=shapes(), kind=kinds, data=st.data())
@pytest.mark.parametrize("name", ["2x", "6x", "spot7"])
def test_engines_make_the_same_pixels_of_the_networks_of_this_project(real, name, shape, kind, data):
    """To the last bit, with gaps and masks, where they are given the same regions and tiles."""
    description = read_description(real[name])
    finest = min(source.gsd for source in description.sources)
    images = {}
    for source in description.sources:
        size = tuple(-(-length // round(source.gsd / finest)) for length in shape)
        pixels = random_pixels(*size, len(source.bands), top=5000, seed=round(source.gsd))
        missing = holes_in(size, data)[..., np.newaxis]
        images[source.name], _ = image_of(np.where(missing, np.float32(0), pixels), source.gsd)
    ratio = round(finest / description.gsd)
    region = data.draw(windows(ratio * shape[0], ratio * shape[1]))
    size, tile = data.draw(cuts(max(region.rows, region.columns), most=3))
    masks = tuple(mask_over(data) for _ in range(data.draw(st.integers(0, 1))))

    def made_by(engine):
        network = Network(description, real[name], engine)
        recipe = Recipe(description.bands, description.gsd, (network,), masks=masks)
        options = {"floating": kind == "float", "tile_size": tile}
        return in_regions(lambda part: computed(recipe, images, part, (LEFT, TOP), **options), region, size)

    (values, valid), (others, valid_too) = made_by("otbtf"), made_by("tensorflow")
    np.testing.assert_array_equal(valid, valid_too)
    np.testing.assert_array_equal(values[valid], others[valid])


@settings(max_examples=examples(12), **EXAMPLES)
@given(shape=shapes(120), engine=engines, kind=kinds, data=st.data())
def test_srmodel_makes_of_parts_what_it_makes_of_the_whole(real, shape, engine, kind, data):
    folder = real["spot7"]
    description = read_description(folder)
    pixels = random_pixels(*shape, top=3000)
    image, _ = image_of(pixels)
    region = data.draw(windows(4 * shape[0], 4 * shape[1]))
    size, tile = data.draw(cuts(max(region.rows, region.columns), most=4))
    options = {"output_kind": kind, "engine": engine, "tile_size": tile}
    values, valid = in_regions(
        lambda part: super_resolved({"lr": image}, description, folder, part, **options), region, size
    )
    whole = at_once(folder, kind, lr=mirrored(pixels, description.crop // 4))
    expected = whole[region.y : region.y + region.rows, region.x : region.x + region.columns]
    assert valid.all()
    assert np.abs(values - expected).max() <= (1 if kind == "integer" else 1e-4)


@settings(max_examples=examples(14), **EXAMPLES)
@given(shape=shapes(), factor=st.sampled_from(FACTORS), engine=engines, floating=st.booleans(), data=st.data())
def test_the_file_of_a_product_has_those_pixels(toys, tmp_path, shape, factor, engine, floating, data):
    """From an image to a Cloud-Optimized GeoTIFF, of which GDAL reads the pixels."""
    description, folder = toys[factor]
    holes = holes_in(shape, data)
    holes[0, 0] = False
    pixels = random_pixels(*shape)
    image, _ = image_of(np.where(holes[..., np.newaxis], np.float32(0), pixels))
    grid = product_grid(image_grid(image), description.gsd)
    region = data.draw(windows(grid.rows, grid.columns))
    size, tile = data.draw(cuts(max(region.rows, region.columns), most=6))
    recipe = Recipe(BANDS, description.gsd, (Network(description, folder, engine),))

    def placed(part):
        return dataclasses.replace(part, x=region.x + part.x, y=region.y + part.y)

    def read(part):
        with OTB_LOCK:
            return recipe.read({"lr": image}, placed(part), (LEFT, TOP))

    maker = SimpleNamespace(
        read=read,
        compute=lambda part, blocks: recipe.compute(blocks, placed(part), (LEFT, TOP), floating, tile),
    )
    path = tmp_path / f"{next(NUMBERS)}.tif"
    layout = Layout(shifted(grid, region), BANDS, "float32" if floating else "uint16")
    parts = plan(Region(0, 0, region.columns, region.rows), size)
    rows, columns = (under_centres(factor * length, GSD / factor, GSD) for length in shape)
    window = np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]
    present = ~holes[np.ix_(rows, columns)][window]
    if not present.any():
        with pytest.raises(ValueError, match="expected valid pixels, got nodata only"):
            write_product(path, layout, parts, maker, {})
        return
    write_product(path, layout, parts, maker, {})

    dataset = gdal.Open(str(path))
    values = np.moveaxis(dataset.ReadAsArray(), 0, -1)
    assert (dataset.RasterXSize, dataset.RasterYSize) == (region.columns, region.rows)
    gsd = description.gsd
    assert dataset.GetGeoTransform() == (LEFT + region.x * gsd, gsd, 0, TOP - region.y * gsd, 0, -gsd)
    missing = np.isnan(values) if floating else values == 0
    np.testing.assert_array_equal(missing, np.broadcast_to(~present[..., np.newaxis], values.shape))
    whole = at_once(folder, "float" if floating else "integer", lr=filled_whole(pixels, holes))[window]
    difference = np.abs(values.astype(np.float64) - whole)[present]
    assert difference.max() <= (1e-6 if floating else 1)
    if not holes.any():
        np.testing.assert_array_equal(values, whole)
