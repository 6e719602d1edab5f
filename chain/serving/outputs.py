# SPDX-License-Identifier: Apache-2.0
"""The files that a program will write, and what refuses them before anything is computed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from chain.runtime.options import files_written, paths_read
from chain.runtime.provenance import record_of
from chain.serving.options import FileOptions
from chain.serving.product_names import classes_file, has_classes, has_item, item_file, style_file, style_files


def written(
    options: FileOptions, output: Path | None, beside: Sequence[tuple[str, Path]] = ()
) -> Iterator[tuple[str, Path, bool]]:
    """Yield the files that a program will write: the option that names each, and whether it may replace an older one.

    Args:
        options: those of the program.
        output: the product, if there is one.
        beside: further files that go with the product: the option that asks for each, and its name.
    """
    if output:
        yield "--output", output, False
        yield "--output", record_of(output), True
        if options.style:
            yield from (("--style", path, True) for path in style_files(output, options.styles).values())
        if options.stac:
            yield "--stac", item_file(output), False
        if options.with_classes:
            yield "--scl", classes_file(output), False
            if options.style:
                yield "--style", style_file(classes_file(output)), True
        yield from ((flag, path, False) for flag, path in beside)
    yield from (each for each in files_written(options) if each[0] != "--output")


def is_interrupted(options: FileOptions, output: Path | None, beside: Sequence[tuple[str, Path]] = ()) -> bool:
    """Return whether a product has got its name, but a file that goes with it is missing: its process was killed.

    Args:
        options: those of the program.
        output: the product, if there is one.
        beside: further files that go with the product: the option that asks for each, and its name.
    """
    from osgeo import gdal

    from chain.serving.up_to_date import identity_in

    if output is None or not output.is_file() or options.overwrite:
        return False
    missing = {path for _, path, _ in written(options, output, beside) if not path.exists()}
    missing -= set(style_files(output, options.styles).values()) - {style_file(output)}  # some lack the bands of these
    if not has_classes(output):
        missing -= {classes_file(output), style_file(classes_file(output))}
    if not missing or not identity_in(output):
        return False
    return missing != {item_file(output)} or has_item(gdal.Open(str(output)))


def check_outputs(options: FileOptions, output: Path | None, beside: Sequence[tuple[str, Path]] = ()) -> None:
    """Refuse outputs that exist, or whose folder cannot be written; those of an interrupted run may exist.

    Args:
        options: those of the program.
        output: the product, if there is one.
        beside: further files that go with the product: the option that asks for each, and its name.

    Raises:
        FileExistsError: one exists and must not be replaced.
        OSError: a folder is missing or read-only.
    """
    from chain.serving.product_file import check_output

    interrupted = is_interrupted(options, output, beside)
    for flag, path, replaces in written(options, output, beside):
        check_output(path, options.overwrite or replaces or interrupted, flag)


def check_files(
    options: FileOptions,
    inputs: Sequence[object],
    files: Sequence[str],
    output: Path | None,
    beside: Sequence[tuple[str, Path]] = (),
) -> None:
    """Refuse to write over what is read, and to write two things into one file.

    Files are told apart by where they really lie: links, also hard ones, lead to the file itself.

    Args:
        options: those of the program; files that they name are read too.
        inputs: names of what is super-resolved; those that are no names do not count.
        files: files that are read.
        output: the product, if there is one.
        beside: further files that go with the product: the option that asks for each, and its name.

    Raises:
        ValueError: a file would be written over.
    """
    named = (
        name for value in paths_read(options).values() for name in (value if isinstance(value, tuple) else [value])
    )
    read = {_place(name) for name in (*files, *inputs, *named) if isinstance(name, str | Path)}
    taken: dict[object, str] = {}
    for flag, path, _ in written(options, output, beside):
        place = _place(path)
        if place in read:
            raise ValueError(f"{flag}: expected a file that is not read as input, got {path}")
        if place in taken:
            raise ValueError(f"{flag}: expected another file than that of {taken[place]}, got {path}")
        taken[place] = flag


def _place(name: str | Path) -> object:
    """Return what tells a file from others: its inode, or its path while it does not exist."""
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return os.path.realpath(name)
    return status.st_dev, status.st_ino
