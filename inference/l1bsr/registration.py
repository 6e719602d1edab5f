# SPDX-License-Identifier: Apache-2.0
"""The bands of an image of L1B laid onto its green one, by CSR: first the flow, then the image that follows from it.

The flow is the expensive part. It is a product of its own, under a hidden name until the image is there: an interrupted
run goes on with what it has. So is an image that is registered before it is super-resolved.
"""

import os
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from osgeo import gdal
from tqdm import tqdm

from chain.raster.grids import Region, plan
from chain.serving.product_file import make_regions, write_product
from chain.serving.provenance import IDENTITY_KEY, digest
from chain.serving.super_resolution import Bands
from inference.l1bsr.csr_by_tiles import CsrByTiles
from inference.l1bsr.image import open_image, read_counts
from inference.l1bsr.model import choose_mode, keras_model
from inference.l1bsr.product import ProductInputs, bands_of
from inference.l1bsr.whole_image import run_whole
from models.l1bsr import BANDS, OTHERS
from models.warp import CUBIC_REACH, sample

TILE = 512
"""Side of a region of the product, in pixels: a multiple of the 16 that are one at the coarsest level."""
FLOW_BANDS = tuple(f"{BANDS[other]}_{axis}" for other in OTHERS for axis in ("dx", "dy"))


def flow_file(work: ProductInputs) -> Path:
    """Return the name that the flow has until the product is there."""
    target = Path(work.arguments.flow or work.output)
    return target.with_name(f".{target.stem}.flow.tif")


def register(work: ProductInputs) -> int:
    """Make the registered image and, under the name of `flow_file`, its flow.

    Args:
        work: what it is made of.

    Returns:
        Number of regions that were there.

    Raises:
        FileExistsError, ValueError, RuntimeError, OSError: as `ProductInputs.write`.
    """
    layout = work.layout(BANDS, "uint16", work.identity)
    regions = plan(Region(0, 0, layout.grid.columns, layout.grid.rows), TILE)

    def make(journal, todo, maker) -> Iterator[Region]:
        _make_flow(work, regions)
        yield from make_regions(journal, todo, maker)

    return work.write(layout, regions, _Registered(work), make)


def _make_flow(work: ProductInputs, regions: list[Region]) -> None:
    """Make the file of the flow, unless it is there."""
    path, identity = flow_file(work), {**work.inputs, "flow": True}
    if _is_made(path, identity):
        return
    layout = work.layout(FLOW_BANDS, "float32", identity)
    with tqdm(total=work.counts.present.size, unit="px", unit_scale=True, desc="flow") as progress:
        write_product(
            path,
            layout,
            regions,
            _Flow(work),
            identity,
            overwrite=True,
            restart=True,
            advance=lambda region: progress.update(region.columns * region.rows),
        )


def _is_made(path: Path, identity: dict) -> bool:
    """Return whether a file is the product of this identity."""
    return path.exists() and gdal.Open(str(path)).GetMetadataItem(IDENTITY_KEY) == digest(identity)


def registered_file(output: Path) -> Path:
    """Return the name that an image has which is registered before it is super-resolved, until this is done."""
    return output.with_name(f".{output.stem}.registered.tif")


def register_first(work: ProductInputs, memory: int | None) -> ProductInputs:
    """Register the image of a super-resolution, unless it is, and return the same work on what came of it.

    Args:
        work: the super-resolution, with its registrar.
        memory: bytes that may be used; by default, a part of those that there are.

    Raises:
        FileExistsError, ValueError, RuntimeError, OSError: as `ProductInputs.write`.
    """
    path, arguments = registered_file(work.output), vars(work.arguments)
    changed = {"task": "registration", "output": str(path), "flow": None, "original_cast": False}
    registration = replace(
        work,
        arguments=Namespace(**{**arguments, **changed, "overwrite": True, "restart": True}),
        network=work.registrar,
        registrar=None,
        mode=choose_mode(work.arguments.mode, work.registrar.description, work.counts.present.size, memory),
    )
    if not _is_made(path, registration.identity):
        register(registration)
        keep_flow(registration)
    pixels = read_counts(open_image([str(path)]), work.scratch).pixels
    return replace(work, counts=replace(work.counts, pixels=pixels))


def keep_flow(work: ProductInputs) -> None:
    """Give the flow the name that it is wanted under, if it is."""
    if work.arguments.flow:
        os.replace(flow_file(work), work.arguments.flow)
    else:
        flow_file(work).unlink()


def _window(region: Region) -> tuple[slice, slice]:
    """Return the rows and columns of a region."""
    return slice(region.y, region.y + region.rows), slice(region.x, region.x + region.columns)


class _Flow:
    """Makes regions of the flow."""

    def __init__(self, work: ProductInputs):
        self._work = work

    @cached_property
    def _whole(self) -> np.ndarray:
        return run_whole(self._work, "flow")

    @cached_property
    def _tiles(self) -> CsrByTiles:
        return CsrByTiles(keras_model(self._work.network), self._work.counts.pixels, self._work.scratch.release)

    def read(self, region: Region) -> None:
        """Read nothing: what a region needs is there."""

    def compute(self, region: Region, _: None) -> Bands:
        """Compute a region."""
        flow = self._whole[_window(region)] if self._work.mode.whole else self._tiles.flow(region)
        self._work.scratch.release()
        return bands_of(FLOW_BANDS, flow, self._work.counts.present[_window(region)])


class _Registered:
    """Makes regions of the registered image from the file of the flow."""

    def __init__(self, work: ProductInputs):
        self._work = work

    def read(self, region: Region) -> np.ndarray:
        """Read the flow of a region: (rows, columns, 2 x bands); 0 where pixels are missing."""
        dataset = gdal.Open(str(flow_file(self._work)))
        flow = dataset.ReadAsArray(region.x, region.y, region.columns, region.rows)
        return np.nan_to_num(np.moveaxis(flow, 0, -1), nan=0.0)

    def compute(self, region: Region, flow: np.ndarray) -> Bands:
        """Compute a region."""
        counts = self._work.counts
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
        self._work.scratch.release()
        return bands_of(BANDS, values, counts.present[_window(region)], self._work.arguments.original_cast)
