# SPDX-License-Identifier: Apache-2.0
"""Scores of DSen2's networks on a scene made coarser, and of a product without a reference.

The part of the scene that is asked for is held in memory, several times over.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.blocks import read_block
from chain.raster.grids import Grid, Region, common_origin, image_grid, raster_grid
from chain.raster.mask import Mask
from chain.runtime import provenance
from chain.sentinel2.bands import BANDS, SURFACE_BANDS
from chain.sentinel2.opened_image import OpenedImage
from chain.serving import super_resolution
from chain.serving.ground import ground_of
from chain.serving.production import open_images
from chain.serving.recipe import Recipe
from evaluation import full_scale, report, wald
from evaluation.networks import sharpener
from evaluation.protocol import GROUPS
from inference.dsen2.options import Options


def score_networks(options: Options, product: OpenedImage, recipe: Recipe) -> dict:
    """Score the networks of a recipe by Wald's protocol on a scene; write what is asked for, return the scores."""
    grids = {name: image_grid(image) for name, image in open_images(product, recipe).items()}
    _, ground, _ = ground_of(options, grids, recipe.gsd, recipe.step)
    needed = {band for source in recipe.sources.values() for band in source.bands}
    bands, _ = read_bands(product, recipe.gsd, needed, ground, recipe.masks)
    coarse = [band for group in GROUPS.values() for band in group if band in recipe.bands]
    found = wald.evaluate(bands, sharpener(recipe.networks), coarse)
    _write(options, found)
    if options.figure:
        report.draw_scores(Path(options.figure), found)
    return found


def score_product(options: Options, product: OpenedImage, gsd: float, output: Path) -> dict:
    """Score the output made of a product without a reference; write what is asked for, return the scores."""
    made, ground = read_product(output)
    fine = {band for band in SURFACE_BANDS if BANDS[band] == 10.0}
    native, (x, y) = read_bands(product, gsd, fine | set(made), ground)
    made = {band: pixels[y:, x:] for band, pixels in made.items()}
    found = full_scale.evaluate(native, made)
    _write(options, found)
    if options.figure:
        coarse = [band for band in made if BANDS[band] > 10.0]
        report.draw_details(Path(options.figure), native, made, "B11" if "B11" in coarse else coarse[0])
    return found


def _write(options: Options, found: dict) -> None:
    """Write scores where that is asked for."""
    if options.metrics:
        provenance.write(Path(options.metrics), found)


def read_bands(
    product: OpenedImage, gsd: float, bands: Collection[str], ground: Grid, masks: Sequence[Mask] = ()
) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """Read native bands of a scene, from the first corner on a ground where pixels of all bands begin together.

    Args:
        product: the open scene.
        gsd: spacing of its 10 m bands, in metres.
        bands: their names; B10 is left out.
        ground: the ground, in pixels of the scene's 10 m bands.
        masks: ground to be missing.

    Returns:
        float32 (rows, columns), digital numbers, missing pixels NaN, by band; and the number of columns and rows of the
        ground that lie before the first ones.

    Raises:
        ValueError: the images do not belong together.
        RuntimeError: one cannot be read.
    """
    groups = {
        size: tuple(band for band in SURFACE_BANDS if BANDS[band] == size and band in bands)
        for size in (10.0, 20.0, 60.0)
    }
    images = {size: product.image(names) for size, names in groups.items() if names}
    origin = common_origin({f"bands of {size:g} m": image_grid(image) for size, image in images.items()})
    step = round(max(images) / 10.0)
    first = round((ground.left - origin[0]) / gsd), round((origin[1] - ground.top) / gsd)
    shift = -first[0] % step, -first[1] % step
    found: dict[str, np.ndarray] = {}
    for size, image in images.items():
        ratio = round(size / 10.0)
        part = Region(
            (first[0] + shift[0]) // ratio,
            (first[1] + shift[1]) // ratio,
            (ground.columns - shift[0]) // ratio,
            (ground.rows - shift[1]) // ratio,
        )
        place = super_resolution.ground(part, origin, gsd * ratio)
        block = read_block(image, [place], super_resolution.INTERPOLATION_SUPPORT, product.nodata)
        pixels, valid = super_resolution.resample(block, place, gsd * ratio, masks)
        pixels = np.where(valid, pixels, np.float32(np.nan))
        found.update({band: pixels[..., index] for index, band in enumerate(groups[size])})
    return found, shift


def read_product(path: Path) -> tuple[dict[str, np.ndarray], Grid]:
    """Read the bands of a product, float32 (rows, columns), digital numbers, missing pixels NaN, and their grid."""
    dataset = gdal.Open(str(path))
    found = {}
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        values = band.ReadAsArray().astype(np.float32)
        scale = 1e4 if band.DataType == gdal.GDT_Float32 else 1.0
        values[values == band.GetNoDataValue()] = np.nan
        if band.GetDescription() in SURFACE_BANDS:
            found[band.GetDescription()] = values * np.float32(scale)
    return found, raster_grid(dataset)
