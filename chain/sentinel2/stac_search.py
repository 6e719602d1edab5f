# SPDX-License-Identifier: Apache-2.0
"""Finding Sentinel-2 images by STAC: search and identifiers."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import pystac
import requests
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError

from chain.raster.footprint import Footprint
from chain.raster.http import RemoteError, reason
from chain.runtime.credentials import without_credentials

PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
COLLECTION = "sentinel-2-l2a"
FOREIGN = (
    requests.RequestException,
    APIError,
    ClientTypeError,
    pystac.STACError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What reading a server's answers raises when it refuses, or sends something else than STAC."""


def search(footprint: Footprint, dates: str, stac_url: str = PLANETARY_COMPUTER, collection: str = COLLECTION) -> list:
    """Return the items (`pystac.Item`, unsigned) which touch a footprint, the clearest tiles first.

    Args:
        footprint: ground to be covered.
        dates: `YYYY-MM-DD/YYYY-MM-DD`, both days included.
        stac_url: root of a STAC API.
        collection: identifier of the collection.

    Raises:
        RemoteError: the server does not answer, or answers with an error.
    """
    try:
        client = _client(stac_url)
        query = client.search(
            collections=[collection],
            datetime=dates,
            limit=100,
            intersects=json.loads(footprint.geometry().ExportToJson()),
        )
        items = [_from(stac_url, item) for item in query.items()]
    except FOREIGN as error:
        raise _failed(stac_url, error) from error
    return sorted(items, key=lambda item: item.properties.get("eo:cloud_cover", 100.0))


def find_item(item_id: str, stac_url: str = PLANETARY_COMPUTER, collection: str = COLLECTION) -> Any:
    """Return one item (`pystac.Item`, unsigned) by its identifier.

    Raises:
        RemoteError: the server does not answer, or has no such item.
    """
    try:
        items = list(_client(stac_url).search(collections=[collection], ids=[item_id]).items())
        items = [_from(stac_url, item) for item in items]
    except FOREIGN as error:
        raise _failed(stac_url, error) from error
    if not items:
        raise RemoteError(f"--item: expected an item of the collection '{collection}' of {stac_url}, got {item_id}")
    return items[0]


def _from(stac_url: str, item: Any) -> Any:
    """Return an item that says of itself that it comes from another host as one that comes from the API."""
    if urlsplit(item.get_self_href() or "").hostname != urlsplit(stac_url).hostname:
        item.set_self_href(f"{stac_url.rstrip('/')}/collections/{item.collection_id}/items/{item.id}")
    return item


def _failed(stac_url: str, error: Exception) -> RemoteError:
    """Return the error of a search, given what went wrong in reading what the server sent."""
    told = isinstance(error, APIError | requests.RequestException)
    why = reason(error) if told else f"expected items of STAC ({type(error).__name__}: {reason(error)})"
    return RemoteError(f"--stac-url {without_credentials(stac_url)}: the search failed: {why}")


def _client(stac_url: str) -> Any:
    """Open a STAC API, with time limits and bounded retries."""
    import pystac_client

    from chain.raster.documents import Documents

    return pystac_client.Client.open(stac_url, stac_io=Documents())


def middle(dates: Sequence[str]) -> datetime:
    """Return the middle of two ISO days."""
    first, last = (with_zone(datetime.fromisoformat(day)) for day in dates)
    return first + (last - first) / 2


def with_zone(date: datetime) -> datetime:
    """Return a date with a time zone (UTC when it had none)."""
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)
