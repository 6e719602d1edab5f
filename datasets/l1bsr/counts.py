# SPDX-License-Identifier: Apache-2.0
"""Whether numbers can be counts of L1B.

These have 12 bits: some hundreds over land, up to 4095 over clouds. Reflectance, 8 bits and the 10 000 steps of L1C
can be told from them.
"""

import itertools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from models.l1bsr import BANDS

REFLECTANCE, EIGHT_BITS, TWELVE_BITS = 2, 255, 5000
"""Reflectance of 1, 8 bits, and counts of L1B with what equalising the detectors may add, do not exceed these."""
OUTLIERS, SATURATED, NEGATIVE = 0.001, 0.01, 0.1
"""Shares of the values that may be beyond what the others are, beyond 12 bits, and below 0."""
MANY = 0.001
"""Share of the pixels from which one number in all of their bands is fill, and 0 in one band is to be told."""
SHADES = 16
"""Range of the counts of a band, at least, of which no other one holds the same."""
WITH_OFFSET = 1000
"""Lowest digital number of L1C and L2A of baseline 04.00 on."""
OTHERS = ("numbers below 0", "reflectance", "8 bits", "10 000 x reflectance", "L1C and L2A of baseline 04.00 on")
"""What numbers may be that are no counts."""


@dataclass
class Statistics:
    """What is to be known of the counts of an image's valid pixels, which are added strip by strip."""

    pixels: int = 0
    """Number of pixels, valid or not."""
    valid: int = 0
    """Number of valid pixels."""
    lowest: np.ndarray = field(default_factory=lambda: np.full(len(BANDS), np.inf))
    """Of each band."""
    highest: np.ndarray = field(default_factory=lambda: np.full(len(BANDS), -np.inf))
    """Of each band."""
    total: np.ndarray = field(default_factory=lambda: np.zeros(len(BANDS)))
    """Sum of each band."""
    negative: int = 0
    """Number of values below 0."""
    beyond: np.ndarray = field(default_factory=lambda: np.zeros(3, int))
    """Numbers of values beyond `REFLECTANCE`, `EIGHT_BITS` and `TWELVE_BITS`."""

    zeros: np.ndarray = field(default_factory=lambda: np.zeros(len(BANDS), int))
    """Number of values of each band that are 0."""
    alike: Counter[float] = field(default_factory=Counter)
    """Numbers beyond 12 bits that pixels hold in all bands at once, and how many do."""
    differ: np.ndarray = field(default_factory=lambda: np.zeros((len(BANDS), len(BANDS)), int))
    """Number of pixels in which two bands differ, of each pair."""

    def add(self, values: np.ndarray, present: np.ndarray) -> None:
        """Add pixels: (rows, columns, bands), and where they are valid."""
        self.pixels += present.size
        valid = values[present]
        if not len(valid):
            return
        self.valid += len(valid)
        self.lowest = np.minimum(self.lowest, valid.min(axis=0))
        self.highest = np.maximum(self.highest, valid.max(axis=0))
        self.total += valid.sum(axis=0, dtype=np.float64)
        self.zeros += np.count_nonzero(valid == 0, axis=0)
        first = valid[:, 0]
        self.alike.update(first[(first > TWELVE_BITS) & (valid == first[:, np.newaxis]).all(axis=1)].tolist())
        self.differ += np.array([np.count_nonzero(valid != valid[:, [band]], axis=0) for band in range(len(BANDS))])
        self.negative += int(np.count_nonzero(valid < 0))
        self.beyond += [np.count_nonzero(valid > bound) for bound in (REFLECTANCE, EIGHT_BITS, TWELVE_BITS)]

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest count of each band."""
        return {band: (float(low), float(high)) for band, low, high in zip(BANDS, self.lowest, self.highest)}

    @property
    def means(self) -> np.ndarray:
        """Mean count of each band."""
        return self.total / self.valid

    def check_valid(self) -> None:
        """Refuse an image without valid pixels.

        Raises:
            ValueError: there is none.
        """
        if not self.valid:
            raise ValueError("--input: expected valid pixels, got nodata only")

    @property
    def other(self) -> str | None:
        """What the numbers are, of `OTHERS`, if they cannot be counts; None if they can."""
        beyond_reflectance, beyond_eight_bits, beyond_twelve_bits = self.beyond / (len(BANDS) * self.valid)
        signs = (
            self.negative / (len(BANDS) * self.valid) > NEGATIVE,
            beyond_reflectance < OUTLIERS,
            beyond_eight_bits < OUTLIERS,
            beyond_twelve_bits > SATURATED,
            self.lowest.min() >= WITH_OFFSET,
        )
        return next(itertools.compress(OTHERS, signs), None)

    @property
    def fill(self) -> float | None:
        """The number that many pixels hold in all bands, and that is no count; None if there is none."""
        number, count = next(iter(self.alike.most_common(1)), (None, 0))
        return number if count > MANY * self.valid else None

    @property
    def holed(self) -> dict[str, float]:
        """Bands that are 0 in many pixels where others are not, and in which share of the pixels."""
        shares = self.zeros / max(self.valid, 1)
        return {band: float(share) for band, share in zip(BANDS, shares) if share > MANY}

    @property
    def same(self) -> list[tuple[str, str]]:
        """Pairs of bands that hold the same pixels, of several counts."""
        several = self.highest - self.lowest >= SHADES
        pairs = itertools.combinations(range(len(BANDS)), 2)
        return [(BANDS[one], BANDS[other]) for one, other in pairs if several[one] and not self.differ[one, other]]

    @property
    def expected(self) -> str:
        """The beginning of an error: what was expected, and what came."""
        return f"expected counts of L1B, up to 4095, got {self.lowest.min():g} to {self.highest.max():g}"
