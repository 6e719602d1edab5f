# SPDX-License-Identifier: Apache-2.0
"""The options that name the bands of rasters which do not describe them: `--bands-10m`, `--bands-20m`, `--bands-60m`.

They mean the same in all programs that open whole scenes, by `chain.sentinel2.scene`:

    add_naming_arguments(parser)
    with opened_scene(names, arguments.offset, naming_of(arguments)) as scene: ...
"""

import argparse

from chain.runtime.command_line import band_names

SPACINGS = (10, 20, 60)
"""Pixel sizes, in metres, of the rasters whose bands can be named."""
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


def naming_of(arguments: argparse.Namespace) -> dict[int, tuple[str, ...]]:
    """Return the names that are given, by pixel size in metres, as `chain.sentinel2.scene.opened_scene` takes them."""
    given = {gsd: getattr(arguments, name) for gsd, name in zip(SPACINGS, NAMING_ARGUMENTS)}
    return {gsd: names for gsd, names in given.items() if names}
