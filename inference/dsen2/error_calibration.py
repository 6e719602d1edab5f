# SPDX-License-Identifier: Apache-2.0
"""What errors the networks make on the scene of a product itself, made coarser: expected errors are calibrated by it.

Pieces that are spread over the product's ground are enough: each is made coarser by the factor that a network is to
undo, and what the network makes of it is compared with the piece (Wald's protocol).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from chain.raster.grids import Grid, image_grid, spread
from chain.runtime.progress import LOG
from chain.sentinel2.bands import BANDS
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.ground import ground_of
from chain.serving.network import Network
from chain.serving.production import open_images
from chain.serving.recipe import Recipe
from evaluation.expected_error import ErrorModel, Errors, calibrated, errors_of
from evaluation.networks import sharpener
from inference.dsen2.evaluation import read_bands
from inference.dsen2.options import Options

PIECES = 16
"""Number of pieces."""
SIDE = 360
"""Their side, in pixels of 10 m."""
LEAST = 12
"""Least side of a piece, in coarse pixels: fewer leave nothing within its borders."""


def models_of_scene(
    models: Mapping[str, ErrorModel], image: OpenedImage, recipe: Recipe, options: Options
) -> tuple[dict[str, ErrorModel], dict[str, float]]:
    """Calibrate how expected errors are told on the scene, and say so.

    Args:
        models: by band.
        image: the input.
        recipe: how the product is made.
        options: those of the program.

    Returns:
        The models for this scene, and how many times as large as expected the errors of each band are.

    Raises:
        RuntimeError: the input cannot be read, or a network not run.
    """
    grids = {name: image_grid(opened) for name, opened in open_images(image, recipe).items()}
    _, ground, _ = ground_of(options, grids, recipe.gsd, recipe.step)
    found: dict[str, ErrorModel] = {}
    for network in recipe.networks:
        made = {band: models[band] for band in network.description.bands if band in models}
        if made:
            found.update(calibrated(made, list(_pieces(network, tuple(made), image, recipe, ground))))
    factors = {band: round(found[band].weights[-1] / model.weights[-1], 2) for band, model in models.items()}
    LOG.info(
        "expected errors, as parts of those on other ground, by what the networks do on this scene made coarser: %s",
        ", ".join(f"{band} {factor:g}" for band, factor in factors.items()),
    )
    return found, factors


def _pieces(
    network: Network, made: tuple[str, ...], image: OpenedImage, recipe: Recipe, ground: Grid
) -> Iterator[Errors]:
    """Yield what a network does on pieces of the ground made coarser."""
    needed = {band for source in network.description.sources for band in source.bands}
    sharpen, least = sharpener([network]), LEAST * round(BANDS[made[0]] / 10.0)
    for region in spread((ground.columns, ground.rows), SIDE, PIECES):
        part = replace(
            ground,
            left=ground.left + region.x * ground.dx,
            top=ground.top - region.y * ground.dy,
            columns=region.columns,
            rows=region.rows,
        )
        if min(_whole(part, recipe.step)) >= least:
            bands, _ = read_bands(image, recipe.gsd, needed, part, recipe.masks)
            if all(np.isfinite(pixels).any() for pixels in bands.values()):
                yield errors_of("", "", bands, sharpen, made)


def _whole(part: Grid, step: int) -> tuple[int, int]:
    """Return the columns and rows of a part that are sure to be left where pixels of all bands begin together."""
    return part.columns - step + 1, part.rows - step + 1
