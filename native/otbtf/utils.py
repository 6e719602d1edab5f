# SPDX-License-Identifier: Apache-2.0
"""Reading rasters and patches images with GDAL, as arrays with bands last."""

import numpy as np
from osgeo import gdal


def gdal_open(filename: str) -> gdal.Dataset:
    """Open a raster.

    Args:
        filename: anything that GDAL can open.

    Returns:
        The dataset, open for reading.

    Raises:
        ValueError: GDAL cannot open the file.
    """
    message = ""
    try:
        dataset = gdal.Open(str(filename))
    except RuntimeError as error:  # when the caller has called gdal.UseExceptions()
        dataset, message = None, f" ({error})"
    if dataset is None:
        raise ValueError(f"cannot open the raster {filename}{message}")
    return dataset


def read_as_np_arr(gdal_ds: gdal.Dataset, as_patches: bool = True, dtype: np.dtype | None = None) -> np.ndarray:
    """Read a whole raster.

    Args:
        gdal_ds: the open dataset.
        as_patches: whether the raster is a patches image: square patches, stacked vertically.
        dtype: type of the result; the raster's own by default.

    Returns:
        The pixels, (patches, size, size, bands), or (1, height, width, bands) when `as_patches` is false.
    """
    array = gdal_ds.ReadAsArray()
    array = array[..., np.newaxis] if array.ndim == 2 else np.moveaxis(array, 0, -1)
    height, width, bands = array.shape
    shape = (height // width, width, width, bands) if as_patches else (1, height, width, bands)
    array = np.ascontiguousarray(array[: shape[0] * shape[1]]).reshape(shape)
    return array if dtype is None else array.astype(dtype)
