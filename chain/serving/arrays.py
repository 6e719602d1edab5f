# SPDX-License-Identifier: Apache-2.0
"""Products in memory: the pixels that the file of a product would have, as an array."""

from dataclasses import dataclass

import numpy as np

from chain.raster.grids import Grid, Region
from chain.raster.otb import OTB_LOCK
from chain.runtime.progress import SILENT, Progress
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.encoding import encode
from chain.serving.options import ServingOptions
from chain.serving.pipeline import run_pipeline
from chain.serving.precision.precision import prepared
from chain.serving.production import Production, decisions
from chain.serving.recipe import Recipe
from chain.serving.super_resolution import Bands


@dataclass(frozen=True)
class ArrayProduct:
    """A product in memory.

    Attributes:
        pixels: (rows, columns, bands), uint16 (10 000 x reflectance) or float32 (reflectance), as the file would hold.
        bands: names of its bands, in order.
        grid: where its pixels lie.
        nodata: value of missing pixels: 0, or NaN.
        decisions: what was decided about the input, in sentences.
        warnings: what is to be known of the pixels, in sentences.
    """

    pixels: np.ndarray
    bands: tuple[str, ...]
    grid: Grid
    nodata: float
    decisions: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def produce_array(
    options: ServingOptions, image: OpenedImage, recipe: Recipe, progress: Progress = SILENT
) -> ArrayProduct:
    """Make the product of an open input in memory.

    Args:
        options: those of the program; options of files and of shared work have no meaning here.
        image: the input.
        recipe: how the product is made.
        progress: where progress is reported.

    Raises:
        ValueError: the input does not suit the recipe.
        RuntimeError: OTB or TensorFlow refuses.
        chain.runtime.progress.Cancelled: the work was cancelled.
    """
    with OTB_LOCK:
        production = Production(options, image, recipe)
        networks, _ = prepared(options, recipe.networks, production.samples)
        production.set_networks(networks)
    layout = production.layout(production.identity())
    pixels = np.empty((len(layout.bands), layout.grid.rows, layout.grid.columns), layout.dtype)

    def write(region: Region, bands: Bands) -> None:
        place = np.s_[:, region.y : region.y + region.rows, region.x : region.x + region.columns]
        pixels[place] = encode(bands, layout.dtype, layout.nodata)

    done, total = 0, layout.grid.rows * layout.grid.columns
    for region in run_pipeline(production.regions, production.read, production.compute, write):
        done += region.rows * region.columns
        progress(done / total, "super-resolution")
    made = np.moveaxis(pixels, 0, 2)
    return ArrayProduct(made, layout.bands, layout.grid, layout.nodata, tuple(decisions(image, recipe)))
