# SPDX-License-Identifier: Apache-2.0
"""Finding a Sentinel-2 image by STAC: search, sign, measure the clouds over the footprint, choose.

The percentage of clouds in a STAC item is that of a tile of 110 km: it says little of an image of 20 km. So
the scene classification (SCL) of each candidate is read over the footprint of the image to be matched, at an
overview level, which costs a few requests, and the candidate with the least clouds *there* is chosen.

URLs of Azure's blob storage are signed as late as possible, with the SDK of Planetary Computer, which renews
a token when less than a minute of it remains. Other servers (Earth Search) need no signature.
"""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urlparse

import numpy as np
from osgeo import gdal, ogr

from chain import network
from chain.footprint import Footprint

PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
COLLECTION = "sentinel-2-l2a"
BLOB_STORAGE = ".blob.core.windows.net"
CLOUDY_CLASSES = (3, 8, 9, 10, 11)
"""SCL: cloud shadow, cloud of medium and of high probability, thin cirrus, snow or ice."""
NODATA_CLASS = 0
LEAST_OVERLAP = 0.99
"""Share of the footprint which the geometry of an item must contain for the item to be a candidate."""
MAX_CANDIDATES = 60
TRIES = 5
RETRIED_STATUSES = (429, 500, 502, 503, 504)

log = logging.getLogger(__name__)


class StacError(RuntimeError):
    """A STAC server, its tokens or its items do not give what was asked."""


@dataclass(frozen=True)
class Candidate:
    """An item and what was measured of it over the footprint, as shares in [0, 1] of its surface."""

    item: object
    """The `pystac.Item`, unsigned."""
    cloudy: float
    """Share under clouds, their shadows, or snow."""
    uncovered: float
    """Share without data."""

    @property
    def bad(self) -> float:
        """Share of the footprint which is of no use."""
        return self.cloudy + self.uncovered


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
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"\?(?=\S*sig=)\S*", "", text)[:300]


def overlap(item, footprint: Footprint) -> float:
    """Return the share of the footprint, in [0, 1], which the geometry of an item contains."""
    ground = footprint.geometry()
    area = ogr.CreateGeometryFromJson(json.dumps(item.geometry))
    common = ground.Intersection(area) if area is not None else None
    return common.GetArea() / ground.GetArea() if common is not None else 0.0


def classification_asset(item) -> str:
    """Return the URL of the scene classification of an item.

    Raises:
        StacError: the item has none (an L1C product, for instance).
    """
    for key in ("SCL", "scl"):
        if key in item.assets:
            return item.assets[key].href
    raise StacError(
        f"{item.id}: an item with a scene classification (SCL) is wanted. Received: assets {', '.join(item.assets)}"
    )


def measure(item, footprint: Footprint, samples: int = 256) -> Candidate:
    """Measure clouds and missing data of an item over a footprint from its scene classification.

    The footprint is sampled on a regular grid, and the classification is read at the overview level of that
    grid.

    Args:
        item: a `pystac.Item`, unsigned.
        footprint: ground to look at.
        samples: most points along each side.

    Raises:
        StacError: the classification cannot be read, after several attempts.
    """
    href = classification_asset(item)

    def forget(error: Exception, attempt: int, pause: float) -> None:
        log.warning(
            "%s: reading SCL failed (%s); attempt %d of %d in %g s",
            item.id,
            reason(error),
            attempt + 1,
            TRIES,
            pause,
        )
        forget_tokens()
        network.forget_failures()

    try:
        classes = network.retry(
            lambda: _sample_classes(gdal_name(sign(href)), footprint, samples),
            (RuntimeError,),
            TRIES,
            on_failure=forget,
        )
    except StacError:
        raise
    except RuntimeError as error:
        raise StacError(f"{item.id}: its scene classification cannot be read: {reason(error)}") from error
    return Candidate(item, float(np.isin(classes, CLOUDY_CLASSES).mean()), float((classes == NODATA_CLASS).mean()))


def _sample_classes(name: str, footprint: Footprint, samples: int) -> np.ndarray:
    """Return the SCL classes at regular points of a footprint, 0 where the raster does not reach."""
    dataset = gdal.Open(name)
    x0, dx, _, y0, _, dy = dataset.GetGeoTransform()
    width, height = dataset.RasterXSize, dataset.RasterYSize
    probe = footprint.to_crs(footprint.sample(16, 16), dataset.GetProjection())
    extent = np.ptp((probe - (x0, y0)) / (dx, dy), axis=0) * 16 / 15
    columns, rows = (int(np.clip(np.ceil(length), 1, samples)) for length in extent)
    points = footprint.to_crs(footprint.sample(columns, rows), dataset.GetProjection())
    pixels = np.floor((points - (x0, y0)) / (dx, dy)).astype(int)
    inside = np.all((pixels >= 0) & (pixels < (width, height)), axis=1)
    classes = np.zeros(len(points), np.uint8)
    if not inside.any():
        return classes
    low, high = pixels[inside].min(axis=0), pixels[inside].max(axis=0) + 1
    factor = max(1, int(min(extent[0] / columns, extent[1] / rows)))
    shape = np.maximum((high - low) // factor, 1)
    window = dataset.ReadAsArray(
        *map(int, low), *map(int, high - low), buf_xsize=int(shape[0]), buf_ysize=int(shape[1])
    )
    at = np.minimum((pixels[inside] - low) * shape // (high - low), shape - 1)
    classes[inside] = window[at[:, 1], at[:, 0]]
    return classes


def choose(
    items: Iterable, footprint: Footprint, max_cloud_cover: float, nearest_to: datetime | None = None
) -> Candidate:
    """Choose the item with the least clouds and missing data over a footprint.

    Items whose geometry does not contain the footprint are passed over. Between equals, the nearest date is
    chosen, then the highest processing baseline.

    Args:
        items: `pystac.Item`s, unsigned; the first `MAX_CANDIDATES` which contain the footprint are measured.
        footprint: ground to be covered.
        max_cloud_cover: largest share of clouds and missing data over the footprint that is accepted, in
            percent.
        nearest_to: date of the image to be matched.

    Raises:
        StacError: there is no item, none contains the footprint, or none is clear enough.
    """
    items = list(items)
    if not items:
        raise StacError(
            "no item was found for these dates over the footprint of the image: "
            "other dates, collection or STAC URL are wanted"
        )
    covering = [item for item in items if overlap(item, footprint) >= LEAST_OVERLAP]
    if not covering:
        best = max(overlap(item, footprint) for item in items)
        raise StacError(
            f"none of the {len(items)} items found contains the footprint of the image "
            f"(the best contains {best:.0%}); --item takes one all the same"
        )
    candidates = []
    for item in covering[:MAX_CANDIDATES]:
        candidate = measure(item, footprint)
        log.info(
            "%s: %.1f %% clouds, %.1f %% without data over the image (tile: %s %% clouds)",
            item.id,
            100 * candidate.cloudy,
            100 * candidate.uncovered,
            item.properties.get("eo:cloud_cover", "?"),
        )
        candidates.append(candidate)
    best = min(candidates, key=lambda candidate: _rank(candidate, nearest_to))
    if 100 * best.bad > max_cloud_cover:
        raise StacError(
            f"--max-cloud-cover: at most {max_cloud_cover:g} % of clouds and missing data over the image "
            f"is wanted. Received: {100 * best.bad:.1f} % in the clearest of {len(candidates)} items, "
            f"{best.item.id}"
        )
    return best


def _rank(candidate: Candidate, nearest_to: datetime | None) -> tuple:
    """Return a key by which the best candidate sorts first."""
    date = candidate.item.datetime
    days = 0.0
    if date is not None and nearest_to is not None:
        days = abs((_aware(date) - _aware(nearest_to)).total_seconds()) / 86400
    baseline = str(candidate.item.properties.get("s2:processing_baseline", ""))
    return round(candidate.bad, 4), round(days, 2), [-int(number) for number in re.findall(r"\d+", baseline)]


def _aware(date: datetime) -> datetime:
    """Return a date with a time zone (UTC when it had none)."""
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def middle(dates: Sequence[str]) -> datetime:
    """Return the middle of two ISO days."""
    first, last = (_aware(datetime.fromisoformat(day)) for day in dates)
    return first + (last - first) / 2
