# SPDX-License-Identifier: Apache-2.0
"""An image of L1B twice as fine, by REC: computed at once or strip by strip, written as rows of regions."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from chain.raster.grids import Region
from chain.runtime.progress import LOG, SILENT, Progress
from chain.serving.journal import Journal
from chain.serving.product_file import keep_region
from inference.l1bsr.counts import Counts
from inference.l1bsr.model import LIBRARIES, Execution, keras_model, run_whole
from inference.l1bsr.product import ProductInputs, bands_of
from inference.l1bsr.rec_by_strips import RecByStrips, last_reach, rows_within
from models.l1bsr import BANDS

REGION_ROWS = 512
"""Rows of a region of the product."""
COMPUTED = 0.95
"""Fraction of the work that is done when the first rows are there."""


def super_resolve(inputs: ProductInputs, counts: Counts, execution: Execution, progress: Progress = SILENT) -> int:
    """Make the product.

    Args:
        inputs: what it is made of.
        counts: the pixels, registered if the network is for such.
        execution: what the network may be run with.
        progress: where progress is reported.

    Returns:
        Number of regions that were there.

    Raises:
        FileExistsError, ValueError, RuntimeError, OSError: as `ProductInputs.write`.
    """
    layout = inputs.layout(BANDS, "uint16", inputs.identity)
    columns, rows = layout.grid.columns, layout.grid.rows
    regions = [Region(0, top, columns, min(REGION_ROWS, rows - top)) for top in range(0, rows, REGION_ROWS)]

    def make(journal: Journal, todo: Sequence[Region], maker: None) -> Iterator[Region]:
        if todo:
            strips = _strips(inputs, counts, execution, progress.part(0, COMPUTED))
            yield from _written(journal, todo, strips, inputs, counts)

    return inputs.write(layout, regions, None, make, progress.part(COMPUTED, 1))


def _strips(inputs: ProductInputs, counts: Counts, execution: Execution, progress: Progress) -> Iterator[np.ndarray]:
    """Return the image in strips from the top: one if it is computed at once."""
    description, text = inputs.network.description, inputs.output.name
    mode = execution.chosen(description, counts.present.size)
    LOG.info("%s by %s: %s", inputs.task, description.model, mode)
    progress(0, text)
    if mode.whole:
        return iter([run_whole(inputs.network, counts.pixels, "sr")])
    arguments = description.arguments
    rows = rows_within(mode.memory - LIBRARIES, inputs.image.grid.columns, arguments["depth"], last_reach(arguments))
    by_strips = RecByStrips(keras_model(inputs.network), execution.scratch.empty, rows, execution.scratch.release)
    return by_strips.super_resolve(counts.pixels, lambda done: progress(done, text))


def _written(
    journal: Journal, todo: Sequence[Region], strips: Iterator[np.ndarray], inputs: ProductInputs, counts: Counts
) -> Iterator[Region]:
    """Write the regions that are not there yet, and yield them."""
    image, scale = _Rows(strips), round(inputs.network.description.scale)
    last, begun = max(region.y for region in todo), time.perf_counter()
    for region in sorted(journal.regions, key=lambda region: region.y):
        values = image.take(region.rows)
        if region in todo:
            native = counts.present[region.y // scale : -(-(region.y + region.rows) // scale)]
            present = np.repeat(np.repeat(native, scale, axis=0), scale, axis=1)[region.y % scale :][: region.rows]
            bands = bands_of(BANDS, values, present, inputs.original_cast)
            keep_region(journal, region, bands, time.perf_counter() - begun)
            begun = time.perf_counter()
            yield region
        if region.y == last:
            return


class _Rows:
    """Rows of an image that comes in strips from the top."""

    def __init__(self, strips: Iterator[np.ndarray]):
        self._strips = strips
        self._rest: np.ndarray | None = None

    def take(self, number: int) -> np.ndarray:
        """Return the next rows."""
        parts = [] if self._rest is None else [self._rest]
        while sum(map(len, parts)) < number:
            parts.append(next(self._strips))
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._rest = rows[number:]
        return rows[:number]
