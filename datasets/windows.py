# SPDX-License-Identifier: Apache-2.0
"""Counting pixels in all windows of a mask at once."""

import numpy as np


def window_counts(mask: np.ndarray, size: int) -> np.ndarray:
    """Count the pixels of a mask in each square that fits.

    Args:
        mask: bool (rows, columns), of at least `size` each.
        size: side of the squares, in pixels.

    Returns:
        int64 (rows - size + 1, columns - size + 1), by the squares' first row and column.
    """
    table = np.pad(mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return table[size:, size:] - table[:-size, size:] - table[size:, :-size] + table[:-size, :-size]
