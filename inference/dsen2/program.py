# SPDX-License-Identifier: Apache-2.0
"""DSen2 as a program: what it does beyond making products, which is scores, files of single bands, and a search."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.options import flag_of, from_values, kinds
from chain.runtime.progress import LOG, Progress
from chain.serving.outputs import check_files, check_outputs
from chain.serving.product import DONE, MADE
from chain.serving.product_names import band_file, error_file
from chain.serving.program import Report, names_of, prepare
from chain.serving.scene_program import SceneProgram
from inference.dsen2.options import PROJECT_WEIGHTS, Command, Options, with_settings

if TYPE_CHECKING:
    from pystac import Item

    from chain.sentinel2.opened_image import OpenedImage
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.product import Product
    from chain.serving.recipe import Recipe
    from chain.serving.workers import Workers

COG_OPTIONS = ("COMPRESS=DEFLATE", "PREDICTOR=YES", "BIGTIFF=IF_SAFER")
PRODUCT = 0.85
"""Fraction of the work that is done when expected errors are begun."""


@contextmanager
def opened(names: "Sequence[FileOrItem]", options: Options) -> "Iterator[tuple[OpenedImage, Recipe]]":
    """Open a scene for a while, and say what its product is made of.

    Raises:
        ValueError: the scene, the weights or the options do not suit each other.
    """
    from chain.sentinel2.scene import opened_scene
    from inference.dsen2.recipe import bands_to_open, recipe_of

    with opened_scene(names, None, options.naming, bands_to_open(options), options.resampled, options.reading) as scene:
        recipe = recipe_of(options, scene)
        for note in recipe.notes:
            LOG.info("%s", note)
        yield scene.product, recipe


def score(input: "FileOrItem | Sequence[FileOrItem]", options: Options | None = None) -> dict:
    """Score the networks on a scene made coarser, where the scene is the truth (Wald's protocol).

    Args:
        input: the scene, as of `super_resolve`.
        options: which part, bands, weights and masks; `metrics` and `figure` are written where they are named.

    Returns:
        Scores by method and band, as `evaluation.wald.evaluate`.

    Raises:
        ValueError: the scene, the weights or the options do not suit each other.
        OSError: a file cannot be written.
    """
    from chain.serving.provenance import files_of
    from inference.dsen2.evaluation import score_networks

    options, names = options or Options(), names_of(input)
    prepare(options)
    check_outputs(options, None)
    with opened(names, options) as (image, recipe):
        check_files(options, names, files_of(image), None)
        return score_networks(options, image, recipe)


class DSen2Program(SceneProgram[Options]):
    """The program of DSen2."""

    def complete(self, values: dict) -> dict:
        """Return the values of the command line with those of `.env` and the environment."""
        return with_settings(values)

    def inputs(self, command: Command) -> "Sequence[FileOrItem]":
        """Return what is super-resolved: names, or the item, or items, that --search finds."""
        return _found(command) if command.search else command.input or ()

    def run_one(self, inputs: "Sequence[FileOrItem]", command: Command, progress: Progress) -> None:
        """Score the networks, or make the one product that the command line names, or both."""
        from evaluation import report

        if command.search and len(inputs) > 1:
            output, cancelled = str(command.output), progress.cancelled
            print(self.super_resolve_mosaic(inputs, output, command, progress=progress, cancelled=cancelled))
            return
        if command.evaluate == "wald":
            print(report.table(score(inputs, command)))
        if not command.output:
            return
        options = replace(command, evaluate=None, metrics=None, figure=None) if command.evaluate == "wald" else command
        product = self.super_resolve(inputs, command.output, options, progress=progress, cancelled=progress.cancelled)
        if product.scores:
            print(report.table(product.scores))
        print(product)

    def super_resolve_mosaic(
        self,
        items: "Sequence[FileOrItem]",
        output: str | Path,
        options: Options | None = None,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> "Product":
        """Make one product of several scenes of one UTM zone, pixel by pixel from one of them (`chain.serving.mosaic`).

        Args:
            items: STAC items, or names of one scene each; where several are clear, the first is taken.
            output: the product, a GeoTIFF.
            options: how it is made; `bbox` or `geometry` bounds it.
            progress: called with the fraction that is done and a short text.
            cancelled: called now and then; the work stops when it returns True.

        Raises:
            ValueError: the scenes do not lie on one grid, or options do not suit several scenes.
            FileExistsError: the product exists, and `overwrite` is not given.
            RuntimeError: OTB, TensorFlow or a server refuses.
            OSError: the disk refuses.
            chain.runtime.progress.Cancelled: the work is to stop; what is finished is kept, the same call goes on.
        """
        from chain.serving.mosaic import make_mosaic

        given, output = options or self.options(), Path(output)
        options = from_values(self.options, asdict(given))
        for name in ("box", "evaluate", "separate", "error", "block_range", "assemble"):
            if options.given(name):
                flag = flag_of(name, kinds(Options)[name])
                raise ValueError(f"{flag}: expected an area of one scene, got one of {len(items)}")
        check_outputs(options, output)
        files: dict[str, Any] = {"style": False, "stac": False, "scl": True, "quicklook": None, "report": None}
        alone = replace(options, **files, co=(), nodata=None, overwrite=False)
        scenes = {_name(item): item for item in items}
        with self._workers(alone) as workers:

            def make(item: "FileOrItem", path: Path, part: Progress) -> "Product":
                return self.make([item], path, alone, True, workers, part)

            def opened_scene(item: "FileOrItem") -> "AbstractContextManager[tuple[OpenedImage, Recipe]]":
                return self.opened([item], alone)

            return make_mosaic(scenes, output, options, make, opened_scene, Progress(progress, cancelled))

    def produce(
        self,
        names: "Sequence[FileOrItem]",
        output: Path,
        image: "OpenedImage",
        recipe: "Recipe",
        options: Options,
        keep_done: bool,
        workers: "Workers | None",
        progress: Progress,
    ) -> "Product":
        """Make the product of a scene that is open, files of its bands, and its scores."""
        from chain.serving.outdated import check_ours
        from chain.serving.provenance import files_of
        from inference.dsen2.errors import error_models, write_errors
        from inference.dsen2.evaluation import score_product

        bands = recipe.bands if options.separate else ()
        models = error_models(recipe) if options.error else {}
        beside = [("--separate", band_file(output, band)) for band in bands]
        beside += [("--error", error_file(output))] if models else []
        check_files(options, names, files_of(image), output, beside)
        if not keep_done:
            check_outputs(options, output, beside)
        for flag, path in beside:
            check_ours(path, flag, options.overwrite)
        making, telling = progress.divided(PRODUCT, bool(models))
        product = super().produce(names, output, image, recipe, options, keep_done, workers, making)
        if output.exists():
            _separate(output, bands, anew=product.outcome != DONE)
            if models:
                write_errors(output, image, recipe, options, models, anew=product.outcome != DONE, progress=telling)
        if options.evaluate == "full":
            return replace(product, scores=score_product(options, image, recipe.gsd, output))
        return product

    def examine(self, product: "Product", image: "OpenedImage | None") -> None:
        """Warn of ground that is unlike any that the networks were trained on, and keep its share in the record."""
        from inference.dsen2.unlike import examine

        if product.path.exists():
            examine(product.path, image, anew=product.outcome == MADE)

    def is_complete(self, output: Path, options: Options) -> bool:
        """Return whether all that goes with a finished product is there, as far as it is known unopened."""
        return not (options.separate or options.error)


def _name(scene: "FileOrItem") -> str:
    """Return the name of a scene, given its item or its file."""
    from chain.sentinel2.stac_item import read_item
    from chain.serving.inputs import name_of_item

    return Path(scene).stem if isinstance(scene, str | Path) else name_of_item(read_item(scene))


def _found(command: Command) -> "list[Item]":
    """Return what --search finds: the clearest item over --bbox; several where no single one contains it."""
    from chain.raster.area_of_interest import coordinate_system
    from chain.raster.footprint import Footprint
    from chain.sentinel2 import cloud_cover, stac_search
    from chain.sentinel2.covering import choose_covering

    assert command.bbox and command.search  # as `Command.check` has it
    crs = coordinate_system(command.bbox_crs).ExportToWkt() if command.bbox_crs else None
    footprint = Footprint.of_box(command.bbox, crs)
    items = stac_search.search(footprint, command.search, command.stac_url, command.collection)
    if items and not any(cloud_cover.overlap(item, footprint) >= cloud_cover.LEAST_OVERLAP for item in items):
        chosen = choose_covering(items, footprint, command.max_cloud_cover)
        LOG.info("no single item contains the area: a mosaic of %s", ", ".join(each.item.id for each in chosen))
        return [each.item for each in chosen]
    found = cloud_cover.choose(items, footprint, command.max_cloud_cover)
    LOG.info("%s: %.1f %% clouds, %.1f %% without data", found.item.id, 100 * found.cloudy, 100 * found.uncovered)
    return [found.item]


def _separate(output: Path, bands: Sequence[str], anew: bool) -> None:
    """Write bands of a product as files of their own, whole or not at all; those of its pixels only if `anew`."""
    from osgeo import gdal

    from chain.raster.writing import write_copy
    from chain.runtime.files import whole_file
    from chain.serving.outdated import is_of

    dataset = gdal.Open(str(output))
    for number, band in enumerate(bands, start=1):
        path = band_file(output, band)
        if anew or not is_of(path, output):
            with whole_file(path, "--separate") as partial:
                write_copy(partial, "COG", dataset, COG_OPTIONS, "--separate", [number])


PROGRAM = DSen2Program(
    "inference.dsen2",
    "Make the 20 m and 60 m bands of Sentinel-2 10 m fine.",
    Options,
    Command,
    opened=opened,
    weights=(PROJECT_WEIGHTS,),
    epilog="Without --input, IMAGES_PATH, SR_IMAGES_PATH, SR_20M_PATH and SR_60M_PATH of .env or the environment "
    "stand for --input, --output-dir and --weights.",
)
