# SPDX-License-Identifier: Apache-2.0
"""The options of programs that read Sentinel-2: what the numbers are, and which bands, where nothing tells it.

They mean the same in all programs that open whole scenes, by `chain.sentinel2.scene`:

    with opened_scene(names, naming=options.naming, reading=options.reading) as scene: ...
"""

from dataclasses import dataclass
from typing import Any

from chain.runtime.options import BaseOptions, band_names, option, within
from chain.sentinel2.reading import Reading

SPACINGS = (10, 20, 60)
"""Pixel sizes, in metres, of the rasters whose bands can be named."""


def offset(text: str) -> int | None:
    """Read an offset of digital numbers; None for `auto`.

    Raises:
        ValueError: it is none that Sentinel-2 has.
    """
    if text not in ("auto", "0", "-1000"):
        raise ValueError(f"expected auto, 0 or -1000, got {text!r}")
    return None if text == "auto" else int(text)


def _known_offset(value: int) -> None:
    """Refuse an offset that Sentinel-2 does not have."""
    offset(str(value))


@dataclass(frozen=True, kw_only=True)
class OffsetOptions(BaseOptions):
    """What is added to digital numbers."""

    offset: int | None = option(
        None,
        "added to Sentinel-2's digital numbers: 0, or -1000 for baseline 04.00 on; auto: as the metadata says "
        "(default: auto)",
        read=offset,
        metavar="DN",
        check=_known_offset,
    )


def _above_0(value: float) -> None:
    """Refuse a scale that leaves nothing of numbers."""
    if not 0 < value < float("inf"):
        raise ValueError(f"expected a number above 0, got {value:g}")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(OffsetOptions):
    """How an input is read that does not say it, or says it wrong."""

    scale: float | None = option(
        None,
        "reflectance of a number, beside the offset: 0.0001 for Sentinel-2's digital numbers, 1 for reflectance, 0.01 "
        "for percent (default: as the numbers tell)",
        read=float,
        metavar="FACTOR",
        check=_above_0,
    )
    band_prefix: str | None = option(
        None,
        "beginning of the descriptions of the bands to take, where a raster holds several dates: 0_ for 0_B2",
        metavar="TEXT",
        group="bands",
    )
    band_suffix: str | None = option(
        None,
        "end of the descriptions of the bands to take: _median for B2_median",
        metavar="TEXT",
        group="bands",
    )

    @property
    def reading(self) -> Reading:
        """How an input is to be read, as `chain.sentinel2.image.open_product` takes it."""
        return Reading(self.offset, self.scale, self.band_prefix or "", self.band_suffix or "")


@dataclass(frozen=True, kw_only=True)
class ServerOptions(BaseOptions):
    """What servers may do."""

    timeout: float = option(
        300.0,
        "seconds in which a server has to answer, tries included",
        metavar="S",
        check=within(1, 86400),
        pixels=False,
        group="work",
    )
    allow_local: bool = option(
        False,
        "let items that other hosts have sent name files and hosts of this machine and of its network",
        pixels=False,
        group="work",
    )

    def limit_servers(self) -> None:
        """Hold servers, and what they send, to these options from now on."""
        from chain.raster import addresses, http

        http.limit(self.timeout)
        addresses.allow_local(self.allow_local)


def _names_of(gsd: int) -> Any:
    """Return the option that names the bands of a raster."""
    text = f"names, in order, of the bands of a raster of {gsd} m that does not describe them; - for one to leave out"
    return option(None, text, read=band_names, metavar="NAMES", group="bands")


@dataclass(frozen=True, kw_only=True)
class NamingOptions(BaseOptions):
    """Names of the bands of rasters which do not describe them."""

    bands_10m: tuple[str, ...] | None = _names_of(10)
    bands_20m: tuple[str, ...] | None = _names_of(20)
    bands_60m: tuple[str, ...] | None = _names_of(60)

    @property
    def naming(self) -> dict[int, tuple[str, ...]]:
        """The names that are given, by pixel size in metres, as `chain.sentinel2.scene.opened_scene` takes them."""
        given = dict(zip(SPACINGS, (self.bands_10m, self.bands_20m, self.bands_60m)))
        return {gsd: names for gsd, names in given.items() if names}
