# SPDX-License-Identifier: Apache-2.0
"""Finding Sentinel-2 images by STAC: search, identifiers, signatures.

Addresses of Azure's blob storage are signed as late as possible, with the SDK of Planetary Computer, which renews a
token when less than a minute of it remains. Other servers (Earth Search) need no signature.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from urllib.parse import urlparse

from chain.raster.footprint import Footprint
from chain.runtime.command_line import one_line

PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
COLLECTION = "sentinel-2-l2a"
BLOB_STORAGE = ".blob.core.windows.net"
TRIES = 5
RETRIED_STATUSES = (429, 500, 502, 503, 504)


class StacError(RuntimeError):
    """A STAC server, its tokens or its items do not give what was asked."""


def sign(href: str) -> str:
    """Return a URL which can be read now: signed when it is of Azure's blob storage, as it is otherwise.

    Raises:
        StacError: the token server gives no token, after several attempts.
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
        raise StacError(f"no access token for {account}/{container}: {reason(error)}") from error


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


def search(footprint: Footprint, dates: str, stac_url: str = PLANETARY_COMPUTER, collection: str = COLLECTION) -> list:
    """Return the items (`pystac.Item`, unsigned) which touch a footprint, the clearest tiles first.

    Args:
        footprint: ground to be covered.
        dates: `YYYY-MM-DD/YYYY-MM-DD`, both days included.
        stac_url: root of a STAC API.
        collection: identifier of the collection.

    Raises:
        StacError: the server does not answer, or answers with an error.
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
        raise StacError(f"--stac-url {stac_url}: the search failed: {reason(error)}") from error
    return sorted(items, key=lambda item: item.properties.get("eo:cloud_cover", 100.0))


def find_item(item_id: str, stac_url: str = PLANETARY_COMPUTER, collection: str = COLLECTION):
    """Return one item (`pystac.Item`, unsigned) by its identifier.

    Raises:
        StacError: the server does not answer, or has no such item.
    """
    import pystac_client
    import requests

    try:
        items = list(_client(stac_url).search(collections=[collection], ids=[item_id]).items())
    except (requests.RequestException, pystac_client.exceptions.APIError, ValueError, KeyError) as error:
        raise StacError(f"--stac-url {stac_url}: the search failed: {reason(error)}") from error
    if not items:
        raise StacError(
            f"--item: an item of the collection '{collection}' of {stac_url} is wanted. Received: {item_id}"
        )
    return items[0]


def _client(stac_url: str):
    """Open a STAC API, with time limits and bounded retries."""
    import pystac_client
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    retries = Retry(total=TRIES, backoff_factor=0.5, status_forcelist=RETRIED_STATUSES, allowed_methods=None)
    return pystac_client.Client.open(stac_url, stac_io=StacApiIO(max_retries=retries, timeout=(15, 60)))


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


def middle(dates: Sequence[str]) -> datetime:
    """Return the middle of two ISO days."""
    first, last = (with_zone(datetime.fromisoformat(day)) for day in dates)
    return first + (last - first) / 2


def with_zone(date: datetime) -> datetime:
    """Return a date with a time zone (UTC when it had none)."""
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)
