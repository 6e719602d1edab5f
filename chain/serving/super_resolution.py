# SPDX-License-Identifier: Apache-2.0
"""Super-resolving images of any size, region by region: full coverage, no seam, missing pixels stay where they are.

A region of the product is computed from the ground around it, as far as the network sees (the model's crop):

1. the native pixels of that ground are read (`chain.raster.blocks`), mirrored beyond the image's edges;
2. missing pixels (nodata, NaN) are filled from the valid ones around, ring by ring, so that the network sees no cliff;
3. a source whose pixels are not the model's is resampled by Superimpose (bicubic);
4. the network runs, by TensorflowModelServe or another engine, on pixels in memory;
5. output pixels whose centre lies on a missing native pixel are missing: no more, no less. What is missing in one band
   is so in all (`shared_nodata`), or in this band alone.

All this depends on the ground alone, not on the regions, provided that the crop is at least the network's receptive
radius. Resampling is the exception: Superimpose computes coordinates region by region, and its values differ by less
than a thousandth of a digital number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from chain.raster.blocks import Block, fill_missing, mirrored
from chain.raster.gdal_memory import memory_grid, memory_image
from chain.raster.grids import Grid, Region, shifted
from chain.raster.mask import Mask, covered, wholly_covered
from chain.raster.otb import OTB_LOCK
from chain.serving.network import TILE_SIZE, Fields, Network, fields, run_by_tiles
from chain.serving.tensorflow_model_serve import serve
from models.description import Source

INTERPOLATION_SUPPORT = 4
"""Native pixels that the bicubic interpolation may need around a place, rounding included."""

Bands = dict[str, tuple[np.ndarray, np.ndarray]]
"""For each band, float32 (rows, columns), and whether they are valid, (rows, columns)."""


def ground(region: Region, origin: tuple[float, float], gsd: float, projection: str = "") -> Grid:
    """Return the grid of a region of a product, given the corner (x, y) of the product's pixel (0, 0)."""
    left, top = origin[0] + region.x * gsd, origin[1] - region.y * gsd
    return Grid(left, top, gsd, gsd, region.columns, region.rows, projection)


def aligned(region: Region, field: Fields) -> Region:
    """Return the region that a network computes for a region: whole source pixels and whole expression fields."""
    step = math.lcm(*field.ratios)
    x, y = region.x - region.x % step, region.y - region.y % step
    columns, rows = (
        -(-(start + count) // field.expression) * field.expression
        for start, count in ((region.x - x, region.columns), (region.y - y, region.rows))
    )
    return Region(x, y, columns, rows)


def seen(network: Network, source: Source, region: Region, origin: tuple[float, float], field: Fields) -> Grid:
    """Return the grid of what a network sees of a source for a region, its margin included."""
    whole, crop, gsd = aligned(region, field), network.description.crop, network.description.gsd
    ratio = round(source.gsd / gsd)
    return Grid(
        left=origin[0] + (whole.x - crop) * gsd,
        top=origin[1] - (whole.y - crop) * gsd,
        dx=source.gsd,
        dy=source.gsd,
        columns=(whole.columns + 2 * crop) // ratio,
        rows=(whole.rows + 2 * crop) // ratio,
        projection="",
    )


def reach(network: Network, spacing: float) -> int:
    """Return how many native pixels, of a spacing in metres, beyond what it sees may have a say in its output."""
    return math.ceil(network.description.crop * network.description.gsd / spacing) + INTERPOLATION_SUPPORT


def super_resolve(
    blocks: Mapping[str, Block],
    network: Network,
    region: Region,
    origin: tuple[float, float],
    output_kind: str = "integer",
    tile_size: int = TILE_SIZE,
    shared_nodata: bool = True,
    masks: Sequence[Mask] = (),
    told: Callable[[float], None] = lambda fraction: None,
) -> Bands:
    """Compute a region of a product.

    Args:
        blocks: For each source's name, the pixels around the region: what is `seen`, and `reach` more.
        network: The network.
        region: Pixels of the product.
        origin: Upper-left corner (x, y) of the product's pixel (0, 0), where pixels of all sources that are at the
            model's spacing begin.
        output_kind: `integer` for digital numbers, `float` for reflectance.
        tile_size: Side of the tile that one run of the network writes, in output pixels.
        shared_nodata: A pixel is missing in all bands when it is in one; otherwise only in those of the input that miss
            it.
        masks: Ground to be missing too.
        told: Called now and then with the fraction that is done.

    Raises:
        ValueError: When the blocks do not suit the model.
        RuntimeError: When OTB or the engine refuses, or the model gives values that are not finite.
    """
    description, field = network.description, fields(network.description)
    place = ground(region, origin, description.gsd)
    presence: dict[str, np.ndarray] = {}
    inputs = []
    for source in description.sources:
        block = blocks[source.name]
        if block.pixels.shape[2] != len(source.bands):
            raise ValueError(
                f"input: expected {len(source.bands)} bands, {', '.join(source.bands)}, got {block.pixels.shape[2]}"
            )
        present = block.present
        if shared_nodata and not block.complete:
            present = np.broadcast_to(present.all(axis=2, keepdims=True), present.shape)
        found = _nearest(block, present, place)
        presence.update({band: found[..., index] for index, band in enumerate(source.bands)})
        filled = _filled(block, present, masks, description.gsd, reach(network, min(block.image.dx, block.image.dy)))
        inputs.append((source.name, filled, block, seen(network, source, region, origin, field)))
    valid = _validity(presence, description.bands, shared_nodata, ~covered(masks, place) if masks else None)
    if not any(there.any() for there in valid.values()):
        nothing = np.zeros((region.rows, region.columns), np.float32)
        return {band: (nothing, there) for band, there in valid.items()}
    result = _run(inputs, network, output_kind, tile_size, field, told)
    whole = aligned(region, field)
    result = result[region.y - whole.y :, region.x - whole.x :][: region.rows, : region.columns]
    wanted = (region.rows, region.columns, len(description.bands))
    if result.shape != wanted:
        raise RuntimeError(f"model: expected an output of {wanted}, got {result.shape}")
    bands = {band: (result[..., index], valid[band]) for index, band in enumerate(description.bands)}
    _check_finite(result, bands)
    return bands


def resample(block: Block, wanted: Grid, gsd: float, masks: Sequence[Mask] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Bring native pixels onto a grid: as they are where the grids agree, else by bicubic interpolation.

    Args:
        block: The pixels around the grid, with `INTERPOLATION_SUPPORT` more.
        wanted: The grid.
        gsd: Spacing of the product, in metres.
        masks: Ground to be missing too.

    Returns:
        float32 array (rows, columns, bands), and a boolean array of that shape: where it is valid.
    """
    valid = _nearest(block, block.present, wanted)
    if masks:
        valid = valid & ~covered(masks, wanted)[..., np.newaxis]
    if block.window(wanted):
        return block.pixels[block.window(wanted)], valid
    return on_grid(_filled(block, block.present, masks, gsd, INTERPOLATION_SUPPORT), block, wanted), valid


def on_grid(pixels: np.ndarray, block: Block, wanted: Grid) -> np.ndarray:
    """Return the filled pixels of a block on a grid, (rows, columns, bands), by bicubic interpolation if need be."""
    import pyotb

    window = block.window(wanted)
    if window:
        return pixels[window]
    with memory_image(pixels, block.place) as native, memory_grid(_on_map(wanted, block)) as reference:
        with OTB_LOCK:
            values = pyotb.Superimpose({"inr": reference, "inm": native}).to_numpy(copy=True)
    return values.reshape(wanted.rows, wanted.columns, pixels.shape[2])


def _validity(
    presence: Mapping[str, np.ndarray], bands: tuple[str, ...], shared_nodata: bool, unmasked: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return where output bands (rows, columns) are valid, given where those of the input's bands are."""
    if shared_nodata:
        valid = dict.fromkeys(bands, np.logical_and.reduce(list(presence.values())))
    else:
        valid = {band: presence[band] for band in bands}
    return valid if unmasked is None else {band: there & unmasked for band, there in valid.items()}


def _check_finite(result: np.ndarray, bands: Bands) -> None:
    """Refuse valid values that are not finite; `result` holds all bands.

    Raises:
        RuntimeError: When there are some.
    """
    if np.isfinite(result).all():
        return
    wrong = sum(np.count_nonzero(~np.isfinite(values[valid])) for values, valid in bands.values())
    if wrong:
        raise RuntimeError(
            f"model: expected finite values for {result.shape[1]} x {result.shape[0]} pixels, got "
            f"{wrong} values not finite"
        )


def _run(
    inputs: list[tuple[str, np.ndarray, Block, Grid]],
    network: Network,
    output_kind: str,
    tile_size: int,
    field: Fields,
    told: Callable[[float], None],
) -> np.ndarray:
    """Resample and serve: for each source its name, its filled pixels, their block, and the grid that is seen."""
    arrays = {name: on_grid(pixels, block, wanted) for name, pixels, block, wanted in inputs}
    if network.engine != "otbtf":
        return run_by_tiles(arrays, network, output_kind, tile_size, field, told)
    with ExitStack() as stack:
        images = {}
        for (name, _, block, wanted), ratio in zip(inputs, field.ratios, strict=True):
            pixels, further = arrays[name], field.surplus // ratio
            if further:
                pixels = np.pad(pixels, ((0, further), (0, further), (0, 0)), mode="edge")
            images[name] = stack.enter_context(memory_image(pixels, _on_map(wanted, block)))
        with OTB_LOCK:
            served = serve(images, network.description, network.model_dir, output_kind, tile_size)
            return served.app.to_numpy(copy=True)


def _on_map(grid: Grid, block: Block) -> Grid:
    """Return a grid in the coordinate system of a block."""
    return Grid(grid.left, grid.top, grid.dx, grid.dy, grid.columns, grid.rows, block.image.projection)


def _filled(block: Block, present: np.ndarray, masks: Sequence[Mask], gsd: float, distance: int) -> np.ndarray:
    """Return the pixels of a block with those filled that are missing or wholly masked."""
    if masks:
        present = present & ~_hidden(masks, block, gsd)[..., np.newaxis]
    elif block.complete:
        return block.pixels
    return fill_missing(block.pixels, present, distance)


def _hidden(masks: Sequence[Mask], block: Block, gsd: float) -> np.ndarray:
    """Return whether pixels of a block, (rows, columns), are wholly masked; beyond its image's edges, those mirrored.

    Args:
        masks: Ground to be missing.
        block: The block.
        gsd: Spacing of the product, in metres: a pixel is wholly masked when all of the product's in it are.
    """
    place, native = block.place, block.image
    left, top = round((place.left - native.left) / native.dx), round((native.top - place.top) / native.dy)
    columns = mirrored(left, left + place.columns, native.columns)
    rows = mirrored(top, top + place.rows, native.rows)
    x, y = int(columns.min()), int(rows.min())
    part = shifted(native, Region(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y))
    hidden = wholly_covered(masks, part, max(round(native.dx / gsd), 1))
    return hidden[np.ix_(rows - y, columns - x)]


def _nearest(block: Block, present: np.ndarray, wanted: Grid) -> np.ndarray:
    """Return whether the native pixel under the centre of each of a grid's pixels is present, (rows, columns, bands).

    A pixel less than a native pixel beyond the image's edge counts as on it, one farther away as missing.
    """
    native, place = block.image, block.place
    indices, inside = [], []
    for corner, count, step, start, pixel, size in (
        (native.top - wanted.top, wanted.rows, wanted.dy, native.top - place.top, native.dy, native.rows),
        (wanted.left - native.left, wanted.columns, wanted.dx, place.left - native.left, native.dx, native.columns),
    ):
        index = np.floor((corner + (np.arange(count) + 0.5) * step) / pixel + 1e-6).astype(int)
        inside.append((index >= -1) & (index <= size))
        indices.append(index - round(start / pixel))
    within = np.logical_and.outer(*inside)[..., np.newaxis]
    if block.complete:
        return np.broadcast_to(within, (wanted.rows, wanted.columns, present.shape[2]))
    return present[np.ix_(*indices)] & within
