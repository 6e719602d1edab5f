# SPDX-License-Identifier: Apache-2.0
"""Super-resolving images of any size, region by region: full coverage, no seam, missing pixels stay where they are.

A region of the product is computed from the ground around it, as far as the network sees (the model's crop):

1. the native pixels of that ground are read through OTB, so that only this part of the chain upstream is computed;
   beyond the image's edges they are mirrored;
2. missing pixels (nodata, NaN) are filled from the valid ones around, ring by ring, so that the network sees no cliff;
3. a source whose pixels are not the model's is resampled by Superimpose (bicubic);
4. TensorflowModelServe runs, on images in memory;
5. output pixels whose centre lies on a missing native pixel are missing: no more, no less.

All this depends on the ground alone, not on the regions, provided that the crop is at least the network's receptive
radius. Resampling is the exception: Superimpose computes coordinates region by region, and its values differ by less
than a thousandth of a digital number.
"""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from chain.grids import Grid, Region, image_grid, memory_grid, memory_image
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
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a region of a product.

    Args:
        images: For each source's name, a pyotb image of native pixels that begins where the product does.
        description: The model.
        model_dir: Its SavedModel.
        region: Pixels of the product; x and y are multiples of the model's scale.
        output_kind: `integer` for digital numbers, `float` for reflectance.
        nodata: Value of missing native pixels. A pixel is missing when one of its bands is.
        tile_size: Side of the tile that one run of the network writes, in output pixels.
        expression_field: Expression field, in output pixels.

    Returns:
        float32 array (rows, columns, bands), and a boolean array (rows, columns): where it is valid.

    Raises:
        ValueError: When the images do not suit the model.
        RuntimeError: When OTB or TensorFlow refuses, or the model gives values that are not finite.
    """
    field = fields(description, expression_field)
    columns, rows = (-(-count // field.expression) * field.expression for count in (region.columns, region.rows))
    crop, gsd = description.crop, description.gsd
    valid = np.ones((region.rows, region.columns), bool)
    blocks = []
    for source, ratio in zip(description.sources, field.ratios, strict=True):
        image = images[source.name]
        native = image_grid(image)
        wanted = Grid(
            left=native.left + (region.x - crop) * gsd,
            top=native.top - (region.y - crop) * gsd,
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
        present = np.isfinite(pixels).all(axis=2) & (pixels != nodata).all(axis=2)
        valid &= _nearest(present, place, native, region, gsd)
        blocks.append((source.name, fill_missing(pixels, present, reach), place, wanted))
    if not valid.any():
        return np.zeros((region.rows, region.columns, len(description.bands)), np.float32), valid
    result = _run(blocks, description, model_dir, output_kind, tile_size, field.expression)
    result = result[: region.rows, : region.columns]
    if result.shape[:2] != valid.shape or not np.isfinite(result[valid]).all():
        raise RuntimeError(
            f"model: finite values for {valid.shape[1]} x {valid.shape[0]} pixels are wanted. Received: "
            f"{result.shape[1]} x {result.shape[0]} pixels, {np.count_nonzero(~np.isfinite(result))} values not finite"
        )
    return result, valid


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


def _nearest(present: np.ndarray, place: Grid, native: Grid, region: Region, gsd: float) -> np.ndarray:
    """Return whether the native pixel under the centre of each output pixel is present."""
    columns = np.floor(
        (native.left - place.left + (region.x + np.arange(region.columns) + 0.5) * gsd) / place.dx + 1e-6
    )
    rows = np.floor((place.top - native.top + (region.y + np.arange(region.rows) + 0.5) * gsd) / place.dy + 1e-6)
    return present[np.ix_(rows.astype(int), columns.astype(int))]


def fill_missing(pixels: np.ndarray, present: np.ndarray, reach: int) -> np.ndarray:
    """Fill missing pixels by the mean of their present or already filled neighbours, from the edges inwards.

    A pixel `d` pixels away from the nearest present one depends on what is within `d` pixels only.

    Args:
        pixels: (rows, columns, bands).
        present: (rows, columns).
        reach: Distance up to which pixels are filled so. Farther ones, which no valid output pixel sees, are given
            the mean of the present pixels.

    Returns:
        Pixels without missing ones; present ones are unchanged. Without any present pixel: zeros.
    """
    if present.all() or not present.any():
        return np.where(present[..., np.newaxis], pixels, np.float32(0))
    values = np.where(present[..., np.newaxis], pixels, np.float32(0))
    known = present.copy()
    for _ in range(reach):
        count = _sum_of_neighbours(known[..., np.newaxis].astype(np.float32))
        ring = ~known & (count[..., 0] > 0)
        if not ring.any():
            break
        values[ring] = _sum_of_neighbours(values)[ring] / count[ring]
        known |= ring
    values[~known] = pixels[present].mean(axis=0)
    return values


def _sum_of_neighbours(values: np.ndarray) -> np.ndarray:
    """Return the sum over each pixel and its eight neighbours; values are 0 where nothing is known."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    rows, columns = values.shape[:2]
    return sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
