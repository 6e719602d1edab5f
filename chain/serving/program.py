# SPDX-License-Identifier: Apache-2.0
"""A program that makes products of scenes: one course from names to products, as a library and as a command.

A system says what its options are, and how the product of a scene is made; for one that super-resolves Sentinel-2,
`chain/serving/scene_program.py` does. The rest is the same for all: one scene or many, resuming, `--info`, the command
line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chain.runtime.command_line import quiet, run_program
from chain.runtime.options import files_written, paths_read
from chain.runtime.progress import SILENT, Progress
from chain.runtime.resources import prepare_process
from chain.serving.options import ProgramOptions, ThreadOptions
from chain.serving.scene_command import SceneCommand

if TYPE_CHECKING:
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.product import Product
    from chain.serving.workers import Workers

PRODUCT_SUFFIX = "_SR"
"""End of the names of products in a folder."""
SCENES_AT_ONCE = 3
"""With --scheduler: one is opened, one is made by workers, and one is assembled."""

Report = Callable[[float, str], None]
Options = TypeVar("Options", bound=ProgramOptions)


@dataclass(frozen=True)
class Program(Generic[Options]):
    """An inference program; a subclass says how the product of one scene is made.

    Attributes:
        name: its module, such as `inference.spot7`.
        description: what it does, in a sentence.
        options: the class of its options.
        command: the class of its command line: a subclass of these and of `chain.serving.scene_command.SceneCommand`.
        weights: folders of weights that no option names.
        epilog: ends the help.
        suffix: ends the names of products in a folder.
        scenes_at_once: how many scenes are under way at once where workers take part.
    """

    name: str
    description: str
    options: type[Options]
    command: type[SceneCommand]
    weights: tuple[Path, ...] = ()
    epilog: str = ""
    suffix: str = PRODUCT_SUFFIX
    scenes_at_once: int = SCENES_AT_ONCE

    def super_resolve(
        self,
        input: FileOrItem | Sequence[FileOrItem],
        output: str | Path,
        options: Options | None = None,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Product:
        """Make the product of one scene.

        Args:
            input: the scene: a name (file, folder, address, list, pattern), several names of files that make one scene,
                or a STAC item.
            output: the product, a GeoTIFF.
            options: how it is made; None for the defaults.
            progress: called with the fraction that is done and a short text.
            cancelled: called now and then; the work stops when it returns True.

        Returns:
            The product.

        Raises:
            ValueError: the scene, the weights or the options do not suit each other.
            FileExistsError: the product exists, and `overwrite` is not given.
            RuntimeError: OTB, TensorFlow or a server refuses.
            OSError: the disk refuses.
            chain.runtime.progress.Cancelled: `cancelled` said so; finished regions are kept, the same call goes on.
        """
        options = options or self.options()
        with self._workers(options) as workers:
            return self.make(names_of(input), Path(output), options, False, workers, Progress(progress, cancelled))

    def super_resolve_scenes(
        self,
        inputs: Sequence[FileOrItem],
        output_dir: str | Path,
        options: Options | None = None,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> dict[str, Product | Exception]:
        """Make the products of many scenes in a folder; those that are done stay, one that fails does not stop others.

        Args:
            inputs: scenes, folders of scenes, lists, patterns, collections of STAC items; or one STAC item.
            output_dir: the folder of the products.
            options: how they are made; None for the defaults.
            progress: called with the fraction that is done and a short text.
            cancelled: called now and then; the work stops when it returns True.

        Returns:
            For each scene's name, its product, or the exception that it failed with.

        Raises:
            ValueError: there are no scenes, or two of one name, or items beside other inputs.
            OSError: the folder cannot be made.
            chain.runtime.progress.Cancelled: `cancelled` said so.
        """
        from chain.sentinel2.stac_item import read_item
        from chain.serving.batch import run_all, scenes_of
        from chain.serving.inputs import name_of_item

        options, folder = options or self.options(), Path(output_dir)
        for flag, _, _ in files_written(options):
            raise ValueError(f"{flag}: expected one scene, got a folder of products")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"--output-dir: expected a folder, got {folder} ({error.strerror})") from error
        names = [str(name) for name in inputs if isinstance(name, str | Path)]
        if len(names) == len(inputs):
            scenes = scenes_of(names)
        elif len(inputs) == 1:
            scenes = {name_of_item(read_item(inputs[0])): list(inputs)}
        else:
            raise ValueError(f"--input: expected names, or one STAC item, got {len(inputs)} inputs, items among them")
        with self._workers(options) as workers:

            def make(name: str, names: Sequence[FileOrItem], part: Progress) -> Product:
                return self._make_in_folder(folder / f"{name}{self.suffix}.tif", names, options, workers, part)

            at_once = self.scenes_at_once if workers else 1
            return run_all(scenes, make, Progress(progress, cancelled), at_once)

    def make(
        self,
        names: Sequence[FileOrItem],
        output: Path,
        options: Options,
        keep_done: bool = False,
        workers: Workers | None = None,
        progress: Progress = SILENT,
    ) -> Product:
        """Make the product of one scene.

        Args:
            names: its files, or its item.
            output: the product.
            options: how it is made.
            keep_done: leave it alone when it is there and would be made again as it is.
            workers: as `_workers` gives them.
            progress: where progress is reported.
        """
        raise NotImplementedError

    def describe(self, input: FileOrItem | Sequence[FileOrItem], options: Options | None = None) -> dict[str, Any]:
        """Return what a scene is taken for and what would be made of it, without computing.

        Args:
            input: the scene, as of `super_resolve`.
            options: how its product would be made; None for the defaults.

        Raises:
            ValueError: the scene, the weights or the options do not suit each other.
        """
        raise NotImplementedError

    def main(self, argv: list[str] | None = None) -> int:
        """Run the program.

        Args:
            argv: words of the command line.

        Returns:
            Exit status: 0, 1 when it failed, 130 when it was interrupted. Wrong usage ends the program with status 2.
        """
        parser = argparse.ArgumentParser(
            prog=f"python -m {self.name}", description=self.description, epilog=self.epilog or None, allow_abbrev=False
        )
        module = sys.modules.get(self.name) or sys.modules["__main__"]
        return run_program(parser, self.command, self.run, argv, self.complete, module.__doc__)

    def complete(self, values: dict) -> dict:
        """Return the values of the command line with those that come from elsewhere."""
        return values

    def inputs(self, command: Any) -> Sequence[FileOrItem]:
        """Return what is super-resolved, after the command line: names, or one STAC item."""
        return command.input

    def run(self, command: Any, progress: Progress) -> None:
        """Do what the command line asks for."""
        from chain.serving.batch import check_all, summary

        prepare(command)
        inputs = self.inputs(command)
        if command.info:
            self._tell(inputs, command)
        elif command.output_dir:
            outcomes = self.super_resolve_scenes(
                inputs, command.output_dir, command, progress=progress, cancelled=progress.cancelled
            )
            print(summary(outcomes))
            check_all(outcomes)
        else:
            self.run_one(inputs, command, progress)

    def run_one(self, inputs: Sequence[FileOrItem], command: Any, progress: Progress) -> None:
        """Make the one product that the command line names."""
        print(self.super_resolve(inputs, command.output, command, progress=progress, cancelled=progress.cancelled))

    def _tell(self, inputs: Sequence[FileOrItem], command: Any) -> None:
        """Print what scenes are taken for."""
        from chain.serving.batch import scenes_told
        from chain.serving.info import text

        scenes = scenes_told(inputs, in_folder=bool(command.output_dir))
        found = {name: self.describe(of_scene, command) for name, of_scene in scenes.items()}
        for name, described in found.items():
            output = Path(command.output_dir) / f"{name}{self.suffix}.tif" if command.output_dir else command.output
            described["product"]["path"] = str(output) if output else None
        described = found.get("", found)
        if command.json:
            print(json.dumps(described, indent=2, default=str))
        else:
            print("\n\n".join(text(each) for each in found.values()))

    def _workers(self, options: Options) -> AbstractContextManager[Workers | None]:
        """Give what makes regions elsewhere for a while, or None, once this process is prepared to compute."""
        prepare(options)
        return nullcontext()

    def _make_in_folder(
        self,
        output: Path,
        names: Sequence[FileOrItem],
        options: Options,
        workers: Workers | None,
        progress: Progress,
    ) -> Product:
        """Make a product in a folder, unless it is told without opening the scene that it is done."""
        from chain.serving.product import DONE
        from chain.serving.product_file import existing_product
        from chain.serving.provenance import add_to_record
        from chain.serving.up_to_date import fingerprint, is_done, is_marked, mark

        found = fingerprint(options, names, self.weights)
        if not options.overwrite and is_done(output, found) and self.is_complete(output, options):
            return existing_product(output)
        made = self.make(names, output, options, True, workers, progress)
        if output.exists() and (made.outcome != DONE or not is_marked(output)):
            add_to_record(output, mark(output, found))
        return made

    def is_complete(self, output: Path, options: Options) -> bool:
        """Return whether all that goes with a finished product is there."""
        return True


def prepare(options: ThreadOptions) -> None:
    """Prepare this process to compute: threads, and libraries that say nothing but errors."""
    quiet()
    prepare_process(options.threads)
    options.limit_servers()
    if options.safe_models:
        from chain.serving.saved_model_operations import check_folders

        given = paths_read(options).values()
        check_folders(str(each) for value in given for each in (value if isinstance(value, tuple) else [value]))


def names_of(input: FileOrItem | Sequence[FileOrItem]) -> Sequence[FileOrItem]:
    """Return the files of one scene, or its item, that an input stands for."""
    from chain.serving.inputs import names_of_one

    given: Sequence[FileOrItem]
    if isinstance(input, str | Path | Mapping) or not isinstance(input, Sequence):
        given = [input]
    else:
        given = input
    names = [str(name) for name in given if isinstance(name, str | Path)]
    return names_of_one(names) if len(names) == len(given) else given
