# SPDX-License-Identifier: Apache-2.0
"""The product of a stack of dates: a GeoTIFF at a third of the reference's pixels, and its record."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chain.raster.grids import Grid, Region, plan
from chain.runtime.options import values_for_pixels
from chain.runtime.progress import LOG, Progress
from chain.runtime.provenance import record_of
from chain.sentinel2.bands import time_in_name
from chain.sentinel2.integrity import verify
from chain.serving.companions import link, write_companions
from chain.serving.encoding import check_nodata
from chain.serving.input_files import local_files, stamps, unplaced
from chain.serving.journal import Journal, discard, plain, read_journal
from chain.serving.layout import Layout
from chain.serving.outputs import check_files, check_outputs
from chain.serving.product import Product
from chain.serving.product_file import make_regions, write_product
from chain.serving.provenance import (
    add_to_record,
    dated,
    file_metadata,
    weights_of,
    write_record,
)
from chain.serving.report.native import input_names
from chain.serving.super_resolution import Bands
from chain.serving.up_to_date import check_same
from datasets.deepsum.kelvins import SCALE
from inference.deepsum.attempts import ErrorPolicy
from inference.deepsum.dates import Date, read_date, sources_of
from inference.deepsum.kept_blocks import KeptBlocks
from inference.deepsum.network import DeepSumNetwork, FoundModel, find_model, served
from inference.deepsum.options import Options
from inference.deepsum.report import UNNAMED, given_of
from inference.deepsum.stack import Stack, make_stack
from inference.deepsum.super_resolution import Result, block_size, fits, fused
from inference.deepsum.warping import same_grid
from inference.deepsum.windows import repeated

REGION = 2048
"""Side of the parts in which the product is written, in its pixels."""
MOSTLY = 0.5
"""Share of the clearest image that is clear, at least; masks that conceal more may be of clouds."""
BLOCK = "block_size"
"""Key of the journal: the side of blocks."""
READ, STACKED, MADE = 0.3, 0.4, 0.95
"""Fractions of the work that are done when the images are read, the stack is made, and the network has run."""


@dataclass(frozen=True)
class OpenedStack:
    """Images of several dates, and what is to be made of them."""

    model: FoundModel
    dates: Sequence[Date]
    stack: Stack
    band: str
    """Name of the product's band."""
    floating: bool
    """Whether the product holds floating point numbers."""
    nodata: float | None = None
    """Number of its missing pixels; None for that of its type."""

    @property
    def grid(self) -> Grid:
        """The product's grid: three pixels along each coarse one, from the same corner."""
        grid = self.stack.grid
        return replace(
            grid, dx=grid.dx / SCALE, dy=grid.dy / SCALE, columns=SCALE * grid.columns, rows=SCALE * grid.rows
        )

    @property
    def names(self) -> list[str]:
        """GDAL's names of what was read."""
        return sorted({name for date in self.dates for name in date.watch.names})

    def check_input(self, _: Path) -> None:
        """Hold the images against what they were when they were read.

        Raises:
            chain.serving.input_files.InputChangedError: one was replaced, changed or removed.
        """
        for date in self.dates:
            date.watch.check_all()

    @property
    def placed(self) -> bool:
        """Whether the images state where they lie."""
        return self.dates[0].placed

    def layout(self, metadata: dict[str, str]) -> Layout:
        """Return what the product's file is."""
        return Layout(self.grid, (self.band,), self.dtype, metadata, self.placed, missing=self.nodata)

    @property
    def dtype(self) -> str:
        """Type of the product's numbers."""
        return "float32" if self.floating else "uint16"


def open_stack(inputs: Sequence, options: Options, progress: Progress) -> OpenedStack:
    """Read the images of dates, and make a stack of them.

    Args:
        inputs: as `inference.deepsum.dates.sources_of` takes them.
        options: how they are read.
        progress: where progress is reported.

    Raises:
        ValueError: the images, the model or the options do not suit each other.
    """
    model = find_model(options.model_dir)
    sources, dates = sources_of(inputs, options), []
    attempts = ErrorPolicy(options.on_error)
    for number, source in enumerate(sources):
        progress(READ * number / len(sources), "images")
        date = attempts.make(source.label, read_date, source, options)
        dates += [date] if date else []
    if attempts.skipped:
        LOG.warning("%d of %d images skipped", len(sources) - len(dates), len(sources))
    if options.box and not all(same_grid(date.grid, dates[0].grid) for date in dates):
        raise ValueError("--box: expected images on one grid, got several; --bbox cuts them")
    progress(READ, "stack")
    stack = make_stack(dates, model.moments, options.statistics == "model", options.repeat)
    opened = OpenedStack(
        model,
        dates,
        stack,
        next((date.band for date in dates if date.band), UNNAMED),
        options.floating or not all(date.integer for date in dates),
        options.nodata,
    )
    check_nodata(options.nodata, opened.dtype)
    return opened


def make_product(inputs: Sequence, output: Path, options: Options, progress: Progress) -> Product:
    """Make the product of a stack of dates, and its record.

    Args:
        inputs: as `inference.deepsum.dates.sources_of` takes them.
        output: the product, `.tif`.
        options: how it is made.
        progress: where progress is reported.

    Raises:
        ValueError: the images, the model or the options do not suit each other.
        FileExistsError: the product exists, and may not be replaced.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
        chain.runtime.progress.Cancelled: the work is to stop.
    """
    start = time.perf_counter()
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"--output: expected a .tif file for images of several dates, got {str(output)!r}")
    if options.scheduler:
        raise ValueError(
            "--scheduler: expected scenes for --output-dir, got images of several dates, made in one piece"
        )
    check_outputs(options, output)
    opened = open_stack(inputs, options, progress)
    check_files(options, inputs, local_files(opened.names), output)
    is_there = output.exists() and not options.overwrite  # without a file that goes with it
    _tell(opened.stack, options)
    progress(STACKED, "network")
    network = served(opened.model, options)
    found = stamps(opened.names)
    identity: dict[str, Any] = {
        "input": {"dates": [date.name for date in opened.dates], "files": unplaced(found)},
        "models": [weights_of(network.served)],
        "options": values_for_pixels(options),
    }
    if is_there:
        check_same(output, identity, "--output")
    used = ", ".join(use.name for use in opened.stack.dates if use.used)
    dates = dated([time_in_name(use.name) for use in opened.stack.dates if use.used])
    layout = opened.layout(file_metadata([network.served], used, identity, **dates))
    maker = _Maker(opened, network, options, progress)
    regions = plan(Region(0, 0, layout.grid.columns, layout.grid.rows), REGION)
    notes = {
        BLOCK: _block(output, identity, maker),
        "models": [network.record()],
        "precision": {"precision": network.served.description.precision},
        "decisions": [str(decision) for decision in verify({name: name for name in opened.names})],
        "input": {"files": found, "names": input_names(inputs)},
        "derived_from": [link(name) for name in opened.names],
    }
    resumed = write_product(
        output,
        layout,
        regions,
        maker,
        identity,
        notes,
        overwrite=options.overwrite or is_there,
        restart=options.restart,
        make=make_of_all,
        check=opened.check_input,
        creation=options.co,
    )
    write_record(output, options, notes, identity, resumed, time.perf_counter() - start)
    add_to_record(output, _notes(opened.stack, maker.result))
    write_companions(options, output)
    if options.report:
        from chain.serving.report.write import write_report

        reference = next(date for date in opened.dates if date.name == opened.stack.dates[0].name)
        with given_of(reference, opened.band) as given:
            write_report(output, Path(options.report), given, progress=progress.part(MADE, 1))
    progress(1.0, output.name)
    return Product(output, layout.grid, layout.bands, layout.dtype, layout.nodata, record_of(output))


def _notes(stack: Stack, result: Result) -> dict[str, Any]:
    """Return what a record says of the dates, beside what all records say."""
    scale = stack.normalization.scale
    return {
        "dates": [asdict(use) for use in stack.dates],
        "statistics": asdict(stack.moments),
        "normalization": asdict(stack.normalization),
        "windows": result.windows,
        "block_size": result.block,
        "block_difference": result.difference and result.difference.largest / scale,
    }


def _tell(stack: Stack, options: Options) -> None:
    """Tell which image is the reference, which are left out, and masks that may be of clouds."""
    first, *others = stack.dates
    LOG.info("reference: %s, %.1f %% clear", first.name, 100 * first.clearance)
    if options.clear_masks and first.clearance < MOSTLY:
        LOG.warning(
            "no image is clear in more than %.1f %% of its pixels: --clear-masks are non-zero where an image is clear, "
            "not where clouds are",
            100 * first.clearance,
        )
    for use in others:
        if use.reason:
            LOG.info("left out: %s: %s", use.name, use.reason)


def _block(output: Path, identity: Mapping, maker: "_Maker") -> int:
    """Return the side of blocks: that of an interrupted run, if memory is still enough for it, as products differ."""
    try:
        begun = read_journal(output)
    except ValueError:  # what opens it tells it
        begun = None
    if begun and begun.identity == plain(identity):
        if BLOCK in begun.notes and fits(begun.notes[BLOCK], maker.frames, maker.network, share=1.0):
            return begun.notes[BLOCK]
        LOG.info("begun in blocks that memory is not enough for now: begun anew")
        discard(output, identity)
    return block_size(maker.frames, maker.network, maker.options.block_size)


class _Maker:
    """Makes all of a product at once, in blocks that are kept with its journal, and hands out parts of it.

    Args:
        opened: the images.
        network: the network.
        options: how the product is made.
        progress: where progress is reported.
    """

    result: Result
    """What was made."""

    def __init__(self, opened: OpenedStack, network: DeepSumNetwork, options: Options, progress: Progress):
        self.frames, self.network, self.options = repeated(opened.stack.frames), network, options
        self._band, self._normalization, self._progress = opened.band, opened.stack.normalization, progress

    def run(self, journal: Journal) -> None:
        """Run the network on all blocks that are not kept.

        Raises:
            ValueError, RuntimeError, Cancelled: as `inference.deepsum.super_resolution.fused`.
            OSError: the disk refuses.
        """
        fill, block, keep = self.options.filled_before(False), journal.notes[BLOCK], KeptBlocks(journal.folder).of
        part = self._progress.part(STACKED, MADE)
        self.result = fused(self.frames, self.network, self.options, fill, part, block, keep)
        self.result.tell(self._normalization.scale)
        self._progress(MADE, "product")
        self._values = self._normalization.to_numbers(self.result.image)

    def read(self, region: Region) -> tuple[slice, slice]:
        """Return where a region is."""
        return np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]

    def compute(self, region: Region, blocks: tuple[slice, slice]) -> Bands:
        """Return its pixels."""
        return {self._band: (self._values[blocks], self.result.clear[blocks])}


def make_of_all(journal: Journal, regions: Sequence[Region], maker: _Maker) -> Iterator[Region]:
    """Run the network, and write the files of regions, as `chain.serving.product_file.make_regions` does."""
    maker.run(journal)
    yield from make_regions(journal, regions, maker)
