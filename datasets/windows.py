# SPDX-License-Identifier: Apache-2.0
"""Pixel counts in all windows of a mask."""

import numpy as np


def window_counts(mask: np.ndarray, size: int) -> np.ndarray:
    """Count the pixels of a mask in every square that fits.

    Args:
        mask: bool (rows, columns), of at least `size` each.
        size: side of the squares, in pixels.

    Returns:
        int64 (rows - size + 1, columns - size + 1), indexed by the first row and column of the square.
    """
    table = np.pad(mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return table[size:, size:] - table[:-size, size:] - table[size:, :-size] + table[:-size, :-size]
