# SPDX-License-Identifier: Apache-2.0
"""Sums over the pixels of a band, which add up over regions: a product's statistics without reading it again."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sums:
    """Sums over valid pixels, exact ones of integers."""

    count: int = 0
    minimum: float = float("inf")
    maximum: float = float("-inf")
    total: float = 0
    squares: float = 0

    @classmethod
    def of(cls, pixels: np.ndarray, nodata: float | None = None) -> "Sums":
        """Return the sums of pixels.

        Args:
            pixels: uint16 or float32, whose NaN are missing in any case.
            nodata: number of missing pixels; None for 0 of uint16, and no number of float32.
        """
        if pixels.dtype == np.uint16:
            missing = int(nodata or 0)
            counts = np.bincount(pixels.ravel(), minlength=missing + 1)
            counts[missing] = 0
            values = np.flatnonzero(counts)
            counts = counts[values]
        else:
            values = pixels[~np.isnan(pixels) & (pixels != nodata)].astype(np.float64)
            counts = np.ones_like(values)
        if not len(values):
            return cls()
        numbers = counts.sum(), values.min(), values.max(), counts @ values, counts @ values**2
        return cls(int(numbers[0]), *(number.item() for number in numbers[1:]))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.count + other.count,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        """Mean of the pixels."""
        return self.total / self.count

    @property
    def deviation(self) -> float:
        """Standard deviation of the pixels. The difference of the squares is that of whole numbers where pixels are."""
        return max(self.count * self.squares - self.total**2, 0) ** 0.5 / self.count
