# SPDX-License-Identifier: Apache-2.0
"""A picture of a product, to look at."""

from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.writing import write_picture
from chain.runtime.files import whole_file
from chain.serving.colours import band_names, shown

SIZE = 1024
"""Longest side of a quicklook, in pixels."""


def write_quicklook(product: Path, picture: Path) -> None:
    """Write a picture of a product: red, green and blue from the 2nd to the 98th percentile, nodata black.

    Args:
        product: The product.
        picture: The PNG file.
    """
    dataset = gdal.Open(str(product))
    factor = max(dataset.RasterXSize, dataset.RasterYSize, SIZE) / SIZE
    columns, rows = (max(round(n / factor), 1) for n in (dataset.RasterXSize, dataset.RasterYSize))
    numbers = shown(band_names(dataset))
    memory = gdal.GetDriverByName("MEM").Create("", columns, rows, len(numbers), gdal.GDT_Byte)
    for target, number in enumerate(numbers, start=1):
        band = dataset.GetRasterBand(number)
        values = band.ReadAsArray(buf_xsize=columns, buf_ysize=rows, resample_alg=gdal.GRIORA_Average).astype(
            np.float32
        )
        valid = np.isfinite(values) & (values != band.GetNoDataValue())
        low, high = np.percentile(values[valid], (2, 98)) if valid.any() else (0, 1)
        scaled = np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-6), 0, 1) * 254 + 1
        memory.GetRasterBand(target).WriteArray(np.where(valid, scaled, 0).astype(np.uint8))
    with whole_file(picture, "--quicklook") as partial:
        write_picture(partial, "PNG", memory, "--quicklook")
