# SPDX-License-Identifier: Apache-2.0
"""Choosing Sentinel-2 items that cover an area together, where no single one does: several tiles, or several dates.

Items are taken one after the other: the one that adds the most ground free of clouds is the next. Of the items of one
tile this is the clearest. All are of one UTM zone, so that they lie on one grid: nothing is warped.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from osgeo import ogr

from chain.raster import antimeridian, http
from chain.raster.footprint import Footprint
from chain.runtime.progress import LOG
from chain.sentinel2.cloud_cover import LEAST_OVERLAP, MAX_CANDIDATES, Candidate, measure, overlap
from chain.sentinel2.stac_search import with_zone

LEAST_ADDED = 0.002
"""Share of the area that an item has to add, to be taken."""
TILE = re.compile(r"(?:^|[^A-Z0-9])T?(\d\d)[C-HJ-NP-X][A-HJ-NP-Z]{2}(?=$|[^A-Z0-9])")
"""A tile in an item's name, and its zone."""


def zone_of(item: Any) -> str:
    """Return the UTM zone of an item, `31`; its coordinate system where its tile is not told."""
    properties = item.properties
    names = (properties.get("s2:mgrs_tile"), properties.get("grid:code"), item.id)
    found = next((match for name in names if name and (match := TILE.search(str(name)))), None)
    if found:
        return found[1]
    zone = properties.get("mgrs:utm_zone") or properties.get("sentinel:utm_zone")
    return f"{int(zone):02}" if zone else str(properties.get("proj:code") or properties.get("proj:epsg") or "unknown")


def choose_covering(items: Sequence[Any], footprint: Footprint, max_cloud_cover: float) -> list[Candidate]:
    """Choose items that cover a footprint together.

    Args:
        items: `pystac.Item`s, unsigned, the clearest tiles first; of each zone the first are measured.
        footprint: ground to be covered.
        max_cloud_cover: largest share of clouds over the part that an item has of the footprint, in percent.

    Returns:
        The items, in the order in which a mosaic takes pixels from them: the one with the most clear ground, then those
        of the nearest dates.

    Raises:
        RemoteError: items of one zone do not cover the footprint, or are not clear enough.
    """
    zones: dict[str, list[Any]] = {}
    for item in items:
        if overlap(item, footprint) >= LEAST_ADDED:
            zones.setdefault(zone_of(item), []).append(item)
    covered = {zone: _union(of_zone, footprint) for zone, of_zone in zones.items()}
    whole = [zone for zone, share in covered.items() if share >= LEAST_OVERLAP]
    if not whole:
        raise http.RemoteError(_not_covered(items, zones, covered, footprint))
    found = [_greedy(zones[zone][:MAX_CANDIDATES], footprint) for zone in whole]
    complete = [chosen for chosen in found if _union([each.item for each in chosen], footprint) >= LEAST_OVERLAP]
    if not complete:
        raise http.RemoteError(f"the first {MAX_CANDIDATES} items found do not cover the area: expected fewer dates")
    chosen = min(complete, key=lambda each: (sum(one.cloudy for one in each), len(each)))
    for each in chosen:
        clouds = 100 * _clouds(each)
        LOG.info("%s: %s, %.1f %% clouds over its part of the area", each.item.id, each.item.datetime, clouds)
        if clouds > max_cloud_cover:
            raise http.RemoteError(
                f"--max-cloud-cover: expected at most {max_cloud_cover:g} % of clouds over each part of the area, got "
                f"{clouds:.1f} % in the clearest item of its part, {each.item.id}"
            )
    return chosen


def _not_covered(
    items: Sequence[Any], zones: dict[str, list[Any]], covered: dict[str, float], footprint: Footprint
) -> str:
    """Return what to say when no zone covers the area."""
    if not items:
        return "no item was found for these dates over the area: try other dates, --collection or --stac-url"
    together = _union([item for of_zone in zones.values() for item in of_zone], footprint)
    if together >= LEAST_OVERLAP:
        shares = ", ".join(f"{zone} ({share:.0%})" for zone, share in sorted(covered.items()))
        return (
            f"--bbox: expected an area that tiles of one UTM zone cover, got one over zones {shares}: nothing is "
            "warped; make a product for each zone"
        )
    return f"the {len(items)} items found cover {together:.0%} of the area: try more dates"


def _greedy(items: Sequence[Any], footprint: Footprint) -> list[Candidate]:
    """Return items that each add the most clear ground to those before, then ordered by the distance of their dates."""
    rest = [measure(item, footprint) for item in items]
    chosen: list[Candidate] = []
    covered = 0.0
    while covered < LEAST_OVERLAP:
        so_far = [each.item for each in chosen]
        gains = [(_union([*so_far, each.item], footprint) - covered, each) for each in rest]
        gains = [(gain, each) for gain, each in gains if gain >= LEAST_ADDED]
        if not gains:
            break
        gain, best = max(gains, key=lambda found: found[0] * (1 - _clouds(found[1])))
        chosen.append(best)
        rest.remove(best)
        covered += gain
    return sorted(chosen, key=lambda each: abs((_date(each) - _date(chosen[0])).total_seconds()))


def _date(candidate: Candidate) -> datetime:
    """Return when the item was acquired; its interval's beginning where it states one."""
    item = candidate.item
    return with_zone(item.datetime or item.common_metadata.start_datetime)


def _clouds(candidate: Candidate) -> float:
    """Return the share of clouds over what an item has of the area."""
    return candidate.cloudy / max(1 - candidate.uncovered, 1e-6)


def _union(items: Sequence[Any], footprint: Footprint) -> float:
    """Return the share of a footprint that items contain together."""
    ground = footprint.geometry()
    together = ogr.Geometry(ogr.wkbMultiPolygon)
    for item in items:
        area = ogr.CreateGeometryFromJson(json.dumps(item.geometry))
        if area is not None:
            together = together.Union(antimeridian.split(area))
    return ground.Intersection(together).GetArea() / ground.GetArea() if items else 0.0
