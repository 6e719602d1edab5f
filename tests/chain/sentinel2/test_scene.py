# SPDX-License-Identifier: Apache-2.0
"""Whole scenes: native bands out of whatever they come in, and nothing left behind."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.raster.grids import image_grid
from chain.raster.mask import read_mask
from chain.sentinel2.bands import BANDS
from chain.sentinel2.scene import opened_scene
from chain.serving.provenance import files_of

LEFT, TOP = 300000.0, 5000040.0
NAMES = {
    10.0: ("B04", "B03", "B02", "B08"),
    20.0: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60.0: ("B01", "B09"),
}
ROWS, COLUMNS = 96, 120
RANDOM = np.random.default_rng(0)
PIXELS = {
    gsd: RANDOM.integers(1, 8000, (int(ROWS * 10 / gsd), int(COLUMNS * 10 / gsd), len(bands))).astype(np.uint16)
    for gsd, bands in NAMES.items()
}


@pytest.fixture
def files(write_raster):
    """Return a function that writes a file for each resolution, and returns their names."""

    def write(scale=1.0, described=(10.0, 20.0, 60.0), **options):
        return [
            str(write_raster(f"S_{gsd:g}m.tif", PIXELS[gsd], gsd * scale, bands=bands * (gsd in described), **options))
            for gsd, bands in NAMES.items()
        ]

    return write


def bare(path, pixels, bands=()):
    """Write a raster without georeference."""
    rows, columns, count = pixels.shape
    code = gdal.GDT_Byte if pixels.dtype == np.uint8 else gdal.GDT_UInt16
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, count, code)
    dataset.WriteArray(np.moveaxis(pixels, 2, 0))
    for number, band in enumerate(bands, 1):
        dataset.GetRasterBand(number).SetDescription(band)
    return str(path)


@pytest.fixture
def bare_files(tmp_path):
    return [bare(tmp_path / f"T_{gsd:g}m.tif", PIXELS[gsd], bands) for gsd, bands in NAMES.items()]


def stacked(write_raster, algorithm="bilinear"):
    """Return all bands at 10 m, (rows, columns, 12): the coarse ones resampled by gdalwarp."""
    cubes = [PIXELS[10.0]]
    for gsd in (20.0, 60.0):
        name = str(write_raster("coarse.tif", PIXELS[gsd], gsd))
        warped = gdal.Warp("", name, format="MEM", xRes=10, yRes=10, resampleAlg=algorithm)
        cubes.append(np.moveaxis(warped.ReadAsArray(), 0, 2))
    return np.concatenate(cubes, axis=2)


ORDER = sum(NAMES.values(), ())


def check_native(scene, corner=(LEFT, TOP), scale=1.0, tolerance=0):
    """Check that each band has its native pixels on their ground, as OTB reads them."""
    assert set(scene.product.bands) == set(ORDER)
    for gsd, bands in NAMES.items():
        image = scene.product.image(bands)
        grid = image_grid(image)
        assert (grid.left, grid.top, grid.dx, grid.dy) == pytest.approx((*corner, gsd * scale, gsd * scale))
        allowed = tolerance if gsd == 20.0 else 0
        assert np.abs(image.to_numpy().astype(int) - PIXELS[gsd]).max() <= allowed


def left_behind():
    return set(gdal.ReadDir("/vsimem/") or ()), {
        path.name for path in Path(tempfile.gettempdir()).glob("native_bands_*")
    }


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory, monkeypatch):
    """Fail a test that leaves files in GDAL's memory, or restored bands."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    before = left_behind()
    yield
    assert left_behind() == before


def test_files_and_a_folder_of_them_are_opened_as_they_are(files, tmp_path):
    for names in (files(), [str(tmp_path)]):
        with opened_scene(names, offset=0) as scene:
            assert scene.spacing == 10.0 and scene.resampled == {} and scene.scl is None
            check_native(scene)


def test_a_stack_of_10_m_is_brought_back_to_native_pixels(write_raster):
    path = write_raster("stack.tif", stacked(write_raster), bands=ORDER)
    with opened_scene([str(path)], offset=0) as scene:
        check_native(scene, tolerance=1)  # rounding leaves single counts open
        assert scene.spacing == 10.0
        assert scene.resampled == {band: "bilinear" for band in ORDER if BANDS[band] > 10.0}
        assert scene.product.identity["resampled"] == scene.resampled
        assert files_of(scene.product) == [str(path)]


def test_a_pyramid_stays_as_coarse_as_it_is(files):
    with opened_scene(files(scale=10.0), offset=0) as scene:
        assert scene.spacing == pytest.approx(100.0) and scene.resampled == {}
        check_native(scene, scale=10.0)


@pytest.mark.slow
def test_a_stack_of_a_pyramid_is_brought_back_to_its_own_native_pixels(write_raster):
    path = write_raster("stack.tif", stacked(write_raster), gsd=100.0, bands=ORDER)
    with opened_scene([str(path)], offset=0) as scene:
        assert scene.spacing == pytest.approx(100.0) and set(scene.resampled.values()) == {"bilinear"}
        check_native(scene, scale=10.0, tolerance=1)


def test_a_stack_of_pixels_finer_than_10_m_is_brought_back(write_raster):
    fine = stacked(write_raster, "near").repeat(2, 0).repeat(2, 1)
    path = write_raster("stack.tif", fine, gsd=5.0, bands=ORDER)
    with opened_scene([str(path)], offset=0) as scene:
        check_native(scene)
        assert scene.spacing == 10.0 and scene.resampled == dict.fromkeys(ORDER, "nearest")


@pytest.mark.parametrize("gsd", [20.0, 60.0])
def test_fine_bands_that_were_made_as_coarse_as_others_are_refused(write_raster, gsd):
    path = write_raster("stack.tif", np.ones((20, 20, 12), np.uint16), gsd=gsd, bands=ORDER)
    with pytest.raises(ValueError, match=f"^B0[248]: expected pixels of 10 m, got {gsd:g} m$"):
        with opened_scene([str(path)], offset=0):
            pass


def test_sizes_tell_the_pixels_of_images_without_georeference(bare_files):
    with opened_scene(bare_files, offset=0) as scene:
        assert scene.spacing == 10.0
        check_native(scene, (0.0, 0.0))
        assert image_grid(scene.product.image(("B05",))).projection == ""


def test_without_10_m_bands_the_largest_image_is_that_of_the_finest_bands(bare_files):
    with opened_scene(bare_files[1:], offset=0) as scene:
        for bands, gsd in ((NAMES[20.0], 20.0), (NAMES[60.0], 60.0)):
            assert image_grid(scene.product.image(bands)).dx == gsd


def test_a_stack_without_georeference_is_brought_back(write_raster, tmp_path):
    path = bare(tmp_path / "bare.tif", stacked(write_raster, "near"), ORDER)
    with opened_scene([path], offset=0) as scene:
        check_native(scene, (0.0, 0.0))
        assert {image_grid(scene.product.image((band,))).projection for band in ORDER} == {""}


@pytest.mark.parametrize("rows, columns", [(48, 61), (47, 60), (24, 30)])
def test_an_image_without_georeference_of_no_fitting_size_is_refused(bare_files, tmp_path, rows, columns):
    odd = bare(tmp_path / "odd.tif", np.ones((rows, columns, 1), np.uint16), ("B05",))
    with pytest.raises(ValueError, match="B05: expected an image of 120 x 96 or 60 x 48 pixels, as the others'.*got "):
        with opened_scene([bare_files[0], odd], offset=0):
            pass


def test_sizes_that_end_with_part_of_a_pixel_fit(tmp_path):
    fine = bare(tmp_path / "fine.tif", np.ones((31, 33, 1), np.uint16), ("B02",))
    for rows, columns in ((15, 16), (16, 17)):
        coarse = bare(tmp_path / "coarse.tif", np.ones((rows, columns, 1), np.uint16), ("B05",))
        with opened_scene([fine, coarse], offset=0) as scene:
            assert image_grid(scene.product.image(("B05",))).dx == 20.0


def test_the_scene_classification_is_found_and_lies_on_its_ground(files, write_raster, bare_files, tmp_path):
    classes = RANDOM.integers(0, 12, (48, 60)).astype(np.uint8)
    names = [*files(), str(write_raster("S_SCL_20m.tif", classes, gsd=20.0))]
    unplaced = [*bare_files, bare(tmp_path / "T_SCL.tif", classes[..., np.newaxis])]
    for paths, corner in ((names, (LEFT, TOP)), (unplaced, (0.0, 0.0))):
        with opened_scene(paths, offset=0) as scene:
            grid = image_grid(scene.product.image(("B05",)))
            mask = read_mask(scene.scl, grid.projection, "--mask-classes", (3, 8))
            assert (mask.grid.left, mask.grid.top, mask.grid.dx) == (*corner, 20.0)
            np.testing.assert_array_equal(mask.at(grid), np.isin(classes, (3, 8)))


def test_a_scene_classification_of_no_fitting_size_is_none(bare_files, tmp_path):
    odd = bare(tmp_path / "T_SCL.tif", np.ones((48, 50, 1), np.uint8))
    with opened_scene([*bare_files, odd], offset=0) as scene:
        assert scene.scl is None


def test_bands_are_named_by_pixel_size(files, write_raster):
    for described in ((), (10.0, 60.0), (20.0,)):
        names = [*files(described=described), str(write_raster("S_SCL.tif", np.ones((48, 60), np.uint8), gsd=20.0))]
        naming = {gsd: bands for gsd, bands in NAMES.items() if gsd not in described}
        with opened_scene(names, 0, naming) as scene:
            check_native(scene)
            assert scene.scl == names[-1]


def test_a_file_of_one_band_whose_name_tells_it_needs_no_naming(files, write_raster):
    names = files(described=())
    extra = str(write_raster("S_B10.tif", PIXELS[60.0][..., :1], gsd=60.0))
    with opened_scene([*names[:2], extra], 0, {gsd: NAMES[gsd] for gsd in (10.0, 20.0)}) as scene:
        assert set(scene.product.bands) == {*NAMES[10.0], *NAMES[20.0], "B10"}


def test_bands_are_named_by_their_number_without_georeference(tmp_path):
    names = [bare(tmp_path / f"x{gsd:g}.tif", PIXELS[gsd]) for gsd in NAMES]
    with opened_scene(names, 0, NAMES) as scene:
        check_native(scene, (0.0, 0.0))


def test_a_stack_is_named_in_order(write_raster):
    path = str(write_raster("stack.tif", stacked(write_raster, "near")))
    with opened_scene([path], 0, {10.0: ORDER}) as scene:
        check_native(scene)


@pytest.mark.parametrize(
    "naming, message",
    [
        (
            {10.0: NAMES[10.0][:3], 20.0: NAMES[20.0], 60.0: NAMES[60.0]},
            "S_10m.tif: expected one of --bands-10m, --bands-20m, --bands-60m that names its 4 bands of 10 m, "
            "got 3 at 10 m, 6 at 20 m, 2 at 60 m",
        ),
        (
            {10.0: NAMES[10.0], 20.0: NAMES[20.0]},
            "S_60m.tif: expected one of --bands-10m, --bands-20m that names its 2 bands",
        ),
        ({**NAMES, 60.0: ("B01", "B99")}, "^--bands-60m: expected names among B01, .*, got B99$"),
    ],
)
def test_names_that_do_not_suit_the_rasters_are_refused(files, naming, message):
    with pytest.raises(ValueError, match=message):
        with opened_scene(files(described=()), 0, naming):
            pass


def test_two_names_for_one_number_of_bands_are_refused_without_georeference(tmp_path):
    path = bare(tmp_path / "x.tif", PIXELS[60.0])
    with pytest.raises(ValueError, match="that names its 2 bands of 1 m, got 2 at 20 m, 2 at 60 m"):
        with opened_scene([path], 0, {20.0: ("B05", "B06"), 60.0: ("B01", "B09")}):
            pass


@pytest.mark.parametrize(
    "epsg, gsd, name",
    [(4326, 1e-4, "EPSG:4326"), (2227, 10.0, "EPSG:2227"), (3857, 10.0, "EPSG:3857"), (3035, 10.0, "EPSG:3035")],
)
def test_other_maps_than_utm_are_refused_in_one_line(files, epsg, gsd, name):
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    with pytest.raises(ValueError, match=f"^input: resampled to {name}; super-resolution needs the native UTM"):
        with opened_scene(files(scale=gsd / 10, origin=(10.0, 45.0), epsg=epsg), offset=0):
            pass


def test_what_is_no_scene_is_refused(tmp_path):
    (tmp_path / "s.tif").write_text("none")
    for naming in (None, NAMES):
        with pytest.raises(ValueError, match="s.tif: expected a readable raster"):
            with opened_scene([str(tmp_path / "s.tif")], 0, naming):
                pass


@pytest.mark.parametrize("make", ["files", "stack", "bare"])
def test_nothing_is_left_after_an_exception(files, bare_files, write_raster, make):
    names = {"files": files, "bare": lambda: bare_files}.get(
        make, lambda: [str(write_raster("stack.tif", stacked(write_raster), bands=ORDER))]
    )()
    with pytest.raises(KeyboardInterrupt):
        with opened_scene(names, offset=0) as scene:
            assert scene.product.bands
            raise KeyboardInterrupt


def test_nothing_is_left_of_files_that_do_not_go_together(files, write_raster):
    extra = str(write_raster("S_B05.tif", PIXELS[20.0][..., 0], gsd=20.0))
    with pytest.raises(ValueError, match="expected one file for each band, got B05 in "):
        with opened_scene([*files(), extra], offset=0):
            pass


def test_nothing_is_left_of_a_stack_that_is_refused(write_raster):
    noise = RANDOM.integers(1, 8000, (96, 120, 12)).astype(np.uint16)
    path = str(write_raster("stack.tif", noise, bands=ORDER))
    with pytest.raises(ValueError, match="^B01, B09, B05, .*: expected native pixels, or ones brought to 10 m"):
        with opened_scene([path], offset=0):
            pass


def test_bands_of_an_item_are_not_named():
    with pytest.raises(ValueError, match="^--bands-10m: expected rasters, got a STAC item"):
        with opened_scene([{"type": "Feature"}], naming={10.0: ("B02",)}):
            raise AssertionError("opened")


def test_bands_that_are_not_needed_are_left_out(files):
    with opened_scene(files(), offset=0, bands=("B02", "B05", "B06")) as scene:
        assert set(scene.product.bands) == {"B02", "B05", "B06"}
    with pytest.raises(ValueError, match="B10"), opened_scene(files(), offset=0, bands=("B10",)):
        pass


@pytest.mark.parametrize("epsg, refused", [(32632, True), (32631, False), (32731, False), (25831, False)])
def test_another_utm_zone_than_the_tiles_is_refused(write_raster, epsg, refused):
    path = write_raster("T31UDQ_20220714_stack.tif", PIXELS[10.0], epsg=epsg, bands=NAMES[10.0])
    opening = opened_scene([str(path)], offset=0)
    if refused:
        with pytest.raises(
            ValueError, match="resampled to EPSG:32632, though its tile lies in UTM zone 31; super-resol"
        ):
            with opening:
                raise AssertionError("opened")
    else:
        with opening as scene:
            assert set(scene.product.bands) == set(NAMES[10.0])
