# SPDX-License-Identifier: Apache-2.0
"""Every container of Sentinel-2, and the offset of its digital numbers."""

import shutil
import zipfile

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import band_in_name
from chain.sentinel2.image import open_product

SPOT_ORDER = ("B04", "B03", "B02", "B08")


def _read(name):
    return gdal.Open(name).ReadAsArray()


@pytest.fixture
def stack(write_raster):
    """A raster of 4 bands with zeros, dark pixels and bright ones."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 3000, (40, 30, 4)).astype(np.uint16)
    array[:4, :5] = 0
    array[-1, -1] = (1, 999, 1000, 65535)

    def write(name="stack.tif", bands=None):
        return write_raster(name, array, bands=bands), array

    return write


@pytest.mark.parametrize(
    "name, expected",
    [
        ("T31UDQ_20220714T105629_B8A_20m", ("B8A", 20.0)),
        ("T31UDQ_20220714T105629_B02", ("B02", 10.0)),
        ("B4, central wavelength 665 nm", ("B04", 10.0)),
        ("b08", ("B08", 10.0)),
        ("B08A", ("B8A", 20.0)),
        ("B13", None),
        ("TCI", None),
        ("S2B_MSIL2A_20220714", None),
        ("B04_resampled", ("B04", 10.0)),
    ],
)
def test_band_in_name(name, expected):
    assert band_in_name(name) == expected


def test_harmonised_image(stack):
    path, array = stack(bands=SPOT_ORDER)
    pixels = open_product(path, offset=-1000).image(("B08", "B04")).to_numpy()
    chosen = array[..., [3, 0]].astype(np.int64)
    assert np.array_equal(pixels, np.where(chosen == 0, 0, np.maximum(chosen - 1000, 1)))
    unchanged = open_product(path, offset=0).image(SPOT_ORDER)
    assert np.array_equal(unchanged.to_numpy(), array)
    assert unchanged.transform[:6] == pytest.approx((10.0, 0.0, 300000.0, 0.0, -10.0, 5000040.0))


@pytest.mark.parametrize("offset", [0, -1000])
@pytest.mark.parametrize(
    "dtype, declared, holes",
    [
        ("uint16", 65535, (65535, 0)),
        ("int16", -9999, (-9999, 0)),
        ("float32", -9999, (-9999, 0, np.nan, np.inf, -np.inf)),
        ("float32", float("nan"), (np.nan, np.inf)),
        ("float32", None, (np.nan, np.inf)),
    ],
)
def test_nodata_of_any_kind_becomes_0(write_raster, offset, dtype, declared, holes):
    array = np.random.default_rng(3).integers(1001, 9000, (12, 15, 1)).astype(dtype)
    array[3, : len(holes), 0] = holes
    path = write_raster("T31UDQ_20220714T105629_B04_10m.tif", array, bands=("B04",))
    dataset = gdal.Open(str(path), gdal.GA_Update)
    if declared is not None:
        dataset.GetRasterBand(1).SetNoDataValue(declared)
    dataset = None
    expected = array + offset
    expected[3, : len(holes), 0] = 0
    np.testing.assert_array_equal(open_product(path, offset=offset).image(("B04",)).to_numpy(), expected)


def test_raster_by_descriptions_or_names(stack):
    path, array = stack(bands=("B4, central wavelength 665 nm", "green", "blue", "B08"))
    product = open_product(path, offset=0)
    assert list(product.bands) == ["B02", "B03", "B04", "B08"]
    assert np.array_equal(_read(product.bands["B02"]), array[..., 2])
    plain, array = stack("plain.tif")
    product = open_product(plain, SPOT_ORDER, 0)
    assert np.array_equal(_read(product.bands["B08"]), array[..., 3])
    product.close()
    with pytest.raises(RuntimeError):
        _read(product.bands["B08"])


@pytest.mark.parametrize(
    "bands, message", [(None, "--bands"), (("B04", "B03"), "--bands"), (("B04", "B03", "B02", "NIR"), "--bands")]
)
def test_raster_whose_bands_are_not_known(stack, bands, message):
    with pytest.raises(ValueError, match=message):
        open_product(stack()[0], bands, 0)


def test_raster_with_a_missing_band(stack):
    with pytest.raises(ValueError, match="expected bands B8A, got B04 B03 B02 B08"):
        open_product(stack(bands=SPOT_ORDER)[0], ("B04", "B8A"), 0)


def test_files_of_several_bands_and_companions(write_raster, tmp_path):
    rng = np.random.default_rng(1)
    fine, coarse = (rng.integers(1, 9, (size, size, 2)).astype(np.uint16) for size in (12, 6))
    names = [
        write_raster("S_10m.tif", fine, bands=("B02", "B8")),
        write_raster("S_20m.tif", coarse, gsd=20.0, bands=("B05", "B11")),
        write_raster("S_SCL.tif", coarse[..., 0].astype(np.uint8), gsd=20.0),
        write_raster("S_AOT_20m.tif", coarse[..., 0], gsd=20.0),
    ]
    for source in (names, tmp_path):
        product = open_product(source, offset=0)
        assert set(product.bands) == {"B02", "B08", "B05", "B11"} and product.classes == str(names[2])
        assert np.array_equal(_read(product.bands["B11"]), coarse[..., 1])


def test_files_of_two_levels_are_refused(write_raster):
    ones = np.ones((12, 12), np.uint16)
    paths = [write_raster("S2A_MSIL1C_x_B04.tif", ones), write_raster("S2A_MSIL2A_x_B03.tif", ones)]
    with pytest.raises(ValueError, match="expected one level, got L1C and L2A"):
        open_product(paths, offset=0)


def test_one_file_for_each_band(write_raster):
    rng = np.random.default_rng(1)
    arrays = {band: rng.integers(1, 9, (12, 12)).astype(np.uint16) for band in SPOT_ORDER}
    paths = [write_raster(f"T31UDQ_20220714T105629_{band}_10m.tif", array) for band, array in arrays.items()]
    product = open_product(paths, offset=0)
    assert all(np.array_equal(_read(product.bands[band]), arrays[band]) for band in SPOT_ORDER)
    with pytest.raises(ValueError, match="expected one file for each band, got B04 in "):
        open_product([paths[0], paths[0]], offset=0)


def test_bands_on_different_grids_are_refused(write_raster):
    ones = np.ones((12, 12), np.uint16)
    paths = [write_raster("B04.tif", ones), write_raster("B03.tif", ones, origin=(300010.0, 5000040.0))]
    with pytest.raises(ValueError, match="one grid"):
        open_product(paths, offset=0).image(("B04", "B03"))


@pytest.mark.parametrize(
    "name, level, baseline, offset",
    [
        ("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248", "L1C", "03.01", 0),
        ("S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857", "L2A", "02.12", 0),
        ("S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126", "L2A", "04.00", -1000),
        ("S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825", "L2A", "05.09", -1000),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_real_safe_metadata(shared_data, tmp_path, write_raster, name, level, baseline, offset, zipped):
    metadata = shared_data("s2_safe_metadata") / f"{name}.SAFE"
    folder = tmp_path / f"{name}.SAFE"
    folder.mkdir()
    (folder / f"MTD_MSI{level}.xml").write_bytes((metadata / f"MTD_MSI{level}.xml").read_bytes())
    images = folder / "GRANULE" / "tile" / "IMG_DATA"
    sizes = (
        {"B04": 10, "B8A": 20} if level == "L1C" else {"R10m/x_B04_10m": 10, "R20m/x_B04_20m": 20, "R20m/x_B8A_20m": 20}
    )
    for stem, gsd in sizes.items():
        (images / stem).parent.mkdir(parents=True, exist_ok=True)
        raster = write_raster("image.tif", np.full((120 // gsd, 120 // gsd), gsd, np.uint16), gsd=gsd)
        gdal.Translate(
            str(images / (stem if "x_" in stem else f"x_{stem}")) + ".jp2",
            str(raster),
            format="JP2OpenJPEG",
            creationOptions=["REVERSIBLE=YES", "QUALITY=100"],
        )
    path = folder
    if zipped:
        shutil.make_archive(str(tmp_path / name), "zip", tmp_path, folder.name)
        shutil.rmtree(folder)
        path = tmp_path / f"{name}.zip"
        assert zipfile.is_zipfile(path)
    product = open_product(path)
    assert (product.level, product.identity["baseline"], product.offset) == (level, baseline, offset)
    assert list(product.bands) == ["B04", "B8A"]
    assert open_product(path, offset=0).offset == 0
    expected = 10 if offset == 0 else 1
    assert np.array_equal(product.image(("B04",)).to_numpy(), np.full((12, 12, 1), expected))
    with pytest.raises(ValueError, match="expected bands B02"):
        open_product(path, ("B02",))


def test_safe_with_metadata_missing_or_broken(tmp_path):
    folder = tmp_path / "S2A_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE"
    folder.mkdir()
    with pytest.raises(ValueError, match="MTD_MSIL2A.xml, got 0 of them"):
        open_product(folder)
    for content in ("<truncated", ""):
        (folder / "MTD_MSIL2A.xml").write_text(content)
        with pytest.raises(ValueError, match="expected the metadata of a SAFE product"):
            open_product(folder)
    with pytest.raises(ValueError, match="absent.SAFE: .* does not exist"):
        open_product(tmp_path / "absent.SAFE")


def test_safe_of_a_reserved_baseline_has_the_offsets_that_it_lists(tmp_path, write_raster):
    folder = tmp_path / "S2A_MSIL2A_20220613T101031_N9999_R022_T33UUP_20220613T101031.SAFE"
    image = folder / "GRANULE" / "tile" / "IMG_DATA" / "R10m" / "T33UUP_B04_10m.tif"
    image.parent.mkdir(parents=True)
    write_raster("image.tif", np.full((12, 12), 1500, np.uint16)).rename(image)
    offsets = '<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>'
    for listed in (offsets, ""):
        (folder / "MTD_MSIL2A.xml").write_text(f"<a><PROCESSING_BASELINE>99.99</PROCESSING_BASELINE>{listed}</a>")
        if listed:
            assert open_product(folder).offset == -1000
        else:
            with pytest.raises(ValueError, match="not stated.*--offset"):
                open_product(folder)


def test_truncated_raster_is_refused(stack):
    path, _ = stack(bands=SPOT_ORDER)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises((ValueError, RuntimeError)):
        open_product(path, offset=0).image(SPOT_ORDER).to_numpy()
