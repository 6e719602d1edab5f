# SPDX-License-Identifier: Apache-2.0
"""A server of files on this machine that has faults."""

import time
from http.server import BaseHTTPRequestHandler

import pytest

from tests.servers import serving
from weights import download


class Handler(BaseHTTPRequestHandler):
    """Sends what `server.files` holds, with the faults of `server.faults`, one for each request in order."""

    def do_GET(self):  # noqa: N802
        requested = self.headers.get("Range")
        self.server.requests.append((self.path, requested))
        fault = self.server.faults.pop(0) if self.server.faults else None
        content = self.server.files.get(self.path)
        if isinstance(fault, int) or content is None:
            self.send_response(fault or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and self.server.ranges else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            claimed = start + 1 if fault == "shifted" else start
            self.send_header("Content-Range", f"bytes {claimed}-{len(content) - 1}/{len(content)}")
        if fault != "no length":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = (start + len(content)) // 2 if fault == "drop" else len(content)
        if fault == "drip":
            for number in range(start, end):
                self.wfile.write(content[number : number + 1])
                time.sleep(0.02)
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """Run a server on this machine: its `files` by path, its `faults`, the `requests` that have come."""
    monkeypatch.setattr(download, "DELAY", 0.01)
    with serving(Handler) as running:
        running.files, running.faults, running.requests, running.ranges = {}, [], [], True
        yield running
