# SPDX-License-Identifier: Apache-2.0
"""The files that a program writes: their names, and what refuses them before anything is computed."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def written_files(arguments: argparse.Namespace, output: Path | None, bands: Sequence[str] = ()) -> list[tuple]:
    """Return the files that a program will write, each with the option that names it.

    Args:
        arguments: those of the program.
        output: the product, if there is one.
        bands: bands that are written as files of their own too.
    """
    from chain.runtime.provenance import record_of

    named = [("--output", output), ("--output", output and record_of(output))]
    named += [("--separate", band_file(output, band)) for band in bands if output]
    options = ("flow", "quicklook", "metrics", "figure")
    named += [(f"--{option}", getattr(arguments, option, None)) for option in options]
    return [(option, Path(name)) for option, name in named if name]


def band_file(output: Path, band: str) -> Path:
    """Return the name of the file of one band of a product."""
    return output.with_name(f"{output.stem}_{band}.tif")


def check_outputs(arguments: argparse.Namespace, output: Path | None, bands: Sequence[str] = ()) -> None:
    """Refuse outputs that exist, or whose folder cannot be written. Scores may replace older ones.

    Raises:
        FileExistsError: One exists and must not be replaced.
        OSError: A folder is missing or read-only.
    """
    from chain.serving.product_file import check_output

    for option, path in written_files(arguments, output, bands):
        may_replace = option in ("--metrics", "--figure") or path.suffix == ".json"
        check_output(path, arguments.overwrite or may_replace, option)


def check_files(
    arguments: argparse.Namespace, files: list[str], output: Path | None, bands: Sequence[str] = ()
) -> None:
    """Refuse to write over what is read.

    Args:
        arguments: those of the program.
        files: what is read.
        output: the product, if there is one.
        bands: bands that are written as files of their own too.

    Raises:
        ValueError: a file would be written over.
    """
    inputs = [name for name in arguments.input or () if isinstance(name, str)]
    read = {os.path.realpath(name) for name in (*files, *inputs)}
    for option, path in written_files(arguments, output, bands):
        if os.path.realpath(path) in read:
            raise ValueError(f"{option}: a file that --input does not read is wanted. Received: {path}")
