# SPDX-License-Identifier: Apache-2.0
"""A local stand-in for Planetary Computer: STAC API, access tokens, images by Range requests, faults.

It listens on 127.0.0.1 only. Planetary Computer's SDK signs addresses of `*.blob.core.windows.net` and nothing else,
so items keep such addresses (over plain HTTP), and the server answers for that host as an HTTP proxy: nothing leaves
the machine, not even a name look-up. Clients need the variables of `LocalPlanetaryComputer.environment()`; given a
command, the program sets them and runs it:

    python -m simulate.planetary_computer --folder scenes -- python sr_dataset.py ...

where STAC_URL holds the address of the STAC API. As in the original, an address without a valid token is refused
(403), and tokens expire. Faults are switched on from Python (`inject`) or by `POST /control/faults`.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

BLOB_DOMAIN = ".blob.core.windows.net"
CONTAINER = "sentinel2-l2"
TOKEN_PATH, STAC_PATH = "/api/sas/v1/token/", "/api/stac/v1"
CHUNK = 1 << 16


@dataclass
class Fault:
    """Something that goes wrong with the next requests."""

    pattern: str
    """Regular expression, searched in the request's path (or in its whole address when it comes as to a proxy)."""
    kind: str = "status"
    """`status` (answers `status`), `drop` (closes the connection), `slow` (waits), `truncate` (half the body)."""
    count: int = 1
    """How many requests it strikes."""
    status: int = 503
    """HTTP status for `status`."""
    retry_after: float | None = None
    """Seconds announced in `Retry-After`, for `status`."""
    seconds: float = 1.0
    """How long `slow` waits."""

    def __post_init__(self):
        """Checks what came.

        Raises:
            ValueError: the kind is unknown, or the pattern is not a regular expression.
        """
        if self.kind not in ("status", "drop", "slow", "truncate"):
            raise ValueError(f"kind: wanted status, drop, slow or truncate. Received: {self.kind}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: wanted a regular expression. Received: {self.pattern}") from error


class Tokens:
    """Issues and checks shared access signatures."""

    def __init__(self, lifetime: float):
        """Tokens are valid for `lifetime` seconds."""
        self.lifetime = lifetime
        self._key = secrets.token_bytes(32)

    def issue(self, account: str, container: str) -> dict:
        """A token for a container, as the token service answers it."""
        now = time.time()
        start, expiry = _timestamp(now - 60.0), _timestamp(now + self.lifetime)
        values = {"st": start, "se": expiry, "sp": "rl", "sv": "2024-05-04", "sr": "c"}
        values["sig"] = self._signature(account, container, values)
        return {"msft:expiry": expiry, "token": urlencode(values)}

    def refusal(self, account: str, container: str, query: dict[str, list[str]]) -> str | None:
        """Why a request's token is no good; None when it is."""
        values = {name: query[name][0] for name in ("st", "se", "sp", "sv", "sr", "sig") if name in query}
        if len(values) < 6:
            return "Public access is not permitted on this storage account."
        if not hmac.compare_digest(values.pop("sig"), self._signature(account, container, values)):
            return "Signature did not match."
        if _timestamp(time.time()) >= values["se"]:
            return f"Signed expiry time [{values['se']}] must be after the present."
        return None

    def revoke(self) -> None:
        """Makes every token issued so far invalid."""
        self._key = secrets.token_bytes(32)

    def _signature(self, account: str, container: str, values: dict[str, str]) -> str:
        text = "\n".join([account, container, *(values[name] for name in ("st", "se", "sp", "sv", "sr"))])
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()


def _timestamp(seconds: float) -> str:
    """UTC time to the microsecond, so that short lifetimes can be tested."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header asks for.

    Args:
        header: value of the header, or None.
        size: number of bytes of the file.

    Returns:
        First byte and the one after the last; None for the whole file (no header, or one that may be ignored).

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
        raise ValueError(f"Range: wanted bytes of 0-{size - 1}. Received: {header}")
    return start, stop


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "LocalPlanetaryComputer"
    disable_nagle_algorithm = True
    wbufsize = CHUNK

    @property
    def service(self) -> "LocalPlanetaryComputer":
        return self.server.service

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def do_CONNECT(self) -> None:
        self.service.count("refused")
        self._json(501, {"description": "Only plain HTTP is answered for."})

    def log_message(self, *_arguments) -> None:
        """Stays silent; requests are kept in `LocalPlanetaryComputer.requests`."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._body = self.rfile.read(length)
        self._truncate = False
        target = urlsplit(self.path)
        host = target.hostname or (self.headers.get("Host") or "").rsplit(":", 1)[0]
        kind = self._kind(host, target.path)
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

    def _kind(self, host: str, path: str) -> str:
        if host.endswith(BLOB_DOMAIN):
            return "blob"
        if host not in ("127.0.0.1", "localhost"):
            return "refused"
        for kind, prefix in (("token", TOKEN_PATH), ("stac", STAC_PATH), ("control", "/control")):
            if path.startswith(prefix):
                return kind
        return "refused"

    def _struck(self) -> bool:
        """Applies the first fault that the request meets; True when nothing else is to be answered."""
        fault = self.service.next_fault(self.path)
        if fault is None:
            return False
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        elif fault.kind == "truncate":
            self._truncate = True
        elif fault.kind == "drop":
            self.close_connection = True
            self.connection.shutdown(2)
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
            wanted = byte_range(self.headers.get("Range"), status.st_size)
        except ValueError:
            self._azure_error(416, "InvalidRange", "The range specified is invalid for the current size.",
                              {"Content-Range": f"bytes */{status.st_size}"})
            return
        start, stop = wanted or (0, status.st_size)
        if wanted:
            common["Content-Range"] = f"bytes {start}-{stop - 1}/{status.st_size}"
        with file.open("rb") as stream:
            stream.seek(start)
            self._send(206 if wanted else 200, common, stream.read(stop - start))

    def _azure_error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
        self._send(status, {"Content-Type": "application/xml", "x-ms-error-code": code, **(headers or {})},
                   text.encode())

    def _json(self, status: int, document: dict, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = b"" if self.command == "HEAD" else body
        if getattr(self, "_truncate", False):
            sent, self.close_connection = sent[: len(sent) // 2], True
        self.service.log(self.command, self.path, self.headers.get("Range"), status, len(sent))
        self.wfile.write(sent)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, _request, _address) -> None:
        """A client that goes away is no error of the server's; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(_request, _address)


class LocalPlanetaryComputer:
    """The server, for use in a `with` statement.

    Attributes:
        tokens: issues and checks tokens; `tokens.lifetime` may be changed, `tokens.revoke()` called, at any time.
        requests: the last requests answered: method, address, Range header, status, bytes of the body.
    """

    def __init__(self, items: list[dict], blobs: Path, token_lifetime: float = 2700.0, port: int = 0):
        """Prepares a server; `start` (or the `with` statement) makes it listen.

        Args:
            items: STAC items to serve, their assets at addresses of the blob host.
            blobs: folder of the images; `http://<host>/sentinel2-l2/a/b.tif` is its file `a/b.tif`.
            token_lifetime: seconds.
            port: 0 for any free one.

        Raises:
            ValueError: the folder does not exist.
        """
        if not Path(blobs).is_dir():
            raise ValueError(f"blobs: wanted a folder. Received: {blobs}")
        self.blobs = Path(blobs).resolve()
        self.tokens = Tokens(token_lifetime)
        self.requests: deque = deque(maxlen=10000)
        self._items, self._port = items, port
        self._counts, self._bytes, self._faults, self._lock = Counter(), Counter(), [], threading.Lock()
        self._server = None

    @classmethod
    def of_scenes(cls, folder: Path, **options) -> "LocalPlanetaryComputer":
        """Serves what `simulate.scenes` wrote into a folder."""
        folder = Path(folder)
        document = folder / "items.json"
        if not document.exists():
            raise ValueError(f"folder: wanted one with items.json. Received: {folder}")
        return cls(json.loads(document.read_text())["features"], folder / "sentinel2", **options)

    def start(self) -> "LocalPlanetaryComputer":
        """Listens, in a thread of its own."""
        from simulate.stac_api import Catalogue

        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.service = self
        self._port = self._server.server_address[1]
        self.catalogue = Catalogue(self._items, self.stac_url)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "LocalPlanetaryComputer":
        return self.start()

    def __exit__(self, *_exception) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def stac_url(self) -> str:
        """Address of the STAC API."""
        return f"http://{self.address}{STAC_PATH}"

    def environment(self) -> dict[str, str]:
        """Variables that lead clients here, for `os.environ` or a child process, set before they start.

        Whatever proxies the surroundings name are put aside: they know nothing of this server.
        """
        local = "127.0.0.1,localhost"
        return {
            "STAC_URL": self.stac_url,
            "PC_SDK_SAS_URL": f"http://{self.address}{TOKEN_PATH}".rstrip("/"),
            "http_proxy": f"http://{self.address}",
            "HTTP_PROXY": f"http://{self.address}",
            "no_proxy": local,
            "NO_PROXY": local,
            "GDAL_HTTP_PROXY": self.address,
        }

    def inject(self, fault: Fault) -> None:
        """Adds a fault; the requests that match meet the faults in the order they were added."""
        with self._lock:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Forgets the faults that have not struck."""
        with self._lock:
            self._faults.clear()

    def next_fault(self, path: str) -> Fault | None:
        """The fault that a request meets, counted off; None when it meets none."""
        with self._lock:
            for fault in self._faults:
                if re.search(fault.pattern, path):
                    fault.count -= 1
                    self._faults = [other for other in self._faults if other.count > 0]
                    self._counts["fault"] += 1
                    return fault
        return None

    def count(self, kind: str) -> None:
        """Counts a request."""
        with self._lock:
            self._counts[kind] += 1

    def log(self, method: str, path: str, wanted: str | None, status: int, size: int) -> None:
        """Keeps a request and counts its bytes."""
        with self._lock:
            self.requests.append((method, path, wanted, status, size))
            self._bytes["blob" if BLOB_DOMAIN in path else "other"] += size

    def counters(self) -> dict[str, dict[str, int]]:
        """Requests by kind (stac, token, blob, control, refused, unauthorized, fault), and bytes sent."""
        with self._lock:
            return {"requests": dict(self._counts), "bytes": dict(self._bytes)}

    def blob(self, container: str, name: str) -> Path | None:
        """The file of a blob; None when there is none, or it lies outside the folder."""
        file = (self.blobs / name).resolve()
        inside = file.is_relative_to(self.blobs) and file.is_file()
        return file if container == CONTAINER and inside else None


def main(argv: list[str] | None = None) -> int:
    """Serves a folder while a command runs, or until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m simulate.planetary_computer", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="what simulate.scenes wrote")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one (default: %(default)s)")
    parser.add_argument("--token-lifetime", type=float, default=2700.0,
                        help="of the access tokens, in seconds (default: %(default)s)")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="after --: runs it and ends with its status")
    arguments = parser.parse_args(argv)
    try:
        server = LocalPlanetaryComputer.of_scenes(
            arguments.folder, port=arguments.port, token_lifetime=arguments.token_lifetime
        ).start()
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        if arguments.command:
            return subprocess.run(arguments.command, env={**os.environ, **server.environment()}, check=False).returncode
        for name, value in server.environment().items():
            print(f"export {name}={value}", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"COMMAND: wanted a program. Received: {error}", file=sys.stderr)
        return 1
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
