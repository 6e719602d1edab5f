# SPDX-License-Identifier: Apache-2.0
"""The file of expected errors beside a product: for each band that a network made, how wrong its pixels are.

It is made of the product (`evaluation/expected_error.py` says how), region by region and whole or not at all, as
products are; how large errors are on its ground is told from its input (`inference/dsen2/error_calibration.py`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.blocks import fill_missing
from chain.raster.grids import Grid, Region, image_grid, plan, raster_grid
from chain.runtime.progress import Progress, RegionProgress
from chain.sentinel2.bands import BANDS
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.ground import ground_of
from chain.serving.layer_styles import write_error_style
from chain.serving.layout import Layout
from chain.serving.outdated import PRODUCT_KEY, is_of
from chain.serving.product_file import write_product
from chain.serving.product_names import error_file, style_file
from chain.serving.production import open_images
from chain.serving.provenance import IDENTITY_KEY, digest
from chain.serving.recipe import REFLECTANCE, Recipe
from chain.serving.super_resolution import Bands
from evaluation.expected_error import SHARES, ErrorModel, detail, read_models
from inference.dsen2.error_calibration import models_of_scene
from inference.dsen2.options import PROJECT_WEIGHTS, Options

ERRORS = PROJECT_WEIGHTS / "errors.json"
"""What errors the project's weights make."""
STEP = 6
"""Pixels along a pixel of 60 m, which hold whole pixels of 20 m."""
MARGIN = 6 * STEP
"""Pixels around a region that its expected errors depend on, at most: a window, and interpolation."""
SIDE = 1536
"""Side of a region."""


def error_models(recipe: Recipe) -> dict[str, ErrorModel]:
    """Return how the expected error is told of each band that a network makes.

    Raises:
        ValueError: it is not known of a network, or none makes a band.
    """
    found: dict[str, ErrorModel] = {}
    for network in recipe.networks:
        models = read_models(ERRORS, network.description.weights)
        if not models:
            raise ValueError(
                f"--error: expected weights whose errors were measured, those of the project, got {network.model_dir}"
            )
        found.update({band: model for band, model in models.items() if band in recipe.bands})
    if not found:
        raise ValueError(f"--error: expected bands that a network makes, got {', '.join(recipe.bands)}")
    return found


class _Maker:
    """What makes regions of expected errors.

    Args:
        product: the product.
        first: column and row of its first pixel, counted from where pixels of all bands begin together.
        models: by band.
    """

    def __init__(self, product: Path, first: tuple[int, int], models: Mapping[str, ErrorModel]):
        self.product, self.first, self.models = product, first, models

    def read(self, region: Region) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
        """Read bands around a region, from a whole pixel of 60 m to another: digital numbers, missing pixels NaN.

        Returns:
            The bands, and the column and row where the region begins in them.
        """
        dataset = gdal.Open(str(self.product))
        left, right = _whole(region.x, region.columns, self.first[0])
        top, bottom = _whole(region.y, region.rows, self.first[1])
        inner = [max(left, 0), max(top, 0), min(right, dataset.RasterXSize), min(bottom, dataset.RasterYSize)]
        found = {}
        for number in range(1, dataset.RasterCount + 1):
            band = dataset.GetRasterBand(number)
            if band.GetDescription() not in self.models:
                continue
            values = band.ReadAsArray(*inner[:2], inner[2] - inner[0], inner[3] - inner[1]).astype(np.float32)
            values[values == band.GetNoDataValue()] = np.nan
            if band.DataType == gdal.GDT_Float32:
                values /= np.float32(REFLECTANCE)
            borders = ((inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2]))
            found[band.GetDescription()] = np.pad(values, borders, constant_values=np.nan)
        return found, (region.x - left, region.y - top)

    def compute(self, region: Region, blocks: tuple[dict[str, np.ndarray], tuple[int, int]]) -> Bands:
        """Tell the expected errors of a region."""
        images, (x, y) = blocks
        inner = np.s_[y : y + region.rows, x : x + region.columns]
        found: Bands = {}
        for band, model in self.models.items():
            image = images[band][..., np.newaxis]
            present = np.isfinite(image)
            parts = detail(fill_missing(image, present, MARGIN), round(BANDS[band] / 10.0))
            found[f"{band}_error"] = (model.expected(parts)[..., 0][inner].astype(np.float32), present[..., 0][inner])
        return found


def _whole(start: int, length: int, first: int) -> tuple[int, int]:
    """Return where the pixels around a part begin and end, at whole pixels of 60 m, in those of the product."""
    begin = (first + start - MARGIN) // STEP * STEP
    end = -(-(first + start + length + MARGIN) // STEP) * STEP
    return begin - first, end - first


class _Floating(_Maker):
    """What makes regions of expected errors in units of reflectance."""

    def compute(self, region: Region, blocks: tuple[dict[str, np.ndarray], tuple[int, int]]) -> Bands:
        """Tell the expected errors of a region."""
        found = super().compute(region, blocks)
        return {band: (values * np.float32(REFLECTANCE), valid) for band, (values, valid) in found.items()}


def write_errors(
    output: Path,
    image: OpenedImage,
    recipe: Recipe,
    options: Options,
    models: Mapping[str, ErrorModel],
    anew: bool,
    progress: Progress,
) -> None:
    """Write the file of expected errors of a product, unless it is there and of its pixels, and its style.

    Args:
        output: the product.
        image: the input.
        recipe: how the product was made.
        options: those of the program.
        models: by band, as `error_models` returns them.
        anew: replace a file that is there.
        progress: where progress is reported.

    Raises:
        chain.runtime.progress.Cancelled: the work is to stop.
        OSError: the disk refuses.
    """
    path = error_file(output)
    if not anew and is_of(path, output):
        if options.style and not style_file(path).exists():
            write_error_style(path)
        return
    product = gdal.Open(str(output))
    metadata = product.GetMetadata()
    models, factors = models_of_scene(models, image, recipe, options)
    metadata |= {"SR_ERROR_FACTORS": _listed(list(factors.values()), list(factors))}
    metadata |= {PRODUCT_KEY: metadata[IDENTITY_KEY]}
    identity = {"product": metadata.get(IDENTITY_KEY), "models": {band: str(model) for band, model in models.items()}}
    grids = {name: image_grid(opened) for name, opened in open_images(image, recipe).items()}
    _, _, place = ground_of(options, grids, recipe.gsd, recipe.step)
    grid = raster_grid(product)
    done = RegionProgress(progress, grid.columns * grid.rows, path.name)
    write_product(
        path,
        _layout(grid, models, options, {**metadata, IDENTITY_KEY: digest(identity)}),
        plan(Region(0, 0, grid.columns, grid.rows), SIDE),
        (_Floating if options.floating else _Maker)(output, (place.x, place.y), models),
        identity,
        overwrite=True,
        restart=True,
        advance=lambda region: done.written(region, region.columns * region.rows),
    )
    if options.style:
        write_error_style(path)


def _layout(grid: Grid, models: Mapping[str, ErrorModel], options: Options, metadata: Mapping[str, str]) -> Layout:
    """Return what the file of expected errors is."""
    bounds = {
        f"SR_ERROR_BOUND_{100 * share:.0f}": _listed([model.bounds[index] for model in models.values()], list(models))
        for index, share in enumerate(SHARES)
    }
    stated = {name: value for name, value in metadata.items() if name.startswith(("SR_", "TIFFTAG_"))}
    return Layout(
        grid=grid,
        bands=tuple(f"{band}_error" for band in models),
        dtype="float32" if options.floating else "uint16",
        metadata={**stated, **bounds},
        scale=None if options.floating else REFLECTANCE,
        missing=options.nodata,
    )


def _listed(numbers: Sequence[float], bands: Sequence[str]) -> str:
    """Return numbers by band as text."""
    return ", ".join(f"{band} {number:.3g}" for band, number in zip(bands, numbers))
