# SPDX-License-Identifier: Apache-2.0
"""DSen2 on patches as its authors cut them, against a plain loop over patches of 10 m."""

import json

import numpy as np
import pyotb
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.raster.grids import Grid, Region
from chain.raster.mask import Mask
from chain.serving.network import Network
from inference.dsen2.original_tiling import BATCH, OriginalTiling, starts, super_resolve_patches
from models.description import FILE_NAME, ModelDescription, Source, read_description
from tests.products import computed
from tests.toy_models import upsample

LEFT, TOP = 300000.0, 5000040.0
SOURCES = {
    2: (Source("x10", ("B04", "B03"), 10.0), Source("x20", ("B05", "B06"), 20.0)),
    6: (
        Source("x10", ("B04", "B03"), 10.0),
        Source("x20", ("B05", "B06"), 20.0),
        Source("x60", ("B01", "B09"), 60.0),
    ),
}
SIDE, BORDER = {2: 128, 6: 192}, {2: 8, 6: 12}


class Patchwork(tf.Module):
    """A network that sees farther than the patches' border: what it makes depends on where patches lie."""

    def __init__(self, sources):
        super().__init__()

        def serve(*tensors):
            total = 0.0
            for tensor, source in zip(tensors, sources):
                numbers = upsample(tensor, round(source.gsd / 10))
                total += numbers + tf.nn.avg_pool2d(numbers, 33, 1, "SAME")
            return {"sr": total * 1e-4}

        specs = [tf.TensorSpec([None, None, None, 2], name=s.name) for s in sources]
        self.serve = tf.function(serve, input_signature=specs, autograph=False)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    found = {}
    for scale, sources in SOURCES.items():
        folder = tmp_path_factory.mktemp("model")
        module = Patchwork(sources)
        tf.saved_model.save(module, str(folder), signatures=module.serve)
        description = ModelDescription(
            system="dsen2",
            arguments={},
            sources=sources,
            gsd=10.0,
            bands=sources[-1].bands,
            crop=12,
            outputs={"float": "sr", "integer": "sr"},
            software={},
        )
        (folder / FILE_NAME).write_text(json.dumps(description.to_json()))
        found[scale] = Network(read_description(folder), str(folder))
    return found


def arrays(scale, rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    return {
        source.name: rng.integers(1, 9000, (round(rows * 10 / source.gsd), round(columns * 10 / source.gsd), 2)).astype(
            np.float32
        )
        for source in SOURCES[scale]
    }


def naive(images, network, scale):
    """Pad, cut, run and place one patch after the other, counting 10 m pixels."""
    side, border = SIDE[scale], BORDER[scale]
    rows, columns = images["x10"].shape[:2]
    step = side - 2 * border
    run = tf.saved_model.load(network.model_dir).signatures["serving_default"]
    ratios = {source.name: round(source.gsd / 10) for source in network.description.sources}
    padded = {
        name: np.pad(images[name], [(border // ratio,) * 2] * 2 + [(0, 0)], mode="symmetric")
        for name, ratio in ratios.items()
    }
    result = np.full((rows, columns, 2), np.nan, np.float32)
    for y in [min(y, rows - step) for y in range(0, rows, step)]:
        for x in [min(x, columns - step) for x in range(0, columns, step)]:
            patch = {
                name: tf.constant(
                    padded[name][y // ratio : (y + side) // ratio, x // ratio : (x + side) // ratio][np.newaxis]
                )
                for name, ratio in ratios.items()
            }
            made = run(**patch)["sr"].numpy()[0] * 1e4
            result[y : y + step, x : x + step] = made[border:-border, border:-border]
    return result


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_patches_begin_at_every_step_and_end_with_the_image(more, step):
    length = step + more - 1
    places = starts(length, step)
    assert places[0] == 0 and places[-1] == length - step and places == sorted(set(places))
    assert all(second - first <= step for first, second in zip(places, places[1:]))
    assert all(place == index * step for index, place in enumerate(places[:-1]))
    assert len(places) == -(-length // step)


@pytest.mark.parametrize(
    "scale, rows, columns", [(2, 112, 112), (2, 230, 150), (2, 112, 224), (6, 168, 198), (6, 342, 174)]
)
def test_patches_are_those_of_a_plain_loop(networks, scale, rows, columns):
    images = arrays(scale, rows, columns)
    result = super_resolve_patches(images, networks[scale])
    assert result.shape == (rows, columns, 2) and result.dtype == np.float32
    np.testing.assert_allclose(result, naive(images, networks[scale], scale), rtol=1e-5)


def test_more_patches_than_a_batch(networks, monkeypatch):
    import inference.dsen2.original_tiling as module

    images = arrays(2, 230, 350)
    expected = super_resolve_patches(images, networks[2])
    assert BATCH > 4
    monkeypatch.setattr(module, "BATCH", 4)
    np.testing.assert_allclose(super_resolve_patches(images, networks[2]), expected, rtol=1e-5)


@pytest.mark.parametrize("scale, rows, columns, least", [(2, 110, 200, 112), (2, 200, 110, 112), (6, 162, 180, 168)])
def test_images_smaller_than_a_patch_are_refused(networks, scale, rows, columns, least):
    message = f"--tiling original: expected at least {least} x {least} pixels of 10 m, a multiple of {scale}, "
    with pytest.raises(ValueError, match=f"{message}got {rows} x {columns}$"):
        super_resolve_patches(arrays(scale, rows, columns), networks[scale])


def test_images_whose_sizes_do_not_suit_each_other_are_refused(networks):
    images = arrays(2, 120, 130)
    images["x10"] = images["x10"][:119]
    with pytest.raises(ValueError, match="a multiple of 2, got 119 x 130 and 120 x 130$"):
        super_resolve_patches(images, networks[2])


@pytest.fixture
def opened(write_raster):
    """Return a function that makes pyotb images of arrays."""

    def make(images, **more):
        gsd = {"x10": 10.0, "x20": 20.0, "x60": 60.0, "fine": 10.0, "cirrus": 60.0}
        return {
            name: pyotb.ExtractROI({"in": str(write_raster(f"{name}.tif", array, gsd[name]))})
            for name, array in {**images, **more}.items()
        }

    return make


def test_the_recipe_puts_networks_taken_bands_and_missing_pixels_together(networks, opened):
    images = arrays(6, 180, 174)
    images["x20"][3:5, 4:9, 0] = 0
    fine = np.random.default_rng(5).integers(1, 9000, (180, 174, 2)).astype(np.float32)
    fine[7, 8, 1] = np.nan
    hidden = np.zeros((180, 174), bool)
    hidden[100:105, 50:80] = True
    mask = Mask("m", Grid(LEFT, TOP, 10.0, 10.0, 174, 180, ""), hidden)
    recipe = OriginalTiling(
        ("B01", "B03", "B05", "B09"),
        10.0,
        (networks[2], networks[6]),
        (Source("fine", ("B02", "B03"), 10.0),),
        shared_nodata=False,
        masks=(mask,),
    )
    region = Region(0, 0, 174, 180)
    values, valid = computed(recipe, opened(images, fine=fine), region, (LEFT, TOP))
    two = naive({name: images[name] for name in ("x10", "x20")}, networks[2], 2)
    six = naive(images, networks[6], 6)
    expected = np.stack([six[..., 0], fine[..., 1], two[..., 0], six[..., 1]], axis=2)
    there = np.repeat(~hidden[..., np.newaxis], 4, axis=2)
    there[7, 8, 1] = False
    there[6:10, 8:18, 2] = False
    np.testing.assert_array_equal(valid, there)
    np.testing.assert_allclose(values[valid], expected[valid], rtol=1e-5)
    floating, _ = computed(recipe, opened(images, fine=fine), region, (LEFT, TOP), floating=True)
    np.testing.assert_allclose(floating[valid], expected[valid] * 1e-4, rtol=1e-5)
    assert recipe.tile(64) > 10980


def test_a_part_is_tiled_from_its_own_corner_and_consists_of_whole_coarse_pixels(networks, opened):
    images = arrays(6, 240, 246)
    recipe = OriginalTiling(("B01",), 10.0, (networks[6],), shared_nodata=False)
    values, _ = computed(recipe, opened(images), Region(36, 12, 180, 174), (LEFT, TOP))
    part = {
        name: images[name][12 // r : (12 + 174) // r, 36 // r : (36 + 180) // r]
        for name, r in (("x10", 1), ("x20", 2), ("x60", 6))
    }
    np.testing.assert_allclose(values[..., 0], naive(part, networks[6], 6)[..., 0], rtol=1e-5)
    for region in (Region(2, 0, 180, 180), Region(0, 0, 182, 180), Region(0, 0, 180, 170)):
        with pytest.raises(ValueError, match="^--tiling original: expected a part of whole pixels of 60 m, got "):
            computed(recipe, opened(images), region, (LEFT, TOP))
