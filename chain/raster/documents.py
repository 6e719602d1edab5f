# SPDX-License-Identifier: Apache-2.0
"""Documents over HTTP: STAC searches, items, tokens. Nothing that a server does or does not do makes them endless.

A document has to be there within `chain.raster.http.TIMEOUT`, tries included, and has a largest size; a search has a
largest number of pages, and none of them twice. What a server asks to wait is waited, up to a minute, and told.
"""

import functools
import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from chain.raster import addresses, http
from chain.runtime.credentials import without_credentials
from chain.runtime.progress import LOG

LARGEST = 64 * 2**20
"""Bytes of the largest document."""
PAGES = 1000
"""Pages of the longest search."""
LONGEST_WAIT = 60.0
"""Seconds, at most, that are waited for a server that asks for it."""
TOLD_WAIT = 3.0
"""Seconds from which on a wait is told."""
CHUNK = 1 << 16
"""Bytes that are read before the size is looked at."""
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class _Again(Exception):
    """A server may answer later."""

    def __init__(self, why: str, wait: float | None = None):
        super().__init__(why)
        self.wait = wait


class Documents(StacApiIO):
    """Reads documents and pages for pystac-client."""

    def __init__(self) -> None:
        super().__init__(max_retries=None)
        self.session = addresses.Session()
        self._origin = ""

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return a document.

        Raises:
            APIError: the server refuses, or has not answered in time.
        """
        self._origin = self._origin or href
        _check(href, self._origin)
        is_post = method == "POST"
        request = requests.Request(
            "POST" if is_post else "GET",
            href,
            headers=headers,
            json=parameters if is_post else None,
            params=None if is_post else dict(parameters or {}),
        )
        prepared = self.session.prepare_request(request)
        start, attempt, backoff, host = time.monotonic(), 0, 0.5, urlsplit(href).hostname
        while True:
            attempt += 1
            try:
                left = max(start + http.TIMEOUT - time.monotonic(), 1.0)
                return http.within(left, functools.partial(self._answer, prepared, left))
            except TimeoutError:
                whole = f"{host}: expected a document within {http.TIMEOUT:g} s, got none that is whole"
                raise APIError(whole) from None
            except _Again as error:
                wait = min(backoff if error.wait is None else error.wait, LONGEST_WAIT)
                if attempt > http.TRIES or time.monotonic() + wait > start + http.TIMEOUT:
                    raise APIError(f"{host}: {error}, {attempt} times") from None
                if wait >= TOLD_WAIT:
                    LOG.warning("%s: %s; waiting %.0f s", host, error, wait)
                time.sleep(wait)
                backoff *= 2
            except (requests.RequestException, addresses.ForbiddenAddress) as error:
                raise APIError(http.reason(error)) from error

    def _answer(self, prepared: requests.PreparedRequest, left: float) -> str:
        """Return what a server answers once, of which no part may take longer than the seconds that are left."""
        settings = self.session.merge_environment_settings(str(prepared.url), {}, True, True, None)
        try:
            timeouts = min(http.CONNECT, left), min(http.SILENCE, left)
            with self.session.send(prepared, timeout=timeouts, **settings) as response:
                if response.status_code in http.RETRIED_STATUSES:
                    raise _Again(f"HTTP status {response.status_code}", _seconds(response.headers.get("Retry-After")))
                if response.status_code != requests.codes.ok:
                    raise APIError(f"{urlsplit(response.url).hostname}: HTTP status {response.status_code}")
                content = bytearray()
                for chunk in response.iter_content(CHUNK):
                    content += chunk
                    if len(content) > LARGEST:
                        raise APIError(f"expected a document of at most {LARGEST >> 20} MiB, got a larger one")
                return content.decode()
        except PASSING as error:
            raise _Again(http.reason(error)) from error
        except UnicodeDecodeError as error:
            raise APIError(f"expected UTF-8 ({error})") from error

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a search.

        Raises:
            APIError: a page is asked for that was there already, or there are too many.
        """
        seen, start = set(), time.monotonic()
        for number, page in enumerate(super().get_pages(url, method, parameters), start=1):
            yield page
            links = page.get("links") if isinstance(page, Mapping) else None
            following = [link for link in links or () if isinstance(link, Mapping) and link.get("rel") == "next"]
            if not following:
                continue
            key = json.dumps(following[0], sort_keys=True)
            if key in seen:
                raise APIError(f"expected a search that ends, got the same next page again after {number}")
            seen.add(key)
            if number >= PAGES:
                raise APIError(f"expected a search of at most {PAGES} pages, got more: narrow it")
            if time.monotonic() - start > http.TIMEOUT:
                raise APIError(f"expected a search that ends within {http.TIMEOUT:g} s, got {number} pages, and more")


def _check(href: str, origin: str) -> None:
    """Refuse an address that the document where a search began may not name.

    Raises:
        APIError: it may not.
    """
    try:
        addresses.check_address(href, origin)
    except addresses.ForbiddenAddress as error:
        raise APIError(str(error)) from error


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds that a server asks to wait, None where it does not say them."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return None if math.isnan(seconds) else max(seconds, 0.0)


def read_text(url: str, headers: Mapping[str, str] | None = None) -> str:
    """Return a document.

    Raises:
        chain.raster.http.RemoteError: the server refuses, or has not answered in time.
    """
    try:
        return Documents().request(url, headers=dict(headers or {}))
    except APIError as error:
        raise http.RemoteError(without_credentials(str(error))) from error
