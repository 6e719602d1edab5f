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
FEWEST = 8
"""Pixels of a band, at least, whose one number that is no count is fill, as small an image as there is."""
SHADES = 16
"""Range of the counts of a band, at least, of which no other one holds the same."""
FAR_BELOW = -100
"""Numbers below are not the noise of dark ground."""
LEAST_PAIRS = 64
"""Pairs of neighbours, at least, from which repeated pixels are told."""
ALL, NOT_ALL = 0.999, 0.9
"""Shares of pairs of neighbours that are the same where each pixel is repeated: in every second pair at least, and in
the others at most."""
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
    above_reflectance: np.ndarray = field(default_factory=lambda: np.zeros(len(BANDS), int))
    """Number of values of each band beyond `REFLECTANCE`."""
    at_ends: np.ndarray = field(default_factory=lambda: np.zeros((2, len(BANDS)), int))
    """Numbers of values of each band that are its lowest, and its highest."""
    alike: Counter[float] = field(default_factory=Counter)
    """Numbers that pixels hold in all bands at once, and how many do."""
    neighbours: np.ndarray = field(default_factory=lambda: np.zeros((2, 2, len(BANDS)), int))
    """Pairs of valid neighbours in a row, those that begin at even and at odd columns: how many, and how many of each
    band hold the same."""
    differ: np.ndarray = field(default_factory=lambda: np.zeros((len(BANDS), len(BANDS)), int))
    """Number of pixels in which two bands differ, of each pair."""

    def add(self, values: np.ndarray, present: np.ndarray) -> None:
        """Add pixels: (rows, columns, bands), and where they are valid."""
        self.pixels += present.size
        valid = values[present]
        if not len(valid):
            return
        self.valid += len(valid)
        self._add_ends(valid)
        self._add_neighbours(values, present)
        self.total += valid.sum(axis=0, dtype=np.float64)
        self.zeros += np.count_nonzero(valid == 0, axis=0)
        first = valid[:, 0]
        self.alike.update(first[(valid == first[:, np.newaxis]).all(axis=1)].tolist())
        self.differ += np.array([np.count_nonzero(valid != valid[:, [band]], axis=0) for band in range(len(BANDS))])
        self.negative += int(np.count_nonzero(valid < 0))
        self.beyond += [np.count_nonzero(valid > bound) for bound in (REFLECTANCE, EIGHT_BITS, TWELVE_BITS)]
        self.above_reflectance += np.count_nonzero(valid > REFLECTANCE, axis=0)

    def _add_ends(self, valid: np.ndarray) -> None:
        """Add valid pixels, (pixels, bands), to the lowest and the highest of each band."""
        ends = np.stack([np.minimum(self.lowest, valid.min(axis=0)), np.maximum(self.highest, valid.max(axis=0))])
        kept = ends == [self.lowest, self.highest]
        self.at_ends = np.where(kept, self.at_ends, 0) + [np.count_nonzero(valid == end, axis=0) for end in ends]
        self.lowest, self.highest = ends

    def _add_neighbours(self, values: np.ndarray, present: np.ndarray) -> None:
        """Add pairs of neighbours in the rows of pixels: (rows, columns, bands), and where they are valid."""
        there = present[:, :-1] & present[:, 1:]
        same = (values[:, :-1] == values[:, 1:]) & there[..., np.newaxis]
        for phase in range(2):
            self.neighbours[phase, 0] += np.count_nonzero(there[:, phase::2])
            self.neighbours[phase, 1] += np.count_nonzero(same[:, phase::2], axis=(0, 1))

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
        return next((number for number in self._in_all_bands if number < 0 or number > TWELVE_BITS), None)

    @property
    def maybe_fill(self) -> dict[float, float]:
        """Numbers that may be counts, and that many pixels hold in all bands; and which share of the pixels does."""
        return {number: share for number, share in self._in_all_bands.items() if 0 <= number <= TWELVE_BITS}

    @property
    def _in_all_bands(self) -> dict[float, float]:
        """Numbers that many pixels hold in all bands, and which share of the pixels does."""
        shares = {number: count / self.valid for number, count in self.alike.items()}
        return {number: share for number, share in shares.items() if share > MANY}

    @property
    def fill_of_bands(self) -> dict[str, float]:
        """Bands of which many pixels hold one number that is no count, and the number."""
        found = {}
        for ends, counts in zip((self.highest, self.lowest), self.at_ends[::-1]):
            for band, number, count in zip(BANDS, ends, counts):
                if (number > TWELVE_BITS or number < FAR_BELOW) and count > max(MANY * self.valid, FEWEST):
                    found[band] = float(number)
        return found

    @property
    def reflectance(self) -> list[str]:
        """Bands of reflectance where others hold larger numbers."""
        varied = self.highest > self.lowest
        small = self.above_reflectance < OUTLIERS * self.valid
        return [] if small[varied].all() else [band for band, is_one in zip(BANDS, small & varied) if is_one]

    @property
    def repeated(self) -> list[str]:
        """Bands each of whose pixels is repeated, as nearest neighbours of coarser ones are."""
        pairs, same = self.neighbours[:, 0], self.neighbours[:, 1]
        shares = np.sort(same / np.maximum(pairs, 1), axis=0)
        found = (shares[1] > ALL) & (shares[0] < NOT_ALL) & (pairs.min() >= LEAST_PAIRS)
        return [band for band, is_one in zip(BANDS, found) if is_one]

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
