# SPDX-License-Identifier: Apache-2.0
"""Finding Sentinel-2 images by STAC: search and identifiers."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from chain.raster import http
from chain.raster.footprint import Footprint
from chain.raster.http import RemoteError, reason

PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
COLLECTION = "sentinel-2-l2a"


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
    import pystac_client
    import requests

    try:
        client = _client(stac_url)
        query = client.search(
            collections=[collection],
            datetime=dates,
            limit=100,
            intersects=json.loads(footprint.geometry().ExportToJson()),
        )
        items = list(query.items())
    except (requests.RequestException, pystac_client.exceptions.APIError, ValueError, KeyError) as error:
        raise RemoteError(f"--stac-url {stac_url}: the search failed: {reason(error)}") from error
    return sorted(items, key=lambda item: item.properties.get("eo:cloud_cover", 100.0))


def find_item(item_id: str, stac_url: str = PLANETARY_COMPUTER, collection: str = COLLECTION) -> Any:
    """Return one item (`pystac.Item`, unsigned) by its identifier.

    Raises:
        RemoteError: the server does not answer, or has no such item.
    """
    import pystac_client
    import requests

    try:
        items = list(_client(stac_url).search(collections=[collection], ids=[item_id]).items())
    except (requests.RequestException, pystac_client.exceptions.APIError, ValueError, KeyError) as error:
        raise RemoteError(f"--stac-url {stac_url}: the search failed: {reason(error)}") from error
    if not items:
        raise RemoteError(f"--item: expected an item of the collection '{collection}' of {stac_url}, got {item_id}")
    return items[0]


def _client(stac_url: str) -> Any:
    """Open a STAC API, with time limits and bounded retries."""
    import pystac_client
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    retries = Retry(total=http.TRIES, backoff_factor=0.5, status_forcelist=http.RETRIED_STATUSES, allowed_methods=None)
    return pystac_client.Client.open(stac_url, stac_io=StacApiIO(max_retries=retries, timeout=(15, 60)))


def middle(dates: Sequence[str]) -> datetime:
    """Return the middle of two ISO days."""
    first, last = (with_zone(datetime.fromisoformat(day)) for day in dates)
    return first + (last - first) / 2


def with_zone(date: datetime) -> datetime:
    """Return a date with a time zone (UTC when it had none)."""
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)
