# SPDX-License-Identifier: Apache-2.0
"""How computed values become the numbers of a product: rounded, clipped, never wrapped; missing ones are nodata.

A valid pixel never is nodata: one that would have that very number gets the next one.
"""

import numpy as np

from chain.serving.super_resolution import Bands

LARGEST = 65535
"""Largest number of uint16."""
DEFAULTS = {"uint16": 0.0, "float32": float("nan")}
"""Nodata of each type of product, where none is stated."""


def check_nodata(nodata: float | None, dtype: str) -> None:
    """Refuse a nodata value that a type does not have.

    Args:
        nodata: the value; None for the type's own.
        dtype: `uint16` or `float32`.

    Raises:
        ValueError: it is none of the type's numbers.
    """
    if nodata is None:
        return
    if dtype == "uint16" and not (float(nodata).is_integer() and 0 <= nodata <= LARGEST):
        raise ValueError(f"--nodata: expected a whole number from 0 to {LARGEST} for uint16, got {nodata:g}")
    if dtype == "float32" and abs(nodata) > np.finfo(np.float32).max:
        raise ValueError(f"--nodata: expected a number of float32, got {nodata:g}")


def beside(nodata: float, dtype: str) -> float:
    """Return the number that valid pixels get which would be nodata."""
    if dtype == "uint16":
        return nodata + 1 if nodata < LARGEST else nodata - 1
    return float(np.nextafter(np.float32(nodata), np.float32(np.inf)))


def encode(bands: Bands, dtype: str, nodata: float | None = None) -> np.ndarray:
    """Turn computed values into a product's.

    Args:
        bands: float32 (rows, columns) and validity of each band.
        dtype: `uint16` or `float32`.
        nodata: number of missing pixels; None for 0 of `uint16`, NaN of `float32`.

    Returns:
        Array (bands, rows, columns) of that type.
    """
    missing = np.dtype(dtype).type(DEFAULTS[dtype] if nodata is None else nodata)
    rows, columns = next(iter(bands.values()))[0].shape
    encoded = np.empty((len(bands), rows, columns), dtype)
    for target, (values, valid) in zip(encoded, bands.values()):
        if dtype == "uint16":
            np.rint(np.clip(np.where(valid, values, 0), 0, LARGEST), out=target, casting="unsafe")
        else:
            target[:] = values
        target[target == missing] = beside(float(missing), dtype)
        target[~valid] = missing
    return encoded
