# SPDX-License-Identifier: Apache-2.0
"""Super-resolving images of any size, region by region: full coverage, no seam, missing pixels stay where they are.

A region of the product is computed from the ground around it, as far as the network sees (the model's crop):

1. the native pixels of that ground are read through OTB, so that only this part of the chain upstream is computed;
   beyond the image's edges they are mirrored;
2. missing pixels (nodata, NaN) are filled from the valid ones around, ring by ring, so that the network sees no cliff;
3. a source whose pixels are not the model's is resampled by Superimpose (bicubic);
4. TensorflowModelServe runs, on images in memory;
5. output pixels whose centre lies on a missing native pixel are missing: no more, no less. What is missing in one band
   is so in all (`joint`), or in this band alone.

All this depends on the ground alone, not on the regions, provided that the crop is at least the network's receptive
radius. Resampling is the exception: Superimpose computes coordinates region by region, and its values differ by less
than a thousandth of a digital number.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from chain.grids import Grid, Region, image_grid, memory_grid, memory_image, shifted
from chain.mask import Mask, covered, wholly_covered
from chain.serve import TILE_SIZE, fields, serve
from models.description import ModelDescription

INTERPOLATION_SUPPORT = 4
"""Native pixels that the bicubic interpolation may need around a place, rounding included."""


def super_resolve(
    images: Mapping[str, object],
    description: ModelDescription,
    model_dir: str,
    region: Region,
    output_kind: str = "integer",
    nodata: float = 0.0,
    tile_size: int = TILE_SIZE,
    expression_field: int | None = None,
    origin: tuple[float, float] | None = None,
    joint: bool = True,
    masks: Sequence[Mask] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a region of a product.

    Args:
        images: For each source's name, a pyotb image of native pixels.
        description: The model.
        model_dir: Its SavedModel.
        region: Pixels of the product.
        output_kind: `integer` for digital numbers, `float` for reflectance.
        nodata: Value of missing native pixels.
        tile_size: Side of the tile that one run of the network writes, in output pixels.
        expression_field: Expression field, in output pixels.
        origin: Upper-left corner (x, y) of the product's pixel (0, 0), where pixels of all sources that are at the
            model's spacing begin; by default that of the first source's image.
        joint: A pixel is missing in all bands when it is in one; otherwise only in those of the input that miss it.
        masks: Ground to be missing too.

    Returns:
        float32 array (rows, columns, bands), and a boolean array of that shape: where it is valid.

    Raises:
        ValueError: When the images do not suit the model.
        RuntimeError: When OTB or TensorFlow refuses, or the model gives values that are not finite.
    """
    field = fields(description, expression_field)
    crop, gsd = description.crop, description.gsd
    if origin is None:
        first = image_grid(images[description.sources[0].name])
        origin = first.left, first.top
    step = math.lcm(*field.ratios)
    x, y = region.x - region.x % step, region.y - region.y % step
    columns, rows = (
        -(-(start + count) // field.expression) * field.expression
        for start, count in ((region.x - x, region.columns), (region.y - y, region.rows))
    )
    presence: dict[str, np.ndarray] = {}
    blocks = []
    for source, ratio in zip(description.sources, field.ratios, strict=True):
        image = images[source.name]
        native = image_grid(image)
        wanted = Grid(
            left=origin[0] + (x - crop) * gsd,
            top=origin[1] - (y - crop) * gsd,
            dx=source.gsd,
            dy=source.gsd,
            columns=(columns + 2 * crop) // ratio,
            rows=(rows + 2 * crop) // ratio,
            projection=native.projection,
        )
        reach = math.ceil(crop * gsd / min(native.dx, native.dy)) + INTERPOLATION_SUPPORT
        place, pixels = _read_around(image, native, wanted, reach)
        if pixels.shape[2] != len(source.bands):
            raise ValueError(
                f"input: {len(source.bands)} bands, {', '.join(source.bands)}, are wanted. Received: {pixels.shape[2]}"
            )
        present = _present(pixels, nodata, joint)
        found = _nearest(present, place, native, origin, region, gsd)
        presence.update({band: found[..., index] for index, band in enumerate(source.bands)})
        seen = present & ~_hidden(masks, place, native, gsd)[..., np.newaxis]
        blocks.append((source.name, fill_missing(pixels, seen, reach), place, wanted))
    ground = Grid(
        *(origin[0] + region.x * gsd, origin[1] - region.y * gsd, gsd, gsd, region.columns, region.rows),
        native.projection,
    )
    valid = _validity(presence, description.bands, joint) & ~covered(masks, ground)[..., np.newaxis]
    if not valid.any():
        return np.zeros((region.rows, region.columns, len(description.bands)), np.float32), valid
    result = _run(blocks, description, model_dir, output_kind, tile_size, field.expression)
    result = result[region.y - y :, region.x - x :][: region.rows, : region.columns]
    if result.shape != valid.shape or not np.isfinite(result[valid]).all():
        raise RuntimeError(
            f"model: finite values for {valid.shape[1]} x {valid.shape[0]} pixels are wanted. Received: "
            f"{result.shape[1]} x {result.shape[0]} pixels, {np.count_nonzero(~np.isfinite(result))} values not finite"
        )
    return result, valid


def resample(
    image,
    region: Region,
    origin: tuple[float, float],
    gsd: float,
    nodata: float = 0.0,
    masks: Sequence[Mask] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Bring native pixels onto the product's grid: as they are where the grids agree, else by bicubic interpolation.

    Args:
        image: pyotb image of native pixels.
        region: Pixels of the product.
        origin: Upper-left corner (x, y) of the product's pixel (0, 0).
        gsd: Spacing of the product, in metres.
        nodata: Value of missing native pixels.
        masks: Ground to be missing too.

    Returns:
        float32 array (rows, columns, bands), and a boolean array of that shape: where it is valid.
    """
    import pyotb

    native = image_grid(image)
    left, top = origin[0] + region.x * gsd, origin[1] - region.y * gsd
    wanted = Grid(left, top, gsd, gsd, region.columns, region.rows, native.projection)
    place, pixels = _read_around(image, native, wanted, INTERPOLATION_SUPPORT)
    present = _present(pixels, nodata, joint=False)
    valid = _nearest(present, place, native, origin, region, gsd) & ~covered(masks, wanted)[..., np.newaxis]
    window = _window(place, wanted)
    if window:
        return pixels[window], valid
    seen = present & ~_hidden(masks, place, native, gsd)[..., np.newaxis]
    filled = fill_missing(pixels, seen, INTERPOLATION_SUPPORT)
    with memory_image(filled, place) as native_image, memory_grid(wanted) as reference:
        values = pyotb.Superimpose({"inr": reference, "inm": native_image}).to_numpy(copy=True)
    return values.reshape(valid.shape), valid


def _present(pixels: np.ndarray, nodata: float, joint: bool) -> np.ndarray:
    """Return where pixels (rows, columns, bands) are not missing, in each band, or in all of them together."""
    present = np.isfinite(pixels) & (pixels != nodata)
    return np.broadcast_to(present.all(axis=2, keepdims=True), pixels.shape) if joint else present


def _validity(presence: Mapping[str, np.ndarray], bands: tuple[str, ...], joint: bool) -> np.ndarray:
    """Return where output pixels (rows, columns, bands) are valid, given where those of the input's bands are."""
    if joint:
        valid = np.logical_and.reduce(list(presence.values()))
        return np.repeat(valid[..., np.newaxis], len(bands), axis=2)
    return np.stack([presence[band] for band in bands], axis=2)


def _run(
    blocks: list[tuple[str, np.ndarray, Grid, Grid]],
    description: ModelDescription,
    model_dir: str,
    output_kind: str,
    tile_size: int,
    expression_field: int,
) -> np.ndarray:
    """Resample and serve blocks of pixels: for each source its name, pixels, their grid, and the grid wanted."""
    import pyotb

    with ExitStack() as stack:
        images = {}
        for name, pixels, place, wanted in blocks:
            window = _window(place, wanted)
            if window:
                images[name] = stack.enter_context(memory_image(pixels[window], wanted))
            else:
                native = stack.enter_context(memory_image(pixels, place))
                reference = stack.enter_context(memory_grid(wanted))
                images[name] = pyotb.Superimpose({"inr": reference, "inm": native})
        served = serve(images, description, model_dir, output_kind, tile_size, expression_field)
        return served.app.to_numpy(copy=True)


def _window(place: Grid, wanted: Grid) -> tuple[slice, slice] | None:
    """Return where a grid lies in another one that holds its very pixels, else None."""
    x, y = (wanted.left - place.left) / place.dx, (place.top - wanted.top) / place.dy
    if any(
        abs(value) > 1e-6 for value in (wanted.dx / place.dx - 1, wanted.dy / place.dy - 1, x - round(x), y - round(y))
    ):
        return None
    return slice(round(y), round(y) + wanted.rows), slice(round(x), round(x) + wanted.columns)


def _read_around(image, native: Grid, wanted: Grid, reach: int) -> tuple[Grid, np.ndarray]:
    """Read the native pixels that a grid needs and `reach` more on each side, mirrored beyond the image.

    Returns:
        The grid of the pixels, and the pixels (rows, columns, bands), float32.
    """
    (left, right), (top, bottom) = (
        (math.floor(start / pixel + 1e-6) - reach, math.ceil((start + extent) / pixel - 1e-6) + reach)
        for start, extent, pixel in (
            (wanted.left - native.left, wanted.columns * wanted.dx, native.dx),
            (native.top - wanted.top, wanted.rows * wanted.dy, native.dy),
        )
    )
    place = replace(
        native,
        left=native.left + left * native.dx,
        top=native.top - top * native.dy,
        columns=right - left,
        rows=bottom - top,
    )
    return place, _read_mirrored(image, native, left, top, right, bottom)


def mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """Return the pixels that stand at the places `[start, stop)` of an image mirrored at its edges, again and again."""
    places = np.arange(start, stop) % (2 * size)
    return np.where(places < size, places, 2 * size - 1 - places)


def _read_mirrored(image, grid: Grid, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Read native pixels, float32 (rows, columns, bands), mirrored beyond the edges of the image."""
    import pyotb

    columns, rows = mirrored(left, right, grid.columns), mirrored(top, bottom, grid.rows)
    x, y = int(columns.min()), int(rows.min())
    part = pyotb.ExtractROI(
        {
            "in": image,
            "startx": x,
            "starty": y,
            "sizex": int(columns.max()) + 1 - x,
            "sizey": int(rows.max()) + 1 - y,
        }
    )
    return np.asarray(part.to_numpy(), np.float32)[np.ix_(rows - y, columns - x)]


def _hidden(masks: Sequence[Mask], place: Grid, native: Grid, gsd: float) -> np.ndarray:
    """Return whether pixels around an image, (rows, columns), are wholly masked; beyond its edges, those mirrored are.

    Args:
        masks: Ground to be missing.
        place: Grid of the pixels.
        native: Grid of the image.
        gsd: Spacing of the product, in metres: a pixel is wholly masked when all of the product's in it are.
    """
    if not masks:
        return np.zeros((place.rows, place.columns), bool)
    left, top = round((place.left - native.left) / native.dx), round((native.top - place.top) / native.dy)
    columns = mirrored(left, left + place.columns, native.columns)
    rows = mirrored(top, top + place.rows, native.rows)
    x, y = int(columns.min()), int(rows.min())
    part = shifted(native, Region(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y))
    hidden = wholly_covered(masks, part, max(round(native.dx / gsd), 1))
    return hidden[np.ix_(rows - y, columns - x)]


def _nearest(
    present: np.ndarray, place: Grid, native: Grid, origin: tuple[float, float], region: Region, gsd: float
) -> np.ndarray:
    """Return whether the native pixel under the centre of each output pixel is present, (rows, columns, bands).

    An output pixel less than a native pixel beyond the image's edge counts as on it, one farther away as missing.
    """
    indices, inside = [], []
    for first, count, corner, start, pixel, size in (
        (region.y, region.rows, native.top - origin[1], native.top - place.top, native.dy, native.rows),
        (region.x, region.columns, origin[0] - native.left, place.left - native.left, native.dx, native.columns),
    ):
        centres = corner + (first + np.arange(count) + 0.5) * gsd
        index = np.floor(centres / pixel + 1e-6).astype(int)
        inside.append((index >= -1) & (index <= size))
        indices.append(index - round(start / pixel))
    return present[np.ix_(*indices)] & np.logical_and.outer(*inside)[..., np.newaxis]


def fill_missing(pixels: np.ndarray, present: np.ndarray, reach: int) -> np.ndarray:
    """Fill missing pixels by the mean of their present or already filled neighbours, from the edges inwards.

    A pixel `d` pixels away from the nearest present one depends on what is within `d` pixels only.

    Args:
        pixels: (rows, columns, bands).
        present: (rows, columns, bands).
        reach: Distance up to which pixels are filled so. Farther ones, which no valid output pixel sees, are given
            the mean of the present pixels.

    Returns:
        Pixels without missing ones; present ones are unchanged. Without any present pixel: zeros.
    """
    values = np.where(present, pixels, np.float32(0))
    if present.all() or not present.any():
        return values
    known = present.copy()
    for _ in range(reach):
        count = _sum_of_neighbours(known.astype(np.float32))
        ring = ~known & (count > 0)
        if not ring.any():
            break
        values[ring] = _sum_of_neighbours(values)[ring] / count[ring]
        known |= ring
    counts = np.maximum(present.sum(axis=(0, 1)), 1)
    means = np.where(present, pixels, 0).sum(axis=(0, 1), dtype=np.float64) / counts
    return np.where(known, values, means.astype(np.float32))


def _sum_of_neighbours(values: np.ndarray) -> np.ndarray:
    """Return the sum over each pixel and its eight neighbours; values are 0 where nothing is known."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    rows, columns = values.shape[:2]
    return sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
