# SPDX-License-Identifier: Apache-2.0
"""Ground that is left out: where, exactly there, and unseen by networks."""

import numpy as np
import pyotb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region
from chain.raster.mask import Mask, covered, reached, read_mask, wholly_covered
from chain.serving.network import Network
from chain.serving.recipe import Recipe
from models.description import Source, read_description
from tests import toy_models
from tests.products import computed, super_resolved

LEFT, TOP = 300000.0, 5000040.0


def wkt(epsg=32631):
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    return crs.ExportToWkt()


def grid_of(left, top, pixel, columns, rows):
    return Grid(LEFT + left, TOP + top, pixel, pixel, columns, rows, "")


def naive(mask, grid):
    """Look each pixel's centre up."""
    result = np.zeros((grid.rows, grid.columns), bool)
    for row in range(grid.rows):
        for column in range(grid.columns):
            x = grid.left + (column + 0.5) * grid.dx
            y = grid.top - (row + 0.5) * grid.dy
            across, down = (x - mask.grid.left) / mask.grid.dx, (mask.grid.top - y) / mask.grid.dy
            if 0 <= across < mask.grid.columns and 0 <= down < mask.grid.rows:
                result[row, column] = mask.missing[int(down), int(across)]
    return result


PLACES = st.integers(-30, 30).map(lambda k: 5.0 * k)
SPACINGS = st.sampled_from([7.5, 10.0, 20.0, 60.0])


@st.composite
def masks(draw):
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    grid = grid_of(draw(PLACES), draw(PLACES), draw(SPACINGS), columns, rows)
    missing = np.array(draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)))
    return Mask("m.tif", grid, missing.reshape(rows, columns))


@st.composite
def product_grids(draw):
    size = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return grid_of(draw(PLACES), draw(PLACES), draw(SPACINGS), *size)


@settings(deadline=None, max_examples=50)
@given(st.lists(masks(), max_size=2), product_grids())
def test_the_mask_under_each_centre_counts_and_none_beyond_its_edges(found, grid):
    expected = np.zeros((grid.rows, grid.columns), bool)
    for mask in found:
        np.testing.assert_array_equal(mask.at(grid), naive(mask, grid))
        expected |= naive(mask, grid)
    np.testing.assert_array_equal(covered(found, grid), expected)


@settings(deadline=None, max_examples=50)
@given(masks(), product_grids(), st.integers(1, 4))
def test_a_pixel_is_wholly_covered_when_all_its_parts_are(mask, grid, parts):
    finer = Grid(grid.left, grid.top, grid.dx / parts, grid.dy / parts, grid.columns * parts, grid.rows * parts, "")
    each = covered([mask], finer)
    expected = [
        [each[y * parts : (y + 1) * parts, x * parts : (x + 1) * parts].all() for x in range(grid.columns)]
        for y in range(grid.rows)
    ]
    np.testing.assert_array_equal(wholly_covered([mask], grid, parts), expected)


def test_values_and_classes_of_a_file(write_raster):
    values = np.random.default_rng(0).integers(0, 12, (9, 11)).astype(np.uint8)
    path = str(write_raster("scl.tif", values, gsd=20.0))
    for classes, missing in ((None, values != 0), ((3, 8, 9), np.isin(values, (3, 8, 9))), ((0,), values == 0)):
        mask = read_mask(path, wkt(), "--mask", classes)
        np.testing.assert_array_equal(mask.missing, missing)
        assert mask.grid.geotransform == (LEFT, 20.0, 0.0, TOP, 0.0, -20.0)


def unplaced(path):
    gdal.GetDriverByName("GTiff").Create(str(path), 4, 4, 1, gdal.GDT_Byte)
    return path


def turned(path):
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 4, 4, 1, gdal.GDT_Byte)
    dataset.SetGeoTransform((LEFT, 8, 6, TOP, 6, -8))
    dataset.SetProjection(wkt())
    return path


def test_the_share_that_a_mask_lies_on():
    grid = grid_of(0, 0, 10, 12, 10)
    for left, top, share in ((0, 0, 1.0), (-50, 70, 1.0), (60, 0, 0.5), (60, -50, 0.25), (120, 0, 0.0)):
        mask = Mask("m.tif", grid_of(left, top, 10, 24, 20), np.zeros((20, 24), bool))
        assert reached(mask, grid) == pytest.approx(share)


def test_an_alpha_band_of_a_mask_is_no_mask(write_raster):
    path = str(write_raster("m.tif", np.dstack([np.eye(4), np.ones((4, 4))]).astype(np.uint8)))
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(2).SetColorInterpretation(gdal.GCI_AlphaBand)
    del dataset
    np.testing.assert_array_equal(read_mask(path, wkt(), "--mask").missing, np.eye(4, dtype=bool))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path, write: write("m.tif", np.ones((4, 4, 3), np.uint8)), "expected a raster of one band, got 3 in "),
        (
            lambda path, write: write("m.tif", np.ones((4, 4), np.uint8), epsg=32632),
            "expected the image's coordinate system",
        ),
        (lambda path, write: unplaced(path), r"expected a north-up raster, got geotransform \(0.0, 1.0"),
        (lambda path, write: turned(path), "expected a north-up raster"),
        (lambda path, write: path, "expected a readable raster, got .*m.tif"),
        (lambda path, write: path.write_text("no raster") and path, "expected a readable raster, got .*m.tif"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(tmp_path, write_raster, make, message):
    path = str(make(tmp_path / "m.tif", write_raster))
    with pytest.raises(ValueError, match=f"^--mask: .*{message}"):
        read_mask(path, wkt(), "--mask")


def test_a_mask_that_is_cut_short_is_refused(tmp_path, write_raster):
    path = write_raster("m.tif", np.random.default_rng(0).integers(0, 255, (300, 300)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(ValueError, match="^--mask: expected a readable raster"):
        read_mask(str(path), wkt(), "--mask")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Networks of 10 m: one that averages, and one that averages 10 m and 20 m together."""
    import tensorflow as tf

    def mean(tensor, radius=2):
        side, bands = 2 * radius + 1, tensor.shape[-1]
        return tf.nn.depthwise_conv2d(tensor, tf.ones((side, side, bands, 1)) / side**2, (1, 1, 1, 1), "SAME")

    root = tmp_path_factory.mktemp("models")
    single = toy_models.blurring(root / "single", 1, 8, 10.0, bands=("B04", "B03"))
    sources = [Source("x10", ("B02",), 10.0), Source("x20", ("B05",), 20.0)]
    both = toy_models.export(
        root / "both",
        lambda fine, coarse: mean(fine) / 2 + toy_models.upsample(mean(coarse), 2) / 2,
        sources,
        10.0,
        8,
        bands=("B05",),
    )
    return {name: Network(read_description(folder), folder) for name, folder in (("single", single), ("both", both))}


@pytest.fixture
def image(write_raster):
    """Return a function that makes a pyotb image."""

    def make(name, pixels, gsd):
        return pyotb.ExtractROI({"in": str(write_raster(name, np.asarray(pixels, np.float32), gsd))})

    return make


def constant(rows, columns, wild, bands, value=3000.0):
    """Return a constant image with a wild value where it is told."""
    return np.where(wild[..., np.newaxis], 60000.0, np.full((rows, columns, bands), value))


def user_mask(wild, gsd=10.0, shift=0.0):
    return Mask("m", Grid(LEFT + shift, TOP, gsd, gsd, wild.shape[1], wild.shape[0], ""), wild)


@pytest.mark.parametrize("shared_nodata", [True, False])
def test_masked_ground_is_missing_in_all_bands_exactly_there_and_not_seen(models, image, shared_nodata):
    wild = np.zeros((40, 50), bool)
    wild[10:25, 12:30] = wild[36:, 45:] = True
    network, images = models["single"], {"lr": image("s.tif", constant(40, 50, wild, 2), 10.0)}
    for mask in (user_mask(wild), user_mask(np.repeat(np.repeat(wild, 2, 0), 2, 1), 5.0)):
        values, valid = super_resolved(
            images,
            network.description,
            network.model_dir,
            Region(0, 0, 50, 40),
            shared_nodata=shared_nodata,
            masks=(mask,),
        )
        np.testing.assert_array_equal(valid, np.repeat(~wild[..., np.newaxis], 2, axis=2))
        assert (values[valid] == 3000).all()


def test_the_regions_that_a_mask_is_computed_by_do_not_matter(models, image):
    rng = np.random.default_rng(3)
    wild = rng.random((40, 56)) < 0.1
    network, images = models["single"], {"lr": image("s.tif", rng.integers(1, 9000, (40, 56, 2)), 10.0)}

    def compute(region):
        return super_resolved(images, network.description, network.model_dir, region, masks=(user_mask(wild),))

    values, valid = compute(Region(0, 0, 56, 40))
    for region in (Region(0, 0, 24, 16), Region(17, 9, 31, 27)):
        part = np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]
        some, there = compute(region)
        np.testing.assert_array_equal(there, valid[part])
        np.testing.assert_array_equal(some[there], values[part][there])


def test_a_mask_of_whole_coarse_pixels_hides_all_sources_and_taken_bands(models, image):
    wild = np.zeros((16, 18), bool)
    wild[4:9, 6:12] = True
    fine, coarse = np.repeat(np.repeat(wild, 6, 0), 6, 1), np.repeat(np.repeat(wild, 3, 0), 3, 1)
    images = {
        "x10": image("s10.tif", constant(96, 108, fine, 1), 10.0),
        "x20": image("s20.tif", constant(48, 54, coarse, 1), 20.0),
        "as_is": image("t10.tif", constant(96, 108, fine, 1), 10.0),
        "interpolated": image("t60.tif", constant(16, 18, wild, 1), 60.0),
    }
    taken = (Source("as_is", ("B08",), 10.0), Source("interpolated", ("B10",), 60.0))
    recipe = Recipe(
        ("B05", "B08", "B10"), 10.0, (models["both"],), taken, shared_nodata=False, masks=(user_mask(wild, 60.0),)
    )
    values, valid = computed(recipe, images, Region(0, 0, 108, 96), (LEFT, TOP))
    np.testing.assert_array_equal(valid, np.repeat(~fine[..., np.newaxis], 3, axis=2))
    np.testing.assert_allclose(values[valid], 3000, atol=1e-2)


def test_a_mask_finer_than_a_band_is_exact_in_the_product_and_leaves_the_band_to_its_neighbours(models, image):
    rng = np.random.default_rng(4)
    wild = np.zeros((36, 36), bool)
    wild[5, 7] = wild[11:18, 20:23] = True
    pixels = {"x10": np.full((36, 36, 1), 1000.0), "x20": rng.integers(1, 9000, (18, 18, 1))}
    images = {name: image(f"{name}.tif", array, gsd) for (name, array), gsd in zip(pixels.items(), (10.0, 20.0))}
    plain, masked = (
        computed(
            Recipe(("B05",), 10.0, (models["both"],), shared_nodata=False, masks=masks_),
            images,
            Region(0, 0, 36, 36),
            (LEFT, TOP),
        )
        for masks_ in ((), (user_mask(wild),))
    )
    np.testing.assert_array_equal(masked[1][..., 0], ~wild)
    hidden = wild.reshape(18, 2, 18, 2).all(axis=(1, 3)).repeat(2, 0).repeat(2, 1)
    assert hidden.any()
    far = np.ones((36, 36), bool)
    for row, column in np.argwhere(hidden):
        far[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7] = False
    np.testing.assert_array_equal(masked[0][far & ~wild], plain[0][far & ~wild])
