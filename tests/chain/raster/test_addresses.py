"""What documents from elsewhere may make the programs read."""

import http.server
import json

import pytest

from chain.raster import addresses
from chain.raster.addresses import ForbiddenAddress, check_address, is_local
from chain.raster.documents import read_text
from chain.raster.http import RemoteError
from chain.sentinel2.stac_item import item_contents
from tests.servers import serving

ITEM = "https://stac.example.org/collections/s2/items/a"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "10.0.0.8", "172.16.3.4", "192.168.1.1"),
        *("169.254.169.254", "::1", "[::1]", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST."),
        *("a.localhost", "metadata.google.internal", "printer.local", "intranet", ""),
    ],
)
def test_hosts_of_this_machine_and_its_network_are_told(host):
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["example.org", "8.8.8.8", "2606:4700::1111", "10.example.org", "localhost.example.org"]
)
def test_other_hosts_are_not(host):
    assert not is_local(host)


@pytest.mark.parametrize(
    "href",
    [
        *("/etc/passwd", "file:///etc/passwd", "data/B04.tif", "/vsicurl/http://127.0.0.1/a.tif", "/vsis3/b/a.tif"),
        *("http://127.0.0.1/a.tif", "https://169.254.169.254/latest/meta-data", "https://[::1]:8443/a.tif"),
        *("http://other.example.org/a.tif", "ftp://stac.example.org/a.tif", "gopher://x/a", "https:///a.tif"),
        *("http://stac.example.org/a.tif", "https://user@127.0.0.1/a.tif", "https://[bad/a.tif"),
    ],
)
def test_what_an_item_from_elsewhere_may_not_name(href):
    with pytest.raises(ForbiddenAddress):
        check_address(href, ITEM)
    item = {
        "id": "a",
        "properties": {},
        "links": [{"rel": "self", "href": ITEM}],
        "assets": {"B04": {"href": href, "type": "image/tiff"}},
    }
    if href != "data/B04.tif":  # which lies beside the item
        with pytest.raises(ValueError, match="^a: expected .*(--allow-local permits it|address)"):
            item_contents(item)


@pytest.mark.parametrize(
    "href, document",
    [
        ("https://data.example.org/a.tif", ITEM),
        ("s3://eodata/a.jp2", ITEM),
        ("http://plain.example.org/a.tif", "http://plain.example.org/item.json"),
        ("http://127.0.0.1:8000/a.tif", "http://127.0.0.1:9000/item.json"),
        ("/data/a.tif", "/data/item.json"),
        ("http://127.0.0.1/a.tif", ""),
    ],
)
def test_what_documents_may_name(href, document):
    check_address(href, document)


def test_a_user_can_permit_it(monkeypatch):
    monkeypatch.setattr(addresses, "ALLOW_LOCAL", True)
    check_address("http://127.0.0.1/a.tif", ITEM)
    check_address("/etc/hostname", ITEM)


def test_documents_of_local_servers_name_no_files():
    with pytest.raises(ForbiddenAddress, match="got the path /etc/passwd"):
        check_address("/etc/passwd", "http://127.0.0.1:9000/item.json")


@pytest.fixture
def redirecting():
    """A server that leads to a file, and to a host of its network."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", {"/file": "file:///etc/passwd"}.get(self.path, "http://169.254.169.254/keys"))
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Handler) as server:
        yield server.url


def test_redirections_are_held_to_the_same(redirecting, monkeypatch):
    with pytest.raises(RemoteError, match="got the path file:///etc/passwd"):
        read_text(f"{redirecting}/file")
    # As if the server were one of elsewhere.
    monkeypatch.setattr(addresses, "is_local", lambda host: host.startswith("169.254."))
    with pytest.raises(RemoteError, match="expected a host that others may name .*, got 169.254.169.254"):
        read_text(f"{redirecting}/keys")
    with pytest.raises(ForbiddenAddress, match="got 169.254.169.254"):
        addresses.check_reached(f"{redirecting}/keys", redirecting, (5.0, 5.0))


def test_names_that_resolve_to_this_machine_are_refused(monkeypatch, redirecting):
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", ("127.0.0.1", 0))])
    monkeypatch.setattr(addresses.Session, "get", lambda *_, **__: FoundThere())
    with pytest.raises(ForbiddenAddress, match="got rebound.example.org, which is 127.0.0.1"):
        addresses.check_reached("https://rebound.example.org/a.tif", ITEM, (5.0, 5.0))


class FoundThere:
    url = "https://rebound.example.org/a.tif"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_pages_of_a_search_lead_nowhere_else(monkeypatch):
    from chain.raster.documents import Documents

    documents = Documents()
    documents._origin = "https://stac.example.org/v1"
    with pytest.raises(Exception, match="got 127.0.0.1"):
        documents.request("https://127.0.0.1/search?page=2", "POST", parameters=json.loads("{}"))
