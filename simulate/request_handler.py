# SPDX-License-Identifier: Apache-2.0
"""The HTTP request handler of the local stand-in for Planetary Computer."""

import json
import re
import socket
import struct
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from simulate.faults import Fault
from simulate.tokens import Tokens

if TYPE_CHECKING:
    from simulate.stac_api import Catalogue

BLOB_DOMAIN = ".blob.core.windows.net"
TOKEN_PATH, STAC_PATH = "/api/sas/v1/token/", "/api/stac/v1"
CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` of connections that are reset when they are closed."""
WRONG = b"<html><body>Please log in.</body></html>"
"""What proxies and portals answer instead of what was asked for."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header asks for.

    Args:
        header: value of the header, or None.
        size: number of bytes of the file.

    Returns:
        First byte and the one after the last; None for the whole file (no header, or one that may be
        ignored).

    Raises:
        ValueError: the range starts beyond the file's end (status 416).
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if not found or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size or (not first and int(last) == 0):
        raise ValueError(f"Range: expected bytes of 0-{size - 1}, got {header}")
    return start, stop


class Service(Protocol):
    """The interface of the server that a request handler uses."""

    tokens: Tokens
    """The issued access tokens."""
    catalogue: "Catalogue"
    """The items."""

    def count(self, kind: str) -> None:
        """Counts a request."""

    def log(self, kind: str, method: str, path: str, byte_range: str | None, status: int, size: int) -> None:
        """Records a request and counts its bytes."""

    def counters(self) -> dict[str, dict[str, int]]:
        """Requests and bytes, by kind."""

    def blob(self, container: str, name: str) -> Path | None:
        """The file of a blob, if there is one."""

    def next_fault(self, path: str) -> Fault | None:
        """The fault to inject into a request to a path, if any."""

    def inject(self, fault: Fault) -> None:
        """Adds a fault."""

    def clear_faults(self) -> None:
        """Removes all faults."""


class RequestHandler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "LocalPlanetaryComputer"
    disable_nagle_algorithm = True
    wbufsize = CHUNK

    @property
    def service(self) -> "Service":
        """The server's state."""
        return self.server.service

    def do_GET(self) -> None:
        """Answers a GET request."""
        self._handle()

    def do_HEAD(self) -> None:
        """Answers a HEAD request."""
        self._handle()

    def do_POST(self) -> None:
        """Answers a POST request."""
        self._handle()

    def do_DELETE(self) -> None:
        """Answers a DELETE request."""
        self._handle()

    def do_CONNECT(self) -> None:
        """Refuses to tunnel: encrypted requests cannot be answered."""
        self._kind, self._truncate = "refused", False
        self.service.count("refused")
        self._json(501, {"description": "Only plain HTTP is supported."})

    def log_message(self, *_arguments) -> None:
        """Prints nothing; the service records requests."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._body = self.rfile.read(length)
        self._truncate = False
        target = urlsplit(self.path)
        host = target.hostname or (self.headers.get("Host") or "").rsplit(":", 1)[0]
        self._kind = kind = self._kind_of(host, target.path)
        self.service.count(kind)
        if kind != "control" and self._struck():
            return
        if kind == "blob":
            self._blob(host.removesuffix(BLOB_DOMAIN), unquote(target.path), parse_qs(target.query))
        elif kind == "token":
            self._token(target.path.removeprefix(TOKEN_PATH).strip("/").split("/"))
        elif kind == "stac":
            self._stac(target.path.removeprefix(STAC_PATH), parse_qs(target.query))
        elif kind == "control":
            self._control(target.path)
        else:
            self._json(502 if target.hostname else 404, {"description": f"Nothing at {self.path} here."})

    def _kind_of(self, host: str, path: str) -> str:
        if host.endswith(BLOB_DOMAIN):
            return "blob"
        if host not in ("127.0.0.1", "localhost"):
            return "refused"
        for kind, prefix in (("token", TOKEN_PATH), ("stac", STAC_PATH), ("control", "/control")):
            if path.startswith(prefix):
                return kind
        return "refused"

    def _struck(self) -> bool:
        """Applies the first fault that matches the request; returns whether the request is then finished."""
        fault = self.service.next_fault(self.path)
        if fault is None:
            return False
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        elif fault.kind == "truncate":
            self._truncate = True
        elif fault.kind == "expire":
            self.service.tokens.revoke()
        elif fault.kind in ("drop", "reset"):
            self.close_connection = True
            if fault.kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
            return True
        elif fault.kind == "wrong":
            self._send(200, {"Content-Type": "text/html"}, WRONG)
            return True
        elif fault.kind == "endless":
            self._json(200, self.service.catalogue.endless_page())
            return True
        else:
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            self._json(fault.status, {"statusCode": fault.status, "message": "Injected fault."}, headers)
            return True
        return False

    def _token(self, names: list[str]) -> None:
        if self.command != "GET" or len(names) != 2:
            self._json(404, {"detail": "Not Found"})
        else:
            self._json(200, self.service.tokens.issue(*names))

    def _stac(self, path: str, query: dict[str, list[str]]) -> None:
        from simulate.stac_api import NotFoundError, parse_get

        try:
            search = json.loads(self._body or b"{}") if self.command == "POST" else parse_get(query)
            self._json(200, self.service.catalogue.answer(path, search, self.command))
        except NotFoundError as error:
            self._json(404, {"code": "NotFoundError", "description": f"Nothing at {error}."})
        except (ValueError, TypeError, RuntimeError) as error:
            self._json(400, {"code": "RequestValidationError", "description": str(error)})

    def _control(self, path: str) -> None:
        service = self.service
        try:
            if (self.command, path) == ("POST", "/control/faults"):
                service.inject(Fault(**json.loads(self._body)))
            elif (self.command, path) == ("DELETE", "/control/faults"):
                service.clear_faults()
            elif (self.command, path) == ("POST", "/control/revoke"):
                service.tokens.revoke()
            elif (self.command, path) != ("GET", "/control/counters"):
                self._json(404, {"description": f"Nothing at {path}."})
                return
        except (ValueError, TypeError) as error:
            self._json(400, {"description": str(error)})
            return
        self._json(200, service.counters())

    def _blob(self, account: str, path: str, query: dict[str, list[str]]) -> None:
        container, _, name = path.lstrip("/").partition("/")
        refusal = self.service.tokens.refusal(account, container, query)
        if refusal is not None:
            self.service.count("unauthorized")
            self._azure_error(403, "AuthenticationFailed", refusal)
            return
        file = self.service.blob(container, name)
        if file is None:
            self._azure_error(404, "BlobNotFound", "The specified blob does not exist.")
        elif self.command not in ("GET", "HEAD"):
            self._azure_error(405, "UnsupportedHttpVerb", "The resource doesn't support the specified verb.")
        else:
            self._send_file(file)

    def _send_file(self, file: Path) -> None:
        status = file.stat()
        common = {
            "Content-Type": "image/tiff" if file.suffix == ".tif" else "application/octet-stream",
            "Accept-Ranges": "bytes",
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
            "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
        }
        try:
            requested = byte_range(self.headers.get("Range"), status.st_size)
        except ValueError:
            self._azure_error(
                416,
                "InvalidRange",
                "The range specified is invalid for the current size.",
                {"Content-Range": f"bytes */{status.st_size}"},
            )
            return
        start, stop = requested or (0, status.st_size)
        if requested:
            common["Content-Range"] = f"bytes {start}-{stop - 1}/{status.st_size}"
        with file.open("rb") as stream:
            stream.seek(start)
            self._send(206 if requested else 200, common, stream.read(stop - start))

    def _azure_error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self._send(
            status,
            {"Content-Type": "application/xml", "x-ms-error-code": code, **(headers or {})},
            text.encode(),
        )

    def _json(self, status: int, document: dict, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = b"" if self.command == "HEAD" else body
        if self._truncate:
            sent, self.close_connection = sent[: len(sent) // 2], True
        self.service.log(self._kind, self.command, self.path, self.headers.get("Range"), status, len(sent))
        self.wfile.write(sent)
