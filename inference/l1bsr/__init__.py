# SPDX-License-Identifier: Apache-2.0
"""Super-resolve Sentinel-2 L1B, or lay its bands onto each other, with L1BSR (Nguyen et al. 2023).

`superresolution` doubles the resolution of B02, B03, B04 and B08 and lays them all on the grid of B03, by `REC`;
`registration` lays them on it as they are, by `CSR`, and tells by how much each was moved. Both work on the counts of
L1B (digital numbers that are no reflectance). Pixel (2y, 2x) of the finer image is centred on pixel (y, x) of the
input: its corner lies a quarter of an input's pixel further right and down.

A REC may be made for images that CSR has registered, as the project's is; then this is done first, beside the output.

Both networks look at the whole image. It is computed at once where memory holds it; larger ones piece by piece, REC
layer by layer, CSR after a first pass that takes the bands' statistics: equal to two counts, in bounded memory, on disk
beside the output for the time being (REC: 16 bytes x features x pixels).

Deviations from the original (arXiv:2304.06871): numbers are rounded and clipped to 1..65535, not cut and wrapped
(`--original-cast` does as the authors); missing pixels, which are 0 in all bands or as the raster declares, stay
missing; products are georeferenced where inputs are, and are plain TIFFs otherwise.

    python -m inference.l1bsr --input 00.tif --output sr.tif
    python -m inference.l1bsr --task registration --input 00.tif --output r.tif --flow flow.tif --metrics m.json
    python -m inference.l1bsr --input B02.tif B03.tif B04.tif B08.tif --model-dir models/l1bsr/REC --output sr.tif
    python -m inference.l1bsr --input images --output-dir products

    from inference.l1bsr import Options, register, super_resolve
    product = super_resolve("00.tif", "sr.tif", Options(mode="strips"))
    registered = register("00.tif", "r.tif", Options(flow="flow.tif"))
    print(registered.scores["B04"]["correlation_after"])
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.command_line import run_program
from chain.runtime.progress import Progress
from inference.l1bsr.options import REGISTRATION, SUPER_RESOLUTION, Command, Options
from inference.l1bsr.program import PROGRAMS

if TYPE_CHECKING:
    from chain.serving.product import Product
    from chain.serving.report.native import Given

__all__ = [
    "Command",
    "Options",
    "describe",
    "main",
    "opened_input",
    "register",
    "register_scenes",
    "super_resolve",
    "super_resolve_scenes",
]

Report = Callable[[float, str], None]
Names = str | Path | Sequence[str | Path]


def super_resolve(
    input: Names,
    output: str | Path,
    options: Options | None = None,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> "Product":
    """Make an image twice as fine, with all bands on the grid of B03.

    Args:
        input: a raster of B02, B03, B04 and B08, or a raster for each band.
        output: the product, a GeoTIFF of counts.
        options: how it is made; None for the defaults.
        progress: called with the fraction that is done and a short text.
        cancelled: called now and then; the work stops when it returns True.

    Raises:
        ValueError: the image, the model or the options do not suit each other.
        FileExistsError: a product that would be made otherwise is there, or was begun.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
        chain.runtime.progress.Cancelled: `cancelled` said so; finished regions are kept, the same call goes on.
    """
    program = PROGRAMS[SUPER_RESOLUTION]
    return program.super_resolve(input, output, options, progress=progress, cancelled=cancelled)


def register(
    input: Names,
    output: str | Path,
    options: Options | None = None,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> "Product":
    """Lay the bands of an image on the grid of B03, at their own resolution.

    Args and errors are those of `super_resolve`.

    Returns:
        The product. Its `scores` are, for each other band, the medians of the flow, `dx` and `dy`, in pixels, and the
        correlation with B03, `correlation_before` and `correlation_after`.
    """
    program = PROGRAMS[REGISTRATION]
    return program.super_resolve(input, output, options, progress=progress, cancelled=cancelled)


def super_resolve_scenes(
    inputs: Sequence[str | Path],
    output_dir: str | Path,
    options: Options | None = None,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> "dict[str, Product | Exception]":
    """Super-resolve images into a folder; those that are done stay, one that fails does not stop the others.

    Args:
        inputs: rasters, folders of rasters, lists, patterns; files whose names differ in the band only are one image.
        output_dir: the folder of the products.
        options: how they are made; None for the defaults.
        progress: called with the fraction that is done and a short text.
        cancelled: called now and then; the work stops when it returns True.

    Returns:
        For each image's name, its product, or the exception that it failed with.

    Raises:
        ValueError: there are no images, or two of one name.
        OSError: the folder cannot be made.
        chain.runtime.progress.Cancelled: `cancelled` said so.
    """
    program = PROGRAMS[SUPER_RESOLUTION]
    return program.super_resolve_scenes(inputs, output_dir, options, progress=progress, cancelled=cancelled)


def register_scenes(
    inputs: Sequence[str | Path],
    output_dir: str | Path,
    options: Options | None = None,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> "dict[str, Product | Exception]":
    """Register images into a folder, as `super_resolve_scenes` super-resolves them."""
    program = PROGRAMS[REGISTRATION]
    return program.super_resolve_scenes(inputs, output_dir, options, progress=progress, cancelled=cancelled)


def describe(input: Names, options: Options | None = None, task: str = SUPER_RESOLUTION) -> dict[str, Any]:
    """Return what an image is taken for and what would be made of it, without computing.

    Args:
        input: the image, as of `super_resolve`.
        options: how its product would be made; None for the defaults.
        task: `superresolution` or `registration`.

    Raises:
        ValueError: the image, the model or the options do not suit each other.
    """
    return PROGRAMS[task].describe(input, options)


def opened_input(names: Sequence[str], options: Options, record: Mapping[str, Any]) -> "AbstractContextManager[Given]":
    """Open what a product was made of for a while, to be shown beside it.

    Args:
        names: files of the image.
        options: those by which the product was made.
        record: that of the product.

    Raises:
        ValueError: the image cannot be opened.
    """
    from inference.l1bsr.report import opened_input

    return opened_input(names, options, record)


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: words of the command line.

    Returns:
        Exit status: 0, 1 when it failed, 130 when it was interrupted. Wrong usage ends the program with status 2.
    """
    program = PROGRAMS[SUPER_RESOLUTION]
    parser = argparse.ArgumentParser(
        prog=f"python -m {program.name}", description=program.description, allow_abbrev=False
    )

    def run(command: Command, progress: Progress) -> None:
        PROGRAMS[command.task].run(command, progress)

    return run_program(parser, Command, run, argv, doc=__doc__)
