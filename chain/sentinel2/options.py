# SPDX-License-Identifier: Apache-2.0
"""The options of programs that read Sentinel-2: `--offset`, and the names of bands that nothing describes.

They mean the same in all programs that open whole scenes, by `chain.sentinel2.scene`:

    with opened_scene(names, options.offset, options.naming) as scene: ...
"""

from dataclasses import dataclass

from chain.runtime.options import BaseOptions, band_names, option

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


def _names_of(gsd: int):
    """Return the option that names the bands of a raster."""
    text = f"names, in order, of the bands of a raster of {gsd} m that does not describe them"
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


NAMING_ARGUMENTS = tuple(f"bands_{gsd}m" for gsd in SPACINGS)
"""Names of the parsed arguments."""


def add_naming_arguments(parser) -> None:
    """Add the options to a parser or a group of one."""
    for gsd in SPACINGS:
        parser.add_argument(
            f"--bands-{gsd}m",
            type=band_names,
            metavar="NAMES",
            help=f"names, in order, of the bands of a raster of {gsd} m that does not describe them",
        )


def naming_of(arguments) -> dict[int, tuple[str, ...]]:
    """Return the names that are given, by pixel size in metres, as `chain.sentinel2.scene.opened_scene` takes them."""
    given = {gsd: getattr(arguments, name) for gsd, name in zip(SPACINGS, NAMING_ARGUMENTS)}
    return {gsd: names for gsd, names in given.items() if names}
