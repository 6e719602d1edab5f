# SPDX-License-Identifier: Apache-2.0
"""Products of several networks and of bands that are taken: which pixels stand where."""

import numpy as np
import pyotb
import pytest
from osgeo import gdal

from chain.raster.grids import Region
from chain.serving.network import Network
from chain.serving.recipe import Recipe
from models.description import Source, read_description
from tests import toy_models
from tests.products import computed

LEFT, TOP = 300000.0, 5000040.0
X10, X20, X60 = ("B04", "B03", "B02", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12"), ("B01", "B09")
ROWS, COLUMNS = 96, 120
WHOLE = Region(0, 0, COLUMNS, ROWS)
RANDOM = np.random.default_rng(7)
PIXELS = {
    name: RANDOM.integers(1, 9000, (ROWS // ratio, COLUMNS // ratio, bands)).astype(np.float32)
    for name, ratio, bands in (("x10", 1, 4), ("x20", 2, 6), ("x60", 6, 2), ("fine", 1, 2), ("B10", 6, 1))
}
SPACING = {"x10": 10.0, "x20": 20.0, "x60": 60.0, "fine": 10.0, "B10": 60.0}
FINE, CIRRUS = Source("fine", ("B02", "B08"), 10.0), Source("B10", ("B10",), 60.0)


def enlarged(pixels, ratio):
    return np.repeat(np.repeat(pixels, ratio, 0), ratio, 1)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Networks that repeat the pixels of their coarsest source; the third one adds 1000 to them."""
    root = tmp_path_factory.mktemp("models")
    folders = [
        toy_models.dsen2(root / "2x", "2x"),
        toy_models.dsen2(root / "6x", "6x"),
        toy_models.dsen2(root / "other", "2x", change=1000.0),
    ]
    return [Network(read_description(folder), folder) for folder in folders]


@pytest.fixture
def images(write_raster):
    """Return a function that makes pyotb images of `PIXELS`, some of which are changed."""

    def make(scale=1.0, **changed):
        return {
            name: pyotb.ExtractROI(
                {"in": str(write_raster(f"{name}.tif", changed.get(name, array), SPACING[name] * scale))}
            )
            for name, array in PIXELS.items()
        }

    return make


def test_bands_of_two_networks_and_taken_ones_stand_in_the_order_asked_for(networks, images):
    bands = ("B09", "B08", "B12", "B05", "B02", "B01")
    recipe = Recipe(bands, 10.0, tuple(networks[:2]), (FINE,), shared_nodata=False)
    values, valid = computed(recipe, images(), WHOLE, (LEFT, TOP), tile_size=48)
    expected = {"B08": PIXELS["fine"][..., 1], "B02": PIXELS["fine"][..., 0]}
    expected |= {band: enlarged(PIXELS["x20"], 2)[..., X20.index(band)] for band in ("B12", "B05")}
    expected |= {band: enlarged(PIXELS["x60"], 6)[..., X60.index(band)] for band in ("B09", "B01")}
    np.testing.assert_array_equal(values, np.stack([expected[band] for band in bands], axis=2))
    assert values.dtype == np.float32 and valid.dtype == bool and valid.shape == values.shape and valid.all()


def test_a_region_is_that_part_of_the_whole(networks, images):
    recipe = Recipe(("B02", "B05", "B01", "B10"), 10.0, tuple(networks[:2]), (FINE, CIRRUS), shared_nodata=False)
    opened = images()
    values, _ = computed(recipe, opened, WHOLE, (LEFT, TOP))
    part, _ = computed(recipe, opened, Region(13, 29, 50, 37), (LEFT, TOP))
    np.testing.assert_array_equal(part[..., :3], values[29:66, 13:63, :3])
    np.testing.assert_allclose(part[..., 3], values[29:66, 13:63, 3], atol=1e-2)


def test_of_bands_that_two_make_the_first_ones_are_taken(networks, images):
    two, _, other = networks
    opened = images()
    for order, added in (((two, other), 0), ((other, two), 1000)):
        values, _ = computed(Recipe(("B06",), 10.0, order), opened, WHOLE, (LEFT, TOP))
        np.testing.assert_array_equal(values[..., 0], enlarged(PIXELS["x20"][..., 1], 2) + added)
    made_or_taken = Recipe(("B06",), 10.0, (other,), (Source("fine", ("B06", "B07"), 10.0),))
    values, _ = computed(made_or_taken, opened, WHOLE, (LEFT, TOP))
    np.testing.assert_array_equal(values[..., 0], PIXELS["fine"][..., 0])


def test_floating_products_are_reflectance(networks, images):
    recipe = Recipe(("B02", "B05", "B01"), 10.0, tuple(networks[:2]), (FINE,))
    values, _ = computed(recipe, images(), WHOLE, (LEFT, TOP), floating=True)
    numbers, _ = computed(recipe, images(), WHOLE, (LEFT, TOP))
    np.testing.assert_allclose(values, numbers * 1e-4, rtol=1e-6)
    assert values.dtype == np.float32


@pytest.mark.parametrize("missing", [np.nan, 0.0])
@pytest.mark.parametrize("shared_nodata", [True, False])
def test_what_is_missing_in_one_band_is_so_there_alone_unless_shared(networks, images, missing, shared_nodata):
    coarse = PIXELS["x20"].copy()
    coarse[5:9, 7:30, 3] = missing
    recipe = Recipe(("B05", "B8A", "B01", "B02"), 10.0, tuple(networks[:2]), (FINE,), shared_nodata=shared_nodata)
    values, valid = computed(recipe, images(x20=coarse), WHOLE, (LEFT, TOP))
    hole = np.zeros((ROWS, COLUMNS), bool)
    hole[10:18, 14:60] = True
    for index, (band, affected) in enumerate(zip(recipe.bands, (shared_nodata, True, shared_nodata, False))):
        np.testing.assert_array_equal(valid[..., index], ~hole if affected else True, err_msg=band)
    there = valid & ~hole[..., np.newaxis]
    np.testing.assert_array_equal(values[..., 0][there[..., 0]], enlarged(PIXELS["x20"][..., 0], 2)[there[..., 0]])
    np.testing.assert_array_equal(values[..., 1][there[..., 1]], enlarged(PIXELS["x20"][..., 3], 2)[there[..., 1]])


def test_another_nodata_value(networks, images):
    fine = PIXELS["fine"].copy()
    fine[3, 4, 0] = 65535
    recipe = Recipe(("B02", "B08"), 10.0, (), (FINE,))
    _, valid = computed(recipe, images(fine=fine), WHOLE, (LEFT, TOP), nodata=65535.0)
    assert np.argwhere(~valid).tolist() == [[3, 4, 0]]


def keys(distance):
    """Return the weight of bicubic interpolation (Keys 1981, a = -0.5)."""
    d = np.abs(distance)
    return np.where(d < 1, 1.5 * d**3 - 2.5 * d**2 + 1, np.where(d < 2, -0.5 * (d**3 - 5 * d**2 + 8 * d - 4), 0.0))


def bicubic(pixels, ratio):
    """Interpolate, with pixels mirrored beyond the edges."""
    matrices = []
    for count in pixels.shape:
        centres = (np.arange(count * ratio) + 0.5) / ratio - 0.5
        weights = keys(centres[:, np.newaxis] - np.arange(-3, count + 3))
        mirror = np.pad(np.eye(count), ((3, 3), (0, 0)), mode="symmetric")
        matrices.append(weights @ mirror)
    return matrices[0] @ pixels @ matrices[1].T


def test_a_coarse_taken_band_is_interpolated_as_numpy_and_gdal_do(images, write_raster):
    smooth = np.add.outer(np.sin(np.arange(16) / 2), np.cos(np.arange(20) / 3))[..., np.newaxis] * 1000 + 4000
    recipe = Recipe(("B10",), 10.0, (), (CIRRUS,))
    for coarse in (PIXELS["B10"], smooth.astype(np.float32)):
        values, valid = computed(recipe, images(B10=coarse), WHOLE, (LEFT, TOP))
        assert valid.all()
        np.testing.assert_allclose(values[..., 0], bicubic(coarse[..., 0], 6), atol=0.5)
        name = str(write_raster("coarse.tif", coarse, 60.0))
        warped = gdal.Warp("", name, format="MEM", xRes=10, yRes=10, resampleAlg="cubic").ReadAsArray()
        np.testing.assert_allclose(values[12:-12, 12:-12, 0], warped[12:-12, 12:-12], atol=0.5)


def test_a_hole_in_an_interpolated_band_stays_as_it_is_and_bleeds_nowhere(images):
    coarse = np.full((16, 20, 1), 500.0, np.float32)
    coarse[4:7, 9] = 0
    values, valid = computed(Recipe(("B10",), 10.0, (), (CIRRUS,)), images(B10=coarse), WHOLE, (LEFT, TOP))
    np.testing.assert_array_equal(valid, enlarged(coarse, 6) != 0)
    np.testing.assert_allclose(values[valid], 500, atol=1e-2)


def test_steps_tiles_and_sources_suit_all_networks(networks):
    two, six, _ = networks
    both = Recipe(("B05", "B01"), 10.0, (two, six), (FINE,))
    assert (both.step, Recipe(("B05",), 10.0, (two,)).step, Recipe(("B02",), 10.0, (), (FINE, CIRRUS)).step) == (
        6,
        2,
        1,
    )
    assert set(both.sources) == {"fine", "x10", "x20", "x60"}
    assert both.sources["x60"].bands == X60 and both.sources["x10"].bands == X10
    assert [both.tile(size) for size in (1024, 48, 25, 1)] == [1008, 48, 24, 24]


def test_networks_are_scaled_to_images_of_larger_pixels(networks, images):
    scaled = tuple(network.scaled(10.0) for network in networks[:2])
    assert [source.gsd for source in scaled[1].description.sources] == [100.0, 200.0, 600.0]
    assert (scaled[0].description.gsd, scaled[0].model_dir) == (100.0, networks[0].model_dir)
    assert networks[0].description.gsd == 10.0
    taken = (Source("fine", ("B02", "B08"), 100.0), Source("B10", ("B10",), 600.0))
    recipe = Recipe(("B05", "B01", "B08", "B10"), 100.0, scaled, taken, shared_nodata=False)
    values, valid = computed(recipe, images(scale=10.0), WHOLE, (LEFT, TOP))
    assert valid.all()
    np.testing.assert_array_equal(values[..., 0], enlarged(PIXELS["x20"][..., 0], 2))
    np.testing.assert_array_equal(values[..., 1], enlarged(PIXELS["x60"][..., 0], 6))
    np.testing.assert_array_equal(values[..., 2], PIXELS["fine"][..., 1])
    np.testing.assert_allclose(values[..., 3], bicubic(PIXELS["B10"][..., 0], 6), atol=0.5)
