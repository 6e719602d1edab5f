# SPDX-License-Identifier: Apache-2.0
"""Any image, in any regions and tiles, by any engine, gives what the network makes of the whole image at once.

The whole is what TensorFlow returns when it is called once on the image with numpy's mirrored margins. Toy networks
compute with whole numbers, so that they are exact whatever the order of their sums.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal
from scipy import ndimage

from chain.raster.grids import Grid, Region, image_grid, plan, product_grid, shifted
from chain.raster.otb import OTB_LOCK
from chain.serving.layout import Layout
from chain.serving.network import Network
from chain.serving.product_file import write_product
from chain.serving.recipe import Recipe
from models.description import read_description
from tests.chain.serving.extents import (
    BANDS,
    EXAMPLES,
    FACTORS,
    GSD,
    LEFT,
    NUMBERS,
    RADIUS,
    TOP,
    UNIT,
    at_once,
    cuts,
    engines,
    holes_in,
    image_of,
    in_regions,
    kinds,
    mask_over,
    mirrored,
    phases,
    random_pixels,
    shapes,
    weights_of,
    windows,
)
from tests.examples import examples
from tests.products import super_resolved

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    root = tmp_path_factory.mktemp("toys")
    folders = {factor: phases(root / str(factor), factor) for factor in FACTORS}
    return {factor: (read_description(folder), folder) for factor, folder in folders.items()}


@pytest.fixture(autouse=True)
def memory():
    """Free GDAL's memory."""
    yield
    for name in gdal.ReadDir("/vsimem/") or ():
        if name.startswith("test_whole_extent_"):
            gdal.Unlink(f"/vsimem/{name}")


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


@pytest.mark.slow
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
