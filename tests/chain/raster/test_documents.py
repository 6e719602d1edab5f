# SPDX-License-Identifier: Apache-2.0
"""Documents from servers that refuse, wait, drip, or never end."""

import http.server
import json
import time
from contextlib import ExitStack

import pytest

from chain.raster import documents, signatures
from chain.raster import http as gdal_http
from chain.raster.documents import Documents, read_text
from chain.raster.footprint import Footprint
from chain.raster.http import RemoteError
from chain.sentinel2 import stac_search
from chain.serving.inputs import items_of
from tests.examples import slow
from tests.servers import serving

ITEM = {"type": "Feature", "id": "S", "assets": {}, "properties": {}, "links": []}


@pytest.fixture
def serve():
    """Return a function that serves what a function of the handler answers; returns its address and the requests."""

    def start(answer):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                answer(self, len(asked))

            do_POST = do_GET

            def log_message(self, *_):
                pass

        return servers.enter_context(serving(Handler)).url, asked

    with ExitStack() as servers:
        yield start


def send(handler, content, status=200, **headers):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def waits(monkeypatch):
    """Record what is waited instead of waiting."""
    found = []
    monkeypatch.setattr(documents.time, "sleep", found.append)
    return found


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_server_that_refuses_is_told_with_its_status_and_host(serve, status):
    address, asked = serve(lambda handler, _: send(handler, b"no", status))
    with pytest.raises(RemoteError, match=f"^127.0.0.1: HTTP status {status}$"):
        read_text(f"{address}/item.json?sig=cAnArY")
    assert len(asked) == 1


def test_what_a_server_asks_to_wait_is_capped_and_told(serve, waits, caplog):
    address, _ = serve(
        lambda handler, n: send(handler, b"{}" if n > 2 else b"", 200 if n > 2 else 429, Retry_After="3600")
    )
    assert read_text(f"{address}/x") == "{}" and waits == [60.0, 60.0]
    assert "127.0.0.1: HTTP status 429; waiting 60 s" in caplog.text


@pytest.mark.parametrize("asked", ["nan", "-5", "inf", "1e9", "9" * 400, "soon", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_whatever_a_server_asks_to_wait_is_a_minute_at_most(serve, waits, asked):
    address, _ = serve(lambda handler, n: send(handler, b"{}", 200 if n > 1 else 429, Retry_After=asked))
    assert read_text(f"{address}/x") == "{}" and len(waits) == 1 and 0 <= waits[0] <= 60


def test_a_server_that_is_always_busy_ends_in_one_line(serve, waits, monkeypatch):
    monkeypatch.setattr(gdal_http, "TRIES", 2)
    address, asked = serve(lambda handler, _: send(handler, b"", 503))
    with pytest.raises(RemoteError, match="^127.0.0.1: HTTP status 503, 3 times$"):
        read_text(f"{address}/x")
    assert len(asked) == 3


@pytest.mark.parametrize("how", ["silent", slow("dripping"), "dripping headers", "busy"])
def test_a_server_that_does_not_answer_ends_in_time(serve, monkeypatch, how):
    monkeypatch.setattr(gdal_http, "TIMEOUT", 1.0)

    def answer(handler, _):
        if how == "busy":
            return send(handler, b"", 503, Retry_After="1")
        if how.startswith("dripping"):
            handler.send_response(200)
            if how == "dripping":
                handler.end_headers()
            else:
                handler.flush_headers()
            for _ in range(100):
                handler.wfile.write(b"x")
                time.sleep(0.1)
        time.sleep(10)

    address, _ = serve(answer)
    start = time.monotonic()
    with pytest.raises(RemoteError):
        read_text(f"{address}/x")
    assert time.monotonic() - start < 9  # the answer takes 10 s and more


def test_a_document_that_is_too_large_is_refused(serve, monkeypatch):
    monkeypatch.setattr(documents, "LARGEST", 1 << 20)
    address, _ = serve(lambda handler, _: send(handler, b" " * (3 << 20)))
    with pytest.raises(RemoteError, match="at most 1 MiB, got a larger one"):
        read_text(f"{address}/x")


def page(address, number):
    link = {"rel": "next", "href": f"{address}/items?page={number}", "type": "application/geo+json"}
    return {"type": "FeatureCollection", "features": [ITEM], "links": [link]}


def test_a_search_whose_next_page_is_the_same_again_ends(serve):
    address, asked = serve(lambda handler, _: send(handler, page(f"http://{handler.headers['Host']}", 1)))
    with pytest.raises(
        ValueError, match="--input: .*expected a search that ends, got the same next page again after 2"
    ):
        list(items_of(f"{address}/items"))
    assert len(asked) == 2


def test_a_search_without_end_ends(serve, monkeypatch):
    monkeypatch.setattr(documents, "PAGES", 7)
    address, asked = serve(lambda handler, n: send(handler, page(f"http://{handler.headers['Host']}", n)))
    with pytest.raises(ValueError, match="expected a search of at most 7 pages, got more"):
        list(items_of(f"{address}/items"))
    assert len(asked) == 7


def test_a_slow_search_without_end_ends(serve, monkeypatch):
    def answer(handler, number):
        time.sleep(0.3)
        send(handler, page(f"http://{handler.headers['Host']}", number))

    monkeypatch.setattr(gdal_http, "TIMEOUT", 1.0)
    address, _ = serve(answer)
    with pytest.raises(ValueError, match=r"expected a search that ends within 1 s, got \d pages, and more"):
        list(items_of(f"{address}/items"))


@pytest.mark.parametrize(
    "answer",
    [[], {}, None, 7, "x", {"type": "Catalog"}, {"links": [{}]}, {"type": "Catalog", "links": [{"rel": 3}]}, [[[]]]],
)
def test_what_is_no_stac_is_one_line_with_the_option(serve, answer):
    address, _ = serve(lambda handler, _: send(handler, answer))
    footprint = Footprint((2.0, 0.001, 0.0, 49.0, 0.0, -0.001), (100, 50), WGS84)
    with pytest.raises(RemoteError, match=f"^--stac-url {address}: the search failed: ") as caught:
        stac_search.search(footprint, "2022-06-15/2022-08-15", address)
    assert "\n" not in str(caught.value)


WGS84 = 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],UNIT["degree",0.0174532925199433]]'


def test_a_token_is_asked_for_within_limits(serve, monkeypatch):
    from planetary_computer.settings import Settings

    monkeypatch.setattr(gdal_http, "TIMEOUT", 1.5)
    address, _ = serve(lambda handler, _: time.sleep(20))
    monkeypatch.setenv("PC_SDK_SAS_URL", address)
    Settings.get.cache_clear()
    signatures.forget_tokens()
    start = time.monotonic()
    with pytest.raises(RemoteError, match="no access token for a/c"):
        signatures.sign("https://a.blob.core.windows.net/c/B04.tif")
    assert time.monotonic() - start < 19  # an answer takes 20 s
    Settings.get.cache_clear()


def test_pages_that_end_are_all_read(serve):
    def answer(handler, number):
        found = page(f"http://{handler.headers['Host']}", number)
        send(handler, found if number < 4 else {**found, "links": []})

    address, asked = serve(answer)
    assert len(list(Documents().get_pages(f"{address}/items"))) == 4 == len(asked)
