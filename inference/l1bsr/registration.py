# SPDX-License-Identifier: Apache-2.0
"""The bands of an image of L1B laid onto its green one, by CSR: first the flow, then the image that follows from it.

The flow is the expensive part. It is a product of its own, under a hidden name until the image is there: an interrupted
run goes on with what it has. So is an image that is registered before it is super-resolved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from osgeo import gdal

from chain.raster.grids import Region, plan
from chain.runtime.progress import LOG, SILENT, Progress
from chain.serving.journal import Journal
from chain.serving.product_file import make_regions, write_product
from chain.serving.provenance import IDENTITY_KEY, digest
from chain.serving.super_resolution import Bands
from inference.l1bsr.counts import Counts, read_counts
from inference.l1bsr.csr_by_tiles import CsrByTiles
from inference.l1bsr.image import open_image
from inference.l1bsr.model import Execution, keras_model, run_whole
from inference.l1bsr.options import REGISTRATION
from inference.l1bsr.product import ProductInputs, bands_of, progress_of
from models.l1bsr import BANDS, OTHERS
from models.warp import CUBIC_REACH, sample

TILE = 512
"""Side of a region of the product, in pixels: a multiple of the 16 that are one at the coarsest level."""
FLOW_BANDS = tuple(f"{BANDS[other]}_{axis}" for other in OTHERS for axis in ("dx", "dy"))
FOUND, REFINED = 0.9, 0.8
"""Fractions that are done: of a registration when the flow is there, of the flow when it is refined."""


def flow_file(target: Path) -> Path:
    """Return the name that a flow has until the product is there, given the name of its file or of the product."""
    return target.with_name(f".{target.stem}.flow.tif")


def registered_file(output: Path) -> Path:
    """Return the name of an image that is registered before it is super-resolved, until this is done."""
    return output.with_name(f".{output.stem}.registered.tif")


def register(
    inputs: ProductInputs, counts: Counts, execution: Execution, flow: Path, progress: Progress = SILENT
) -> int:
    """Make the registered image and its flow.

    Args:
        inputs: what it is made of.
        counts: the pixels.
        execution: what the network may be run with.
        flow: file of the flow, which is not made again if it is there.
        progress: where progress is reported.

    Returns:
        Number of regions that were there.

    Raises:
        FileExistsError, ValueError, RuntimeError, OSError: as `ProductInputs.write`.
    """
    layout = inputs.layout(BANDS, "uint16", inputs.identity)
    regions = plan(Region(0, 0, layout.grid.columns, layout.grid.rows), TILE)

    def make(journal: Journal, todo: Sequence[Region], maker: _Registered) -> Iterator[Region]:
        _make_flow(inputs, counts, execution, flow, regions, progress.part(0, FOUND))
        yield from make_regions(journal, todo, maker)

    maker = _Registered(counts, execution, flow, inputs.original_cast)
    return inputs.write(layout, regions, maker, make, progress.part(FOUND, 1))


def _make_flow(
    inputs: ProductInputs,
    counts: Counts,
    execution: Execution,
    path: Path,
    regions: Sequence[Region],
    progress: Progress,
) -> None:
    """Make the file of the flow, unless it is there."""
    identity = {**inputs.inputs, "flow": True}
    if _is_made(path, identity):
        return
    layout = inputs.layout(FLOW_BANDS, "float32", identity)
    advance = progress_of(progress.part(REFINED, 1), layout.grid, "flow")
    maker = _Flow(inputs, counts, execution, progress.part(0, REFINED))
    write_product(path, layout, regions, maker, identity, overwrite=True, restart=True, advance=advance)


def _is_made(path: Path, identity: dict) -> bool:
    """Return whether a file is the product of this identity."""
    return path.exists() and gdal.Open(str(path)).GetMetadataItem(IDENTITY_KEY) == digest(identity)


def register_first(inputs: ProductInputs, counts: Counts, execution: Execution, progress: Progress = SILENT) -> Counts:
    """Register the image of a super-resolution, unless it is, and return the counts of what came of it.

    Args:
        inputs: the super-resolution, with its registrar.
        counts: its pixels.
        execution: what the network may be run with.
        progress: where progress is reported.

    Raises:
        FileExistsError, ValueError, RuntimeError, OSError: as `ProductInputs.write`.
    """
    assert inputs.registrar  # what needs none is not registered first
    path = registered_file(inputs.output)
    registration = replace(
        inputs,
        task=REGISTRATION,
        output=path,
        network=inputs.registrar,
        registrar=None,
        original_cast=False,
        overwrite=True,
        restart=True,
        nodata=None,
        creation=(),
    )
    if not _is_made(path, registration.identity):
        flow = flow_file(path)
        register(registration, counts, execution, flow, progress)
        flow.unlink()
    registered = read_counts(open_image([str(path)]), execution.scratch)
    return replace(counts, pixels=registered.pixels)


def _window(region: Region) -> tuple[slice, slice]:
    """Return the rows and columns of a region."""
    return slice(region.y, region.y + region.rows), slice(region.x, region.x + region.columns)


class _Flow:
    """Makes regions of the flow."""

    def __init__(self, inputs: ProductInputs, counts: Counts, execution: Execution, progress: Progress):
        self._network = inputs.network
        self._counts = counts
        self._scratch = execution.scratch
        self._progress = progress
        self._mode = execution.chosen(inputs.network.description, counts.present.size)
        LOG.info("registration by %s: %s", inputs.network.description.model, self._mode)

    @cached_property
    def _whole(self) -> np.ndarray:
        self._progress(0, "flow")
        return run_whole(self._network, self._counts.pixels, "flow")

    @cached_property
    def _tiles(self) -> CsrByTiles:
        return CsrByTiles(keras_model(self._network), self._counts.pixels, self._scratch.release, self._progress)

    def read(self, region: Region) -> None:
        """Read nothing: what a region needs is there."""

    def compute(self, region: Region, _: None) -> Bands:
        """Compute a region."""
        flow = self._whole[_window(region)] if self._mode.whole else self._tiles.flow(region)
        self._scratch.release()
        return bands_of(FLOW_BANDS, flow, self._counts.present[_window(region)])


class _Registered:
    """Makes regions of the registered image from the file of the flow."""

    def __init__(self, counts: Counts, execution: Execution, flow: Path, original_cast: bool):
        self._counts = counts
        self._scratch = execution.scratch
        self._flow = flow
        self._original_cast = original_cast

    def read(self, region: Region) -> np.ndarray:
        """Read the flow of a region: (rows, columns, 2 x bands); 0 where pixels are missing."""
        dataset = gdal.Open(str(self._flow))
        flow = dataset.ReadAsArray(region.x, region.y, region.columns, region.rows)
        return np.nan_to_num(np.moveaxis(flow, 0, -1), nan=0.0)

    def compute(self, region: Region, flow: np.ndarray) -> Bands:
        """Compute a region."""
        counts = self._counts
        reach = int(np.ceil(np.abs(flow).max())) + CUBIC_REACH
        top, left = max(region.y - reach, 0), max(region.x - reach, 0)
        seen = counts.pixels[top : region.y + region.rows + reach, left : region.x + region.columns + reach]
        columns = np.arange(region.x - left, region.x - left + region.columns, dtype=np.float32)
        rows = np.arange(region.y - top, region.y - top + region.rows, dtype=np.float32)[:, np.newaxis]
        values = np.array(counts.pixels[_window(region)])
        for number, other in enumerate(OTHERS):
            x, y = columns + flow[..., 2 * number], rows + flow[..., 2 * number + 1]
            band = tf.constant(seen[np.newaxis, ..., other : other + 1])
            values[..., other] = sample(band, x[np.newaxis], y[np.newaxis]).numpy()[0, ..., 0]
        self._scratch.release()
        return bands_of(BANDS, values, counts.present[_window(region)], self._original_cast)
