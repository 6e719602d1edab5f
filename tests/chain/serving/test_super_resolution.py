# SPDX-License-Identifier: Apache-2.0
"""Products of any size, region by region: coverage, place, seams, and missing pixels."""

import numpy as np
import pyotb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from osgeo import gdal

from chain.raster import blocks, grids
from chain.serving import super_resolution
from models.description import Source, read_description
from tests import toy_models
from tests.examples import slow
from tests.products import super_resolved

LEFT, TOP = 300000.0, 5000040.0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    folders = {f"nearest{k}": toy_models.nearest(root / f"nearest{k}", k, 4 * k, gsd=6.0) for k in (1, 2, 3, 4)}
    folders["blurring"] = toy_models.blurring(root / "blurring", 4, 16, gsd=6.0)
    return {name: (read_description(folder), folder) for name, folder in folders.items()}


def image_of(pixels, gsd=6.0, name="/vsimem/test_super_resolution.tif", corner=(LEFT, TOP)):
    """Return a pyotb image of pixels (rows, columns, bands) held in GDAL's memory."""
    grid = grids.Grid(*corner, gsd, gsd, pixels.shape[1], pixels.shape[0], projection())
    dataset = gdal.GetDriverByName("GTiff").Create(name, grid.columns, grid.rows, pixels.shape[2], gdal.GDT_Float32)
    dataset.SetGeoTransform(grid.geotransform)
    dataset.SetProjection(grid.projection)
    dataset.WriteArray(np.moveaxis(pixels.astype(np.float32), 2, 0))
    del dataset
    return pyotb.ExtractROI({"in": name})


def projection():
    from osgeo import osr

    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    return crs.ExportToWkt()


def whole(image, model, size=64, tile=32, region=None, **options):
    """Super-resolve an image in regions of `size`, and return the product and its validity."""
    description, folder = model
    grid = grids.product_grid(grids.image_grid(image), description.gsd)
    region = region or grids.Region(0, 0, grid.columns, grid.rows)
    result = np.full((region.rows, region.columns, len(description.bands)), np.nan, np.float32)
    valid = np.zeros(result.shape[:2], bool)
    for part in grids.plan(region, size):
        place = np.s_[part.y - region.y :, part.x - region.x :]
        values, present = super_resolved({"lr": image}, description, folder, part, tile_size=tile, **options)
        result[place][: part.rows, : part.columns] = values
        assert (present == present[..., :1]).all()
        valid[place][: part.rows, : part.columns] = present[..., 0]
    return result, valid


def random_pixels(rows, columns, seed=0, bands=4):
    return np.random.default_rng(seed).integers(1, 10000, (rows, columns, bands)).astype(np.float32)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 45), columns=st.integers(1, 45), factor=st.sampled_from([1, 2, 3, 4]))
def test_a_product_covers_its_whole_input_whatever_its_size(models, rows, columns, factor):
    pixels = random_pixels(rows, columns)
    result, valid = whole(image_of(pixels), models[f"nearest{factor}"], size=72)
    np.testing.assert_array_equal(result, np.repeat(np.repeat(pixels, factor, 0), factor, 1))
    assert valid.all()


def test_regions_and_tiles_leave_no_seam(models):
    pixels = random_pixels(53, 67)
    image = image_of(pixels)
    reference, _ = whole(image, models["blurring"], size=512, tile=512)
    for size, tile in ((64, 64), (128, 40)):
        np.testing.assert_array_equal(whole(image, models["blurring"], size, tile)[0], reference)


def test_a_whole_image_equals_tensorflow_called_on_the_mirrored_image(models):
    import tensorflow as tf

    pixels = random_pixels(40, 31)
    description, folder = models["blurring"]
    result, _ = whole(image_of(pixels), models["blurring"])
    margin = description.crop // 4
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    network = tf.saved_model.load(folder).signatures["serving_default"]
    expected = network(lr=tf.constant(padded[np.newaxis]))[description.outputs["integer"]].numpy()[0]
    np.testing.assert_array_equal(result, expected)


def test_resampling_keeps_the_ground_and_leaves_no_seam(models):
    ramp = np.add.outer(20.0 * np.arange(41), 10.0 * np.arange(37))[..., np.newaxis] * np.ones(4) + 1000
    image = image_of(ramp, gsd=10.0)
    result, valid = whole(image, models["nearest4"], size=64)
    assert result.shape == (int(np.ceil(410 / 1.5)), int(np.ceil(370 / 1.5)), 4) and valid.all()
    x, y = ((np.arange(n) // 4 + 0.5) * 6.0 for n in result.shape[1::-1])
    expected = np.round(np.add.outer(20 * (y / 10 - 0.5), 10 * (x / 10 - 0.5)) + 1000)
    inside = np.s_[20:-20, 20:-20]
    assert np.abs(result[..., 0] - expected)[inside].max() <= 1
    assert np.abs(result - whole(image, models["nearest4"], size=512)[0]).max() <= 1


@pytest.mark.parametrize(
    "missing, gsd",
    [
        (0.0, 10.0),
        (np.nan, 6.0),
        slow(0.0, 6.0),
        slow(np.nan, 10.0),
    ],
)
def test_missing_pixels_stay_missing_and_no_further(models, gsd, missing):
    pixels = np.full((40, 44, 4), 3000.0, np.float32)
    holes = np.zeros((40, 44), bool)
    holes[5:20, 9:23] = True
    holes[:, -1] = True
    holes[30, 30] = True
    pixels[holes] = missing
    result, valid = whole(image_of(pixels, gsd), models["blurring"], size=64)
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * 1.5 / gsd).astype(int), m - 1) for n, m in zip(valid.shape, holes.shape)
    )
    np.testing.assert_array_equal(valid, ~holes[np.ix_(rows, columns)])
    assert np.abs(result[valid] - 3000).max() <= 1


def test_a_pixel_is_missing_when_one_band_is(models):
    pixels = random_pixels(10, 12)
    pixels[4, 5, 2] = 0
    _, valid = whole(image_of(pixels), models["nearest4"])
    assert np.argwhere(~valid).tolist() == [[y, x] for y in range(16, 20) for x in range(20, 24)]


def test_bands_may_be_missing_one_by_one(models):
    pixels = random_pixels(10, 12)
    pixels[4, 5, 2] = 0
    pixels[7:, :, 0] = np.nan
    description, folder = models["nearest4"]
    result, valid = super_resolved(
        {"lr": image_of(pixels)}, description, folder, grids.Region(0, 0, 48, 40), shared_nodata=False
    )
    expected = np.repeat(np.repeat(np.isfinite(pixels) & (pixels != 0), 4, 0), 4, 1)
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(result[valid], np.repeat(np.repeat(pixels, 4, 0), 4, 1)[valid])


def test_a_source_that_begins_elsewhere_is_placed_by_its_corner_and_missing_beyond_its_edge(tmp_path):
    sources = [Source("fine", ("B02",), 10.0), Source("coarse", ("B05",), 20.0)]
    folder = toy_models.export(
        tmp_path / "model", lambda f, c: f * 0 + toy_models.upsample(c, 2), sources, 10.0, 4, bands=("B05",)
    )
    fine, coarse = random_pixels(21, 33, 1, 1), random_pixels(9, 16, 2, 1)
    fine_image = image_of(fine, 10.0)
    origin = (LEFT - 10, TOP + 10)
    coarse_image = image_of(coarse, 20.0, "/vsimem/test_shifted.tif", corner=origin)
    result, valid = super_resolved(
        {"fine": fine_image, "coarse": coarse_image},
        read_description(folder),
        folder,
        grids.Region(1, 1, 33, 21),
        origin=origin,
        shared_nodata=False,
    )
    expected = np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    np.testing.assert_array_equal(result[:17, :31], expected[1:, 1:])
    assert valid[:19].all() and not valid[19:].any()


@pytest.mark.parametrize("gsd, factor, tolerance", [(10.0, 1, 0), (20.0, 2, 1e-2)])
def test_resampling_bands_that_no_network_makes(gsd, factor, tolerance):
    ramp = np.add.outer(30.0 * np.arange(40), 10.0 * np.arange(50))[..., np.newaxis] + 100
    ramp[6, 7] = 0
    region = grids.Region(3, 2, 30, 28)
    place = super_resolution.ground(region, (LEFT, TOP), 10.0)
    block = blocks.read_block(image_of(ramp, gsd), [place], super_resolution.INTERPOLATION_SUPPORT, 0.0)
    values, valid = super_resolution.resample(block, place, 10.0)
    y, x = ((start + np.arange(count) + 0.5) / factor for start, count in ((2, 28), (3, 30)))
    hole = np.logical_and.outer(np.floor(y) == 6, np.floor(x) == 7)
    np.testing.assert_array_equal(valid[..., 0], ~hole)
    expected = np.add.outer(30 * (y - 0.5), 10 * (x - 0.5)) + 100
    near = np.logical_and.outer(np.abs(y - 6.5) < 4, np.abs(x - 7.5) < 4) | np.logical_or.outer(y < 2, x < 2)
    np.testing.assert_allclose(values[..., 0][~near], expected[~near], atol=tolerance)


def test_fill_is_seamless_where_valid_pixels_see_it(models):
    pixels = random_pixels(60, 60)
    pixels[20:45, 17:50] = 0
    image = image_of(pixels)
    reference, valid = whole(image, models["blurring"], size=512)
    result, same = whole(image, models["blurring"], size=64)
    np.testing.assert_array_equal(valid, same)
    np.testing.assert_array_equal(result[valid], reference[valid])


def test_an_image_without_valid_pixels_runs_no_network(models):
    description, _ = models["nearest4"]
    result, valid = super_resolved(
        {"lr": image_of(np.zeros((9, 9, 4)))}, description, "/nonexistent", grids.Region(0, 0, 36, 36)
    )
    assert not valid.any() and not result.any()


def test_fill_missing():
    pixels = np.arange(49, dtype=np.float32).reshape(7, 7, 1) + 1
    present = np.ones((7, 7, 1), bool)
    present[3, 3] = False
    assert blocks.fill_missing(pixels, present, 4)[3, 3, 0] == pixels[3, 3, 0]
    present[:, 2:] = False
    filled = blocks.fill_missing(pixels, present, 2)[..., 0]
    assert filled[3, 2] == np.mean(pixels[2:5, 1]) and filled[0, 6] == pixels[:, :2].mean()
    np.testing.assert_array_equal(filled[:, :2], pixels[:, :2, 0])


@given(start=st.integers(-60, 60), length=st.integers(1, 60), size=st.integers(1, 20))
def test_mirrored_places_are_those_of_numpy(start, length, size):
    padded = np.pad(np.arange(size), 200, mode="symmetric")
    np.testing.assert_array_equal(
        blocks.mirrored(start, start + length, size), padded[200 + start : 200 + start + length]
    )


def test_box_is_enlarged_to_whole_pixels_of_the_models_source():
    native = grids.Grid(LEFT, TOP, 10.0, 10.0, 50, 40, "")
    product = grids.Grid(LEFT, TOP, 1.5, 1.5, 334, 267, "")
    assert grids.box_region((1, 2, 5, 3), native, product, 4) == grids.Region(4, 12, 36, 24)
    assert grids.box_region((0, 0, 50, 40), native, product, 4) == grids.Region(0, 0, 334, 267)
    with pytest.raises(ValueError, match="--box: expected x,y,w,h inside 50 x 40 input pixels, got 46,0,5,3"):
        grids.box_region((46, 0, 5, 3), native, product, 4)


def test_a_box_is_a_part_of_the_whole_product(models):
    pixels = random_pixels(50, 60)
    image = image_of(pixels)
    reference, _ = whole(image, models["blurring"])
    part, _ = whole(image, models["blurring"], region=grids.Region(40, 20, 101, 77))
    np.testing.assert_array_equal(part, reference[20:97, 40:141])


def test_two_sources_of_two_spacings_are_placed_together(tmp_path):
    sources = [Source("fine", ("B02",), 10.0), Source("coarse", ("B05",), 20.0)]
    folder = toy_models.export(
        tmp_path / "model", lambda f, c: f + toy_models.upsample(c, 2), sources, 10.0, 4, bands=("B05",)
    )
    fine, coarse = random_pixels(34, 50, 1, 1), random_pixels(17, 25, 2, 1)
    images = {"fine": image_of(fine, 10.0), "coarse": image_of(coarse, 20.0, "/vsimem/test_coarse.tif")}
    description = read_description(folder)
    result, _ = super_resolved(images, description, folder, grids.Region(8, 8, 42, 26))
    expected = fine + np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    np.testing.assert_array_equal(result, expected[8:, 8:])


def test_wrong_band_count_is_refused(models):
    description, folder = models["nearest4"]
    with pytest.raises(ValueError, match="input: expected 4 bands, B04, B03, B02, B08, got 3"):
        super_resolved({"lr": image_of(random_pixels(9, 9, bands=3))}, description, folder, grids.Region(0, 0, 36, 36))


def test_nothing_stays_in_gdals_memory(models):
    image = image_of(random_pixels(20, 20), 10.0)
    before = set(gdal.ReadDir("/vsimem/"))
    whole(image, models["nearest4"])
    assert set(gdal.ReadDir("/vsimem/")) == before
