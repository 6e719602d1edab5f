# SPDX-License-Identifier: Apache-2.0
"""No credential of an address gets into what programs write or show, whatever the server does."""

import http.server
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import toy_models
from tests.examples import slow
from tests.servers import serving

pytestmark = pytest.mark.keras

REPOSITORY = Path(__file__).resolve().parents[2]
BANDS = ("B04", "B03", "B02", "B08")
CANARY = "cAnArY"
QUERY = f"sv=1&se=2030{CANARY}&sig={CANARY}%2F&X-Amz-Signature={CANARY}&token={CANARY}&access_token={CANARY}"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_models.nearest(tmp_path_factory.mktemp("models") / "nearest", gsd=10.0)


@pytest.fixture
def server(tmp_path):
    """Serve the bands in `www`, refusing as many requests for their content as `refusals` says."""
    (tmp_path / "www").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "www"))

        def do_GET(self):
            if served.refusals > 0:
                served.refusals -= 1
                self.send_error(served.status)
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    with serving(Handler) as served:
        served.refusals, served.status = 0, 503
        yield served


def item(tmp_path, server, write_raster):
    """Write the bands of an item and the item, whose addresses hold credentials; return its path."""
    assets = {}
    for number, band in enumerate(BANDS):
        write_raster(f"www/{band}.tif", np.full((40, 40), 2000 + number, np.uint16))
        href = f"http://user:{CANARY}@127.0.0.1:{server.server_port}/{band}.tif?{QUERY}"
        assets[band] = {"href": href, "type": "image/tiff"}
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_MSIL2A_20210714T105629_N0213_R094_T31UDQ_20210714T182657",
        "geometry": None,
        "properties": {"datetime": "2021-07-14T10:56:29Z", "s2:processing_baseline": "02.13"},
        "links": [],
        "assets": assets,
    }
    path = tmp_path / "item.json"
    path.write_text(json.dumps(document))
    return path


def run(program, *arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "GDAL_HTTP_RETRY_DELAY": "0.05",
        "GDAL_HTTP_MAX_RETRY": "2",
    }
    command = [sys.executable, "-m", program, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def written(folder):
    """Return all bytes and names of files in a folder."""
    return b"".join(str(path).encode() + path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--debug",)])
def test_a_product_of_signed_addresses_holds_and_shows_no_credential(tmp_path, server, write_raster, model, more):
    source, results = item(tmp_path, server, write_raster), tmp_path / "results"
    results.mkdir()
    server.refusals = 2
    arguments = ["--input", source, "--output", results / "sr.tif", "--model-dir", model, "--quicklook"]
    done = run("inference.spot7", *arguments, results / "q.png", *more)
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr and CANARY.encode() not in written(results)
    assert "127.0.0.1" in (results / "sr.tif.json").read_text()


@pytest.mark.parametrize("more", [(), ("--debug",)])
@pytest.mark.slow
def test_a_server_that_refuses_is_told_by_its_status_without_credentials(tmp_path, server, write_raster, model, more):
    source, results = item(tmp_path, server, write_raster), tmp_path / "results"
    results.mkdir()
    server.refusals, server.status = 10**6, 403
    arguments = ["--input", source, "--output", results / "sr.tif", "--model-dir", model, "--timeout", "5"]
    done = run("inference.spot7", *arguments, *more)
    assert done.returncode == 1 and CANARY not in done.stdout + done.stderr
    assert "127.0.0.1: HTTP status 403" in done.stderr.splitlines()[-1]
    assert not list(results.iterdir())


@pytest.mark.parametrize("program", ["inference.dsen2", "inference.deepsum", slow("inference.l1bsr")])
def test_programs_that_cannot_read_an_address_show_no_credential(tmp_path, server, model, program):
    address = f"http://user:{CANARY}@127.0.0.1:{server.server_port}/none.tif?{QUERY}"
    results = tmp_path / "results"
    results.mkdir()
    more = ("--model-dir", model) if program != "inference.dsen2" else ()
    done = run(program, "--input", address, "--output", results / "sr.tif", "--timeout", "5", "--debug", *more)
    assert done.returncode in (1, 2) and CANARY not in done.stdout + done.stderr
    assert not list(results.iterdir())
