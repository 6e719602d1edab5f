# SPDX-License-Identifier: Apache-2.0
"""The stand-in for Planetary Computer, seen by raw HTTP, pystac-client, the SDK and GDAL."""

import http.client
import json
import os
import subprocess
import sys
import textwrap
import time
from urllib.parse import urlsplit

import pystac_client
import pytest
import requests

from simulate import scenes
from simulate.faults import Fault
from simulate.planetary_computer import LocalPlanetaryComputer, main
from simulate.request_handler import byte_range
from tests.real_items import adopt

BLOB = "http://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes")
    scenes.write_scenes(path, size=160, held_out=60, seed=1)
    return path


@pytest.fixture
def server(folder):
    with LocalPlanetaryComputer.of_scenes(folder) as running:
        yield running


@pytest.fixture
def get(server):
    """Requests an address through the server as a proxy."""

    def request(url, method="GET", **headers):
        proxies = {"http": f"http://{server.address}"}
        return requests.request(method, url, headers=headers, proxies=proxies, timeout=10)

    return request


@pytest.fixture
def signed(server, folder):
    """Address of a COG with a token, and the file behind it."""
    name = f"{json.loads((folder / 'scene.json').read_text())['items'][0]}/B04.tif"
    token = requests.get(f"{server.environment()['PC_SDK_SAS_URL']}/sentinel2l2a01/sentinel2-l2", timeout=10).json()
    return f"{BLOB}{name}?{token['token']}", folder / "sentinel2" / name


def _search(server, **parameters):
    client = pystac_client.Client.open(server.stac_url)
    return [item.id for item in client.search(collections=["sentinel-2-l2a"], **parameters).items()]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pystac_client_searches_and_pages(server, method):
    ids = _search(server, method=method, limit=2)
    assert len(ids) == 7 and ids == sorted(ids, key=lambda name: name.split("_")[2], reverse=True)
    pages = [path for verb, path, *_ in server.requests if "/search" in path and verb == method]
    assert len(pages) == 4
    summer = _search(server, method=method, datetime="2022-06-15/2022-08-15", limit=3)
    assert len(summer) == 5
    clear = _search(
        server, method=method, datetime="2022-06-15/2022-08-15", query={"eo:cloud_cover": {"lt": 1.0}}, limit=1
    )
    assert len(clear) == 2
    assert _search(server, method=method, query=["s2:processing_baseline=03.01"], max_items=1) == summer[1:2]


def test_places_are_searched(server, folder):
    items = json.loads((folder / "items.json").read_text())["features"]
    west, south, east, north = items[0]["bbox"]
    here, elsewhere = [west, south, east, north], [west + 1.0, south, east + 1.0, north]
    assert len(_search(server, bbox=here)) == 7 and _search(server, bbox=elsewhere) == []
    corner = [east - 0.05 * (east - west), south + 0.05 * (north - south)]
    point = {"type": "Point", "coordinates": corner}
    for method in ("GET", "POST"):
        found = _search(server, intersects=point, method=method)
        assert len(found) == 6 and items[2]["id"] not in found


def test_catalogue_documents_link_to_each_other(server):
    client = pystac_client.Client.open(server.stac_url)
    collection = client.get_collection("sentinel-2-l2a")
    assert [found.id for found in client.get_collections()] == ["sentinel-2-l2a"]
    item = next(collection.get_items())
    assert collection.get_item(item.id).id == item.id
    assert requests.get(item.get_self_href(), timeout=10).json()["id"] == item.id
    landing = requests.get(server.stac_url, timeout=10).json()
    conformance = requests.get(f"{server.stac_url}/conformance", timeout=10).json()
    assert landing["conformsTo"] == conformance["conformsTo"]


def test_documents_satisfy_the_stac_schemas(server):
    """Core schemas, which pystac carries; those of extensions would need the network."""
    client = pystac_client.Client.open(server.stac_url)
    assert client.get_collection("sentinel-2-l2a").validate()
    for item in client.search(collections=["sentinel-2-l2a"]).items():
        item.stac_extensions = []
        assert item.validate()


@pytest.mark.parametrize(
    "path, status",
    [
        ("/search?bbox=1,2", 400),
        ("/search?limit=0", 400),
        ("/search?datetime=summer", 400),
        ("/search?query=%7B%22eo:cloud_cover%22:%7B%22like%22:1%7D%7D", 400),
        ("/nothing", 404),
        ("/collections/landsat", 404),
        ("/collections/sentinel-2-l2a/items/none", 404),
    ],
)
def test_bad_requests_are_answered_as_such(server, path, status):
    answer = requests.get(server.stac_url + path, timeout=10)
    assert answer.status_code == status and "description" in answer.json()


def test_sdk_signs_and_gdal_reads_unmodified(server, folder):
    """A process with the server's variables and nothing else finds, signs and reads an item."""
    program = textwrap.dedent("""
        import os, socket, sys
        looked_up = []
        resolve = socket.getaddrinfo
        socket.getaddrinfo = lambda host, *rest, **more: looked_up.append(host) or resolve(host, *rest, **more)
        import planetary_computer, pystac_client
        from osgeo import gdal
        gdal.UseExceptions()
        client = pystac_client.Client.open(os.environ["STAC_URL"], modifier=planetary_computer.sign_inplace)
        item = next(client.search(collections=["sentinel-2-l2a"], datetime="2022-06-18").items())
        href = item.assets["B08"].href
        assert "sig=" in href and planetary_computer.sign(href) == href
        print(gdal.Open("/vsicurl/" + href).ReadAsArray().sum())
        assert set(looked_up) <= {"127.0.0.1"}, looked_up
    """)
    environment = {**os.environ, **server.environment(), "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    from osgeo import gdal

    file = folder / "sentinel2" / json.loads((folder / "scene.json").read_text())["items"][0] / "B08.tif"
    assert int(done.stdout) == gdal.Open(str(file)).ReadAsArray().sum()
    counters = server.counters()
    assert counters["requests"]["token"] == 1 and counters["requests"].get("refused", 0) == 0
    ranged = [entry for entry in server.requests if entry[1].startswith(BLOB) and entry[2]]
    assert ranged and all(entry[3] == 206 for entry in ranged)
    assert counters["bytes"]["blob"] == sum(entry[4] for entry in server.requests if entry[1].startswith(BLOB))


def test_signed_address_is_served_whole(get, signed):
    address, file = signed
    answer = get(address)
    assert answer.status_code == 200 and answer.content == file.read_bytes()
    head = get(address, "HEAD")
    assert int(head.headers["Content-Length"]) == file.stat().st_size and head.content == b""
    assert head.headers["Accept-Ranges"] == "bytes" and head.headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize(
    "wanted, start, stop",
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, None),
        ("bytes=-50", -50, None),
        ("bytes=10-99999999", 10, None),
    ],
)
def test_ranges_are_served(get, signed, wanted, start, stop):
    address, file = signed
    whole = file.read_bytes()
    answer = get(address, Range=wanted)
    assert answer.status_code == 206 and answer.content == whole[start:stop]
    first = start % len(whole)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"


def test_range_beyond_the_end_is_refused(get, signed):
    address, file = signed
    answer = get(address, Range=f"bytes={file.stat().st_size}-")
    assert answer.status_code == 416 and answer.headers["Content-Range"] == f"bytes */{file.stat().st_size}"


@pytest.mark.parametrize(
    "header, size, expected",
    [
        (None, 10, None),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=5-2", 10, None),
        ("bytes=0-1,4-5", 10, None),
        ("pages=1-2", 10, None),
        ("bytes=-", 10, None),
        ("bytes=-20", 10, (0, 10)),
        ("bytes=9-", 10, (9, 10)),
    ],
)
def test_range_headers(header, size, expected):
    assert byte_range(header, size) == expected


def test_tokens_are_required_and_checked(server, get, signed):
    address, _ = signed
    bare, query = address.split("?")
    other = requests.get(f"http://{server.address}/api/sas/v1/token/sentinel2l2a01/other", timeout=10).json()["token"]
    for bad in (
        bare,
        f"{bare}?{query.rpartition('=')[0]}=AAAA%3D",
        f"{bare}?{query.rpartition('=')[0]}=%AA%3D",
        f"{bare}?{other}",
        address.replace("sp=rl", "sp=rw"),
        address.replace("se=20", "se=21"),
    ):
        answer = get(bad)
        assert answer.status_code == 403 and b"AuthenticationFailed" in answer.content, bad
    assert server.counters()["requests"]["unauthorized"] == 6
    server.tokens.revoke()
    assert get(address).status_code == 403


def test_tokens_expire(folder):
    with LocalPlanetaryComputer.of_scenes(folder, token_lifetime=0.4) as server:
        proxies = {"http": f"http://{server.address}"}
        url = f"{BLOB}{json.loads((folder / 'scene.json').read_text())['items'][0]}/SCL.tif"
        document = requests.get(f"http://{server.address}/api/sas/v1/token/sentinel2l2a01/sentinel2-l2", timeout=10)
        address = f"{url}?{document.json()['token']}"
        assert requests.get(address, proxies=proxies, timeout=10).status_code == 200
        time.sleep(0.5)
        answer = requests.get(address, proxies=proxies, timeout=10)
        assert answer.status_code == 403 and b"expiry" in answer.content


def test_nothing_outside_the_folder_is_served(server, get, signed):
    address, _ = signed
    query = urlsplit(address).query
    assert get(f"{BLOB}none.tif?{query}").status_code == 404
    connection = http.client.HTTPConnection(server.address)
    connection.request("GET", f"{BLOB}%2e%2e/items.json?{query}")
    assert connection.getresponse().status == 404
    connection.close()


def test_other_hosts_and_tunnels_are_refused(server, get):
    assert get("http://example.org/").status_code == 502
    connection = http.client.HTTPConnection(server.address)
    connection.request("CONNECT", "example.org:443")
    assert connection.getresponse().status == 501
    connection.close()
    assert server.counters()["requests"]["refused"] == 2


def test_status_faults_strike_as_often_as_told(server, get, signed):
    server.inject(Fault(r"B04\.tif", status=503, count=2))
    server.inject(Fault("/search", status=429, retry_after=3))
    assert [get(signed[0]).status_code for _ in range(3)] == [503, 503, 200]
    answer = requests.get(f"{server.stac_url}/search", timeout=10)
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "3"
    assert requests.get(f"{server.stac_url}/search", timeout=10).status_code == 200
    assert server.counters()["requests"]["fault"] == 3


def test_dropped_truncated_and_slow_answers(server, get, signed):
    server.inject(Fault("B04", "drop"))
    with pytest.raises(requests.ConnectionError):
        get(signed[0])
    server.inject(Fault("B04", "truncate"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        get(signed[0])
    server.inject(Fault("B04", "slow", seconds=0.3))
    start = time.monotonic()
    assert get(signed[0]).status_code == 200 and time.monotonic() - start >= 0.3


def test_gdal_retries_over_a_fault(server, signed):
    address, _ = signed
    program = (
        "import sys; from osgeo import gdal; gdal.UseExceptions(); gdal.Open('/vsicurl/' + sys.argv[1]).ReadAsArray()"
    )
    for retries, expected in (("0", False), ("3", True)):
        server.clear_faults()
        server.inject(Fault("B04", status=503, count=2))
        environment = {
            **os.environ,
            **server.environment(),
            "GDAL_HTTP_MAX_RETRY": retries,
            "GDAL_HTTP_RETRY_DELAY": "0.1",
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        }
        done = subprocess.run(
            [sys.executable, "-c", program, address], env=environment, capture_output=True, check=False
        )
        assert (done.returncode == 0) is expected


def test_faults_and_counters_by_http(server, get, signed):
    control = f"http://{server.address}/control"
    assert requests.post(f"{control}/faults", json={"pattern": "B04", "status": 500}, timeout=10).status_code == 200
    assert [get(signed[0]).status_code for _ in range(2)] == [500, 200]
    requests.post(f"{control}/faults", json={"pattern": "B04", "count": 5}, timeout=10)
    requests.delete(f"{control}/faults", timeout=10)
    assert get(signed[0]).status_code == 200
    assert requests.get(f"{control}/counters", timeout=10).json()["requests"]["blob"] == 3
    for wrong in ({"pattern": "("}, {"pattern": "x", "kind": "odd"}, {"path": "x"}):
        assert requests.post(f"{control}/faults", json=wrong, timeout=10).status_code == 400
    requests.post(f"{control}/revoke", timeout=10)
    assert get(signed[0]).status_code == 403


def test_it_listens_on_this_machine_only(server):
    assert server.address.startswith("127.0.0.1:")


def test_a_command_runs_with_the_variables(folder):
    code = "import os, sys, urllib.request as u; u.urlopen(os.environ['STAC_URL']); sys.exit(7)"
    assert main(["--folder", str(folder), "--", sys.executable, "-c", code]) == 7


def test_bad_arguments_are_said_in_one_line(tmp_path, capsys, folder):
    assert main(["--folder", str(tmp_path)]) == 1
    assert main(["--folder", str(folder), "--", "no-such-program"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("folder:") and lines[1].startswith("COMMAND:")


@pytest.mark.parametrize("port", ["-1", "70000"])
def test_a_port_that_does_not_exist(folder, capsys, port):
    with pytest.raises(SystemExit) as caught:
        main(["--folder", str(folder), "--port", port])
    assert caught.value.code == 2 and f"--port: expected 0 to 65535, got {port}" in capsys.readouterr().err


def test_real_cogs_go_through_the_same_code(shared_data):
    """A real tile of Earth Search, under Planetary Computer's names, searched, signed and read."""
    source = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    item = json.loads((source / "S2A_29RKH_20200219_0_L2A.json").read_text())
    adopted = adopt(item, source)
    assert {"B02", "B03", "B04", "B08", "SCL"} <= set(adopted["assets"])
    with LocalPlanetaryComputer([adopted], source.parent) as server:
        assert _search(server, bbox=[-11.5, 24.8, -11.4, 24.9]) == [item["id"]]
        program = textwrap.dedent("""
            import os, planetary_computer, pystac_client
            from osgeo import gdal
            gdal.UseExceptions()
            client = pystac_client.Client.open(os.environ["STAC_URL"], modifier=planetary_computer.sign_inplace)
            item = next(client.search(collections=["sentinel-2-l2a"]).items())
            print(gdal.Open("/vsicurl/" + item.assets["B04"].href).ReadAsArray().sum())
        """)
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **server.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    from osgeo import gdal

    assert int(done.stdout) == gdal.Open(str(source / "B04.tif")).ReadAsArray().sum()


def test_real_items_are_found(shared_data, tmp_path):
    """Planetary Computer's own documents, old and new, answer searches as they are."""
    source = shared_data("stac_planetary_computer")
    items = json.loads((source / "odcstac_site2-2020_jun_jul-35MNM.geojson").read_text())["features"]
    items += json.loads((source / "itemcollection_N0510_wrapped.json").read_text())["features"]
    with LocalPlanetaryComputer(items, tmp_path) as server:
        assert len(_search(server, datetime="2020-06-01/2020-07-31", limit=4)) == 13
        assert len(_search(server, datetime="2024-04-19", limit=3, method="GET")) == 4
        best = _search(server, query={"eo:cloud_cover": {"lt": 100}}, sortby="properties.eo:cloud_cover", max_items=1)
    covers = {item["id"]: item["properties"]["eo:cloud_cover"] for item in items}
    assert covers[best[0]] == min(covers.values())
