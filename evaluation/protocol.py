# SPDX-License-Identifier: Apache-2.0
"""Shared parts of the protocols: Sentinel-2's bands of the same ground, and scores beside bicubic interpolation's.

Bands are a dictionary, name -> (rows, columns) of digital numbers, each on its own grid; missing pixels are NaN. All
grids start at the same upper left corner.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from chain.sentinel2.bands import BANDS

FINE_GSD = 10.0
FINE = tuple(name for name, gsd in BANDS.items() if gsd == FINE_GSD)
GROUPS = {
    "20m": tuple(name for name, gsd in BANDS.items() if gsd == 20.0),
    "60m": tuple(name for name, gsd in BANDS.items() if gsd == 60.0 and name != "B10"),
}
"""Bands to sharpen, by resolution. B10 does not see the ground."""

Bands = Mapping[str, np.ndarray]


def ratio(name: str) -> int:
    """Return the number of 10 m pixels along one pixel of a band."""
    return round(BANDS[name] / FINE_GSD)


def groups_of(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the bands of each group among given names, without empty groups."""
    found = {group: tuple(name for name in members if name in names) for group, members in GROUPS.items()}
    return {group: members for group, members in found.items() if members}


def check_bands(argument: str, bands: Bands) -> None:
    """Check that bands are images, and include all 10 m bands and at least one coarser band.

    Args:
        argument: name of the argument that gave the bands.
        bands: the bands.

    Raises:
        ValueError: a 10 m band or a coarser one is missing, a name is unknown, or an array is not an image.
    """
    received = " ".join(bands) or "none"
    coarse = [name for members in GROUPS.values() for name in members]
    if set(FINE) - set(bands):
        raise ValueError(f"{argument}: expected the bands {' '.join(FINE)}, got {received}")
    if not set(coarse) & set(bands) or set(bands) - {*FINE, *coarse}:
        raise ValueError(f"{argument}: expected some of {' '.join(coarse)} beside {' '.join(FINE)}, got {received}")
    for name, band in bands.items():
        if band.ndim != 2 or not band.size:
            raise ValueError(f"{argument}: expected {name} of shape (rows, columns), got {band.shape}")


def extent(argument: str, bands: Bands) -> tuple[int, int]:
    """Return the size that all bands cover, in 10 m pixels.

    Args:
        argument: name of the argument that gave the bands.
        bands: bands that passed `check_bands`.

    Raises:
        ValueError: the sizes of the bands differ by a pixel of the coarsest band or more.
    """
    sizes = {name: np.array(band.shape) * ratio(name) for name, band in bands.items()}
    smallest, largest = np.min(list(sizes.values()), axis=0), np.max(list(sizes.values()), axis=0)
    if np.any(largest - smallest >= max(ratio(name) for name in bands)):
        received = ", ".join(f"{name} {band.shape[0]} x {band.shape[1]}" for name, band in bands.items())
        raise ValueError(f"{argument}: expected bands that cover the same ground, each on its own grid, got {received}")
    return int(smallest[0]), int(smallest[1])


def crop(bands: Bands, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Crop bands to their upper left part, as float32.

    Args:
        bands: the bands.
        rows: height, in 10 m pixels, a multiple of the coarsest band's pixel.
        columns: width, likewise.
    """
    return {
        name: np.asarray(band[: rows // ratio(name), : columns // ratio(name)], dtype=np.float32)
        for name, band in bands.items()
    }


def whole(size: int, step: int) -> int:
    """Return the largest multiple of `step` up to `size`."""
    return size // step * step


def present(*images: np.ndarray) -> np.ndarray:
    """Return where images (rows, columns[, bands]) of the same size are finite in all bands."""
    masks = [np.isfinite(image) for image in images]
    return np.logical_and.reduce([mask if mask.ndim == 2 else mask.all(axis=-1) for mask in masks])


def beside(ours: Mapping[str, float], bicubic: Mapping[str, float]) -> dict[str, float]:
    """Return each score followed by the one of bicubic interpolation, `bicubic_<name>`."""
    return {key: value for name in ours for key, value in ((name, ours[name]), (f"bicubic_{name}", bicubic[name]))}


def quotient(numerator: float, denominator: float) -> float:
    """Divide; NaN if the denominator is zero."""
    return numerator / denominator if denominator else math.nan


def means(scores: Sequence[Mapping]) -> dict[str, float]:
    """Average the scores of several bands, by name."""
    names = [name for name, value in scores[0].items() if isinstance(value, float)]
    return {name: float(np.mean([band[name] for band in scores])) for name in names}


def json_numbers(report):
    """Return a report with None in place of infinity and NaN, which JSON lacks."""
    if isinstance(report, dict):
        return {key: json_numbers(value) for key, value in report.items()}
    if isinstance(report, float):
        return report if math.isfinite(report) else None
    return report
