# SPDX-License-Identifier: Apache-2.0
"""The options that inference programs share, each group a dataclass of its own, for programs to be made of."""

import re
from dataclasses import dataclass
from typing import Any

from chain.runtime.options import (
    LARGEST_NUMBER,
    BaseOptions,
    at_least,
    band_names,
    distinct,
    memory_size,
    option,
    within,
)
from chain.sentinel2.options import ReadingOptions, ServerOptions
from chain.serving.area_options import AreaOptions as AreaOptions
from chain.serving.colours import STYLES
from chain.serving.precision.options import PrecisionOptions

WORK = "work"
TILE_SIZE = 768
"""Side of what one run of a network writes, in output pixels."""
SHOWN = 0.95
"""Fraction of the work that is done when a report begins."""


def block_range(text: str) -> tuple[int, int]:
    """Read i/n.

    Raises:
        ValueError: it is no share of a number of shares.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"expected i/n with i from 1 to n, got {text!r}")
    return int(found[1]), int(found[2])


def scheduler(text: str) -> None:
    """Check where workers are.

    Raises:
        ValueError: it is neither `processes` nor an address.
    """
    if text != "processes" and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", text):
        raise ValueError(f"expected processes, tcp://host:port or tls://host:port, got {text!r}")


def _check_block_range(value: tuple[int, int]) -> None:
    block_range(f"{value[0]}/{value[1]}")


def _check_creation_options(words: tuple[str, ...]) -> None:
    """Refuse options that GDAL does not take, or that a product cannot keep its promises with."""
    if words:
        from chain.serving.creation_options import check_creation_options

        check_creation_options(words)


def _check_styles(names: tuple[str, ...]) -> None:
    """Refuse styles that there are not, and those given twice."""
    distinct(names)
    for name in names:
        if name not in STYLES:
            raise ValueError(f"expected names among {', '.join(STYLES)}, got {name}")


@dataclass(frozen=True, kw_only=True)
class FileOptions(BaseOptions):
    """How files are written."""

    quicklook: str | None = option(
        None, "picture of the product, at most 1024 pixels a side", metavar="PNG", writes=(".png",), pixels=False
    )
    report: str | None = option(
        None,
        "page that shows the product beside its input: pictures, numbers, warnings, where it comes from",
        metavar="HTML",
        writes=(".html",),
        pixels=False,
    )
    style: bool = option(
        True,
        "write styles for QGIS beside the product",
        negated=True,
        pixels=False,
    )
    styles: tuple[str, ...] = option(
        ("natural", "false_colour"),
        "styles to write, separated by commas: natural, false_colour (vegetation in red), swir; QGIS takes the first "
        "by itself",
        read=band_names,
        metavar="NAMES",
        check=_check_styles,
        pixels=False,
    )
    stac: bool = option(
        True,
        "write a STAC Item beside the product, OUTPUT_stac.json, where the input tells its date and place",
        negated=True,
        pixels=False,
    )
    nodata: float | None = option(
        None,
        "number of missing pixels (default: 0 of integers, NaN of --float); valid pixels of that very number get the "
        "next one",
        read=float,
        metavar="NUMBER",
    )
    co: tuple[str, ...] = option(
        (),
        "option of GDAL's COG driver that leaves pixels as they are, such as COMPRESS=ZSTD, LEVEL=9, BLOCKSIZE=256; "
        "may be given several times",
        metavar="NAME=VALUE",
        repeated=True,
        check=_check_creation_options,
        pixels=False,
    )
    overwrite: bool = option(False, "replace --output when it exists", pixels=False)

    @property
    def with_classes(self) -> bool:
        """Whether the scene classification of the input is written beside the product."""
        return False


@dataclass(frozen=True, kw_only=True)
class ClassesOptions(FileOptions):
    """Whether the scene classification of the input is written beside the product."""

    scl: bool = option(
        True,
        "write the scene classification (SCL) on the product's grid too, OUTPUT_SCL.tif, where the input has one",
        negated=True,
        pixels=False,
    )

    @property
    def with_classes(self) -> bool:
        """Whether the scene classification of the input is written beside the product."""
        return self.scl


@dataclass(frozen=True, kw_only=True)
class ThreadOptions(ServerOptions):
    """With how many threads the work is done, and what servers and models may do meanwhile."""

    threads: int | None = option(
        None,
        "threads to compute with (default: the cores there are)",
        read=int,
        metavar="N",
        check=within(1, LARGEST_NUMBER),
        pixels=False,
        group=WORK,
    )
    safe_models: bool = option(
        False,
        "refuse models whose graphs have operations that networks do not need, such as writing files",
        pixels=False,
        group=WORK,
    )


@dataclass(frozen=True, kw_only=True)
class WorkOptions(ThreadOptions):
    """How the work is done; no pixel depends on it."""

    restart: bool = option(
        False,
        "begin anew an interrupted product whose input, weights or options were others (default: refuse)",
        pixels=False,
        group=WORK,
    )


@dataclass(frozen=True, kw_only=True)
class ProgramOptions(WorkOptions, FileOptions):
    """What the options of all programs that make products of scenes have in common."""


@dataclass(frozen=True, kw_only=True)
class WorkersOptions(ThreadOptions):
    """Which processes and machines take part."""

    scheduler: str | None = option(
        None,
        "make regions on workers of Dask: of the scheduler at tcp://HOST:PORT or tls://HOST:PORT, or of this "
        "machine, by `processes`; --threads is then that of each worker (default: none)",
        metavar="ADDRESS",
        check=scheduler,
        pixels=False,
        group=WORK,
    )
    workers: int | None = option(
        None,
        "number of workers of `processes` (default: the cores there are)",
        read=int,
        metavar="N",
        check=within(1, LARGEST_NUMBER),
        pixels=False,
        group=WORK,
    )
    worker_memory: str | None = option(
        None,
        "memory at which a worker of `processes` is ended and started anew, such as 3GB (default: its share of the "
        "machine's)",
        metavar="SIZE",
        check=memory_size,
        pixels=False,
        group=WORK,
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        if self.scheduler != "processes":
            for flag, given in (("--workers", self.workers), ("--worker-memory", self.worker_memory)):
                if given:
                    raise ValueError(f"{flag} requires --scheduler processes")


@dataclass(frozen=True, kw_only=True)
class ShareOptions(WorkersOptions, WorkOptions):
    """How regions are shared among processes and machines."""

    block_range: tuple[int, int] | None = option(
        None,
        "make the I-th of N shares of the regions only, I from 1 on, beside other processes that make the others; "
        "--assemble finishes",
        read=block_range,
        metavar="I/N",
        check=_check_block_range,
        pixels=False,
        group=WORK,
    )
    assemble: bool = option(
        False, "make the product of the regions that --block-range has made", pixels=False, group=WORK
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.exclude("block_range", "assemble", "scheduler")


@dataclass(frozen=True, kw_only=True)
class ServingOptions(ShareOptions, ProgramOptions, PrecisionOptions, AreaOptions, ReadingOptions):
    """Options of the programs that super-resolve a Sentinel-2 image region by region."""

    tile_size: int = option(
        TILE_SIZE,
        "side of what one run of the network writes, in output pixels; it bounds the memory",
        metavar="N",
        check=at_least(8),
    )
    floating: bool = option(
        False, "write reflectance, float32, nodata NaN (default: 10 000 x reflectance, uint16)", flag="--float"
    )

    @property
    def naming(self) -> Any:
        """Names that are given to bands which nothing describes."""
        return None

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.exclude("block_range", "report")  # --assemble makes the page
        if self.block_range and self.overwrite:
            raise ValueError("--block-range and --overwrite are mutually exclusive: --assemble replaces the product")
        if self.nodata is not None:
            from chain.serving.encoding import check_nodata

            check_nodata(self.nodata, "float32" if self.floating else "uint16")
