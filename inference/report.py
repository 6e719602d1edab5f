# SPDX-License-Identifier: Apache-2.0
"""Write a page that shows a product beside its input: is it right, and where has it gained?

One HTML file that loads nothing: a part before and after, the places where most detail was added, for each band how far
the product is off its input, its sharpness and its histogram, spectral angles, the error layer, weights and provenance,
and warnings. What was made of what is read from the record beside the product; where the input is not at hand, the page
says so and shows the rest.

    python -m inference.report sr.tif
    python -m inference.report sr.tif --input moved/S2A_MSIL2A_….SAFE --output report.html

    from inference.report import report
    page = report("sr.tif")
"""

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.command_line import one_line, quiet, run_program
from chain.runtime.options import BaseOptions, Made, from_values, option
from chain.runtime.progress import SILENT, Progress

if TYPE_CHECKING:
    from chain.serving.report.native import Given


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """What is shown."""

    input: tuple[str, ...] | None = option(
        None, "what the product was made of (default: what its record tells)", many=True, metavar="IMG", reads=True
    )
    overwrite: bool = option(False, "replace the page when it exists")


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    product: str = option(MISSING, "a product of one of the programs (.tif)", reads=True, flag="PRODUCT")
    output: str | None = option(
        None, "the page (default: the product's name, .html)", metavar="HTML", writes=(".html",)
    )

    def check(self) -> None:
        """Refuse a page that exists."""
        super().check()
        if self.product is not MISSING and not self.overwrite and page_of(self.product, self.output).exists():
            raise ValueError(f"--output: {page_of(self.product, self.output)} exists; --overwrite replaces it")


def page_of(product: str | Path, output: str | Path | None = None) -> Path:
    """Return the file of the page of a product: the one named, else beside the product."""
    return Path(output) if output else Path(product).with_suffix(".html")


def report(
    product: str | Path,
    output: str | Path | None = None,
    options: Options = Options(),
    *,
    progress: Progress = SILENT,
) -> Path:
    """Write the page of a product.

    Args:
        product: its file.
        output: the page, `.html`; by default beside the product.
        options: what is shown.
        progress: where progress is reported.

    Returns:
        The page.

    Raises:
        ValueError: the product is none, or `input` is not what it was made of.
        FileExistsError: the page exists, and `overwrite` is not given.
        RuntimeError: a raster cannot be read, or a server refuses.
        OSError: the disk refuses.
    """
    quiet()
    from chain.serving.product_file import check_output
    from chain.serving.report.write import write_report

    path, page = Path(product), page_of(product, output)
    if not path.is_file():
        raise ValueError(f"PRODUCT: expected a product of one of the programs, got {str(product)!r}, which is no file")
    _check_product(path)
    check_output(page, options.overwrite)
    with _input_of(path, options.input) as (given, reason):
        write_report(path, page, given, reason, "--output", progress)
    return page


def _check_product(path: Path) -> None:
    """Refuse a raster that neither a record beside it nor its own metadata say to be a product.

    Raises:
        ValueError: it is one, or no raster.
    """
    from chain.raster.opening import open_raster
    from chain.serving.provenance import SYSTEM_KEY
    from chain.serving.report.subject import record_beside

    if record_beside(path):
        return
    try:
        metadata = open_raster(str(path)).GetMetadata()
    except RuntimeError as error:
        raise ValueError(f"PRODUCT: expected a readable raster, got {path} ({one_line(error)})") from error
    if SYSTEM_KEY not in metadata:
        raise ValueError(
            f"PRODUCT: expected a product of one of the programs, got {str(path)!r}, of which neither a record beside "
            "it nor its metadata say so"
        )


@contextmanager
def _input_of(product: Path, named: Sequence[str] | None) -> "Iterator[tuple[Given | None, str]]":
    """Open what a product was made of for a while; where that cannot be, say why.

    Raises:
        ValueError: what the user names cannot be opened.
    """
    from chain.serving.report.subject import record_beside

    record = record_beside(product)
    opener = _opener(record, named or record.get("input", {}).get("names"))
    if isinstance(opener, str):
        if named:
            raise ValueError(f"--input: {opener}")
        yield None, opener
        return
    try:
        given = opener.__enter__()
    except (ValueError, RuntimeError, OSError) as error:
        if named:
            raise
        yield None, f"The input cannot be opened: {one_line(error)}."
        return
    try:
        yield given, ""
    finally:
        opener.__exit__(None, None, None)


def _opener(record: Mapping[str, Any], names: Sequence[str] | None) -> Any:
    """Return what opens the input of a product, a context manager; or a sentence that says why there is none."""
    from chain.serving.program import prepare

    systems = [str(model.get("system", "")) for model in record.get("models", ())]
    if not systems:
        return "No record lies beside the product, so that nothing tells how its input is read."
    if not (systems[0].isidentifier() and find_spec(f"inference.{systems[0]}")):
        return f"No program here is called {systems[0]!r}."
    if not names and "mosaic" in record:
        return "The product is a mosaic: --report makes the page of one with its inputs, while they are open."
    if not names:
        return "The record does not tell the input; --input names it."
    lost = [name for name in names if name.startswith("/") and not (name.startswith("/vsi") or os.path.exists(name))]
    if lost:
        return f"The input is not where it was: {', '.join(lost)}; --input names it."
    module = importlib.import_module(f"inference.{systems[0]}")
    options = _options_of(module.Options, record.get("arguments", {}))
    prepare(options)
    return module.opened_input(list(names), options, record)


def _options_of(cls: type[Made], arguments: Mapping[str, Any]) -> Made:
    """Return the options by which a product was made; those that its record does not have are the defaults."""
    return from_values(cls, {**{each.name: each.default for each in fields(cls)}, **arguments})


def command(options: Command, progress: Progress) -> None:
    """Write the page that the command line names."""
    print(report(options.product, options.output, options, progress=progress))


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: words of the command line.

    Returns:
        Exit status: 0, 1 when it failed, 130 when it was interrupted. Wrong usage ends the program with status 2.
    """
    parser = argparse.ArgumentParser(
        prog="python -m inference.report",
        description="Write a page that shows a product beside its input.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
