# SPDX-License-Identifier: Apache-2.0
"""Scenes and products as datasets in chunks (Dask), for areas that memory does not hold, computed on demand.

A scene is opened once in each process that reads it. A product is computed in the very regions of its file, each from
the input around it, so that its pixels are those of the file, to the last bit, whatever the chunks of the input.
"""

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from chain.raster import http
from chain.raster.blocks import Block, Window, read_block, window_around
from chain.raster.grids import Grid, Region, plan, shifted
from chain.raster.http import retry
from chain.raster.otb import OTB_LOCK
from chain.sentinel2.arrays import dataset_of, native_parts
from chain.sentinel2.opened_image import OpenedImage
from chain.sentinel2.sampling import LARGEST
from chain.serving.encoding import DEFAULTS, encode
from chain.serving.ground import ground_of
from chain.serving.input_files import InputWatch
from chain.serving.options import ServingOptions
from chain.serving.production import ATTEMPTS, TILES_PER_REGION
from chain.serving.provenance import names_of
from chain.serving.recipe import Recipe

Opener = Callable[[], AbstractContextManager[OpenedImage]]
_COMPUTING = threading.Lock()
"""Held while a network runs: it has all threads."""


class LazyImage:
    """An image that is opened when it is first read, in each process for itself, and closed with the last reference.

    Args:
        opener: opens the image for a while; it can be sent to other processes.
    """

    def __init__(self, opener: Opener):
        self._opener = opener
        self._image: OpenedImage | None = None
        self._chains: dict[tuple[str, ...], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_opener": self._opener, "_image": None, "_chains": {}}

    @property
    def image(self) -> OpenedImage:
        """The open image."""
        with OTB_LOCK:
            if self._image is None:
                stack = ExitStack()
                self._image = stack.enter_context(self._opener())
                self._watch = InputWatch(names_of(self._image))
                weakref.finalize(self, stack.close)
            return self._image

    def read(self, bands: tuple[str, ...], part: Grid) -> np.ndarray:
        """Read bands of one grid on a part of it: float32 (bands, rows, columns), missing pixels NaN.

        Raises:
            RuntimeError: OTB or a server refuses, or the input was changed.
        """
        attempts = itertools.count()

        def attempt() -> Block:
            if self.image.refresh(force=next(attempts) > 0):
                self._chains.clear()
            if bands not in self._chains:
                self._chains[bands] = self.image.image(bands)
            return read_block(self._chains[bands], [part], 0, self.image.nodata)

        with OTB_LOCK:
            tries = ATTEMPTS if self.image.hrefs else 1
            with self._watch.reading():
                block = retry(attempt, (RuntimeError,), tries, seconds=http.TIMEOUT)
        return np.moveaxis(np.where(block.present, block.pixels, np.float32(np.nan))[block.window(part)], 2, 0)

    def read_chunk(self, bands: tuple[str, ...], whole: Grid, block_info: Any = None) -> np.ndarray:
        """Read the chunk of a grid that Dask tells: (bands, rows, columns)."""
        _, (top, bottom), (left, right) = block_info[None]["array-location"]
        return self.read(bands, shifted(whole, Region(left, top, right - left, bottom - top)))


def read_in_chunks(opener: Opener, box_of: Callable[[OpenedImage], Any], chunks: int) -> Any:
    """Return the dataset of an image at native resolutions whose chunks are read when they are needed.

    Args:
        opener: opens the image for a while; it can be sent to other processes.
        box_of: given the open image, left, top, right and bottom of the part to read; None for all of it.
        chunks: side of a chunk on the ground, in pixels of the finest bands; it becomes whole pixels of all bands.

    Returns:
        An `xarray.Dataset`, as of `chain.sentinel2.arrays.to_dataset`.
    """
    import dask.array

    source = LazyImage(opener)
    parts, attributes = native_parts(source.image, box_of(source.image))
    spacings = [part.dx for _, part in parts]
    side = max(round(chunks * min(spacings) / max(spacings)), 1) * max(spacings)
    found = []
    for bands, part in parts:
        step = round(side / part.dx)
        lengths = ((len(bands),), _lengths(part.rows, step), _lengths(part.columns, step))
        array = dask.array.map_blocks(
            partial(source.read_chunk, bands, part),
            chunks=lengths,
            dtype=np.float32,
            meta=np.empty((0, 0, 0), np.float32),
        )
        found.append(({band: array[index] for index, band in enumerate(bands)}, part))
    return dataset_of(found, attributes)


def produce_in_chunks(
    options: ServingOptions,
    images: Sequence[tuple[Mapping[str, Any], Grid]],
    recipe: Recipe,
    attributes: Mapping[str, Any],
    chunks: int | None,
) -> Any:
    """Return the dataset of a product whose regions are computed when they are needed.

    Args:
        options: those of the program; options of files and of shared work have no meaning here.
        images: for each grid, its bands (rows, columns) by name, as Dask arrays of 10 000 x reflectance, and the grid.
        recipe: how the product is made, its networks in the precision that is asked for.
        attributes: those of the dataset.
        chunks: side of the chunks, in pixels; None for the regions in which the product is computed.

    Raises:
        ValueError: bands of a source lie on several grids, or the part that is asked for is not on them.
    """
    import dask.array
    from dask.delayed import delayed

    sources = {name: _source(source.bands, images) for name, source in recipe.sources.items()}
    grids = {name: grid for name, (_, grid) in sources.items()}
    origin, grid, place = ground_of(options, grids, recipe.gsd, recipe.step)
    dtype = "float32" if options.floating else "uint16"
    tile = recipe.tile(options.tile_size)
    rows: dict[int, list[Any]] = {}
    for region in plan(Region(0, 0, place.columns, place.rows), TILES_PER_REGION * tile):
        placed = replace(region, x=place.x + region.x, y=place.y + region.y)
        windows, pixels = {}, {}
        for name, (bands, native) in sources.items():
            windows[name] = window_around(native, *recipe.needs(name, native, placed, origin))
            needed = windows[name].region
            pixels[name] = bands[:, needed.y : needed.y + needed.rows, needed.x : needed.x + needed.columns]
        made = delayed(_make)(recipe, placed, origin, options.floating, options.nodata, tile, windows, pixels)
        shape = (len(recipe.bands), region.rows, region.columns)
        rows.setdefault(region.y, []).append(dask.array.from_delayed(made, shape, dtype=dtype))
    array = dask.array.block([list(row) for row in rows.values()])
    if chunks:
        array = array.rechunk((len(recipe.bands), chunks, chunks))
    nodata = DEFAULTS["float32" if options.floating else "uint16"] if options.nodata is None else options.nodata
    return dataset_of([({band: array[index] for index, band in enumerate(recipe.bands)}, grid)], attributes, nodata)


def _make(
    recipe: Recipe,
    placed: Region,
    origin: tuple[float, float],
    floating: bool,
    nodata: float | None,
    tile: int,
    windows: Mapping[str, Window],
    pixels: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Compute a region: (bands, rows, columns), of what is needed of each source, (bands, rows, columns)."""
    blocks = {name: window.block(_harmonised(pixels[name]), 0.0) for name, window in windows.items()}
    with _COMPUTING:
        bands = recipe.compute(blocks, placed, origin, floating, tile)
    return encode(bands, "float32" if floating else "uint16", nodata)


def _harmonised(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (bands, rows, columns) as open images give them: float32 (rows, columns, bands), 0 is missing."""
    valid = np.isfinite(pixels) & (np.abs(pixels) < LARGEST) & (pixels != 0)
    values = np.where(valid, np.maximum(np.nan_to_num(pixels), 1), 0).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(values, 0, 2))


def _source(names: Sequence[str], images: Sequence[tuple[Mapping[str, Any], Grid]]) -> tuple[Any, Grid]:
    """Return the bands of a source as one Dask array (bands, rows, columns), and their grid.

    Raises:
        ValueError: they are not all there, on one grid.
    """
    import dask.array

    for bands, grid in images:
        if set(names) <= set(bands):
            return dask.array.stack([dask.array.asarray(bands[name]) for name in names]), grid
    raise ValueError(f"dataset: expected {', '.join(names)} on one grid, got others")


def _lengths(count: int, step: int) -> tuple[int, ...]:
    """Return the lengths of chunks along an axis."""
    return tuple(min(step, count - start) for start in range(0, count, step))
