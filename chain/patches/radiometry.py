# SPDX-License-Identifier: Apache-2.0
"""Conversion of one sensor's radiometry to another's: a gain and an offset for each band.

Both images are averaged over cells larger than a Sentinel-2 pixel, so that small shifts and differences in sharpness
do not matter. The line is fitted by iteratively reweighted least squares with Huber's weights (P. J. Huber, "Robust
Estimation of a Location Parameter", 1964), so that changes between the two dates do not matter either.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CELL = 5
"""Side of the cells, in pixels."""
HUBER = 1.345
"""Residuals beyond this many standard deviations lose weight."""
LEAST_CELLS = 30


@dataclass(frozen=True)
class Line:
    """`reference = gain * image + offset` of one band."""

    gain: float
    """Slope."""
    offset: float
    """Value at 0, in digital numbers of the reference."""
    correlation: float
    """Correlation of the cells that were compared."""
    cells: int
    """Number of cells that were compared."""


def fit(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[Line]:
    """Fit each band of an image to a reference.

    Args:
        pairs: (image, reference) of the same ground on the same grid, each (height, width, bands); 0 is nodata.

    Raises:
        ValueError: too few cells are valid in both, or an image is uniform or unrelated to the reference.
    """
    cells = [_cells(image, reference) for image, reference in pairs]
    image, reference = (np.concatenate([pair[side] for pair in cells]) for side in (0, 1))
    if len(image) < LEAST_CELLS:
        raise ValueError(
            f"--match-radiometry: expected at least {LEAST_CELLS} cells of {CELL} x {CELL} pixels valid in both "
            f"images, got {len(image)}"
        )
    return [_fit_band(image[:, band], reference[:, band]) for band in range(image.shape[1])]


def _cells(image: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means (cells, bands) of both images over the cells that are fully valid in both."""
    height, width = (length // CELL * CELL for length in image.shape[:2])
    blocks = [
        array[:height, :width].reshape(height // CELL, CELL, width // CELL, CELL, -1) for array in (image, reference)
    ]
    valid = np.logical_and(*((block > 0).all(axis=(1, 3, 4)) for block in blocks))
    image_means, reference_means = (block.mean(axis=(1, 3), dtype=np.float64)[valid] for block in blocks)
    return image_means, reference_means


def _fit_band(image: np.ndarray, reference: np.ndarray) -> Line:
    """Fit a line robustly."""
    if np.ptp(image) == 0 or np.ptp(reference) == 0:
        raise ValueError("--match-radiometry: expected bands that vary, got a uniform one")
    weights = np.ones(len(image))
    for _ in range(30):
        gain, offset = np.polyfit(image, reference, 1, w=np.sqrt(weights))
        residuals = reference - (gain * image + offset)
        deviation = 1.4826 * np.median(np.abs(residuals - np.median(residuals)))
        if deviation == 0:
            break
        weights = np.minimum(1.0, HUBER * deviation / np.maximum(np.abs(residuals), 1e-12))
    correlation = float(np.corrcoef(image, reference)[0, 1])
    if gain <= 0:
        raise ValueError(
            f"--match-radiometry: expected images that vary together, got a gain of {gain:.3g} "
            f"(correlation {correlation:.2f})"
        )
    return Line(float(gain), float(offset), correlation, len(image))
