# SPDX-License-Identifier: Apache-2.0
"""What an image of L1B is taken for, and what its product would be; nothing is computed but the range of its counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osgeo import gdal

from chain.raster.grids import Grid
from chain.serving.info import footprint, grid_json
from datasets.l1bsr.counts import Statistics
from inference.l1bsr.counts import check_range, statistics_of
from inference.l1bsr.image import L1BImage, open_raster
from inference.l1bsr.options import Options
from inference.l1bsr.production import open_inputs
from models.l1bsr import BANDS


def describe(task: str, names: Sequence[str], options: Options) -> dict[str, Any]:
    """Return what an image is, and what its product would be, as JSON holds it.

    Args:
        task: `superresolution` or `registration`.
        names: files of the image.
        options: how its product would be made.

    Raises:
        ValueError: the image, the model or the options do not suit each other.
    """
    inputs = open_inputs(task, names, Path("product.tif"), options)
    image = inputs.image
    statistics = statistics_of(image, options.count_scale, options.count_offset)
    statistics.check_valid()
    check_range(statistics, options.count_scale)
    layout = inputs.layout(BANDS, "uint16", inputs.identity)
    return {
        "input": {
            "files": image.files,
            "level": image.level,
            "bands": [_band(image, band, statistics) for band in BANDS],
            "missing pixels": statistics.pixels - statistics.valid,
            "grid": grid_json(image.grid) if image.placed else _size(image.grid),
            "footprint": footprint(image.grid),
            "notes": image.warnings,
        },
        "product": {
            "path": None,
            "bands": list(layout.bands),
            "dtype": layout.dtype,
            "nodata": layout.nodata,
            "grid": grid_json(layout.grid) if layout.placed else _size(layout.grid),
            "networks": [
                {
                    "system": network.description.system,
                    "model": network.description.model,
                    "weights": network.description.weights,
                    "folder": network.model_dir,
                }
                for network in inputs.networks
            ],
        },
    }


def _band(image: L1BImage, band: str, statistics: Statistics) -> dict[str, Any]:
    """Return what a band of an image is."""
    file, number = image.bands[band]
    dataset = open_raster(file)
    source = dataset.GetRasterBand(number)
    return {
        "band": band,
        "file": file,
        "number": number,
        "known by": image.named_by[band],
        "dtype": gdal.GetDataTypeName(source.DataType).lower(),
        "nodata": source.GetNoDataValue(),
        "counts": list(statistics.ranges[band]),
    }


def _size(grid: Grid) -> dict[str, Any]:
    """Return the size of a grid that has no place."""
    return {"columns": grid.columns, "rows": grid.rows}
