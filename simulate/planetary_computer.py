# SPDX-License-Identifier: Apache-2.0
"""A local stand-in for Planetary Computer: STAC API, access tokens, images by Range requests, faults.

It listens on 127.0.0.1 only. Planetary Computer's SDK signs addresses of `*.blob.core.windows.net` and
nothing else, so items keep such addresses (over plain HTTP), and the server answers for that host as an HTTP
proxy: nothing leaves the machine, not even a name look-up. Clients need the variables of
`LocalPlanetaryComputer.environment()`; given a command, the program sets them and runs it:

    python -m simulate.planetary_computer --folder scenes -- python sr_dataset.py ...

where STAC_URL holds the address of the STAC API. As in the original, an address without a valid token is
refused (403), and tokens expire. Faults are switched on from Python (`inject`) or by `POST /control/faults`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter, deque
from http.server import ThreadingHTTPServer
from pathlib import Path

from simulate.faults import Fault
from simulate.request_handler import STAC_PATH, TOKEN_PATH, RequestHandler
from simulate.tokens import Tokens

CONTAINER = "sentinel2-l2"


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
        tokens: issues and checks tokens; `tokens.lifetime` may be changed, `tokens.revoke()` called, at any
        time.
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
            raise ValueError(f"blobs: expected a folder, got {blobs}")
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
            raise ValueError(f"folder: expected a folder with items.json, got {folder}")
        return cls(json.loads(document.read_text())["features"], folder / "sentinel2", **options)

    def start(self) -> "LocalPlanetaryComputer":
        """Listens, in a thread of its own."""
        from simulate.stac_api import Catalogue

        self._server = _Server(("127.0.0.1", self._port), RequestHandler)
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

    def log(self, kind: str, method: str, path: str, byte_range: str | None, status: int, size: int) -> None:
        """Keeps a request and counts its bytes."""
        with self._lock:
            self.requests.append((method, path, byte_range, status, size))
            self._bytes[kind] += size

    def counters(self) -> dict[str, dict[str, int]]:
        """Requests by kind (stac, token, blob, control, refused, unauthorized, fault), and bytes sent by kind."""
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
        prog="python -m simulate.planetary_computer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="what simulate.scenes wrote")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--token-lifetime",
        type=float,
        default=2700.0,
        help="of the access tokens, in seconds (default: %(default)s)",
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="after --: runs it and ends with its status")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port < 65536:
        parser.error(f"--port: expected 0 to 65535, got {arguments.port}")
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
        print(f"COMMAND: cannot be started ({error})", file=sys.stderr)
        return 1
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
