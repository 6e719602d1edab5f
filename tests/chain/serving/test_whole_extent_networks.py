# SPDX-License-Identifier: Apache-2.0
"""Any image, in any regions and tiles, by any engine, gives what the network makes of the whole image at once.

The whole is what TensorFlow returns when it is called once on the image with numpy's mirrored margins. These are the
networks of this project, and networks of several sources.
"""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal

from chain.serving.network import Network
from chain.serving.recipe import Recipe
from models.description import Source, read_description
from models.dsen2 import DSen2
from models.spot7 import SRModel
from tests import toy_models
from tests.chain.serving.extents import (
    BANDS,
    EXAMPLES,
    LEFT,
    NEIGHBOURS,
    TOP,
    at_once,
    cuts,
    engines,
    holes_in,
    image_of,
    in_regions,
    kinds,
    mask_over,
    mirrored,
    random_pixels,
    randomized,
    shapes,
    sums_around,
    windows,
)
from tests.examples import examples
from tests.products import computed, super_resolved

pytestmark = pytest.mark.keras


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


@pytest.fixture(autouse=True)
def memory():
    """Free GDAL's memory."""
    yield
    for name in gdal.ReadDir("/vsimem/") or ():
        if name.startswith("test_whole_extent_"):
            gdal.Unlink(f"/vsimem/{name}")


def mirrored_from(pixels, first, stop):
    """Return pixels from a place (row, column) before the image to one behind it, mirrored by numpy."""
    before = [max(-start, 0) for start in first]
    after = [max(end - size, 0) for end, size in zip(stop, pixels.shape)]
    padded = np.pad(pixels, (*zip(before, after), (0, 0)), mode="symmetric")
    top, left = (start + more for start, more in zip(first, before))
    return padded[top : top + stop[0] - first[0], left : left + stop[1] - first[1]]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
