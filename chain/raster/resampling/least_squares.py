# SPDX-License-Identifier: Apache-2.0
"""Weighted least squares of native pixels against fine ones, and how surely these determine each of them.

Pixels that are missing, native ones that were left out, and borders where another kernel was used spoil the product of
two axes. The normal equations stay narrow all the same: a native pixel has pixels in common with its neighbours only.
They are set up from the two axes' matrices, factored as a band (Cholesky), and the diagonal of their inverse is found
without the rest of it (Takahashi, Fagan and Chin, 1973).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve_banded, cholesky_banded, solve_triangular

COLUMNS = 64
"""Columns of the factor of which the inverse is found at a time."""


@dataclass(frozen=True)
class Term:
    """A part of an interpolation: `outer * (rows (inner * (native columns')))`."""

    rows: sparse.csr_matrix
    """Weights, (fine pixels, native pixels)."""
    columns: sparse.csr_matrix
    """Weights, (fine pixels, native pixels)."""
    outer: np.ndarray | None = None
    """Factors of the fine pixels, (rows, columns), 0 where the term has no part; terms do not overlap."""
    inner: np.ndarray | None = None
    """Factors between the axes, (native rows, fine columns)."""

    def forward(self, native: np.ndarray) -> np.ndarray:
        """Interpolate native pixels."""
        between = np.ascontiguousarray((self.columns @ native.T).T)
        fine = self.rows @ (between if self.inner is None else self.inner * between)
        return fine if self.outer is None else self.outer * fine

    def backward(self, fine: np.ndarray) -> np.ndarray:
        """Apply the transposed of `forward`."""
        between = self.rows.T @ (fine if self.outer is None else self.outer * fine)
        between = between if self.inner is None else self.inner * between
        return np.ascontiguousarray((self.columns.T @ np.ascontiguousarray(between.T)).T)


def forward(terms: Sequence[Term], native: np.ndarray) -> np.ndarray:
    """Interpolate native pixels."""
    return reduce(np.add, (term.forward(native) for term in terms))


def _pairs(matrix: sparse.csr_matrix) -> dict[int, sparse.csr_matrix]:
    """Return the products of weights that fine pixels have of native ones and of those `offset` after them.

    Returns:
        By offset from 0 on, (native pixels, fine pixels); the last `offset` lines are empty.
    """
    arrays = matrix.data, matrix.indices, matrix.indptr
    return _known_pairs(matrix.shape, *((array.tobytes(), array.dtype.str) for array in arrays))


@lru_cache(maxsize=512)
def _known_pairs(shape: tuple[int, int], *parts: tuple[bytes, str]) -> dict[int, sparse.csr_matrix]:
    """Return the same for a matrix of which the parts are given: parts of an image, and tries, have the same ones."""
    matrix = sparse.csr_matrix(tuple(np.frombuffer(part, dtype).copy() for part, dtype in parts), shape)
    by_native = sparse.csr_matrix(matrix.T)
    shared = (abs(by_native) @ abs(matrix)).tocoo()
    reach = int((shared.col - shared.row).max(initial=0))
    pairs = {0: by_native.multiply(by_native).tocsr()}
    for offset in range(1, reach + 1):
        pairs[offset] = by_native[:-offset].multiply(by_native[offset:]).tocsr()
    return pairs


class Normal:
    """Normal equations, factored.

    Args:
        terms: the interpolation.
        weights: weight of each fine pixel, (rows, columns).
        known: native pixels that are not to be found, but are 0.
        ridge: weight of the starting values.
    """

    def __init__(self, terms: Sequence[Term], weights: np.ndarray, known: np.ndarray | None, ridge: float):
        self.terms, self.weights = terms, weights
        self.shape = terms[0].rows.shape[1], terms[0].columns.shape[1]
        self.free = np.ones(self.shape, bool) if known is None else ~known
        band = self._band(weights)
        band[0] += np.where(self.free, ridge, 1.0).ravel()
        self.ridge = ridge
        self.factor = cholesky_banded(band, overwrite_ab=True, lower=True, check_finite=False)

    def _band(self, weights: np.ndarray) -> np.ndarray:
        """Return the lower band of the normal equations, native pixels in the order of their rows."""
        parts: dict[int, np.ndarray] = {}
        for term in self.terms:
            square = weights if term.outer is None else weights * term.outer**2
            across = _pairs(term.columns)
            for down, pair in _pairs(term.rows).items():
                between = pair @ square
                if term.inner is not None:
                    between = between * term.inner[: len(between)] * term.inner[down:]
                for right, other in across.items():
                    shared = np.ascontiguousarray((other @ between.T).T)
                    self._add(parts, down, right, shared)
                    if down and right:
                        self._add(parts, down, -right, shared)
        rows, columns = self.shape
        band = np.zeros((max(parts) + 1, rows * columns))
        for offset, part in parts.items():
            band[offset] = part.ravel()
        return band

    def _add(self, parts: dict[int, np.ndarray], down: int, right: int, values: np.ndarray) -> None:
        """Add to the band what native pixels have in common with those `down` rows and `right` columns after them."""
        rows, columns = self.shape
        here = np.s_[: rows - down, : columns - right] if right >= 0 else np.s_[: rows - down, -right:]
        there = np.s_[down:, right:] if right >= 0 else np.s_[down:, : columns + right]
        whole = parts.setdefault(down * columns + right, np.zeros(self.shape))
        whole[here] += np.where(self.free[here] & self.free[there], values, 0.0)

    def solve(self, target: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the native pixels that fit fine ones best, and where these leave them open are nearest to `start`."""
        start = np.where(self.free, start, 0.0)
        left = self.weights * (target - forward(self.terms, start))
        gradient = sum(term.backward(left) for term in self.terms) * self.free
        change = cho_solve_banded((self.factor, True), gradient.ravel(), check_finite=False)
        return start + change.reshape(self.shape)

    def variance(self) -> np.ndarray:
        """Return the variance of each native pixel, were that of each fine one 1: the inverse's diagonal."""
        return inverse_diagonal(self.factor).reshape(self.shape)

    def freedom(self, variance: np.ndarray) -> float:
        """Return how many more fine pixels there are than native ones which they determine.

        Args:
            variance: that of `variance()`.
        """
        determined = np.sum(1.0 - self.ridge * variance[self.free])
        return float(np.count_nonzero(self.weights) - determined)


def _dense(factor: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """Return a part of a lower band as a matrix."""
    below = np.arange(rows.start, rows.stop)[:, None] - np.arange(columns.start, columns.stop)
    inside = (below >= 0) & (below < len(factor))
    values = factor[np.where(inside, below, 0), np.arange(columns.start, columns.stop)]
    return np.where(inside, values, 0.0)


def inverse_diagonal(factor: np.ndarray) -> np.ndarray:
    """Return the diagonal of the inverse of a band matrix, from its lower Cholesky factor, from last to first."""
    width, size = len(factor) - 1, factor.shape[1]
    diagonal = np.empty(size)
    known = np.zeros((0, 0))  # the inverse's part that belongs to the next `width` columns
    for first in range((size - 1) // COLUMNS * COLUMNS, -1, -COLUMNS):
        here = slice(first, min(first + COLUMNS, size))
        after = slice(here.stop, min(here.stop + width, size))
        own = _dense(factor, here, here)
        inverse = solve_triangular(own, np.eye(len(own)), lower=True, check_finite=False)
        beside = _dense(factor, after, here) @ inverse
        crossed = -known[: beside.shape[0], : beside.shape[0]] @ beside
        block = inverse.T @ inverse - beside.T @ crossed
        diagonal[here] = np.diag(block)
        known = np.block([[block, crossed.T], [crossed, known[: beside.shape[0], : beside.shape[0]]]])[:width, :width]
    return diagonal
