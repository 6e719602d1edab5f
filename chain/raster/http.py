# SPDX-License-Identifier: Apache-2.0
"""HTTP as GDAL and OTB do it: settings, retries, signatures, and the account of what was fetched.

GDAL's defaults fit files on a disk: it lists the folder of each remote file, does not retry, and waits
without end. `configure` sets what Cloud-Optimized GeoTIFFs over HTTP need, before anything is opened; a
variable which the user has set already is left alone. The folders of files on a disk are listed all the same: masks
(`.msk`), nodata and coordinate systems (`.aux.xml`, `.hdr`, `.tfw`) lie in files beside the image.

Addresses of Azure's blob storage are signed as late as possible, with the SDK of Planetary Computer, which renews a
token when less than a minute of it remains. Other servers (Earth Search) need no signature.
"""

import functools
import json
import os
import time
from collections.abc import Callable, Iterator
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

BLOB_STORAGE = ".blob.core.windows.net"
TRIES = 5
RETRIED_STATUSES = (429, 500, 502, 503, 504)

Result = TypeVar("Result")


class RemoteError(RuntimeError):
    """A server, its tokens, its items or its images do not give what was asked."""


@functools.cache
def configure() -> None:
    """Set GDAL's options for images over HTTP, except those which the environment or the user has set.

    Once per process; it also opens the account of what GDAL fetches. `GDAL_DISABLE_READDIR_ON_OPEN` holds for remote
    files only, even if the user has set it: an image whose mask is not seen has wrong pixels.
    """
    for name, value in SETTINGS.items():
        if gdal.GetConfigOption(name) is None:
            os.environ[name] = value
    remote = gdal.GetConfigOption(LISTING) or NO_LISTING
    for prefix in REMOTE_PREFIXES:
        gdal.SetPathSpecificOption(prefix, LISTING, remote)
    gdal.SetConfigOption(LISTING, "NO")
    gdal.NetworkStatsReset()


@contextmanager
def quiet_gdal() -> Iterator[None]:
    """Keep GDAL from printing: its messages on retries and failures show addresses with their signatures.

    Failures are exceptions all the same.
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
    """Return GDAL's account of HTTP requests and bytes since the process started."""
    account = json.loads(gdal.NetworkStatsGetAsSerializedJSON() or "{}")
    methods = account.get("methods", {})
    requests = sum(method.get("count", 0) for method in methods.values())
    received = sum(method.get("downloaded_bytes", 0) for method in methods.values())
    return Traffic(requests, received)


def forget_failures() -> None:
    """Make GDAL ask again for remote files: it remembers the ones which it could not read as absent."""
    gdal.VSICurlClearCache()


def retry(
    action: Callable[[], Result],
    errors: tuple[type[Exception], ...],
    attempts: int = 5,
    delay: float = 1.0,
    on_failure: Callable[[Exception, int, float], None] | None = None,
) -> Result:
    """Call `action` until it succeeds, at most `attempts` times.

    Args:
        action: what to do.
        errors: exceptions which are worth another attempt; others pass through.
        attempts: number of attempts in all.
        delay: pause after the first failure, in seconds; doubled after each.
        on_failure: called with the exception, the attempt's number and the pause before the next one.

    Returns:
        What `action` returned.

    Raises:
        Exception: the last of `errors`, when no attempt succeeded.
    """
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except errors as error:
            if attempt == attempts:
                raise
            if on_failure:
                on_failure(error, attempt, delay)
            time.sleep(delay)
            delay *= 2
    raise ValueError(f"attempts: expected at least 1, got {attempts}")


def sign(href: str) -> str:
    """Return a URL which can be read now: signed when it is of Azure's blob storage, as it is otherwise.

    Raises:
        RemoteError: the token server gives no token, after several attempts.
    """
    parts = urlparse(href)
    if not parts.netloc.split(":")[0].endswith(BLOB_STORAGE) or parts.query:
        return href
    import requests
    from planetary_computer.sas import get_token

    account, container = parts.netloc.split(".")[0], parts.path.lstrip("/").split("/")[0]
    try:
        return get_token(account, container, retry_total=TRIES, retry_backoff_factor=0.5).sign(href).href
    except (requests.RequestException, ValueError) as error:
        raise RemoteError(f"no access token for {account}/{container}: {reason(error)}") from error


def forget_tokens() -> None:
    """Make the next signature ask for a new token: to be called when the server refuses the present one."""
    from planetary_computer.sas import TOKEN_CACHE

    TOKEN_CACHE.clear()


def gdal_name(href: str) -> str:
    """Return the name under which GDAL opens a URL or a path."""
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
    """Return the innermost cause of an error, in one line and without the signature of URLs."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, Exception):
            inner = error.args[0] if error.args else None
        if not isinstance(inner, Exception):
            break
        error = inner
    return one_line(error)
