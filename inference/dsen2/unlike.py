# SPDX-License-Identifier: Apache-2.0
"""How much of a product is of ground unlike any that its networks were trained on (`models/spectra.py`).

It is told of the product made small, which costs nothing beside making it: from its overviews, `SIDE` pixels at most
along a side, each the mean of what it covers. Bands that a network sees and the product lacks are read of the input,
made as small. Networks that no ratio of bands misleads, and those of whose training nothing is known, are left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

from chain.raster.grids import Grid, raster_grid
from chain.runtime.progress import LOG
from chain.runtime.provenance import read, record_of
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.provenance import WARNINGS_KEY, add_to_record
from chain.serving.recipe import REFLECTANCE
from models.spectra import Spectra, read_spectra

KEY = "unlike_training"
"""In a product's record: what `look` returns, by the role of the network."""
SIDE = 512
"""Pixels along the longest side of a product made small."""
LEAST = 0.02
"""Share of the image from which on there is a warning."""


def examine(output: Path, image: OpenedImage | None, anew: bool) -> None:
    """Warn of ground that is unlike what a product's networks were trained on, and keep its share in the record.

    Args:
        output: the product, with its record.
        image: its input; None where that is not open.
        anew: whether the product was made now; else it is only looked at if its record says nothing.
    """
    record = read(record_of(output))
    if not anew and KEY in record:
        return
    folders = {model["arguments"]["role"]: model["folder"] for model in record["models"]}
    found, warnings = found_in(gdal.Open(str(output)), image, folders)
    for warning in warnings:
        LOG.warning("%s: %s", output.name, warning)
    add_to_record(output, {KEY: found, WARNINGS_KEY: warnings})


def found_in(
    product: gdal.Dataset, image: OpenedImage | None, folders: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Look for ground that is unlike what the networks of a product were trained on.

    Args:
        product: its pixels.
        image: its input; None where that is not open.
        folders: those of the networks, by their role.

    Returns:
        What `look` returns, by role, and what is to be warned of.
    """
    known = {role: read_spectra(folder) for role, folder in folders.items()}
    found = {role: look(product, image, spectra) for role, spectra in known.items() if spectra}
    warned = {role: each for role, each in found.items() if each["share"] is None or each["share"] >= LEAST}
    return found, [sentence(role, each) for role, each in warned.items()]


def look(product: gdal.Dataset, image: OpenedImage | None, spectra: Spectra) -> dict[str, Any]:
    """Look for ground that is unlike what a network was trained on.

    Args:
        product: its pixels.
        image: its input; None where that is not open.
        spectra: those of the training.

    Returns:
        `share` of the valid pixels, and `metres`, the size of the pixels looked at. `share` is None where the product
        lacks bands and the input is not open.
    """
    grid = raster_grid(product)
    step = max(2, -(-max(grid.columns, grid.rows) // SIDE))
    columns, rows = (max(length // step, 1) for length in (grid.columns, grid.rows))
    made = {product.GetRasterBand(number + 1).GetDescription(): number + 1 for number in range(product.RasterCount)}
    bands: list[np.ndarray] = []
    for band in spectra.bands:
        if band in made:
            numbers = _small(product, made[band], grid, columns, rows)
            scale = 1 / REFLECTANCE if product.GetRasterBand(made[band]).DataType == gdal.GDT_Float32 else 1.0
            bands.append(numbers * scale)
        elif image:
            bands.append(_small(gdal.Open(image.bands[band]), 1, grid, columns, rows) + image.offset)
        else:
            return {"share": None, "metres": step * grid.dx}
    pixels = np.stack(bands, axis=-1).reshape(-1, len(bands))
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    share = round(float(spectra.unlike(pixels).mean()), 4) if len(pixels) else 0.0
    return {"share": share, "metres": step * grid.dx}


def _small(dataset: gdal.Dataset, number: int, ground: Grid, columns: int, rows: int) -> np.ndarray:
    """Read a band on some ground made small: float64 (rows, columns), missing pixels NaN."""
    bounds = (
        ground.left,
        ground.top,
        ground.left + ground.columns * ground.dx,
        ground.top - ground.rows * ground.dy,
    )
    small = gdal.Translate(
        "",
        dataset,
        format="MEM",
        bandList=[number],
        projWin=bounds,
        width=columns,
        height=rows,
        resampleAlg="average",
    )
    band = small.GetRasterBand(1)
    values = band.ReadAsArray().astype(np.float64)
    nodata = dataset.GetRasterBand(number).GetNoDataValue()
    missing = values == (0 if nodata is None else nodata)
    return np.where(missing, np.nan, values)


def sentence(role: str, found: Mapping[str, Any]) -> str:
    """Return what is to be said of ground that is unlike what a network was trained on."""
    if found["share"] is None:
        return f"whether the ground is like any that the {role} network was trained on is not known: bands are missing"
    return (
        f"on {found['share']:.0%} of the image (pixels of {found['metres']:g} m) bands stand in ratios that the {role} "
        "network was not trained on: detail there may have the wrong strength"
    )
