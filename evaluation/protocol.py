# SPDX-License-Identifier: Apache-2.0
"""What the protocols share: Sentinel-2's bands on one ground, and scores beside those of bicubic interpolation.

Bands are a dictionary, name -> (rows, columns) of digital numbers, each on its own grid; missing pixels are NaN. All
grids begin at the same upper left corner.
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
"""Bands that are made finer, by their resolution. B10 does not see the ground."""

Bands = Mapping[str, np.ndarray]


def ratio(name: str) -> int:
    """Return how many 10 m pixels lie along a pixel of a band."""
    return round(BANDS[name] / FINE_GSD)


def groups_of(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the bands of each group that are among some names; groups of which there is none are left out."""
    found = {group: tuple(name for name in members if name in names) for group, members in GROUPS.items()}
    return {group: members for group, members in found.items() if members}


def check_bands(argument: str, bands: Bands) -> None:
    """Refuse what is not all 10 m bands and some coarser ones, as images.

    Args:
        argument: name of the argument that brought the bands.
        bands: the bands.

    Raises:
        ValueError: a 10 m band is missing, there is no coarser one, a name is another, or an array is no image.
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
        argument: name of the argument that brought the bands.
        bands: the bands, as `check_bands` lets them pass.

    Raises:
        ValueError: the bands' sizes differ by a pixel of the coarsest band, or more.
    """
    sizes = {name: np.array(band.shape) * ratio(name) for name, band in bands.items()}
    smallest, largest = np.min(list(sizes.values()), axis=0), np.max(list(sizes.values()), axis=0)
    if np.any(largest - smallest >= max(ratio(name) for name in bands)):
        received = ", ".join(f"{name} {band.shape[0]} x {band.shape[1]}" for name, band in bands.items())
        raise ValueError(f"{argument}: expected bands that cover the same ground, each on its own grid, got {received}")
    return int(smallest[0]), int(smallest[1])


def crop(bands: Bands, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Cut the upper left part out of bands, as float32.

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
    """Return the largest multiple of `step` that is not larger than `size`."""
    return size // step * step


def present(*images: np.ndarray) -> np.ndarray:
    """Return where images (rows, columns[, bands]) of the same size hold numbers in all their bands."""
    masks = [np.isfinite(image) for image in images]
    return np.logical_and.reduce([mask if mask.ndim == 2 else mask.all(axis=-1) for mask in masks])


def beside(ours: Mapping[str, float], bicubic: Mapping[str, float]) -> dict[str, float]:
    """Return each score followed by the one of bicubic interpolation, `bicubic_<name>`."""
    return {key: value for name in ours for key, value in ((name, ours[name]), (f"bicubic_{name}", bicubic[name]))}


def quotient(numerator: float, denominator: float) -> float:
    """Divide; NaN where the denominator is zero."""
    return numerator / denominator if denominator else math.nan


def means(scores: Sequence[Mapping]) -> dict[str, float]:
    """Average the numbers of several bands, by name."""
    names = [name for name, value in scores[0].items() if isinstance(value, float)]
    return {name: float(np.mean([band[name] for band in scores])) for name in names}


def json_numbers(report):
    """Return a report in which None stands for infinity and NaN, which JSON does not have."""
    if isinstance(report, dict):
        return {key: json_numbers(value) for key, value in report.items()}
    if isinstance(report, float):
        return report if math.isfinite(report) else None
    return report
