# SPDX-License-Identifier: Apache-2.0
"""The options of `sr_dataset.py`: which Sentinel-2 image goes with a Spot image, and how patches are cut."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chain.runtime.options import MISSING, at_least, band_names, changed, option, within
from chain.sentinel2.options import OffsetOptions, ServerOptions

BANDS = ("B04", "B03", "B02", "B08")
"""Bands of the patches, in order."""
CHOICE = "choice of the Sentinel-2 image"
PATCHES = "patches"


def _day(text: str) -> None:
    """Check a day.

    Raises:
        ValueError: it is none.
    """
    try:
        datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise ValueError(f"expected a day YYYY-MM-DD, got {text!r}") from None


def _days(texts: Sequence[str]) -> None:
    """Check several days."""
    for text in texts:
        _day(text)


def _all_bands(names: Sequence[str]) -> None:
    """Check names of the bands.

    Raises:
        ValueError: one is missing, or there are others.
    """
    if sorted(names) != sorted(BANDS):
        raise ValueError(f"expected {','.join(BANDS)} in some order, got {','.join(names)}")


def _proportions(values: Sequence[float]) -> None:
    """Check proportions of the sets.

    Raises:
        ValueError: one is no proportion, or there is nothing to train on.
    """
    if not all(0 <= value < math.inf for value in values) or values[0] == 0:
        received = " ".join(f"{value:g}" for value in values)
        raise ValueError(f"expected proportions of at least 0, and some for training, got {received}")


def _nodata(text: str) -> float | None:
    """Read a digital number; None for `none`.

    Raises:
        ValueError: it is neither.
    """
    try:
        return None if text.lower() == "none" else float(text)
    except ValueError:
        raise ValueError(f"expected a number or 'none', got {text!r}") from None


@dataclass(frozen=True, kw_only=True)
class Options(OffsetOptions, ServerOptions):
    """How pairs of patches are made of a Spot image and the Sentinel-2 image that goes with it."""

    xs_bands: tuple[str, ...] = option(
        BANDS,
        "bands of the multispectral image in their order, by Sentinel-2's names",
        read=band_names,
        metavar="NAMES",
        check=_all_bands,
    )
    start_date: str = option("2022-06-15", "first day, YYYY-MM-DD", group=CHOICE, check=_day)
    end_date: str = option("2022-08-15", "last day", group=CHOICE, check=_day)
    dates: tuple[str, ...] | None = option(
        None, "both at once", count=2, metavar=("START", "END"), group=CHOICE, check=_days
    )
    max_cloud_cover: float = option(
        5.0, "most clouds and missing data over the Spot image, in percent", group=CHOICE, check=within(0, 100)
    )
    stac_url: str = option("https://planetarycomputer.microsoft.com/api/stac/v1", "root of the STAC API", group=CHOICE)
    collection: str = option("sentinel-2-l2a", "STAC collection", group=CHOICE)
    item: str | None = option(None, "identifier of the item to take, whatever its clouds", group=CHOICE)
    sentinel2: tuple[str, ...] = option(
        (),
        "Sentinel-2 image to take instead of searching: SAFE, raster, one raster per band, STAC item",
        many=True,
        metavar="PATH",
        group=CHOICE,
        reads=True,
    )
    bands: tuple[str, ...] | None = option(
        None,
        "names of the bands of a raster that does not describe them, in order, such as B04,B03,B02,B08",
        read=band_names,
        metavar="NAMES",
        group=CHOICE,
    )
    offset: int | None = changed(OffsetOptions, "offset", None, group=CHOICE)
    lr_patch_size: int = option(
        32, "side of the patches, in pixels of the multispectral image", group=PATCHES, check=at_least(1)
    )
    hr_patch_size: int = option(
        128, "side of the patches, in pixels of the panchromatic image", group=PATCHES, check=at_least(1)
    )
    step: int | None = option(
        None,
        "distance between patches, in pixels of the multispectral image (default: --lr-patch-size)",
        read=int,
        group=PATCHES,
        check=at_least(1),
    )
    split: tuple[float, ...] = option(
        (0.8, 0.1, 0.1),
        "proportions of the sets",
        read=float,
        count=3,
        metavar=("TRAIN", "VALID", "TEST"),
        group=PATCHES,
        check=_proportions,
    )
    nodata: float | None = option(
        0.0,
        "digital number of Spot's nodata, or 'none'; NaN is nodata in any case (default: 0)",
        read=_nodata,
        group=PATCHES,
    )
    match_radiometry: bool = option(
        False,
        "bring Spot's bands to Sentinel-2's radiometry, by a gain and an offset for each",
        group=PATCHES,
    )
    tfrecords: bool = option(False, "write the sets as TFRecords too, into folders train, valid, test", group=PATCHES)
    seed: int = option(0, "of the split", group=PATCHES, check=at_least(0))
    overwrite: bool = option(False, "replace the patches in the output folder")

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        self.exclude("item", "sentinel2")
        start, end = self.days
        if start > end:
            raise ValueError(f"--end-date: expected a day from {start} on, got {end}")

    @property
    def days(self) -> tuple[str, str]:
        """First and last day."""
        return (self.dates[0], self.dates[1]) if self.dates else (self.start_date, self.end_date)

    def with_defaults(self) -> "Options":
        """Return the options with the defaults that depend on others."""
        start, end = self.days
        return dataclasses.replace(self, start_date=start, end_date=end, step=self.step or self.lr_patch_size)


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    xs: str = option(MISSING, "Spot multispectral image, orthorectified: GeoTIFF, JPEG 2000 or DIMAP .XML", reads=True)
    pan: str = option(MISSING, "Spot panchromatic image of the same place", reads=True)
    output: str = option(MISSING, "folder of the patches", metavar="DIR")
