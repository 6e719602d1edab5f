# SPDX-License-Identifier: Apache-2.0
"""Stacks of Sentinel-2's bands on one 10 m grid, brought back to 20 m and 60 m."""

import numpy as np
import pytest
from osgeo import gdal, osr
from scipy import ndimage

from chain.sentinel2 import native_bands
from chain.sentinel2.bands import BANDS
from chain.sentinel2.image import Sentinel2Image, open_product
from chain.sentinel2.native_bands import native_product
from tests.examples import slow

ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Of the stacks that users have."""
LEFT, TOP = 300000.0, 5000040.0


def _landscape(rows, columns, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 400, (rows // 3 + 2, columns // 3 + 2)).repeat(3, 0).repeat(3, 1)[:rows, :columns]
    return np.clip(2500 + coarse + rng.normal(0, 60, (rows, columns)), 10, 9000).astype(np.uint16)


def _raster(array, gsd, nodata=None, kind=None):
    dataset = gdal.GetDriverByName("MEM").Create("", array.shape[1], array.shape[0], 1, kind or gdal.GDT_UInt16)
    dataset.SetGeoTransform((LEFT, gsd, 0.0, TOP, 0.0, -gsd))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    dataset.SetSpatialRef(crs)
    dataset.GetRasterBand(1).WriteArray(array)
    if nodata is not None:
        dataset.GetRasterBand(1).SetNoDataValue(nodata)
    return dataset


def _resample(array, gsd, algorithm, tool="warp", **arguments):
    """Bring a native band to 10 m."""
    source, ratio = _raster(array, gsd, **arguments), round(gsd / 10)
    size = {"width": array.shape[1] * ratio, "height": array.shape[0] * ratio}
    make = gdal.Warp if tool == "warp" else gdal.Translate
    return make("", source, format="MEM", resampleAlg=algorithm, **size).ReadAsArray()


@pytest.fixture
def band(write_raster):
    """Return a function that writes a band and makes a product of it."""

    def make(array, name="B05", gsd=10.0, **arguments):
        path = write_raster(f"{name}.tif", array, gsd=gsd, origin=(LEFT, TOP), **arguments)
        return Sentinel2Image({name: str(path)}, 0, "L1C", {"kind": "raster"})

    return make


def _read(product, name):
    dataset = gdal.Open(product.bands[name])
    return dataset.ReadAsArray(), dataset.GetGeoTransform()


@pytest.mark.parametrize("algorithm", ["near", *(slow(each) for each in ("bilinear", "cubic"))])
@pytest.mark.parametrize("row, column", [slow(0, 0), (31, 45)])
def test_stack_of_12_bands(write_raster, tmp_path, algorithm, row, column):
    native = {name: _landscape(*(int(360 / gsd * 10),) * 2, seed) for seed, (name, gsd) in enumerate(BANDS.items())}
    fine = [_resample(native[name], BANDS[name], algorithm)[row:, column:] for name in ORDER]
    path = write_raster("stack.tif", np.dstack(fine), origin=(LEFT + 10 * column, TOP - 10 * row), bands=ORDER)
    product = open_product(path, offset=-1000)
    before = dict(product.bands)
    restored, methods = native_product(product, tmp_path)
    coarse = [name for name in BANDS if BANDS[name] > 10 and name in ORDER]
    expected = {"near": "nearest"}.get(algorithm, algorithm)
    assert methods == dict.fromkeys(coarse, expected) and list(methods) == coarse
    assert product.bands == before and "resampled" not in product.identity
    assert (restored.offset, restored.nodata, restored.identity["resampled"]) == (-1000, 0, methods)
    for name in ORDER:
        if name not in coarse:
            assert restored.bands[name] == before[name]
            continue
        gsd, ratio = BANDS[name], round(BANDS[name] / 10)
        pixels, geotransform = _read(restored, name)
        truth = native[name][row // ratio :, column // ratio :].astype(int)
        assert geotransform == (LEFT + column // ratio * gsd, gsd, 0, TOP - row // ratio * gsd, 0, -gsd)
        assert pixels.dtype == np.uint16 and pixels.shape == truth.shape
        error = np.abs(pixels - truth)
        if algorithm == "near" or (ratio == 6 and not row):
            assert np.mean(error > 0) <= (0 if algorithm == "near" else 1e-3)
        assert (error[3:, 3:] if row else error).max() <= 1
    image = restored.image(("B05", "B06")).to_numpy()
    assert image.shape[:2] == _read(restored, "B05")[0].shape


def test_native_bands_are_left_alone(band, tmp_path):
    product = band(_landscape(20, 20, 0), gsd=20.0)
    assert native_product(product, tmp_path) == (product, {})
    assert native_product(product, tmp_path)[0] is product


def test_files(band, tmp_path):
    native = _landscape(60, 50, 1)
    product = band(_resample(native, 20.0, "bilinear"), nodata=65535)
    product.hrefs, product.signed = {"B05": "https://a/b05.tif"}, {"B05": "https://a/b05.tif?sig"}
    restored, _ = native_product(product, tmp_path)
    dataset = gdal.Open(restored.bands["B05"])
    assert dataset.GetFileList() == [str(tmp_path / "B05_20m.tif")]
    assert dataset.GetRasterBand(1).GetNoDataValue() == 65535
    assert dataset.GetMetadata("IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32631"
    assert not restored.hrefs and not restored.signed and product.hrefs


@pytest.mark.parametrize("algorithm", ["bilinear", slow("cubic")])
def test_floating_point(band, tmp_path, algorithm):
    native = _landscape(60, 50, 2)
    fine = _resample(native, 20.0, algorithm, kind=gdal.GDT_Float32)
    restored, methods = native_product(band(fine.astype(np.float32)), tmp_path)
    pixels, _ = _read(restored, "B05")
    assert methods == {"B05": algorithm} and pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, native, atol=0.05)
    with_holes = fine.astype(np.float32)
    with_holes[20:40, 30:44] = np.nan
    pixels, _ = _read(native_product(band(with_holes), tmp_path)[0], "B05")
    assert not pixels[10:20, 15:22].any()
    away = np.ones(pixels.shape, bool)
    away[7:23, 12:25] = False
    np.testing.assert_allclose(pixels[away], native[away], atol=0.05)


@pytest.mark.parametrize("name", ["B05", slow("B09")])
@pytest.mark.parametrize(
    "tool, algorithm",
    [
        ("warp", "near"),
        ("warp", "cubic"),
        ("translate", "near"),
        ("translate", "bilinear"),
        slow("warp", "bilinear"),
        slow("translate", "cubic"),
    ],
)
@pytest.mark.parametrize("declared", [slow(None), 0])
def test_swath_edge(band, tmp_path, name, tool, algorithm, declared):
    gsd = BANDS[name]
    native = _landscape(70, 60, 3)
    row, column = np.mgrid[:70, :60]
    native[column + 0.4 * row < 30] = 0
    fine = _resample(native, gsd, algorithm, tool, nodata=declared)
    product = band(fine, name, nodata=declared)
    pixels, _ = _read(native_product(product, tmp_path)[0], name)
    assert not pixels[native == 0].any()
    both = (pixels > 0) & (native > 0)
    lost = (native > 0) & (pixels == 0)
    error = np.abs(pixels.astype(int) - native)[both]
    assert not lost.any() and error.max() <= 1


@pytest.mark.parametrize("name, cut", [("B05", (1, 0)), ("B05", (1, 1)), ("B05", (0, 0)), ("B09", (5, 4))])
@pytest.mark.parametrize("slope", [0.5, *(slow(slope) for slope in (0.1, 1.0))])
def test_swath_edges_that_gdal_translate_filled_and_that_were_cut(band, tmp_path, name, cut, slope):
    """It fills pixels of missing native ones; what it did not fill of them may lie beyond the cut."""
    native = _landscape(34, 34, 3)
    row, column = np.mgrid[:34, :34]
    native[(row + slope * column < 14) | (column - slope * row > 20)] = 0
    fine = _resample(native, BANDS[name], "bilinear", "translate", nodata=0)[cut[0] : -30, cut[1] : -31]
    product = band(fine, name, nodata=0)
    corner = LEFT + 10 * cut[1], 10.0, 0.0, TOP - 10 * cut[0], 0.0, -10.0
    gdal.Open(product.bands[name], gdal.GA_Update).SetGeoTransform(corner)
    restored, methods = native_product(product, tmp_path)
    pixels, _ = _read(restored, name)
    native = native[: pixels.shape[0], : pixels.shape[1]]
    known = pixels > 0
    assert methods == {name: "bilinear"} and not pixels[native == 0].any()
    assert np.abs(pixels.astype(int) - native)[known].max() <= 1 and known.sum() > 0.8 * (native > 0).sum()


def test_no_data_at_all(band, tmp_path):
    restored, methods = native_product(band(np.zeros((120, 120), np.uint16)), tmp_path)
    assert methods == {"B05": "nearest"}
    assert _read(restored, "B05")[0].shape == (60, 60) and not _read(restored, "B05")[0].any()


@pytest.mark.parametrize("algorithm", ["near", "bilinear", slow("cubic")])
def test_blocks_leave_no_seam(band, tmp_path, monkeypatch, algorithm):
    native = _landscape(130, 110, 4)
    product = band(_resample(native, 20.0, algorithm)[5:, 7:])
    whole, _ = _read(native_product(product, tmp_path)[0], "B05")
    monkeypatch.setattr(native_bands, "BLOCK", 64)
    blocks, _ = _read(native_product(product, tmp_path)[0], "B05")
    known = (whole > 0) & (blocks > 0)
    assert np.mean(whole != blocks) < 1e-3 and np.count_nonzero((whole > 0) != (blocks > 0)) <= 1
    assert np.abs(whole.astype(int) - blocks)[known].max() <= 1


def test_other_resampling_is_refused(band, tmp_path):
    fine = _landscape(120, 120, 6)
    message = (
        r"^B05: expected native pixels, or ones brought to 10 m by nearest, bilinear, cubic, cubic-spline or Lanczos "
        r"interpolation, got pixels that no known interpolation gives \(closest: .*, off by up to .* DN\); "
        r"--drop-bands B05 leaves them out, --resampled nearest\|bilinear\|.* says how they were made$"
    )
    with pytest.raises(ValueError, match=message):
        native_product(band(fine), tmp_path)


def test_a_part_changed_afterwards_is_refused(band, tmp_path):
    fine = _resample(_landscape(60, 60, 5), 20.0, "bilinear")
    fine[50, 60] += 40
    with pytest.raises(ValueError, match="no known interpolation gives"):
        native_product(band(fine), tmp_path)


@pytest.mark.parametrize(
    "name, gsd, epsg, message",
    [
        ("B05", 60.0, 32631, "B05: expected pixels of 20 m or finer, got 60 m"),
        ("B02", 20.0, 32631, "B02: expected pixels of 10 m or finer, got 20 m"),
        ("B05", 15.0, 32631, "B05: expected pixels by a whole ratio finer than 20 m, got 15 m"),
        ("B05", 0.0001, 4326, "B05: expected a projected coordinate system in metres, got WGS 84"),
    ],
)
def test_other_grids_are_refused(band, tmp_path, name, gsd, epsg, message):
    with pytest.raises(ValueError, match=message):
        native_product(band(_landscape(30, 30, 0), name, gsd, epsg=epsg), tmp_path)


@pytest.mark.parametrize(
    "algorithm",
    [
        "near",
        "bilinear",
        slow("cubic"),
        slow("cubicspline"),
        slow("lanczos"),
        "average",
    ],
)
def test_real_bands(shared_data, band, tmp_path, algorithm):
    folder = shared_data("s2_l1c_dsen2_native")
    for name, file in (("B05", "S2A_MSIL1C_20170527_T33UUB_20m.tif"), ("B09", "S2A_MSIL1C_20170527_T33UUB_60m.tif")):
        native = gdal.Open(str(folder / file)).ReadAsArray()[0 if name == "B05" else 1]
        product = band(_resample(native, BANDS[name], algorithm), name)
        stated = "cubicspline" if (algorithm, name) == ("cubicspline", "B05") else None  # by 2, a guess without B09
        restored, methods = native_product(product, tmp_path, resampled=stated)
        error = np.abs(_read(restored, name)[0].astype(int) - native)
        assert methods == {name: {"near": "nearest", "average": "nearest"}.get(algorithm, algorithm)}
        exact = algorithm in ("near", "average") or (name == "B09" and algorithm != "cubicspline")
        assert error.max() <= (0 if exact else 4 if algorithm == "cubicspline" else 1)


def test_a_stated_method_brings_back_what_no_method_explains(band, tmp_path):
    native = _landscape(60, 60, 5)
    fine = _resample(native, 20.0, "bilinear")[1:, :]
    fine[50, 60] += 40
    restored, methods = native_product(band(fine), tmp_path, resampled="bilinear")
    pixels, geotransform = _read(restored, "B05")
    assert methods == {"B05": "bilinear"} and geotransform[3] == TOP + 10
    error = np.abs(pixels.astype(int) - native)
    assert error[28:].max() <= 1 and error[1:20].max() <= 1


def test_a_stated_method_does_not_replace_one_that_is_recognised(band, tmp_path):
    fine = _resample(_landscape(60, 60, 5), 20.0, "bilinear")
    assert native_product(band(fine), tmp_path, resampled="cubic")[1] == {"B05": "bilinear"}


def test_a_side_that_tells_too_little_lends_no_border_rule(shared_data, band, tmp_path):
    """Half of an image is masked, and of two sides little is left: what their border rules would add is not known."""
    file = shared_data("s2_l1c_dsen2_native") / "S2A_MSIL1C_20170527_T33UUB_20m.tif"
    native = gdal.Open(str(file)).ReadAsArray()[1, 30:99, 42:81]
    fine = _resample(native, 20.0, "cubic", kind=gdal.GDT_Float64)
    row, column = np.mgrid[: fine.shape[0], : fine.shape[1]]
    fine = np.where(column * fine.shape[0] > row * fine.shape[1], 0, np.floor(fine)).astype(np.uint16)
    restored, methods = native_product(band(fine, nodata=0), tmp_path)
    pixels, _ = _read(restored, "B05")
    assert methods == {"B05": "cubic"} and np.mean(pixels > 0) > 0.4
    assert np.abs(pixels.astype(int) - native)[pixels > 0].max() <= 2


def test_a_cubic_spline_by_2_is_told_by_the_60_m_bands(shared_data, write_raster, tmp_path):
    folder = shared_data("s2_l1c_dsen2_native")
    fine, natives = [], {}
    for name, file, number in (("B05", "20m", 0), ("B09", "60m", 1)):
        native = gdal.Open(str(folder / f"S2A_MSIL1C_20170527_T33UUB_{file}.tif")).ReadAsArray()[number]
        side = round(600 / BANDS[name])
        natives[name] = native[:side, :side]
        fine.append(_resample(natives[name], BANDS[name], "cubicspline"))
    fine = [array[:, 6:] for array in fine]
    natives = {name: native[:, round(60 / BANDS[name]) :] for name, native in natives.items()}
    path = write_raster("stack.tif", np.dstack(fine), origin=(LEFT + 60, TOP), bands=tuple(natives))
    with pytest.raises(
        ValueError, match="^B05: .* cubicspline and other smooth interpolations both give; --drop-bands"
    ):
        native_product(open_product(path, bands=("B05",), offset=0), tmp_path)
    restored, methods = native_product(open_product(path, offset=0), tmp_path)
    assert methods == {"B05": "cubicspline", "B09": "cubicspline"}
    for name, native in natives.items():
        pixels = _read(restored, name)[0].astype(int)
        assert np.abs(pixels - native)[pixels > 0].max() <= 4 and np.mean(pixels > 0) > 0.85


@pytest.mark.parametrize("name", ["B05", slow("B12")])
def test_a_cubic_spline_by_2_of_a_whole_image_is_told_by_its_sides(shared_data, band, tmp_path, name):
    """A spline through native pixels that are no whole numbers gives the same inside, and other sides."""
    file = shared_data("s2_l1c_dsen2_native") / "S2A_MSIL1C_20170527_T33UUB_20m.tif"
    native = gdal.Open(str(file)).ReadAsArray()[0 if name == "B05" else 5][30:90, 20:90]
    restored, methods = native_product(band(_resample(native, 20.0, "cubicspline"), name), tmp_path)
    pixels = _read(restored, name)[0].astype(int)
    assert methods == {name: "cubicspline"} and np.abs(pixels - native).max() <= 4
    for mode in ("mirror", "reflect", "nearest"):
        through = ndimage.zoom(native * 0.97 + 3.3, 2, order=3, mode=mode, grid_mode=True)
        with pytest.raises(ValueError, match="cubicspline and other smooth interpolations both give"):
            native_product(band(np.rint(through).astype(np.uint16), name), tmp_path)
    smooth = ndimage.gaussian_filter(native.astype(float), 2.0)
    blurred = ndimage.gaussian_filter(smooth.repeat(2, 0).repeat(2, 1), 2.0)
    with pytest.raises(ValueError, match="expected native pixels"):
        native_product(band(np.rint(blurred).astype(np.uint16), name), tmp_path)
