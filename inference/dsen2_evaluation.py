# SPDX-License-Identifier: Apache-2.0
"""Scores of DSen2's networks on a scene made coarser, and of a product without a reference.

The part of the scene that is asked for is held in memory, several times over.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.bands import BANDS, SURFACE_BANDS
from chain.grids import Region, common_origin, image_grid, product_grid
from chain.recipe import Recipe
from chain.super_resolution import resample
from evaluation import full_scale, report, wald
from evaluation.networks import sharpener
from evaluation.protocol import GROUPS
from inference.common import region_of_interest

COARSEST = 6
"""Number of 10 m pixels along one of 60 m."""


def score_networks(arguments: argparse.Namespace, scene, recipe: Recipe) -> None:
    """Score the networks of a recipe by Wald's protocol on a scene; print the table, write what is asked for."""
    bands = read_bands(arguments, scene, recipe)
    coarse = [band for group in GROUPS.values() for band in group if band in recipe.bands]
    found = wald.evaluate(bands, sharpener(recipe.networks), coarse)
    _tell(arguments, found)
    if arguments.figure:
        report.draw_scores(Path(arguments.figure), found)


def score_product(arguments: argparse.Namespace, scene, output: Path) -> None:
    """Score a product of a scene without a reference; print the table, write what is asked for."""
    native, product = read_bands(arguments, scene, None), read_product(output)
    found = full_scale.evaluate(native, product)
    _tell(arguments, found)
    if arguments.figure:
        report.draw_details(Path(arguments.figure), native, product)


def _tell(arguments: argparse.Namespace, found: dict) -> None:
    """Print scores, and write them where that is asked for."""
    print(report.table(found))
    if arguments.metrics:
        report.write(Path(arguments.metrics), found)


def read_bands(arguments: argparse.Namespace, scene, recipe: Recipe | None) -> dict[str, np.ndarray]:
    """Read the native bands of the part of a scene that is asked for.

    Args:
        arguments: those of `inference.common.add_arguments`.
        scene: the `chain.scene.Scene`.
        recipe: only what its networks need is read; None: all bands.

    Returns:
        float32 (rows, columns), digital numbers, missing pixels NaN, by band. All begin at one corner.

    Raises:
        ValueError: the images do not belong together.
        RuntimeError: one cannot be read.
    """
    product, gsd = scene.product, scene.spacing
    needed = {band for source in (recipe.sources.values() if recipe else ()) for band in source.bands}
    groups = {
        size: tuple(band for band in SURFACE_BANDS if BANDS[band] == size and band in (needed or product.bands))
        for size in (10.0, 20.0, 60.0)
    }
    images = {size: product.image(bands) for size, bands in groups.items() if bands}
    grids = {f"bands of {size:g} m": image_grid(image) for size, image in images.items()}
    origin = common_origin(grids)
    fine = grids["bands of 10 m"]
    step = COARSEST if 60.0 in images else 2
    region = region_of_interest(arguments, fine, product_grid(fine, gsd), origin, step)
    first = round((fine.left - origin[0]) / gsd) + region.x, round((origin[1] - fine.top) / gsd) + region.y
    shift = [-place % step for place in first]
    found: dict[str, np.ndarray] = {}
    for size, image in images.items():
        ratio = round(size / 10.0)
        part = Region(
            (first[0] + shift[0]) // ratio,
            (first[1] + shift[1]) // ratio,
            (region.columns - shift[0]) // ratio,
            (region.rows - shift[1]) // ratio,
        )
        pixels, valid = resample(image, part, origin, gsd * ratio, product.nodata)
        pixels = np.where(valid, pixels, np.float32(np.nan))
        found.update({band: pixels[..., index] for index, band in enumerate(groups[size])})
    return found


def read_product(path: Path) -> Mapping[str, np.ndarray]:
    """Read the bands of a product: float32 (rows, columns), digital numbers, missing pixels NaN."""
    dataset = gdal.Open(str(path))
    found = {}
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        values = band.ReadAsArray().astype(np.float32)
        scale = 1e4 if band.DataType == gdal.GDT_Float32 else 1.0
        values[values == band.GetNoDataValue()] = np.nan
        found[band.GetDescription()] = values * np.float32(scale)
    return found
