# SPDX-License-Identifier: Apache-2.0
"""From an open Sentinel-2 input to a product: where it lies, what its regions are, who makes them."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chain.raster import http
from chain.raster.blocks import Block, fill_missing
from chain.raster.grids import Region, image_grid, plan, spread
from chain.raster.http import retry
from chain.raster.otb import OTB_LOCK
from chain.runtime.files import whole_file
from chain.runtime.progress import LOG, SILENT, Progress, RegionProgress
from chain.runtime.provenance import read as read_record
from chain.runtime.provenance import record_of
from chain.sentinel2.opened_image import OpenedImage
from chain.sentinel2.stac_item import FileOrItem
from chain.serving import super_resolution
from chain.serving.asked import ASKED_KEY, asked, check_asked
from chain.serving.classes import check_classes, write_classes
from chain.serving.companions import derived_from, write_companions
from chain.serving.encoding import beside
from chain.serving.ground import ground_of
from chain.serving.input_files import InputWatch
from chain.serving.journal import Share, discard, finished_journal
from chain.serving.layout import Layout
from chain.serving.network import Network
from chain.serving.options import ServingOptions
from chain.serving.outdated import check_ours, is_of
from chain.serving.precision.begun import prepared_for
from chain.serving.product import DONE, Product
from chain.serving.product_file import CLASSES_PART, assemble, check_output, make_regions, product_of, write_product
from chain.serving.product_names import CLASSES_KEY, classes_file
from chain.serving.provenance import identity_of, names_of, product_metadata, write_record
from chain.serving.recipe import REFLECTANCE, Recipe
from chain.serving.report.native import input_names
from chain.serving.super_resolution import Bands
from chain.serving.up_to_date import check_same
from chain.serving.workers import Workers
from models.description import Source

TILES_PER_REGION = 2
"""Tiles along the side of a region: regions are what an interruption can cost."""
ATTEMPTS = 3
"""Times that a region of a remote input is read, with new signatures."""
SAMPLES, SAMPLE_SIDE = 16, 160
"""Number, and side in output pixels, of the pieces of ground by which a precision is judged."""


class Production:
    """A product to be made of an open input; its regions are counted from its first pixel.

    Args:
        options: Those of the program.
        product: The input.
        recipe: How it is made.

    Raises:
        ValueError: The input does not suit the recipe, or the part that is asked for is not on it.
        RuntimeError: OTB refuses.
    """

    def __init__(self, options: ServingOptions, product: OpenedImage, recipe: Recipe):
        self.watch = InputWatch(names_of(product))
        _check_geotransforms(product)
        self.options = options
        self.product = product
        self.recipe = recipe
        self.images = open_images(product, recipe)
        grids = {name: image_grid(image) for name, image in self.images.items()}
        self.origin, self.grid, self.place = ground_of(options, grids, recipe.gsd, recipe.step)
        self.progress = RegionProgress(SILENT, self.grid.columns * self.grid.rows, "")

    def identity(self) -> dict:
        """Return all that its pixels depend on."""
        options = self.options
        found = identity_of(self.product, self.recipe, self.grid, options.floating, options.naming, self.watch)
        return found if options.nodata is None else {**found, "nodata": options.nodata}

    @property
    def models(self) -> list[dict]:
        """What is to be known of its networks."""
        return [
            {**network.description.to_json(), "folder": network.model_dir, "engine": network.engine}
            for network in self.recipe.networks
        ]

    @property
    def regions(self) -> list[Region]:
        """Its regions, in reading order."""
        side = TILES_PER_REGION * self.recipe.tile(self.options.tile_size)
        return plan(Region(0, 0, self.place.columns, self.place.rows), side)

    def set_networks(self, networks: Sequence[Network]) -> None:
        """Take other networks for the same bands, such as those of another precision."""
        self.recipe = replace(self.recipe, networks=tuple(networks))

    def layout(self, identity: dict) -> Layout:
        """Return what its file is, given its identity."""
        return Layout(
            grid=self.grid,
            bands=self.recipe.bands,
            dtype="float32" if self.options.floating else "uint16",
            metadata=product_metadata(self.product, self.recipe, identity),
            scale=None if self.options.floating else REFLECTANCE,
            missing=self.options.nodata,
        )

    def read(self, region: Region) -> dict[str, Block]:
        """Read what a region needs, with new signatures when those of a remote input expire.

        Raises:
            RuntimeError: OTB or a server refuses, or the input was changed.
        """
        attempts = itertools.count()

        def attempt() -> dict[str, Block]:
            if self.product.refresh(force=next(attempts) > 0):
                self.images = open_images(self.product, self.recipe)
            return self.recipe.read(self.images, self._placed(region), self.origin, self.product.nodata)

        with OTB_LOCK, self.watch.reading():
            return retry(attempt, (RuntimeError,), ATTEMPTS if self.product.hrefs else 1, seconds=http.TIMEOUT)

    @property
    def classes(self) -> str | None:
        """The scene classification that is to be written beside its file; None for none."""
        return self.product.classes if self.options.with_classes else None

    def write_classes(self, path: Path) -> None:
        """Write the scene classification on its grid.

        Raises:
            ValueError: It cannot be read.
            OSError: The disk refuses.
        """
        assert self.classes  # whoever calls this has asked
        with whole_file(path, "--scl") as partial:
            write_classes(self.classes, self.grid, partial, self.identity())

    def check_input(self) -> None:
        """Hold the input against what it was when it was opened.

        Raises:
            chain.serving.input_files.InputChangedError: it was replaced, changed or removed.
        """
        self.watch.check_all(names_of(self.product))

    def compute(self, region: Region, blocks: Mapping[str, Block]) -> Bands:
        """Compute a region of what was read."""
        tile = self.recipe.tile(self.options.tile_size)

        def told(fraction: float) -> None:
            self.progress.computed(region, region.columns * region.rows, fraction)

        return self.recipe.compute(blocks, self._placed(region), self.origin, self.options.floating, tile, told)

    def samples(self) -> list[dict[str, np.ndarray]]:
        """Return what the networks would see of some pieces of the ground, spread over it: arrays by source."""
        step = self.recipe.step
        margin = max((-(-network.description.crop // step) * step for network in self.recipe.networks), default=0)
        found = []
        for piece in spread((self.place.columns, self.place.rows), SAMPLE_SIDE, SAMPLES):
            x, y = ((start // step) * step for start in (piece.x, piece.y))
            columns, rows = (-(-length // step) * step for length in (piece.columns, piece.rows))
            blocks = self.read(Region(x, y, columns, rows))
            place = self._placed(Region(x - margin, y - margin, columns + 2 * margin, rows + 2 * margin))
            arrays = {}
            for name, source in self._sources().items():
                ratio = round(source.gsd / self.recipe.gsd)
                part = Region(*(number // ratio for number in (place.x, place.y, place.columns, place.rows)))
                filled = fill_missing(blocks[name].pixels, blocks[name].present, margin)
                wanted = super_resolution.ground(part, self.origin, source.gsd)
                arrays[name] = super_resolution.on_grid(filled, blocks[name], wanted)
            found.append(arrays)
        return found

    def _sources(self) -> dict[str, Source]:
        """Return the sources of the networks, by name."""
        return {s.name: s for network in self.recipe.networks for s in network.description.sources}

    def _placed(self, region: Region) -> Region:
        """Return a region as the recipe counts it."""
        return replace(region, x=self.place.x + region.x, y=self.place.y + region.y)


def produce(
    options: ServingOptions,
    names: Sequence[FileOrItem],
    output: Path,
    product: OpenedImage,
    recipe: Recipe,
    keep_done: bool = False,
    workers: Workers | None = None,
    progress: Progress = SILENT,
) -> Product:
    """Make a product of an open input, or the share of it that is asked for.

    Args:
        options: Those of the program.
        names: Files of the input, or its item.
        output: The file.
        product: The input.
        recipe: How it is made.
        keep_done: Leave a product alone that is there and would be made again as it is.
        workers: What makes its regions; None for this process.
        progress: Where progress is reported.

    Returns:
        The product.

    Raises:
        FileExistsError: A product that would be made otherwise is there, or was begun.
        ValueError: The input does not suit the recipe.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: The disk refuses.
        Cancelled: The work was cancelled; finished regions are kept.
    """
    start = time.perf_counter()
    with OTB_LOCK:
        production = Production(options, product, recipe)
    progress(0.0, "networks")
    if production.classes:
        check_classes(production.classes, production.grid)
    with OTB_LOCK:
        precision = _prepare(production, output)
    identity = production.identity()
    layout = production.layout(identity)
    if output.exists() and not options.overwrite:
        check_same(output, identity, "--output-dir" if keep_done else "--output")
        discard(output, identity)
        notes = _notes(production, precision, names)
        return _completed(production, output, layout, identity, notes, time.perf_counter() - start)
    share = Share(*options.block_range) if options.block_range else None
    maker = workers.job(names, output, production.recipe.networks, identity) if workers else production
    notes = _notes(production, precision, names)
    for note in _moved(options):
        LOG.info("%s", note)
    production.progress = RegionProgress(progress, layout.grid.columns * layout.grid.rows, output.name)

    def before_naming(folder: Path) -> None:
        production.check_input()
        if production.classes and (share is None or share.number == 1):
            check_ours(classes_file(output), "--scl", options.overwrite)
            production.write_classes(folder / CLASSES_PART)

    resumed = write_product(
        output,
        layout,
        production.regions,
        maker,
        identity,
        notes,
        options.overwrite,
        options.restart,
        share,
        advance=lambda region: production.progress.written(region, region.columns * region.rows),
        make=workers.make_regions if workers else make_regions,
        check=before_naming,
        creation=options.co,
    )
    if share:
        return product_of(output, layout, f"share {share.number} of {share.count} of the regions", record=False)
    return _finished(options, output, layout, identity, notes, resumed, time.perf_counter() - start)


def _notes(production: Production, precision: Mapping, names: Sequence[FileOrItem]) -> dict:
    """Return what whoever finishes a product has to know."""
    return {
        "models": production.models,
        "precision": precision,
        "decisions": [*decisions(production.product, production.recipe), *_moved(production.options)],
        "input": {"files": production.watch.stamps, "names": input_names(names)},
        "derived_from": derived_from(production.product),
        CLASSES_KEY: production.product.classes is not None,
        ASKED_KEY: asked(production.options),
    }


def _moved(options: ServingOptions) -> list[str]:
    """Return what is to be said of a nodata value of the user's, in sentences."""
    if options.nodata is None:
        return []
    other = beside(options.nodata, "float32" if options.floating else "uint16")
    return [f"nodata {options.nodata:g} (--nodata): valid pixels of that number become {other:.9g}"]


def _completed(
    production: Production, output: Path, layout: Layout, identity: Mapping, notes: Mapping, seconds: float
) -> Product:
    """Write what is missing of what goes with a product that is there; return the product."""
    options = production.options
    if not read_record(record_of(output)):
        write_record(output, options, notes, identity, len(production.regions), seconds)
    if production.classes and not is_of(classes_file(output), output):
        check_ours(classes_file(output), "--scl", options.overwrite)
        production.write_classes(classes_file(output))
    write_companions(options, output, missing=True)
    return product_of(output, layout, DONE)


def _prepare(production: Production, output: Path) -> dict:
    """Give the networks of a production the precision and the engine that are asked for; return what a record holds."""

    def identity(networks: Sequence[Network]) -> dict:
        production.set_networks(networks)
        return production.identity()

    given = production.recipe.networks
    networks, chosen = prepared_for(output, production.options, given, production.samples, identity)
    production.set_networks(networks)
    return chosen


def finish(options: ServingOptions, output: Path) -> Product:
    """Assemble a product whose regions are all made.

    Returns:
        The product.

    Raises:
        ValueError: There are none, some are missing, all are without data, or they are of other options.
        FileExistsError: The product exists, or another process works on it.
        OSError: The disk refuses.
    """
    start = time.perf_counter()
    check_output(output, options.overwrite)
    with finished_journal(output) as journal:
        check_asked(options, journal)
        assemble(journal, options.overwrite, options.co)
    layout = Layout.from_json(journal.notes["layout"])
    seconds = time.perf_counter() - start
    return _finished(options, output, layout, journal.identity, journal.notes, len(journal.regions), seconds)


def _finished(
    options: ServingOptions,
    output: Path,
    layout: Layout,
    identity: Mapping,
    notes: Mapping,
    resumed: int,
    seconds: float,
) -> Product:
    """Write what goes with a product that is there; return the product."""
    write_record(output, options, notes, identity, resumed, seconds)
    write_companions(options, output)
    return product_of(output, layout)


def decisions(image: OpenedImage, recipe: Recipe) -> list[str]:
    """Return what was decided about an input, and why, in sentences: what a record keeps."""
    return [*map(str, image.decisions), *recipe.notes]


def open_images(product: OpenedImage, recipe: Recipe) -> dict[str, Any]:
    """Return the chain of each source: harmonised digital numbers, in memory."""
    return {name: product.image(source.bands) for name, source in recipe.sources.items()}


def _check_geotransforms(product: OpenedImage) -> None:
    """Refuse rotated images, which OTB would take for north-up ones."""
    from osgeo import gdal

    for band, name in product.bands.items():
        geotransform = gdal.Open(name).GetGeoTransform()
        if geotransform[2] or geotransform[4]:
            raise ValueError(f"--input: expected a north-up image, got geotransform {geotransform} of {band}")
