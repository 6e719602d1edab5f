# SPDX-License-Identifier: Apache-2.0
"""HTTP as GDAL and OTB do it: settings, retries, and the account of what was fetched.

GDAL's defaults fit files on a disk: it lists the folder of each remote file, does not retry, and waits
without end. `configure` sets what Cloud-Optimized GeoTIFFs over HTTP need, before anything is opened; a
variable which the user has set already is left alone.
"""

import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from osgeo import gdal

gdal.UseExceptions()

SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
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

Result = TypeVar("Result")


@functools.cache
def configure() -> None:
    """Set GDAL's options for images over HTTP, except those which the environment or the user has set.

    Once per process; it also opens the account of what GDAL fetches.
    """
    for name, value in SETTINGS.items():
        if gdal.GetConfigOption(name) is None:
            os.environ[name] = value
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
    raise ValueError(f"attempts: at least 1 is wanted. Received: {attempts}")
