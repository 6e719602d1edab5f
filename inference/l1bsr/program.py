# SPDX-License-Identifier: Apache-2.0
"""The course of L1BSR's two tasks from names to products, and their command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.progress import SILENT, Progress
from chain.serving.program import Program, names_of, prepare
from inference.l1bsr.options import PROJECT_WEIGHTS, REGISTRATION, SUPER_RESOLUTION, Command, Options

if TYPE_CHECKING:
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.product import Product
    from chain.serving.workers import Workers


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
        from inference.l1bsr.production import make_product

        return make_product(self.task, _files(names), output, options, keep_done, progress)

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
        "inference.l1bsr", description, Options, Command, weights=(PROJECT_WEIGHTS,), suffix=suffix, task=task
    )


PROGRAMS = {SUPER_RESOLUTION: _program(SUPER_RESOLUTION, "_SR"), REGISTRATION: _program(REGISTRATION, "_registered")}
"""The program of each task."""
