# SPDX-License-Identifier: Apache-2.0
"""An image of L1B twice as fine, by REC: computed at once or strip by strip, written as rows of regions."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from chain.raster.grids import Region
from chain.serving.journal import Journal
from chain.serving.product_file import keep_region
from inference.l1bsr.model import LIBRARIES, keras_model
from inference.l1bsr.product import ProductInputs, bands_of
from inference.l1bsr.rec_by_strips import RecByStrips, rows_within
from inference.l1bsr.whole_image import run_whole
from models.l1bsr import BANDS

REGION_ROWS = 512
"""Rows of a region of the product."""


def super_resolve(work: ProductInputs) -> int:
    """Make the product.

    Args:
        work: what it is made of.

    Returns:
        Number of regions that were there.

    Raises:
        FileExistsError, ValueError, RuntimeError, OSError: as `ProductInputs.write`.
    """
    layout = work.layout(BANDS, "uint16", work.identity)
    columns, rows = layout.grid.columns, layout.grid.rows
    regions = [Region(0, top, columns, min(REGION_ROWS, rows - top)) for top in range(0, rows, REGION_ROWS)]
    return work.write(layout, regions, work, lambda journal, todo, _: _make(journal, todo, work))


def _make(journal: Journal, todo: Sequence[Region], work: ProductInputs) -> Iterator[Region]:
    """Compute the image from the top, and write the regions that are not there yet."""
    if not todo:
        return
    image = _Rows(_whole(work) if work.mode.whole else _by_strips(work))
    scale, last = round(work.network.description.scale), max(region.y for region in todo)
    begun = time.perf_counter()
    for region in sorted(journal.regions, key=lambda region: region.y):
        values = image.take(region.rows)
        if region in todo:
            native = work.counts.present[region.y // scale : -(-(region.y + region.rows) // scale)]
            present = np.repeat(np.repeat(native, scale, axis=0), scale, axis=1)[region.y % scale :][: region.rows]
            bands = bands_of(BANDS, values, present, work.arguments.original_cast)
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


def _whole(work: ProductInputs) -> Iterator[np.ndarray]:
    """Yield the image, computed at once."""
    yield run_whole(work, "sr")


def _by_strips(work: ProductInputs) -> Iterator[np.ndarray]:
    """Yield the image, computed strip by strip."""
    depth = work.network.description.arguments["depth"]
    rows = rows_within(work.mode.memory - LIBRARIES, work.image.grid.columns, depth)
    strips = RecByStrips(keras_model(work.network), work.scratch.empty, rows, work.scratch.release)
    with tqdm(total=strips.steps, unit="layer", desc=work.output.name) as progress:
        yield from strips.super_resolve(work.counts.pixels, progress.update)
