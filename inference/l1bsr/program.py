# SPDX-License-Identifier: Apache-2.0
"""The course of L1BSR's two tasks from names to products, and their command line."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.progress import SILENT, Progress
from chain.serving.program import Program, names_of, prepare
from inference.l1bsr.options import PROJECT_WEIGHTS, REGISTRATION, SUPER_RESOLUTION, Command, Options

if TYPE_CHECKING:
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.product import Product
    from chain.serving.workers import Workers


IMAGES_AT_ONCE = 64
"""Images that are handed out to workers at once."""


@dataclass(frozen=True)
class L1BProgram(Program[Options]):
    """The program of a task of L1BSR.

    Attributes:
        task: `superresolution` or `registration`.
    """

    task: str = SUPER_RESOLUTION

    def make(
        self,
        names: "Sequence[FileOrItem]",
        output: Path,
        options: Options,
        keep_done: bool = False,
        workers: "Workers | None" = None,
        progress: Progress = SILENT,
    ) -> "Product":
        """Make the product of one image, given its files."""
        options.check_task(self.task)
        if options.scheduler:
            raise ValueError("--scheduler requires --output-dir: an image is made in one piece")
        from inference.l1bsr.production import make_product

        return make_product(self.task, _files(names), output, options, keep_done, progress)

    def _make_in_folder(
        self,
        output: Path,
        names: "Sequence[FileOrItem]",
        options: Options,
        workers: "Workers | None",
        progress: Progress,
    ) -> "Product":
        """Make a product in a folder, on a worker if there are some."""
        if workers is None:
            return super()._make_in_folder(output, names, options, None, progress)
        given = (self.task, str(output.absolute()), _files(names))
        made = workers.make_scene(output.name, __name__, make_in_folder.__name__, given, progress.cancelled)
        return replace(made, path=output)

    def _workers(self, options: Options) -> "AbstractContextManager[Workers | None]":
        """Give Dask's workers for a while, or None, once this process is prepared to compute."""
        prepare(options)
        from chain.serving.dask.scheduler import opened_workers

        return opened_workers(options, self.name, at_once=1)

    def describe(self, input: "FileOrItem | Sequence[FileOrItem]", options: Options | None = None) -> dict[str, Any]:
        """Return what an image is taken for and what would be made of it, without computing."""
        options = options or Options()
        options.check_task(self.task)
        prepare(options)
        from inference.l1bsr.info import describe

        return describe(self.task, _files(names_of(input)), options)

    def run_one(self, inputs: "Sequence[FileOrItem]", command: Command, progress: Progress) -> None:
        """Make the one product that the command line names; say what a registration has measured."""
        assert command.output  # as `Command.check` has it
        product = self.super_resolve(inputs, command.output, command, progress=progress, cancelled=progress.cancelled)
        if product.scores:
            from inference.l1bsr.registration_metrics import in_words

            for band, measured in product.scores.items():
                print(in_words(band, measured))
        print(product)


def make_in_folder(options: Options, task: str, output: str, names: Sequence[str]) -> "Product":
    """Make a product in a folder, unless it is done: what a worker of Dask is given.

    Args:
        options: how it is made.
        task: `superresolution` or `registration`.
        output: the product.
        names: files of the image.
    """
    return PROGRAMS[task]._make_in_folder(Path(output), names, options, None, SILENT)


def _files(names: "Sequence[FileOrItem]") -> list[str]:
    """Return the names of rasters.

    Raises:
        ValueError: one is a STAC item.
    """
    for name in names:
        if not isinstance(name, str):
            item = name.get("id") if isinstance(name, Mapping) else getattr(name, "id", name)
            raise ValueError(f"--input: expected rasters, got the STAC item {item}")
    return [str(name) for name in names]


def _program(task: str, suffix: str) -> L1BProgram:
    """Return the program of a task, given what ends the names of its products in a folder."""
    description = "Make the 10 m bands of Sentinel-2 L1B 5 m fine, or lay them onto each other."
    return L1BProgram(
        "inference.l1bsr",
        description,
        Options,
        Command,
        weights=(PROJECT_WEIGHTS,),
        suffix=suffix,
        scenes_at_once=IMAGES_AT_ONCE,
        task=task,
    )


PROGRAMS = {SUPER_RESOLUTION: _program(SUPER_RESOLUTION, "_SR"), REGISTRATION: _program(REGISTRATION, "_registered")}
"""The program of each task."""
