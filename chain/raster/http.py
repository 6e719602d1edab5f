# SPDX-License-Identifier: Apache-2.0
"""HTTP through GDAL and OTB: settings, retries, and statistics of the traffic.

GDAL's defaults suit files on a disk: it lists the folder of each remote file, does not retry, and waits forever.
`configure` sets what Cloud-Optimized GeoTIFFs over HTTP need, before anything is opened; variables that the user has
set are left alone. Folders on a disk are still listed, because masks (`.msk`), nodata and coordinate systems
(`.aux.xml`, `.hdr`, `.tfw`) are in files beside the image.
"""

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlparse

from osgeo import gdal

from chain.runtime.command_line import one_line

gdal.UseExceptions()

SETTINGS = {
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_CACHEMAX": "128",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "20000000",
    "CPL_VSIL_CURL_CACHE_SIZE": "200000000",
    "CPL_VSIL_NETWORK_STATS_ENABLED": "YES",
}

LISTING = "GDAL_DISABLE_READDIR_ON_OPEN"
NO_LISTING = "EMPTY_DIR"
"""Value of `LISTING` with which GDAL neither lists the folder of a file nor looks for files beside it."""
REMOTE_PREFIXES = ("/vsicurl/", "/vsicurl?", "/vsis3/", "/vsigs/", "/vsiaz/", "/vsiadls/", "/vsioss/", "/vsiswift/")
"""Beginnings of GDAL's names of remote files."""

TRIES = 5
TIMEOUT = 300.0
"""Seconds in which servers have to answer, tries included; `limit` sets it."""
CONNECT, SILENCE = 15.0, 30.0
"""Seconds within which a connection is made, and within which a server has to send something."""
RETRIED_STATUSES = (429, 500, 502, 503, 504)
REFUSED = 400
"""Least HTTP status by which a server refuses."""

Result = TypeVar("Result")


class RemoteError(RuntimeError):
    """A server does not deliver a token, an item or an image."""


@functools.cache
def configure() -> None:
    """Set GDAL's options for images over HTTP, except those that the environment or the user has set.

    This happens once per process, and resets GDAL's network statistics. `GDAL_DISABLE_READDIR_ON_OPEN` applies to
    remote files only, even if the user has set it: without the mask beside it, an image has wrong pixels.
    """
    for name, value in SETTINGS.items():
        if gdal.GetConfigOption(name) is None:
            os.environ[name] = value
    remote = gdal.GetConfigOption(LISTING) or NO_LISTING
    for prefix in REMOTE_PREFIXES:
        gdal.SetPathSpecificOption(prefix, LISTING, remote)
    gdal.SetConfigOption(LISTING, "NO")
    gdal.NetworkStatsReset()


def limit(seconds: float) -> None:
    """Set the seconds in which servers have to answer, tries included."""
    global TIMEOUT
    TIMEOUT = seconds


@contextmanager
def quiet_gdal() -> Iterator[None]:
    """Keep GDAL from printing: its messages about retries and failures contain URLs with signatures.

    Failures still raise exceptions.
    """
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        yield
    finally:
        gdal.PopErrorHandler()


@dataclass(frozen=True)
class Traffic:
    """What GDAL fetched over HTTP."""

    requests: int
    """Number of HTTP requests."""
    bytes: int
    """Number of bytes received in bodies."""

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.requests - other.requests, self.bytes - other.bytes)

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.bytes / 1e6:.2f} MB"


def traffic() -> Traffic:
    """Return GDAL's count of HTTP requests and bytes since `configure`."""
    statistics = json.loads(gdal.NetworkStatsGetAsSerializedJSON() or "{}")
    methods = statistics.get("methods", {})
    requests = sum(method.get("count", 0) for method in methods.values())
    received = sum(method.get("downloaded_bytes", 0) for method in methods.values())
    return Traffic(requests, received)


def forget_failures() -> None:
    """Make GDAL request remote files again: it remembers files that it could not read as absent."""
    gdal.VSICurlClearCache()


def retry(
    action: Callable[[], Result],
    errors: tuple[type[Exception], ...],
    attempts: int = 5,
    delay: float = 1.0,
    on_failure: Callable[[Exception, int, float], None] | None = None,
    seconds: float = float("inf"),
) -> Result:
    """Call `action` until it succeeds, at most `attempts` times.

    Args:
        action: the function to call.
        errors: exceptions after which to try again; others propagate.
        attempts: total number of attempts.
        delay: pause after the first failure, in seconds; doubled after each.
        on_failure: called with the exception, the attempt's number and the pause before the next one.
        seconds: no attempt is begun that would end after these if it took as long as the one before.

    Returns:
        What `action` returned.

    Raises:
        Exception: the last of `errors`, when no attempt succeeded.
    """
    start = time.monotonic()
    for attempt in range(1, attempts + 1):
        begun = time.monotonic()
        try:
            return action()
        except errors as error:
            now = time.monotonic()
            if attempt == attempts or 2 * now - begun - start + delay > seconds:
                raise
            if on_failure:
                on_failure(error, attempt, delay)
            time.sleep(delay)
            delay *= 2
    raise ValueError(f"attempts: expected at least 1, got {attempts}")


def within(seconds: float, action: Callable[[], Result]) -> Result:
    """Return what `action` returns, called in a thread of its own.

    Timeouts of sockets are for each part that comes: a server that drips keeps them from ending.

    Raises:
        TimeoutError: it has not returned in time; its thread is left to end by itself.
        Exception: what `action` raises.
    """
    outcome: futures.Future[Result] = futures.Future()

    def call() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    try:
        return outcome.result(seconds)
    except futures.TimeoutError:  # another class than the builtin one before Python 3.11
        raise TimeoutError(f"expected an answer within {seconds:g} s, got none that is whole") from None


def gdal_name(href: str) -> str:
    """Return the name by which GDAL opens a URL or a path."""
    for scheme, prefix in (
        ("http://", "/vsicurl/http://"),
        ("https://", "/vsicurl/https://"),
        ("s3://", "/vsis3/"),
        ("gs://", "/vsigs/"),
        ("file://", ""),
    ):
        if href.startswith(scheme):
            return prefix + href[len(scheme) :]
    return href


def reason(error: Exception) -> str:
    """Return the innermost cause of an error, in one line and without the signatures of URLs."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, Exception):
            inner = error.args[0] if error.args else None
        if not isinstance(inner, Exception):
            break
        error = inner
    return one_line(error)


def why(href: str, error: Exception) -> str:
    """Return why what lies at an address cannot be opened: the status by which its host refuses, else what GDAL says.

    GDAL takes an answer of whatever status for a file that it does not know.

    Args:
        href: the address, signed if need be; or a path.
        error: what GDAL said.
    """
    if not href.startswith(("http://", "https://")):
        return reason(error)
    import requests

    host = urlparse(href).hostname
    try:
        with requests.get(href, headers={"Range": "bytes=0-0"}, stream=True, timeout=(CONNECT, SILENCE)) as response:
            status = response.status_code
    except requests.RequestException as failure:
        return f"{host}: {reason(failure)}"
    return reason(error) if status < REFUSED else f"{host}: HTTP status {status}"
