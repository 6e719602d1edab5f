# SPDX-License-Identifier: Apache-2.0
"""When a Spot-6/7 image was taken, and whether the images of a pair were taken at one time."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from osgeo import gdal

from chain.runtime.progress import LOG

SPOT_NAME = re.compile(r"SPOT[67]_(?:MS|PMS|P)_(\d{14})")
"""Spot's sensor and the moment, in names of Airbus': `IMG_SPOT7_MS_201409051024012_ORT_…`."""
TAG = "TIFFTAG_DATETIME"
"""When the image was taken, or when the file was written: it depends on who wrote it."""
ONE_PASS = timedelta(days=1)
"""Images of one bundle are taken less than this apart."""
FAR_APART = timedelta(days=30)
"""Time from which fields, leaves and snow are others."""


@dataclass(frozen=True)
class Moment:
    """When an image was taken, in UTC, and what says so."""

    time: datetime
    source: str

    @property
    def is_certain(self) -> bool:
        """Whether it cannot be when the file was written."""
        return self.source != TAG

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M} ({self.source})"


def moment_of(path: str) -> Moment | None:
    """Return when a Spot image was taken, as its metadata tell, its name or its folder's; None where none does."""
    dataset = gdal.Open(path)
    metadata = dataset.GetMetadata()
    dimap = metadata.get("IMAGING_DATE", ""), metadata.get("IMAGING_TIME", "")[:8]
    named = next((found[1] for part in reversed(Path(path).parts) if (found := SPOT_NAME.search(part))), None)
    for source, text, form in (
        ("ACQUISITIONDATETIME", dataset.GetMetadata("IMAGERY").get("ACQUISITIONDATETIME"), "%Y-%m-%d %H:%M:%S"),
        ("IMAGING_DATE", " ".join(dimap), "%Y-%m-%d %H:%M:%S"),
        ("name", named, "%Y%m%d%H%M%S"),
        (TAG, metadata.get(TAG), "%Y:%m:%d %H:%M:%S"),
    ):
        try:
            return Moment(datetime.strptime(text or "", form), source)
        except ValueError:
            continue
    return None


def check_one_date(xs: str, pan: str) -> None:
    """Refuse a multispectral and a panchromatic image of two dates; warn where these may be of their files.

    Raises:
        ValueError: they are of two dates.
    """
    moments = moment_of(xs), moment_of(pan)
    first, second = moments
    if not first or not second or abs(first.time - second.time) < ONE_PASS:
        return
    told = f"--pan: expected an image of the date of --xs, {first}, got {second}"
    if first.is_certain and second.is_certain:
        raise ValueError(told)
    LOG.warning("%s", told)


def tell_dates(spot: Moment | None, sentinel2: datetime | None) -> dict[str, Any]:
    """Warn where the images of a pair were taken far apart; return when they were, as JSON holds it."""
    days = None
    if spot and sentinel2:
        apart = abs(spot.time - sentinel2.replace(tzinfo=None))
        days = round(apart / timedelta(days=1), 1)
        if apart > FAR_APART:
            LOG.warning(
                "LR/HR: Sentinel-2 of %s and Spot of %s are %.0f days apart", f"{sentinel2:%Y-%m-%d}", spot, days
            )
    return {
        "sentinel2": sentinel2.isoformat() if sentinel2 else None,
        "spot": str(spot) if spot else None,
        "days_apart": days,
    }
