# SPDX-License-Identifier: Apache-2.0
"""Search, signatures, measured clouds, choice; with a server that fails in the ways servers do."""

import json
from datetime import datetime

import numpy as np
import pystac
import pytest
from osgeo import osr

from chain.raster import http, signatures
from chain.raster.footprint import Footprint
from chain.sentinel2 import cloud_cover, stac_search
from simulate.planetary_computer import Fault


def _wkt(epsg):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    return reference.ExportToWkt()


def _footprint(left, top, width, height, gsd=6.0, epsg=32631):
    return Footprint((left, gsd, 0.0, top, 0.0, -gsd), (width, height), _wkt(epsg))


INSIDE = _footprint(500300.0, 5399700.0, 100, 100)
CLEAR = np.full((96, 96), 4)


def test_footprint_is_in_longitude_latitude_order():
    geometry = json.loads(_footprint(448251.0, 5411932.0, 100, 100).geometry().ExportToJson())
    longitude, latitude = geometry["coordinates"][0][0]
    assert (longitude, latitude) == (pytest.approx(2.2945, abs=0.01), pytest.approx(48.858, abs=0.01))
    assert geometry["coordinates"][0][0] == geometry["coordinates"][0][-1]


def test_footprint_of_a_geographic_image_keeps_its_coordinates():
    footprint = Footprint((2.0, 0.001, 0.0, 49.0, 0.0, -0.001), (100, 50), _wkt(4326))
    assert footprint.geometry().GetEnvelope() == pytest.approx((2.0, 2.1, 48.95, 49.0))


def test_footprint_refuses_an_image_without_crs(tmp_path):
    from osgeo import gdal

    gdal.GetDriverByName("GTiff").Create(str(tmp_path / "raw.tif"), 4, 4)
    with pytest.raises(ValueError, match="orthorectified"):
        Footprint.of(tmp_path / "raw.tif")


def test_search_pages_and_sorts_by_the_cover_of_the_tile(planetary_computer, make_sentinel2_item):
    items = [make_sentinel2_item(f"item{n}", CLEAR, tile_cover=c) for n, c in enumerate((40.0, 2.0, 7.0))]
    server = planetary_computer(items)
    found = stac_search.search(INSIDE, "2022-06-15/2022-08-15", server.stac_url)
    assert [item.id for item in found] == ["item1", "item2", "item0"]
    assert stac_search.search(INSIDE, "2023-06-15/2023-08-15", server.stac_url) == []
    assert stac_search.find_item("item2", server.stac_url).id == "item2"
    with pytest.raises(http.RemoteError, match="--item"):
        stac_search.find_item("absent", server.stac_url)


@pytest.mark.parametrize("epsg, left, top", [(32631, 500300.0, 5399700.0), (2154, 700500.0, 6849820.0)])
def test_measured_cover_is_that_of_the_footprint(planetary_computer, make_sentinel2_item, epsg, left, top):
    scl = np.full((96, 96), 9)
    scl[10:60, 10:60] = 4
    footprint = _footprint(left, top, 100, 100, epsg=epsg)
    points = (footprint.to_crs(footprint.sample(100, 100), _wkt(32631)) - (500000.0, 5400000.0)) / (20.0, -20.0)
    columns, rows = np.floor(points).astype(int).T
    scl[rows[:3000], columns[:3000]] = 8
    scl[rows[-500:], columns[-500:]] = 0
    expected_cloudy = np.isin(scl[rows, columns], cloud_cover.CLOUDY_CLASSES).mean()
    server = planetary_computer([make_sentinel2_item("one", scl, tile_cover=80.0)])
    candidate = cloud_cover.measure(stac_search.find_item("one", server.stac_url), footprint)
    assert candidate.cloudy == pytest.approx(expected_cloudy, abs=0.02)
    assert candidate.uncovered == pytest.approx((scl[rows, columns] == 0).mean(), abs=0.02)


def test_ground_beyond_the_image_counts_as_uncovered(planetary_computer, make_sentinel2_item):
    server = planetary_computer([make_sentinel2_item("one", CLEAR)])
    footprint = _footprint(500000.0 - 300.0, 5399700.0, 100, 100)
    candidate = cloud_cover.measure(stac_search.find_item("one", server.stac_url), footprint)
    assert (candidate.cloudy, candidate.uncovered) == (0.0, pytest.approx(0.5, abs=0.02))


def test_large_footprints_are_read_at_an_overview(planetary_computer, make_sentinel2_item):
    rng = np.random.default_rng(1)
    scl = np.where(np.kron(rng.random((12, 12)) < 0.3, np.ones((8, 8))) > 0, 9, 4)
    server = planetary_computer([make_sentinel2_item("one", scl)])
    item = stac_search.find_item("one", server.stac_url)
    footprint = _footprint(500000.0, 5400000.0, 320, 320)
    assert cloud_cover.measure(item, footprint, samples=24).cloudy == pytest.approx((scl == 9).mean(), abs=0.05)


def test_choice_is_by_measured_cover_then_date(planetary_computer, make_sentinel2_item):
    clouds_here = np.full((96, 96), 4)
    clouds_here[:60, :60] = 9
    clouds_elsewhere = np.full((96, 96), 9)
    clouds_elsewhere[:60, :60] = 4
    items = [
        make_sentinel2_item("clear-tile", clouds_here, tile_cover=0.1),
        make_sentinel2_item("june", clouds_elsewhere, "2022-06-20", tile_cover=50.0),
        make_sentinel2_item("july", clouds_elsewhere, "2022-07-20", tile_cover=60.0),
        make_sentinel2_item("partial", CLEAR, "2022-07-15", tile_cover=0.0, covers=0.3),
    ]
    server = planetary_computer(items)
    found = stac_search.search(INSIDE, "2022-06-15/2022-08-15", server.stac_url)
    assert cloud_cover.choose(found, INSIDE, 10.0, datetime(2022, 7, 16)).item.id == "july"
    assert cloud_cover.choose(found, INSIDE, 10.0, datetime(2022, 6, 16)).item.id == "june"
    cloudy = [item for item in found if item.id == "clear-tile"]
    with pytest.raises(http.RemoteError, match="--max-cloud-cover: expected at most 10 %.*100.0 %"):
        cloud_cover.choose(cloudy, INSIDE, 10.0)
    with pytest.raises(http.RemoteError, match="contains the footprint"):
        cloud_cover.choose([item for item in found if item.id == "partial"], _footprint(501000.0, 5399700.0, 99, 99), 9)
    with pytest.raises(http.RemoteError, match="no item"):
        cloud_cover.choose([], INSIDE, 10.0)


def test_real_items_go_through_search_order_and_overlap(shared_data):
    folder = shared_data("stac_planetary_computer")
    document = json.loads((folder / "odcstac_site2-2020_jun_jul-35MNM.geojson").read_text())
    items = [pystac.Item.from_dict(feature) for feature in document["features"]]
    centre = _footprint(540000.0, 9150000.0, 1000, 1000, epsg=32735)
    assert all(cloud_cover.overlap(item, centre) == pytest.approx(1.0) for item in items)
    outside = _footprint(440000.0, 9150000.0, 1000, 1000, epsg=32735)
    assert max(cloud_cover.overlap(item, outside) for item in items) == 0.0
    assert cloud_cover.classification_asset(items[0]).endswith("_SCL_20m.tif")
    for name, found in (("2-l2a_S2B_20EPT_20250731_0_L2A", True), ("2-l1c_S2B_20EPT_20250731_0_L1C", False)):
        item = pystac.Item.from_file(str(folder / f"earthsearch_sentinel-{name}.json"))
        if found:
            assert cloud_cover.classification_asset(item).endswith("/SCL.tif")
        else:
            with pytest.raises(http.RemoteError, match="scene classification"):
                cloud_cover.classification_asset(item)


def test_tokens_are_kept_while_valid_and_renewed_when_they_expire(planetary_computer, make_sentinel2_item):
    server = planetary_computer([make_sentinel2_item("one", CLEAR)])
    href = stac_search.find_item("one", server.stac_url).assets["SCL"].href
    first = signatures.sign(href)
    assert signatures.sign(href) == first and "sig=" in first
    assert server.counters()["requests"]["token"] == 1
    server.tokens.lifetime = 30.0
    signatures.forget_tokens()
    assert len({signatures.sign(href), signatures.sign(href)}) == 2
    assert signatures.sign("https://example.com/B04.tif") == "https://example.com/B04.tif"


def test_refused_token_is_replaced(planetary_computer, make_sentinel2_item):
    server = planetary_computer([make_sentinel2_item("one", CLEAR)])
    item = stac_search.find_item("one", server.stac_url)
    signatures.sign(item.assets["SCL"].href)
    server.tokens.revoke()
    assert cloud_cover.measure(item, INSIDE).bad == 0.0
    assert server.counters()["requests"]["token"] == 2


@pytest.mark.parametrize("kind, status", [("status", 429), ("status", 503), ("drop", 0)])
@pytest.mark.parametrize("pattern", ["/search", "/token/", r"SCL\.tif"])
def test_passing_faults_are_survived(planetary_computer, make_sentinel2_item, kind, status, pattern):
    server = planetary_computer([make_sentinel2_item("one", CLEAR)])
    server.inject(Fault(pattern, kind, count=2, status=status, retry_after=0))
    items = stac_search.search(INSIDE, "2022-06-15/2022-08-15", server.stac_url)
    assert cloud_cover.choose(items, INSIDE, 10.0).item.id == "one"
    assert server.counters()["requests"]["fault"] == 2


@pytest.mark.parametrize("pattern", ["/search", "/token/", r"SCL\.tif"])
def test_lasting_faults_end_in_one_line(planetary_computer, make_sentinel2_item, pattern, monkeypatch):
    server = planetary_computer([make_sentinel2_item("one", CLEAR)])
    monkeypatch.setattr(http, "TRIES", 1)
    server.inject(Fault(pattern, "status", count=10000, status=503, retry_after=0))
    with pytest.raises(http.RemoteError) as caught:
        cloud_cover.choose(stac_search.search(INSIDE, "2022-06-15/2022-08-15", server.stac_url), INSIDE, 10.0)
    assert "\n" not in str(caught.value) and "sig=" not in str(caught.value)


def test_no_server(planetary_computer):
    server = planetary_computer([])
    server.stop()
    with pytest.raises(http.RemoteError, match="Connection refused"):
        stac_search.search(INSIDE, "2022-06-15/2022-08-15", server.stac_url)


def test_traffic_counts_what_the_server_sent(planetary_computer, make_sentinel2_item):
    http.configure()
    server = planetary_computer([make_sentinel2_item("one", CLEAR)])
    item = stac_search.find_item("one", server.stac_url)
    before = http.traffic()
    cloud_cover.measure(item, INSIDE)
    fetched = http.traffic() - before
    assert 0 < fetched.requests <= server.counters()["requests"]["blob"]
    assert fetched.bytes == server.counters()["bytes"]["blob"]


def test_retry_is_bounded():
    calls = []

    def fail():
        calls.append(1)
        raise OSError("no")

    with pytest.raises(OSError):
        http.retry(fail, (OSError,), attempts=3, delay=0.0)
    assert len(calls) == 3
    with pytest.raises(ValueError):
        http.retry(fail, (OSError,), attempts=0)
