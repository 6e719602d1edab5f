# SPDX-License-Identifier: Apache-2.0
"""Fetching published files from a server on this machine that has faults."""

import hashlib
import json
import socket

import numpy as np
import pytest
import requests

from chain.runtime.files import default_cache
from models.base import read_description
from tests.weights.files import draw_convolutions, write_keras
from weights import convert_dsen2, download, dsen2_published
from weights.download import RemoteFile, fetch, github_file, zenodo_files
from weights.dsen2_published import BAND_ORDER
from weights.published import Published, digests

pytestmark = pytest.mark.keras

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def remote(server):
    server.files["/file"] = CONTENT
    return RemoteFile("file", f"{server.url}/file", {"sha256": hashlib.sha256(CONTENT).hexdigest()}, len(CONTENT))


def kept(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(server, remote, tmp_path, capsys):
    path = fetch(remote, tmp_path / "cache")
    assert path.read_bytes() == CONTENT and kept(tmp_path / "cache") == ["file"]
    assert "file: 100%" in capsys.readouterr().err
    assert fetch(remote, tmp_path / "cache") == path and len(server.requests) == 1


def test_a_cached_file_is_verified(server, remote, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT[:-1] + b"?")
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_dropped_connections(server, remote, tmp_path, ranges, size):
    """What has come is kept where the server can continue, and fetched anew where it cannot."""
    server.faults, server.ranges = ["drop", "drop"], ranges
    remote = RemoteFile(remote.name, remote.url, remote.expected, size)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    starts = [int(requested[6:-1]) if requested else 0 for _, requested in server.requests]
    assert 0 == starts[0] < starts[1] and (starts[1] < starts[2] if ranges else starts[1] == starts[2])
    assert kept(tmp_path) == ["file"]


def test_a_server_that_drips_is_asked_again(server, remote, tmp_path, monkeypatch, capsys):
    """What has come is kept."""
    monkeypatch.setattr(download, "WATCHED", 0.2)
    server.faults = ["drip"]
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert "expected 1000 bytes per second, got " in capsys.readouterr().err
    assert [requested is None for _, requested in server.requests] == [True, False]


def test_a_server_that_drips_for_ever_is_told(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WATCHED", 0.05)
    server.faults = ["drip"] * download.ATTEMPTS
    with pytest.raises(RuntimeError, match="^download: cannot connect to .*expected 1000 bytes per second"):
        fetch(remote, tmp_path)


def test_a_later_run_continues(server, remote, tmp_path):
    (tmp_path / "file.partial").write_bytes(CONTENT[:1000])
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/file", "bytes=1000-")]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_partial_file_that_is_whole(server, remote, tmp_path, size):
    (tmp_path / "file.partial").write_bytes(CONTENT)
    assert fetch(RemoteFile("file", remote.url, remote.expected, size), tmp_path).read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere(server, remote, tmp_path):
    (tmp_path / "file.partial").write_bytes(CONTENT[:1000])
    server.faults = ["shifted"]
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_servers(server, remote, tmp_path, capsys, status):
    server.faults = [status, status]
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert f"HTTP status {status}; attempt 3 of 5" in capsys.readouterr().err


def test_a_server_that_stays_busy(server, remote, tmp_path):
    server.faults = [503] * 5
    with pytest.raises(RuntimeError, match="cannot connect to http.*/file .HTTP status 503"):
        fetch(remote, tmp_path)


def test_a_server_that_refuses(server, tmp_path):
    with pytest.raises(RuntimeError, match="refuses http.*/other: HTTP status 404"):
        fetch(RemoteFile("other", f"{server.url}/other", {}), tmp_path)
    assert len(server.requests) == 1 and kept(tmp_path) == []


@pytest.mark.parametrize("partial", [b"", b"something else"])
def test_wrong_content_is_not_kept(server, remote, tmp_path, partial):
    (tmp_path / "file.partial").write_bytes(partial)
    server.files["/file"] = CONTENT if partial else b"<html>" * 50_000
    with pytest.raises(ValueError, match="^download: expected sha256 .*, got .* from http"):
        fetch(remote, tmp_path)
    assert kept(tmp_path) == []
    server.files["/file"] = CONTENT
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_file_without_length(server, remote, tmp_path):
    server.faults = ["no length"]
    assert fetch(RemoteFile("file", remote.url, remote.expected), tmp_path).read_bytes() == CONTENT


@pytest.fixture
def nowhere():
    """An address at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("source", ["original", "rsp"])
def test_offline(nowhere, tmp_path, capsys, source):
    command = ["--download", source, "--output", str(tmp_path / "m"), "--cache", str(tmp_path / "cache")]
    assert convert_dsen2.main([*command, "--base-url", nowhere]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m weights.convert_dsen2: error: download: cannot connect to http://127.0.0.1")
    assert "the connection failed" in line and not (tmp_path / "m").exists()


def test_an_address_that_is_none(tmp_path):
    """As a record could name one."""
    with pytest.raises(RuntimeError, match="^download: cannot connect to nonsense .*MissingSchema"):
        fetch(RemoteFile("file", "nonsense", {"sha256": "0"}), tmp_path)


def test_a_network_that_goes_away(server, remote, tmp_path, monkeypatch):
    """What has come stays, and a connection that cannot be made is tried again once data has come."""
    get, calls = requests.get, []

    def get_or_fail(url, **options):
        calls.append(url)
        return get(url if len(calls) != 2 else "http://127.0.0.1:1/", **options)

    monkeypatch.setattr(requests, "get", get_or_fail)
    server.faults = ["drop"]
    assert fetch(remote, tmp_path).read_bytes() == CONTENT and len(calls) == 3
    assert len(server.requests) == 2 and server.requests[1][1]


def record(server, files):
    """Have the server answer as Zenodo does."""
    entries = []
    for name, content in files.items():
        server.files[f"/content/{name}"] = content
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        links = {"self": f"{server.url}/content/{name}"}
        entries.append({"key": name, "links": links, "checksum": checksum, "size": len(content)})
    server.files["/api/records/11091321"] = json.dumps({"files": entries}).encode()


def test_records_of_zenodo(server, tmp_path):
    record(server, {"a": b"first", "b": b"second"})
    (file,) = zenodo_files(11091321, ["b"], server.url)
    assert file == RemoteFile("b", f"{server.url}/content/b", {"md5": hashlib.md5(b"second").hexdigest()}, 6)
    assert fetch(file, tmp_path).read_bytes() == b"second"
    with pytest.raises(ValueError, match="expected a record with c, .* from http.* .KeyError: 'c'."):
        zenodo_files(11091321, ["c"], server.url)
    server.files["/api/records/11091321"] = b"<html>"
    with pytest.raises(ValueError, match="expected a record with a"):
        zenodo_files(11091321, ["a"], server.url)


def test_files_of_github():
    file = github_file("lanha/DSen2", "38d7", "models/x.hdf5", "dd4b", "https://raw.githubusercontent.com/")
    assert file.url == "https://raw.githubusercontent.com/lanha/DSen2/38d7/models/x.hdf5"
    assert file.name == "x.hdf5" and file.expected == {"blob": "dd4b"}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Tiny files in place of the published ones: their contents by name, for each source."""
    known, contents = [], {"original": {}, "rsp": {}}
    for file in dsen2_published.PUBLISHED:
        source = {dsen2_published.ORIGINAL: "original", "RSP 0.2.2": "rsp"}.get(file.who)
        if source:
            seed = len(known)
            path = write_keras(tmp_path / f"{seed}.hdf5", draw_convolutions(file.role, 2, 0, seed))
            contents[source][file.name] = path.read_bytes()
            blob = digests(path)["blob"][: len(file.blob)]
            known.append(Published(file.who, file.name, file.role, file.levels, blob, BAND_ORDER))
    monkeypatch.setattr(dsen2_published, "PUBLISHED", tuple(known))
    monkeypatch.setattr(convert_dsen2, "PUBLISHED", tuple(known))
    return contents


def test_download_of_the_original(server, published, tmp_path):
    root = "/lanha/DSen2/38d7209d38a298d5d4c4856e02d5dcefa94a192a/models"
    server.files = {f"{root}/{name}": content for name, content in published["original"].items()}
    assert sorted(server.files) == [f"{root}/s2_030_lr_1e-05.hdf5", f"{root}/s2_032_lr_1e-04.hdf5"]
    command = ["--download", "original", "--cache", str(tmp_path / "cache"), "--base-url", server.url]
    assert convert_dsen2.main([*command, "--output", str(tmp_path / "models")]) == 0
    for role in ("2x", "6x"):
        description = read_description(tmp_path / "models" / role)
        assert description.levels == ("L1C",) and description.origin["published"].startswith("original DSen2")
    assert kept(tmp_path / "cache" / "dsen2-original") == ["s2_030_lr_1e-05.hdf5", "s2_032_lr_1e-04.hdf5"]


@pytest.mark.slow
def test_download_of_rsp(server, published, tmp_path):
    record(server, published["rsp"])
    command = ["--download", "rsp", "--cache", str(tmp_path / "cache"), "--base-url", server.url]
    assert convert_dsen2.main([*command, "--output", str(tmp_path / "models")]) == 0
    for level in ("L1C", "L2A"):
        for role, name in (("2x", "20M"), ("6x", "60M")):
            description = read_description(tmp_path / "models" / level / role)
            assert description.levels == (level,)
            assert description.origin["published"] == f"RSP 0.2.2, {level}{name}.pt"
    assert len(server.requests) == 5
    paths = dsen2_published.download("rsp", tmp_path / "cache", server.url)
    assert [path.name for path in paths] == ["L1C20M.pt", "L1C60M.pt", "L2A20M.pt", "L2A60M.pt"]
    assert len(server.requests) == 5, "files that are known by their content need no network"


def test_a_record_with_other_files(server, published, tmp_path, capsys):
    """The checksum of the record fits, the git blob id does not."""
    record(server, {**published["rsp"], "L1C20M.pt": b"other"})
    command = ["--download", "rsp", "--cache", str(tmp_path / "cache"), "--base-url", server.url]
    assert convert_dsen2.main([*command, "--output", str(tmp_path / "models")]) == 1
    assert "error: download: expected blob" in capsys.readouterr().err and not (tmp_path / "models").exists()
    assert "L1C20M.pt" not in kept(tmp_path / "cache" / "dsen2-rsp")


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "otb-super-resolution"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "otb-super-resolution"
