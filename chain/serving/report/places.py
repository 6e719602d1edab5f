# SPDX-License-Identifier: Apache-2.0
"""Where a product differs most from the interpolated input: the places that a report shows enlarged.

Windows are divided into squares. The detail of a square is the deviation of the difference between the product and the
bicubic interpolation of the input, as a share of the brightness there, so that clouds do not outweigh fields; the mean
over bands that were made finer. Squares with missing pixels or clouds do not count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from chain.raster import http, signatures
from chain.raster.grids import Region, raster_grid, shifted
from chain.sentinel2.cloud_cover import CLOUDY_CLASSES
from chain.serving.report.resampling import covering
from chain.serving.report.subject import Pair, Subject

SQUARE = 96
"""Side of a square, in pixels of the product."""
PLACES = 6
"""Places that are shown."""
CLOUDY = 0.05
"""Share of clouds from which on a square is not shown."""


@dataclass(frozen=True)
class Place:
    """A square of a product."""

    region: Region
    """Its pixels."""
    detail: float
    """What was added there, as a share of the brightness."""


def places_in(window: Region, pairs: Mapping[str, Pair]) -> list[Place]:
    """Return the squares of a window of which no pixel is missing.

    Args:
        window: the window.
        pairs: its bands that were made finer.
    """
    found = []
    rows, columns = (min(side, SQUARE) for side in (window.rows, window.columns))
    for y in range(0, window.rows - rows + 1, rows):
        for x in range(0, window.columns - columns + 1, columns):
            part = np.s_[y : y + rows, x : x + columns]
            shares = [_detail(pair.made[part], pair.bicubic[part]) for pair in pairs.values()]
            if shares and np.isfinite(shares).all():
                found.append(Place(Region(window.x + x, window.y + y, columns, rows), float(np.mean(shares))))
    return found


def _detail(made: np.ndarray, interpolated: np.ndarray) -> float:
    """Return the detail of a square of one band; NaN where a pixel is missing or all is dark."""
    brightness = interpolated.mean(dtype=np.float64)
    if not brightness > 0:
        return np.nan
    return float((made - interpolated).std(dtype=np.float64) / brightness)


def most_detailed(places: Sequence[Place], subject: Subject) -> list[Place]:
    """Return the places of most detail, at most one for each neighbourhood, the most detailed first."""
    chosen: list[Place] = []
    for place in sorted(places, key=lambda place: -place.detail):
        if len(chosen) == PLACES:
            break
        if all(_apart(place.region, other.region) for other in chosen) and not _is_cloudy(place.region, subject):
            chosen.append(place)
    return chosen


def _apart(one: Region, other: Region) -> bool:
    """Return whether two squares do not touch."""
    return abs(one.x - other.x) > one.columns or abs(one.y - other.y) > one.rows


def _is_cloudy(region: Region, subject: Subject) -> bool:
    """Return whether there are clouds in a region, as far as that is known."""
    shares = class_shares(subject, region)
    return shares is not None and shares[1] > CLOUDY


def class_shares(subject: Subject, region: Region, size: int = 512) -> tuple[float, float] | None:
    """Return which share of a region has a class, and which share of that is clouds or their shadows.

    Args:
        subject: the product.
        region: its pixels.
        size: pixels along a side of the classes that are looked at, at most.

    Returns:
        None without a scene classification, or where it lies elsewhere.
    """
    if not (subject.given and subject.given.classes):
        return None
    name = subject.given.classes
    dataset = gdal.Open(http.gdal_name(signatures.sign(name)) if "://" in name else name)
    part = covering(raster_grid(dataset), shifted(subject.grid, region), 0)
    if not (part.columns and part.rows):
        return None
    classes = dataset.GetRasterBand(1).ReadAsArray(
        part.x, part.y, part.columns, part.rows,
        buf_xsize=min(part.columns, size), buf_ysize=min(part.rows, size),
    )  # fmt: skip
    known = classes > 0
    return float(known.mean()), float(np.isin(classes[known], CLOUDY_CLASSES).mean()) if known.any() else 0.0
