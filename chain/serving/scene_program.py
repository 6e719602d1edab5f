# SPDX-License-Identifier: Apache-2.0
"""A program that super-resolves scenes of Sentinel-2: it says how one is opened and what its product is made of.

PROGRAM = SceneProgram("inference.spot7", "Super-resolve …", Options, Command, opened=opened)
super_resolve, main = PROGRAM.super_resolve, PROGRAM.main
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chain.runtime.progress import SILENT, Progress
from chain.serving.options import SHOWN, ServingOptions
from chain.serving.program import Program, names_of, prepare

if TYPE_CHECKING:
    from chain.sentinel2.opened_image import OpenedImage
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.product import Product
    from chain.serving.recipe import Recipe
    from chain.serving.workers import Workers

ServedOptions = TypeVar("ServedOptions", bound=ServingOptions)


@dataclass(frozen=True)
class SceneProgram(Program[ServedOptions]):
    """A program that super-resolves scenes of Sentinel-2 region by region.

    Its module names this instance `PROGRAM`: Dask's workers find it there.

    Attributes:
        opened: opens the scene of some names for a while, given the options; gives the image and the recipe of its
            product. It raises ValueError when they do not suit each other.
    """

    opened: Callable[[Sequence[FileOrItem], ServedOptions], AbstractContextManager[tuple[OpenedImage, Recipe]]] = field(
        kw_only=True
    )

    def make(
        self,
        names: Sequence[FileOrItem],
        output: Path,
        options: ServedOptions,
        keep_done: bool = False,
        workers: Workers | None = None,
        progress: Progress = SILENT,
    ) -> Product:
        """Make the product of one scene, given its files or its item; a system that does more extends this."""
        from chain.serving.outputs import check_outputs
        from chain.serving.production import finish

        if not keep_done and (self.is_complete(output, options) or not output.exists()):
            check_outputs(options, output)
        if options.assemble:
            product = finish(options, output)
            self.examine(product, None)
            if options.report:
                from chain.serving.report.write import report_of

                with self.opened(names, options) as (image, _):
                    report_of(product, image, options)
            return product
        progress.tell(0.0, "opening")
        with self.opened(names, options) as (image, recipe):
            before, after = progress.divided(SHOWN, options.report is not None)
            product = self.produce(names, output, image, recipe, options, keep_done, workers, before)
            if options.report:
                from chain.serving.report.write import report_of

                report_of(product, image, options, after)
            return product

    def produce(
        self,
        names: Sequence[FileOrItem],
        output: Path,
        image: OpenedImage,
        recipe: Recipe,
        options: ServedOptions,
        keep_done: bool,
        workers: Workers | None,
        progress: Progress,
    ) -> Product:
        """Make the product of a scene that is open, and all that its report shows."""
        from chain.serving.outputs import check_files
        from chain.serving.production import produce
        from chain.serving.provenance import files_of

        check_files(options, names, files_of(image), output)
        product = produce(options, names, output, image, recipe, keep_done, workers, progress)
        self.examine(product, image)
        return product

    def examine(self, product: Product, image: OpenedImage | None) -> None:
        """Look at a product before its report is written; a system that has something to tell of it extends this.

        Args:
            product: the product; its file is not there if regions are missing.
            image: its input; None where that is not open.
        """

    def opened_input(self, names: Sequence[FileOrItem], options: ServedOptions, record: Mapping) -> Any:
        """Open what a product was made of for a while, to be shown beside it: its files, its options, its record."""
        from chain.serving.report.native import opened_image

        return opened_image(self.opened(names, options), options.floating)

    def describe(
        self, input: FileOrItem | Sequence[FileOrItem], options: ServedOptions | None = None
    ) -> dict[str, Any]:
        """Return what a scene is taken for and what would be made of it, without computing.

        Args:
            input: the scene, as of `super_resolve`.
            options: how its product would be made; None for the defaults.

        Raises:
            ValueError: the scene, the weights or the options do not suit each other.
        """
        from chain.serving.info import describe

        options = options or self.options()
        prepare(options)
        with self.opened(names_of(input), options) as (image, recipe):
            return describe(image, recipe, options)

    def _workers(self, options: ServedOptions) -> AbstractContextManager[Workers | None]:
        """Give Dask's workers for a while, or None, once this process is prepared to compute."""
        prepare(options)
        from chain.serving.dask.scheduler import opened_workers

        return opened_workers(options, self.name)
