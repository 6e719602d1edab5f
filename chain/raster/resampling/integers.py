# SPDX-License-Identifier: Apache-2.0
"""How near to whole numbers native pixels are: digital numbers were whole before they were resampled.

Of an image that two interpolations explain, one of them gives whole numbers and the other any. What rounding adds to
each native pixel is known, so that both can be compared by their likelihoods.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_erosion, correlate1d

from chain.raster.resampling.interpolation import SPLINE, Resampling, axis, lost_by_truncation
from chain.raster.resampling.treatments import ROUNDED, Fitted

SHARP = 0.45
"""Largest standard deviation of a native pixel's error that says something of whether it is a whole number."""
LEAST = 0.02
"""Least one: native pixels can be a little off whole numbers for other reasons."""
OTHERWISE = 0.02
"""Share of native pixels that can be any number."""
INDEPENDENT = 0.5
"""Share of the native pixels whose errors count as independent of others'."""
UNEVEN = 1.0
"""Difference of a native pixel from its neighbour from which it tells something: in even parts all methods give the
same numbers."""
SURE = 12.0
"""Difference of log-likelihoods from which one explanation is taken and the other is not."""
SPLINE_VALUES = (1 / 6, 4 / 6, 1 / 6)
"""Weights of a cubic spline's coefficients in its value at one of them."""


@dataclass(frozen=True)
class Integers:
    """Evidence that native pixels are whole numbers."""

    score: float = 0.0
    """Log-likelihood of that, less that of any numbers."""
    truncated: bool = False
    """Whether they are when what truncation takes away is added."""
    number: int = 0
    """Native pixels that say something of it."""


def integers(fits: Sequence[Fitted], ratio: int, found: Resampling) -> Integers:
    """Tell how near to whole numbers native pixels are."""
    values, spreads = [], []
    for each in fits:
        uneven = np.abs(np.diff(each.native, axis=1, prepend=each.native[:, :1])) > UNEVEN
        telling = each.valid & uneven & (each.spread < SHARP)
        values.append(each.native[telling])
        spreads.append(each.spread[telling])
    value, spread = np.concatenate(values or [np.empty(0)]), np.concatenate(spreads or [np.empty(0)])
    scores = [_score(value, spread)]
    if found.counted:
        scores.append(_score(value + lost_by_truncation(ratio), spread))
    best = int(np.argmax(scores))
    return Integers(scores[best], best == 1 and scores[1] > max(scores[0], 0.0) + 1.0, value.size)


def spline_values(fitted: Fitted, ratio: int) -> Fitted:
    """Return the values of a cubic spline at the native pixels, from its coefficients there."""
    values = fitted.native
    for along in (0, 1):
        values = correlate1d(values, SPLINE_VALUES, axis=along, mode="nearest")
    spread = np.full(values.shape, ROUNDED * _spread_of_values(ratio) ** 2)
    return replace(fitted, native=values, spread=spread, valid=binary_erosion(fitted.valid, np.ones((3, 3))))


@lru_cache
def _spread_of_values(ratio: int) -> float:
    """Return the standard deviation of a spline's value at a native pixel, along one axis, by that of a fine one."""
    lines = axis(SPLINE, ratio, 0, 40 * ratio, "edge", "edge")
    weights = np.zeros(40)
    weights[19:22] = SPLINE_VALUES
    return float(weights @ lines.solve(weights)) ** 0.5


def _score(value: np.ndarray, spread: np.ndarray) -> float:
    """Return the log-likelihood of whole numbers with errors, less that of any numbers."""
    spread = np.maximum(spread, LEAST)
    off = value - np.rint(value)
    density = sum(
        np.exp(-0.5 * ((off + shift) / spread) ** 2) / (spread * (2 * np.pi) ** 0.5) for shift in (-2, -1, 0, 1, 2)
    )
    return float(INDEPENDENT * np.sum(np.log((1 - OTHERWISE) * density + OTHERWISE)))
