# SPDX-License-Identifier: Apache-2.0
"""Every container of Sentinel-2, and the offset of its digital numbers."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from osgeo import gdal

from chain.raster import http
from chain.sentinel2 import stac_item, stac_search
from chain.sentinel2.bands import band_in_name, offset_of_baseline
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


@pytest.mark.parametrize(
    "baseline, expected",
    [
        ("02.12", 0),
        ("03.01", 0),
        ("N0301", 0),
        ("04.00", -1000),
        ("05.11", -1000),
        ("5.11", -1000),
        ("10.00", -1000),
        ("99.99", None),
        ("N9999", None),
        ("99.05", None),
        ("00.01", None),
        ("1.0.0", None),
        ("", None),
    ],
)
def test_offset_of_baseline(baseline, expected):
    assert offset_of_baseline(baseline) == expected


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


@pytest.mark.parametrize("dtype, scale", [("float32", 1e-4), ("uint8", 0.01)])
def test_reflectance_and_pictures_are_refused(write_raster, dtype, scale):
    array = (np.random.default_rng(3).integers(1001, 9000, (12, 15, 4)) * scale).astype(dtype)
    with pytest.raises(ValueError, match="digital numbers, 10000 x reflectance, are wanted. Received: "):
        open_product(write_raster("s2.tif", array, bands=SPOT_ORDER), offset=0)


def test_offset_in_metadata_which_is_no_number(stack):
    with pytest.raises(ValueError, match="a number is wanted in BOA_ADD_OFFSET, or --offset. Received: none"):
        open_product(_with_metadata(stack(bands=SPOT_ORDER)[0], BOA_ADD_OFFSET="none"))


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


def _with_metadata(path, **metadata):
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.SetMetadata(metadata)
    return path


def test_offset_of_a_raster_is_read_or_refused(write_raster):
    array = np.random.default_rng(0).integers(1000, 3000, (40, 30, 4)).astype(np.uint16)
    array[:2, :2] = 0
    path = write_raster("stack.tif", array, bands=SPOT_ORDER)
    with pytest.raises(ValueError, match="--offset -1000.*--offset 0"):
        open_product(path)
    assert open_product(path, offset=-1000).offset == -1000
    assert open_product(_with_metadata(path, PROCESSING_BASELINE="04.00")).offset == -1000
    assert open_product(_with_metadata(path, PROCESSING_BASELINE="03.01")).offset == 0
    assert open_product(_with_metadata(path, BOA_ADD_OFFSET="-1000")).offset == -1000
    assert open_product(path, offset=0).offset == 0
    dataset = gdal.Open(str(path), gdal.GA_Update)
    for number in range(1, 5):
        dataset.GetRasterBand(number).SetScale(1e-4)
        dataset.GetRasterBand(number).SetOffset(-0.1)
    dataset = None
    assert open_product(_with_metadata(path, PROCESSING_BASELINE="03.01")).offset == -1000


@pytest.mark.parametrize("dark, proven", [(0.02, True), (0.005, False)])
def test_many_dark_pixels_prove_that_there_is_no_offset(write_raster, dark, proven):
    array = np.full((100, 100, 4), 1500, np.uint16)
    array[: round(100 * dark), :, 2] = 300
    array[round(100 * dark), : round(10000 * dark) % 100, 2] = 300
    array[50:, :, 1] = 0
    path = write_raster("stack.tif", array, bands=SPOT_ORDER)
    if proven:
        assert open_product(path).offset == 0
    else:
        with pytest.raises(ValueError, match="--offset -1000.*--offset 0"):
            open_product(path)
    assert open_product(_with_metadata(path, PROCESSING_BASELINE="04.00")).offset == -1000


@pytest.mark.parametrize("share, proven", [(0.2, True), (0.05, False)])
def test_large_areas_below_800_prove_it_too(write_raster, share, proven):
    array = np.full((100, 100, 4), 1500, np.uint16)
    array[: round(100 * share), :, 1] = 700
    path = write_raster("stack.tif", array, bands=SPOT_ORDER)
    if proven:
        assert open_product(path).offset == 0
    else:
        with pytest.raises(ValueError, match="--offset -1000.*--offset 0"):
            open_product(path)


def test_contradicting_offsets_are_refused_whatever_the_pixels(write_raster):
    path = write_raster("stack.tif", np.full((20, 20, 4), 300, np.uint16), bands=SPOT_ORDER)
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.GetRasterBand(1).SetScale(1e-4)
    dataset.GetRasterBand(1).SetOffset(-0.1)
    dataset = None
    with pytest.raises(ValueError, match="--offset -1000.*--offset 0"):
        open_product(path)


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
    with pytest.raises(ValueError, match="one level is wanted. Received: .*L1C.*L2A"):
        open_product(paths, offset=0)


def test_one_file_for_each_band(write_raster):
    rng = np.random.default_rng(1)
    arrays = {band: rng.integers(1, 9, (12, 12)).astype(np.uint16) for band in SPOT_ORDER}
    paths = [write_raster(f"T31UDQ_20220714T105629_{band}_10m.tif", array) for band, array in arrays.items()]
    product = open_product(paths, offset=0)
    assert all(np.array_equal(_read(product.bands[band]), arrays[band]) for band in SPOT_ORDER)
    with pytest.raises(ValueError, match="twice"):
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
    with pytest.raises(ValueError, match="0 of them"):
        open_product(folder)
    (folder / "MTD_MSIL2A.xml").write_text("<truncated")
    with pytest.raises(ValueError, match="metadata of a SAFE product"):
        open_product(folder)
    with pytest.raises(ValueError, match="does not exist"):
        open_product(tmp_path / "absent.SAFE")


@pytest.mark.parametrize(
    "name, level, baseline, offset",
    [
        ("odcstac_S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json", "L2A", "02.12", 0),
        ("odcstac_S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json", "L2A", "02.12", 0),
        ("item_N0510_S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458.json", "L2A", "05.10", -1000),
        ("item_trimmed_stac1.1_projcode_N0510_S2B_T32UPC_20230101.json", "L2A", "05.10", -1000),
        ("earthsearch_multi_sentinel-2-l2a_S2A_13TDE_20231008_0_L2A.json", "L2A", "05.09", 0),
        ("earthsearch_sentinel-2-l2a_S2B_20EPT_20250731_0_L2A.json", "L2A", "05.11", 0),
        ("earthsearch_sentinel-2-c1-l2a_S2B_T20EPT_20250731T131905_L2A.json", "L2A", "05.11", -1000),
        ("earthsearch_sentinel-2-l1c_S2B_20EPT_20250731_0_L1C.json", "L1C", "05.11", -1000),
    ],
)
def test_real_items(shared_data, name, level, baseline, offset):
    item = stac_item.read_item(shared_data("stac_planetary_computer") / name)
    bands = list(stac_item.band_assets(item))
    assert stac_item.level(item) == level
    assert stac_item.baseline(item) == baseline
    assert stac_item.offset(item, bands) == offset
    assert stac_item.identity(item)["crs"].startswith("EPSG:327") or stac_item.identity(item)["crs"].startswith(
        "EPSG:326"
    )
    assert set(bands) <= {f"B{n:02}" for n in range(1, 13)} | {"B8A"} and bands


def test_real_decimated_item_of_earth_search(shared_data):
    folder = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    item = json.loads((folder / "S2A_29RKH_20200219_0_L2A.json").read_text())
    assert stac_item.offset(item, SPOT_ORDER) == 0
    for band, asset in stac_item.band_assets(item).items():
        asset["href"] = str(folder / f"{band}.tif")
    product = open_product(item, SPOT_ORDER)
    assert np.array_equal(product.image(SPOT_ORDER).to_numpy()[..., 3], _read(str(folder / "B08.tif")))


@pytest.mark.parametrize("name", ["S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP", "S2B_MSIL2A_20220101_N9905_R1_T1"])
def test_a_reserved_baseline_in_a_name_tells_no_offset(write_raster, name):
    path = write_raster(f"{name}.tif", np.full((40, 30, 4), 1500, np.uint16), bands=SPOT_ORDER)
    with pytest.raises(ValueError, match="--offset -1000.*--offset 0"):
        open_product(path)


@pytest.mark.parametrize("baseline", ["99.99", "N9999", "99.01"])
def test_an_item_of_a_reserved_baseline_is_ambiguous(make_sentinel2_item, baseline):
    item = make_sentinel2_item("home", np.full((96, 96), 4), baseline=baseline)
    with pytest.raises(ValueError, match="ambiguous.*--offset"):
        stac_item.offset(item, ("B04",))
    item["assets"]["B04"]["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    assert stac_item.offset(item, ("B04",)) == -1000


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
            with pytest.raises(ValueError, match="ambiguous.*--offset"):
                open_product(folder)


def test_item_without_baseline_is_ambiguous(make_sentinel2_item):
    item = make_sentinel2_item("anonymous", np.full((96, 96), 4))
    del item["properties"]["s2:processing_baseline"]
    with pytest.raises(ValueError, match="ambiguous.*--offset"):
        open_product(item, ("B04",))


def test_remote_item_is_read_by_otb_with_its_signature(planetary_computer, make_sentinel2_item, tmp_path):
    server = planetary_computer([make_sentinel2_item("one", np.full((96, 96), 4), bands=SPOT_ORDER)])
    product = open_product(stac_search.find_item("one", server.stac_url), SPOT_ORDER)
    assert product.offset == -1000
    expected = _read(str(tmp_path / "sentinel2" / "one" / "B08.tif")).astype(int)
    pixels = product.image(SPOT_ORDER).to_numpy()
    assert np.array_equal(pixels[..., 3], np.where(expected == 0, 0, np.maximum(expected - 1000, 1)))
    assert not product.refresh()
    names = dict(product.bands)
    assert product.refresh(force=True) and set(names.values()).isdisjoint(product.bands.values())
    assert open_product(f"{server.stac_url}/collections/sentinel-2-l2a/items/one", ("B04",)).offset == -1000


def test_remote_band_that_does_not_exist(planetary_computer, make_sentinel2_item, tmp_path):
    item = make_sentinel2_item("one", np.full((96, 96), 4))
    (tmp_path / "sentinel2" / "one" / "B04.tif").unlink()
    server = planetary_computer([item])
    with pytest.raises(http.RemoteError, match="B04: .*cannot be opened"):
        open_product(stac_search.find_item("one", server.stac_url), ("B04",))


def test_truncated_raster_is_refused(stack):
    path, _ = stack(bands=SPOT_ORDER)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises((ValueError, RuntimeError)):
        open_product(path, offset=0).image(SPOT_ORDER).to_numpy()


def test_document_which_is_no_item(tmp_path):
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ValueError, match="STAC item"):
        open_product(tmp_path / "no.json")


@pytest.mark.parametrize("offset", [None, 0, -1000])
def test_nodata_that_is_not_declared_is_no_digital_number(write_raster, offset):
    array = np.full((20, 20, 4), 1500, np.int16)
    array[:7, :, 2] = -9999
    path = write_raster("stack.tif", array, bands=SPOT_ORDER)
    with pytest.raises(ValueError, match="nodata that the raster declares, are wanted. Received: -9999, undeclared"):
        open_product(path, offset=offset)
    assert open_product(write_raster("declared.tif", array, bands=SPOT_ORDER, nodata=-9999), offset=0).offset == 0
