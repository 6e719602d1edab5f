# SPDX-License-Identifier: Apache-2.0
"""The files that a program will write, and what refuses them before anything is computed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from chain.runtime.options import check_places, files_written, names_read
from chain.runtime.provenance import is_record, record_of
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
    if output and not (options.overwrite or interrupted) and not is_record(record_of(output)):
        raise FileExistsError(f"--output: {record_of(output)} exists, no record; --overwrite replaces it")
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

    Args:
        options: those of the program; files that they name are read too.
        inputs: names of what is super-resolved; those that are no names do not count.
        files: files that are read.
        output: the product, if there is one.
        beside: further files that go with the product: the option that asks for each, and its name.

    Raises:
        ValueError: a file would be written over.
    """
    names = [name for name in (*files, *inputs, *names_read(options)) if isinstance(name, str | Path)]
    check_places(written(options, output, beside), names)
