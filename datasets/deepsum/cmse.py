# SPDX-License-Identifier: Apache-2.0
"""cMSE, the mean square error of ESA's PROBA-V challenge: corrected for brightness, for all displacements of the truth.

See `evaluation.cpsnr` for the score that the challenge computes from it (Märtens et al. 2019,
doi:10.1007/s42064-019-0059-8).
"""

from collections.abc import Iterator

import numpy as np

BORDER = 3
"""Largest displacement of the truth, in pixels."""


def cmse_matrix(hr: np.ndarray, sr: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Compute cMSE at all displacements.

    Args:
        hr: truth (rows, columns), digital numbers.
        sr: image, of the same shape and unit.
        clear: whether a pixel of the truth is clear, of the same shape.

    Returns:
        (7, 7), digital numbers squared; element (u, v) compares the image with the truth from row u and column v on.

    Raises:
        ValueError: shapes differ or are too small, a value is not finite, or a displacement leaves no clear pixel.
    """
    hr, sr, clear = checked(hr, sr, clear)
    image = inner(sr)
    result = np.empty((2 * BORDER + 1, 2 * BORDER + 1))
    for (u, v), truth, mask in _positions(hr, clear):
        result[u, v] = np.var((truth - image)[mask])
    return result


def checked(hr: np.ndarray, sr: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the arguments as float64 and bool, or raise ValueError."""
    hr, sr, clear = np.asarray(hr, np.float64), np.asarray(sr, np.float64), np.asarray(clear, bool)
    if hr.ndim != 2 or min(hr.shape) <= 2 * BORDER:
        raise ValueError(f"hr: expected more than {2 * BORDER} rows and columns, got {hr.shape}")
    for name, array in (("sr", sr), ("clear", clear)):
        if array.shape != hr.shape:
            raise ValueError(f"{name}: expected the truth's shape {hr.shape}, got {array.shape}")
    for name, array in (("hr", hr), ("sr", sr)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite values, got {(~np.isfinite(array)).sum()} others")
    return hr, sr, clear


def inner(image: np.ndarray) -> np.ndarray:
    """Return an image without its border."""
    return image[BORDER:-BORDER, BORDER:-BORDER]


def _positions(hr: np.ndarray, clear: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """Yield each displacement, with the truth and its mask there."""
    rows, columns = (length - 2 * BORDER for length in hr.shape)
    for u, v in np.ndindex(2 * BORDER + 1, 2 * BORDER + 1):
        place = np.s_[u : u + rows, v : v + columns]
        if not clear[place].any():
            raise ValueError(f"clear: expected clear pixels at every shift, got none from row {u}, column {v}")
        yield (u, v), hr[place], clear[place]
