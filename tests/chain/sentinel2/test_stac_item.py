# SPDX-License-Identifier: Apache-2.0
"""STAC items of several catalogues: which asset is which band, what they say of the offset, where their images lie."""

import json

import numpy as np
import pytest
from osgeo import gdal

from chain.raster import http
from chain.sentinel2 import stac_item, stac_search
from chain.sentinel2.image import open_product
from chain.sentinel2.offset import decided_offset
from chain.sentinel2.pixel_evidence import Evidence
from tests.chain.sentinel2.scenes import ORDER, check_native, native, read, write_files

SPOT_ORDER = ("B04", "B03", "B02", "B08")


def offset_of(item, bands):
    """Return the offset that an item states, of pixels that tell nothing."""
    assets = stac_item.band_assets(item)
    stated = stac_item.statements(item, [assets[band] for band in bands])
    return decided_offset(item["id"], stated, Evidence, None)[0]


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
    assert offset_of(item, bands) == offset
    assert stac_item.identity(item)["crs"].startswith("EPSG:327") or stac_item.identity(item)["crs"].startswith(
        "EPSG:326"
    )
    assert set(bands) <= {f"B{n:02}" for n in range(1, 13)} | {"B8A"} and bands


def test_real_decimated_item_of_earth_search(shared_data):
    folder = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    item = json.loads((folder / "S2A_29RKH_20200219_0_L2A.json").read_text())
    assert offset_of(item, SPOT_ORDER) == 0
    for band, asset in stac_item.band_assets(item).items():
        asset["href"] = str(folder / f"{band}.tif")
    product = open_product(item, SPOT_ORDER)
    assert np.array_equal(
        product.image(SPOT_ORDER).to_numpy()[..., 3], gdal.Open(str(folder / "B08.tif")).ReadAsArray()
    )


@pytest.mark.parametrize("baseline", ["99.99", "N9999", "99.01"])
def test_an_item_of_a_reserved_baseline_is_ambiguous(make_sentinel2_item, baseline):
    item = make_sentinel2_item("home", np.full((96, 96), 4), baseline=baseline)
    with pytest.raises(ValueError, match="not stated.*--offset"):
        offset_of(item, ("B04",))
    item["assets"]["B04"]["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    assert offset_of(item, ("B04",)) == -1000


def test_item_without_baseline_is_ambiguous(make_sentinel2_item):
    item = make_sentinel2_item("anonymous", np.full((96, 96), 4))
    del item["properties"]["s2:processing_baseline"]
    with pytest.raises(ValueError, match="not stated.*--offset"):
        offset_of(item, ("B04",))


def test_remote_item_is_read_by_otb_with_its_signature(planetary_computer, make_sentinel2_item, tmp_path):
    server = planetary_computer([make_sentinel2_item("one", np.full((96, 96), 4), bands=SPOT_ORDER)])
    product = open_product(stac_search.find_item("one", server.stac_url), SPOT_ORDER)
    assert product.offset == -1000
    expected = gdal.Open(str(tmp_path / "sentinel2" / "one" / "B08.tif")).ReadAsArray().astype(int)
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
    with pytest.raises(http.RemoteError, match="B04: cannot open .*B04.tif"):
        open_product(stac_search.find_item("one", server.stac_url), ("B04",))


def test_document_which_is_no_item(tmp_path):
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ValueError, match="STAC item"):
        open_product(tmp_path / "no.json")


def item_of(assets, **properties):
    """Return an item of assets, given by key as href or mapping."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "S2A_T31UDQ_20220714_L2A",
        "properties": {"s2:processing_baseline": "02.14", **properties},
        "assets": {key: {"href": asset} if isinstance(asset, str) else asset for key, asset in assets.items()},
        "links": [],
    }


COPERNICUS = {
    **{
        f"{band}_{gsd}m": f"s3://eodata/x/IMG_DATA/R{gsd}m/T31UDQ_{band}_{gsd}m.jp2"
        for band, sizes in {"B02": (10, 20, 60), "B05": (20, 60), "B01": (20, 60), "B8A": (20, 60)}.items()
        for gsd in sizes
    },
    "SCL_20m": "s3://eodata/x/T31UDQ_SCL_20m.jp2",
    "SCL_60m": "s3://eodata/x/T31UDQ_SCL_60m.jp2",
    "TCI_10m": "s3://eodata/x/T31UDQ_TCI_10m.jp2",
    "thumbnail": {"href": "https://x/ql.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
    "safe_manifest": {"href": "s3://eodata/x/manifest.safe", "type": "application/xml"},
}
EARTH_SEARCH = {
    key + end: {"href": f"https://x/{band}{kind}", "gsd": gsd, "eo:bands": [{"name": key, "common_name": common}]}
    for key, common, band, gsd in (
        ("red", "red", "B04", 10),
        ("rededge2", "rededge", "B06", 20),
        ("nir", "nir", "B08", 10),
        ("nir08", "nir08", "B8A", 20),
        ("swir22", "swir22", "B12", 20),
    )
    for end, kind in (("", ".tif"), ("-jp2", ".jp2"))
}
GOOGLE = {
    f"asset-{number}": f"gs://gcp-public-data-sentinel-2/tiles/31/U/DQ/T31UDQ_20220714T105629_{band}.jp2"
    for number, band in enumerate(("B01", "B8A", "B12"))
}
BY_BANDS = {
    "data-1": {"href": "https://x/1.tif", "bands": [{"name": "B11", "eo:common_name": "swir16"}]},
    "data-2": {"href": "https://x/2.tif", "bands": [{"name": "x", "eo:common_name": "nir08"}]},
    "data-3": {"href": "https://x/3.tif", "bands": [{"name": "B04"}, {"name": "B03"}, {"name": "B02"}]},
}
AFRICA = {band: f"https://x/{band}.tif" for band in ("B02", "B8A")} | {
    "SCL": "https://x/SCL.tif",
    "AOT": "https://x/AOT.tif",
}
CATALOGUES = {
    "Copernicus Data Space": (
        COPERNICUS,
        {"B01": "B01_60m", "B02": "B02_10m", "B05": "B05_20m", "B8A": "B8A_20m"},
        "SCL_20m",
    ),
    "Earth Search": (
        EARTH_SEARCH,
        {"B04": "red", "B06": "rededge2", "B08": "nir", "B8A": "nir08", "B12": "swir22"},
        None,
    ),
    "Google": (GOOGLE, {"B01": "asset-0", "B8A": "asset-1", "B12": "asset-2"}, None),
    "bands": (BY_BANDS, {"B11": "data-1", "B8A": "data-2"}, None),
    "Africa": (AFRICA, {"B02": "B02", "B8A": "B8A"}, "SCL"),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_assets_of_catalogues_are_told(name):
    assets, expected, classes = CATALOGUES[name]
    item = stac_item.read_item(item_of(assets))
    found = {band: asset["href"] for band, asset in stac_item.band_assets(item).items()}
    assert found == {band: item["assets"][key]["href"] for band, key in expected.items()}
    assert (stac_item.classes_asset(item) or {}).get("href") == (item["assets"][classes]["href"] if classes else None)


def test_two_assets_of_a_band_are_refused():
    item = item_of({"B04": "https://x/a.tif", "B04_masked": "https://x/b.tif"})
    with pytest.raises(ValueError, match="expected one asset for each band, got B04, B04_masked for B04"):
        stac_item.band_assets(item)


@pytest.mark.parametrize(
    "properties, asset, offset",
    [
        ({"s2:processing_baseline": "05.10"}, {}, -1000),
        ({"s2:processing_baseline": "02.14"}, {}, 0),
        ({"s2:processing_baseline": None, "processing:version": "05.11"}, {}, -1000),
        ({"s2:processing_baseline": None, "processing:version": "1.0"}, {}, None),
        ({"s2:processing_baseline": "99.99"}, {}, None),
        ({"s2:processing_baseline": "05.10"}, {"raster:scale": 0.0001, "raster:offset": -0.1}, -1000),
        (
            {"s2:processing_baseline": None},
            {"bands": [{"name": "B04", "raster:scale": 1e-4, "raster:offset": -0.1}]},
            -1000,
        ),
        ({"s2:processing_baseline": "05.10"}, {"raster:bands": [{"scale": 0.0001, "offset": 0}]}, None),
        ({"s2:processing_baseline": "02.14"}, {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}, None),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": True}, {}, 0),
        ({"s2:processing_baseline": "05.10", "sentinel:boa_offset_applied": True}, {}, 0),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": False}, {}, -1000),
    ],
)
def test_what_items_say_of_the_offset(properties, asset, offset):
    item = stac_item.read_item(item_of({"B04": {"href": "https://x/B04.tif", **asset}}, **properties))
    if offset is None:
        with pytest.raises(ValueError, match="--offset -1000.*--offset 0"):
            offset_of(item, ("B04",))
    else:
        assert offset_of(item, ("B04",)) == offset


@pytest.mark.parametrize("properties", [{"earthsearch:boa_offset_applied": True}, {"s2:processing_baseline": "02.14"}])
@pytest.mark.parametrize("add", [0, 1000])
def test_what_an_item_says_is_held_against_the_pixels(tmp_path, properties, add):
    pixels = native(120)
    files = write_files(tmp_path, {band: array + np.uint16(add) for band, array in pixels.items()})
    item = item_of(files, **properties)
    if add:
        with pytest.raises(ValueError, match="states an offset of 0, but no band has darker pixels"):
            open_product(item)
    else:
        check_native(open_product(item), pixels)
    item["properties"] = {"s2:processing_baseline": "05.10"}
    if add:
        check_native(open_product(item), pixels)
    else:
        with pytest.raises(ValueError, match="states an offset of -1000, but pixels that no offset"):
            open_product(item)


def test_images_are_where_the_item_says_from_where_it_lies(tmp_path, monkeypatch):
    pixels = native(60, bands=("B02", "B05"))
    write_files(tmp_path / "item" / "images", pixels)
    document = item_of({band: f"./images/{band}.tif" for band in pixels})
    path = tmp_path / "item" / "item.json"
    path.write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    for source in (path, "item/item.json"):
        check_native(open_product(source, offset=0), pixels)
    document["links"] = [{"rel": "self", "href": "https://example.org/items/one.json"}]
    assert stac_item.read_item(document)["assets"]["B02"]["href"] == "https://example.org/items/images/B02.tif"


def test_an_asset_that_holds_all_bands(tmp_path):
    from tests.chain.sentinel2.scenes import check_stack, fine, write

    pixels = native(60)
    path = write(tmp_path / "all.tif", list(fine(pixels).values()))
    listed = [{"name": band} for band in pixels]
    for key in ("eo:bands", "bands"):
        image = open_product(item_of({"result": {"href": path, key: listed}}), offset=0)
        check_stack(image, pixels)
    assert read(image, "B02").shape == (60, 60) and list(image.bands) == list(ORDER)


COMMON = (
    "coastal",
    "blue",
    "green",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir08",
    "nir09",
    "swir16",
    "swir22",
)


@pytest.mark.parametrize("key", ["name", "common_name"])
def test_an_asset_that_holds_all_bands_and_others_by_other_names(tmp_path, key):
    from tests.chain.sentinel2.scenes import check_stack, fine, write

    pixels = native(60)
    missing = np.zeros((60, 60), bool)
    missing[:6] = True
    others = [np.full((60, 60), 4, np.uint16), (~missing).astype(np.uint16)]
    path = write(tmp_path / "all.tif", [*fine(pixels).values(), *others])
    listed = [{key: name} for name in (*COMMON, "SCL", "dataMask")]
    image = open_product(item_of({"result": {"href": path, "bands": listed}}), offset=0)
    check_stack(image, pixels, missing)
    assert image.classes is not None and np.all(gdal.Open(image.classes).ReadAsArray() == 4)


def test_an_item_that_contradicts_what_its_raster_says_of_its_bands_is_refused(tmp_path):
    from tests.chain.sentinel2.scenes import write

    pixels = native(60)
    path = write(tmp_path / "four.tif", [pixels[band] for band in SPOT_ORDER], SPOT_ORDER)
    listed = [{"name": band} for band in sorted(SPOT_ORDER)]
    with pytest.raises(ValueError, match="four.tif: expected B02 as band 1, got one that it describes as B04"):
        open_product(item_of({"result": {"href": path, "bands": listed}}), offset=0)
    with pytest.raises(ValueError, match="four.tif: expected B08 as band 1, got one that it describes as B04"):
        open_product(item_of({"B08": {"href": path}}), offset=0)
    listed = [{"name": band} for band in (*SPOT_ORDER, "B05")]
    with pytest.raises(ValueError, match="four.tif: expected B05 as band 5, got 4 bands"):
        open_product(item_of({"result": {"href": path, "bands": listed}}), offset=0)


@pytest.mark.parametrize(
    "key, name, file, said",
    [
        ("B02", "B03", "image", "key B02, name B03"),
        ("blue", "B03", "image", "key blue, name B03"),
        ("B02", "", "T31UDQ_x_B03_10m", "key B02, file T31UDQ_x_B03_10m.tif"),
        ("image", "B04", "B03", "name B04, file B03.tif"),
    ],
)
def test_an_asset_that_is_called_by_two_bands_is_refused(tmp_path, key, name, file, said):
    from tests.chain.sentinel2.scenes import write

    path = write(tmp_path / f"{file}.tif", [native(60)["B02"]])
    item = item_of({key: {"href": path, "eo:bands": [{"name": name}]}})
    with pytest.raises(ValueError, match=f"S2A_T31UDQ_20220714_L2A: expected an asset of one band, got {said}$"):
        open_product(item, offset=0)


def changed(value):
    """Yield other values than a value of JSON, at any of its depths."""
    yield from (None, 3, "x", [], {}, [None], {"a": None}, "")
    if isinstance(value, dict):
        for key, each in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: other} for other in changed(each))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in changed(each))


def test_items_of_which_any_part_is_missing_or_of_another_kind_are_read_or_refused_in_words():
    bands = [{"name": "B04", "common_name": "red"}]
    raster = [{"scale": 0.0001, "offset": -0.1, "nodata": 0, "spatial_resolution": 10}]
    asset = {"href": "B04.tif", "type": "image/tiff", "roles": ["data"], "gsd": 10, "eo:bands": bands}
    item = {
        "type": "Feature",
        "id": "S2A_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657",
        "collection": "sentinel-2-l2a",
        "properties": {"datetime": "2022-07-14T10:56:29Z", "s2:processing_baseline": "04.00"},
        "links": [{"rel": "self", "href": "https://stac.example.org/a"}],
        "assets": {"B04": {**asset, "raster:bands": raster}, "SCL": {"href": "SCL.tif", "type": "image/tiff"}},
    }
    for other in changed(item):
        try:
            stac_item.read_item(other)
            stac_item.item_contents(other)
        except ValueError as error:
            assert "\n" not in str(error)
