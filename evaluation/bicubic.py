# SPDX-License-Identifier: Apache-2.0
"""Bicubic interpolation like MATLAB's `imresize`, the baseline of DSen2's paper.

Keys 1981 (doi:10.1109/TASSP.1981.1163711) with a = -0.5, between pixel centres, with a symmetric border. Values are not
clipped, so edges overshoot. Grids of any ratio, with missing pixels, are `chain.serving.report.resampling`'s.

    from evaluation.bicubic import bicubic
    fine = bicubic(coarse, scale=2)
"""

import numpy as np

from chain.raster.resampling.interpolation import METHODS

KERNEL = METHODS["cubic"].kernel
TAPS = 4
BORDER = 2
"""Number of pixels used beyond the border."""


def bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """Interpolate an image.

    Args:
        image: (rows, columns, bands), in any unit. Output pixels that depend on a missing pixel (NaN) are missing.
        scale: ratio of the sizes, at least 1.

    Returns:
        (rows x scale, columns x scale, bands), float32.

    Raises:
        ValueError: the image does not have three dimensions or is empty, or the scale is not a positive integer.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image: expected shape (rows, columns, bands), none of them 0, got {image.shape}")
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale: expected an integer of at least 1, got {scale}")
    image = image.astype(np.float32)
    for axis in (0, 1):
        image = _along(image, int(scale), axis)
    return image


def _along(image: np.ndarray, scale: int, axis: int) -> np.ndarray:
    """Interpolate along an axis, one phase (position within a coarse pixel) at a time."""
    size = image.shape[axis]
    border = [(BORDER, BORDER) if number == axis else (0, 0) for number in range(image.ndim)]
    padded = np.moveaxis(np.pad(image, border, mode="symmetric"), axis, 0)
    shape = list(image.shape)
    shape[axis] *= scale
    result = np.empty(shape, dtype=np.float32)
    phases = np.moveaxis(result, axis, 0)
    for phase in range(scale):
        position = (phase + 0.5) / scale - 0.5
        first = int(np.floor(position)) - 1
        weights = KERNEL(position - first - np.arange(TAPS))
        taps = [
            np.float32(weight) * padded[BORDER + first + tap : BORDER + first + tap + size]
            for tap, weight in enumerate(weights)
            if weight
        ]
        phases[phase::scale] = sum(taps)
    return result
