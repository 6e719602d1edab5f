# SPDX-License-Identifier: Apache-2.0
"""Choosing a Sentinel-2 item by the clouds that hang over one image.

The percentage of clouds in a STAC item is that of a tile of 110 km: it says little of an image of 20 km. So the scene
classification (SCL) of each candidate is read over the footprint of the image to be matched, at an overview level,
which costs a few requests, and the candidate with the least clouds *there* is chosen.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from osgeo import ogr

from chain.raster import antimeridian, http, signatures
from chain.raster.footprint import Footprint
from chain.raster.opening import open_raster
from chain.runtime.progress import LOG
from chain.sentinel2 import stac_item, stac_search

CLOUDY_CLASSES = (3, 8, 9, 10, 11)
"""SCL: cloud shadow, cloud of medium and of high probability, thin cirrus, snow or ice."""
NODATA_CLASS = 0
LEAST_OVERLAP = 0.99
"""Share of the footprint which the geometry of an item must contain for the item to be a candidate."""
MAX_CANDIDATES = 60


@dataclass(frozen=True)
class Candidate:
    """An item and what was measured of it over the footprint, as shares in [0, 1] of its surface."""

    item: Any
    """The `pystac.Item`, unsigned."""
    cloudy: float
    """Share under clouds, their shadows, or snow."""
    uncovered: float
    """Share without data."""

    @property
    def bad(self) -> float:
        """Share of the footprint which is of no use."""
        return self.cloudy + self.uncovered


def overlap(item: Any, footprint: Footprint) -> float:
    """Return the share of the footprint, in [0, 1], which the geometry of an item contains."""
    ground = footprint.geometry()
    area = ogr.CreateGeometryFromJson(json.dumps(item.geometry))
    common = ground.Intersection(antimeridian.split(area)) if area is not None else None
    return common.GetArea() / ground.GetArea() if common is not None else 0.0


def classification_asset(item: Any) -> str:
    """Return the URL of the scene classification of an item.

    Raises:
        RemoteError: the item has none (an L1C product, for instance).
    """
    try:
        address = stac_item.classification_address(item)
    except ValueError as error:
        raise http.RemoteError(str(error)) from error
    if address is not None:
        return address
    raise http.RemoteError(
        f"{item.id}: expected an item with a scene classification (SCL), got assets {', '.join(item.assets)}"
    )


def measure(item: Any, footprint: Footprint, samples: int = 256) -> Candidate:
    """Measure clouds and missing data of an item over a footprint from its scene classification.

    The footprint is sampled on a regular grid, and the classification is read at the overview level of that
    grid.

    Args:
        item: a `pystac.Item`, unsigned.
        footprint: ground to look at.
        samples: most points along each side.

    Raises:
        RemoteError: the classification cannot be read, after several attempts.
    """
    href = classification_asset(item)

    def forget(error: Exception, attempt: int, pause: float) -> None:
        LOG.warning(
            "%s: reading SCL failed (%s); attempt %d of %d in %g s",
            item.id,
            http.reason(error),
            attempt + 1,
            http.TRIES,
            pause,
        )
        signatures.forget_tokens()
        http.forget_failures()

    try:
        classes = http.retry(
            lambda: _sample_classes(http.gdal_name(signatures.sign(href)), footprint, samples),
            (RuntimeError,),
            http.TRIES,
            on_failure=forget,
        )
    except http.RemoteError:
        raise
    except RuntimeError as error:
        raise http.RemoteError(f"{item.id}: its scene classification cannot be read: {http.reason(error)}") from error
    return Candidate(item, float(np.isin(classes, CLOUDY_CLASSES).mean()), float((classes == NODATA_CLASS).mean()))


def _sample_classes(name: str, footprint: Footprint, samples: int) -> np.ndarray:
    """Return the SCL classes at regular points of a footprint, 0 where the raster does not reach."""
    dataset = open_raster(name)
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
        RemoteError: there is no item, none contains the footprint, or none is clear enough.
    """
    items = list(items)
    if not items:
        raise http.RemoteError(
            "no item was found for these dates over the footprint of the image: try other dates, --collection or "
            "--stac-url"
        )
    covering = [item for item in items if overlap(item, footprint) >= LEAST_OVERLAP]
    if not covering:
        best = max(overlap(item, footprint) for item in items)
        raise http.RemoteError(
            f"none of the {len(items)} items found contains the footprint of the image "
            f"(the best contains {best:.0%}); --item takes one all the same"
        )
    candidates = []
    for item in covering[:MAX_CANDIDATES]:
        candidate = measure(item, footprint)
        LOG.info(
            "%s: %.1f %% clouds, %.1f %% without data over the image (tile: %s %% clouds)",
            item.id,
            100 * candidate.cloudy,
            100 * candidate.uncovered,
            item.properties.get("eo:cloud_cover", "?"),
        )
        candidates.append(candidate)
    chosen = min(candidates, key=lambda candidate: _rank(candidate, nearest_to))
    if 100 * chosen.bad > max_cloud_cover:
        raise http.RemoteError(
            f"--max-cloud-cover: expected at most {max_cloud_cover:g} % of clouds and missing data over the image, "
            f"got {100 * chosen.bad:.1f} % in the clearest of {len(candidates)} items, "
            f"{chosen.item.id}"
        )
    return chosen


def _rank(candidate: Candidate, nearest_to: datetime | None) -> tuple:
    """Return a key by which the best candidate sorts first."""
    date = candidate.item.datetime
    days = 0.0
    if date is not None and nearest_to is not None:
        days = abs((stac_search.with_zone(date) - stac_search.with_zone(nearest_to)).total_seconds()) / 86400
    baseline = str(candidate.item.properties.get("s2:processing_baseline", ""))
    return round(candidate.bad, 4), round(days, 2), [-int(number) for number in re.findall(r"\d+", baseline)]
