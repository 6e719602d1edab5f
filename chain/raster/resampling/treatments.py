# SPDX-License-Identifier: Apache-2.0
"""Least squares of native pixels where pixels are missing, by what can have become of these.

A resampler takes missing native pixels as numbers (0, for files which declare no nodata), or leaves them out and shares
their weights among the others: those of both axes at once (gdalwarp), or one axis after the other (gdal_translate,
rasterio's reading); gdalwarp's cubic turns to bilinear beside them. Pixels may also be masked afterwards: then the fit
is to those left. Where none of these explains the pixels, those are left out that missing ones can have a part in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt

from chain.raster.resampling.interpolation import EXACT, METHODS, OPEN, Resampling, axes_of, axis, frame_of, terms_of
from chain.raster.resampling.least_squares import Normal, Term, forward

ROUNDING = 1.5
"""Largest residual of digital numbers. A rounded number is off by 0.5, which the fit can distribute unevenly: the
largest one seen is 1.0."""
ROUNDED = 12**-0.5
"""Standard deviation of what rounding adds."""
KNOWN = 0.6
"""Largest standard deviation of a native pixel's error that rounding causes, in digital numbers, for it to count as
known. Such a pixel is off by no more than 2."""
KNOWN_INSIDE = 1.25
"""The same as a multiple of that of native pixels away from borders and missing pixels, where this is larger."""
KNOWN_RELATIVE = 5e-5
"""The same for floating point numbers, relative to the largest one."""
FLOAT = 2.0**-25
"""Least standard deviation that floating point adds, relative to the largest number."""
LARGEST_ABSENT = 1e5
"""Number of missing pixels from which it was not interpolated: no pixel beside would be explained."""
NOTHING, NOTHING_BESIDE = 0.5, 6.0
"""Where missing pixels were interpolated as numbers, a native pixel has no data when it is this near to that number; a
native pixel partly missing is less well determined."""
CLIPPED = (32766, 32767, 65534, 65535)
"""Numbers that stand for larger ones; those up to 1 can stand for smaller ones, as nodata is avoided."""
CLIPPING = 8
"""Most times to decide which numbers are such."""
SHARE = 1e-6
"""Least sum of weights that a resampler divides by."""


@dataclass
class Fitted:
    """Native pixels fitted to an image."""

    native: np.ndarray
    """Values, (rows, columns), float64."""
    spread: np.ndarray
    """Standard deviation of the error of each."""
    valid: np.ndarray
    """Whether each has data and is known."""
    largest: float
    """Largest residual of the fine pixels."""
    rms: float
    """Root mean square of their residuals."""
    freedom: float
    """How many more fine pixels there are than native ones that they determine."""
    used: int = 0
    """Fine pixels that were fitted."""
    there: np.ndarray | None = None
    """Whether each can have data, by what became of missing ones; all where that is None."""


def spread_of(variance: np.ndarray, found: Resampling, peak: float, squares: float, freedom: float) -> np.ndarray:
    """Return the standard deviation of each native pixel's error.

    Args:
        variance: that of each native pixel, were that of each fine one 1.
        found: how the fine pixels were made.
        peak: the largest of them.
        squares: sum of the squares that the fit leaves of them.
        freedom: how many more of them there are than native ones that they determine.
    """
    variance = np.where(variance > 0, variance, np.inf)  # of ill-conditioned equations, rounding can make it negative
    if found.counted:
        return ROUNDED * variance**0.5
    noise = max(FLOAT * peak, (squares / freedom) ** 0.5 if freedom >= 1 and not found.stated else 0.0)
    left_open = EXACT * peak**2  # what no pixel tells can be off by as much as the largest one
    return (variance * (noise**2 + left_open)) ** 0.5


@lru_cache(maxsize=64)
def _inside(method: str, ratio: int) -> float:
    """Return the standard deviation of a native pixel away from borders, were that of each fine one 1."""
    return float(axis(method, ratio, 0, 40 * ratio, "edge", "edge").variance[20])


def largest_spread(found: Resampling, ratio: int, peak: float) -> float:
    """Return the largest standard deviation of its error with which a native pixel counts as known."""
    if found.counted:
        return max(KNOWN, KNOWN_INSIDE * ROUNDED * _inside(found.method, ratio))
    return KNOWN_RELATIVE * peak


def known(found: Resampling, ratio: int, peak: float, spread: np.ndarray) -> np.ndarray:
    """Return which native pixels are known, by the standard deviations of their errors."""
    return spread <= largest_spread(found, ratio, peak)


class Problem:
    """A small image to fit, its axes, and what does not depend on the treatment of missing pixels.

    Args:
        pixels: fine pixels, (rows, columns), float64, 0 where they are missing.
        ratio: fine pixels along a native one.
        found: how they were made.
        missing: where there is no data.
        absent: the number of missing pixels, where it can have been interpolated as one.
        checked: the part whose pixels have to be explained, rows and columns.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        ratio: int,
        found: Resampling,
        missing: np.ndarray,
        absent: float | None,
        checked: tuple[slice, slice],
    ):
        self.pixels, self.ratio, self.found, self.missing = pixels, ratio, found, missing
        self.checked = checked
        self.absent = absent if absent is not None and abs(absent) < LARGEST_ABSENT else None
        self.rows, self.columns = axes_of(found, ratio, pixels.shape)
        self.peak = float(np.abs(pixels).max(initial=0.0))
        self.bound = ROUNDING if found.counted else np.inf
        self.present = self._shown(1.0 - missing)
        self.pieces = self._shown(np.ones(pixels.shape))
        with np.errstate(invalid="ignore", divide="ignore"):
            self.means = self._shown(pixels * ~missing) / self.present

    def terms(self) -> list[Term]:
        """Return the interpolation of the image, were no pixel missing."""
        return terms_of(self.found, self.ratio, self.pixels.shape)

    def frame(self) -> np.ndarray:
        """Return 1 for the fine pixels that gdalwarp's cubic left to bilinear at the borders, 0 for others."""
        frame = frame_of(self.found, self.ratio, self.pixels.shape)
        return np.zeros(self.pixels.shape) if frame is None else 1.0 * frame

    def reached(self, native: np.ndarray) -> np.ndarray:
        """Return the fine pixels in which any of some native ones, extended, has a part."""
        term = Term(abs(self.rows.matrix), abs(self.columns.matrix))
        return term.forward(1.0 * native) > 1e-9

    def reaching(self, fine: np.ndarray) -> np.ndarray:
        """Return the native pixels, extended, that have a part in any of some fine ones, with positive weights."""
        term = Term(self.rows.matrix.maximum(0), self.columns.matrix.maximum(0))
        return term.backward(1.0 * fine) > 1e-9

    def certain(self, gone: np.ndarray) -> np.ndarray:
        """Return the fine pixels which do not depend on native ones of which it is not known whether they are there.

        Args:
            gone: native pixels, extended, that are not wholly there. Those beyond the image beside them are doubtful.
        """
        beyond = np.pad(np.zeros(self.means.shape, bool), self.borders(), constant_values=True)
        return ~self.reached(beyond & binary_dilation(gone, np.ones((3, 3), bool), iterations=2))

    def near_partly_missing(self) -> np.ndarray:
        """Return the native pixels, extended, within the reach of the method from one that is missing in part."""
        partly = self.extended((self.present > 0) & (self.present < self.pieces))
        return binary_dilation(partly, np.ones((3, 3), bool), iterations=METHODS[self.found.method].reach)

    def seen(self) -> np.ndarray:
        """Return the fine pixels which depend on no native ones beyond the image: any of those may not be there."""
        return ~self.reached(np.pad(np.zeros(self.means.shape, bool), self.borders(), constant_values=True))

    def filled_along_cuts(self, gone: np.ndarray) -> np.ndarray:
        """Return native pixels, extended, along cuts, that may be missing though their fine pixels have data.

        gdal_translate fills fine pixels of missing native ones from those beside these. Where that left some out, they
        may have been cut off.

        Args:
            gone: native pixels that the image shows, and that are missing.
        """
        found, lines = self.found, np.zeros(gone.shape, bool)
        cut = (*found.phase, *(-(size + first) % self.ratio for size, first in zip(self.pixels.shape, found.phase)))
        for turn, (rule, part) in enumerate(zip((found.top, found.left, found.bottom, found.right), cut)):
            line, beside = (np.rot90(array, -turn)[:2] for array in (lines, gone))
            near = beside.any() if part else binary_dilation(beside, np.ones((3, 3), bool), iterations=2)[0]
            line[0] |= (rule == OPEN) & near
        return np.pad(lines & ~gone, self.borders())

    def _shown(self, fine: np.ndarray) -> np.ndarray:
        """Sum fine pixels over the native pixels that hold them."""
        return self.columns.shown(self.rows.shown(fine).T).T

    def extended(self, native: np.ndarray) -> np.ndarray:
        """Repeat the edges of native pixels over those that the image does not show."""
        return np.pad(native, self.borders(), mode="edge")

    def borders(self) -> list[tuple[int, int]]:
        """Return how many native pixels, which the image does not show, its own ones depend on: rows, columns."""
        axes = (self.rows, self.columns)
        return [(lines.before, lines.matrix.shape[1] - lines.before - lines.count) for lines in axes]

    def inner(self, native: np.ndarray) -> np.ndarray:
        """Return the native pixels that the image shows."""
        rows, columns = self.rows, self.columns
        return native[rows.before :, columns.before :][: rows.count, : columns.count]

    def start(self) -> np.ndarray:
        """Return means over native pixels, extended; without data, that of the nearest one with data."""
        empty, means = self.present == 0, self.means
        if empty.any() and not empty.all():
            nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
            means = means[tuple(nearest)]
        return self.extended(np.nan_to_num(means))

    def solve(
        self,
        terms: Sequence[Term],
        used: np.ndarray,
        absent: np.ndarray | None = None,
        less: float = 0.0,
        there: np.ndarray | None = None,
    ) -> tuple[Fitted, np.ndarray]:
        """Fit native pixels to some fine ones. Those that were clipped are left out.

        Args:
            terms: the interpolation.
            used: which fine pixels to fit.
            absent: native pixels, extended, that are `less`.
            less: what to take off the fine pixels, and the native ones, before.
            there: which of the native pixels that the image shows can have data, all by default.

        Returns:
            The fit, and the interpolation of its native pixels.
        """
        pixels, start = self.pixels + self.found.lost(self.ratio) - less, self.start() - less
        low, high = self.pixels <= 1, np.isin(self.pixels, CLIPPED)
        clipped = np.zeros(pixels.shape, bool)
        for _ in range(CLIPPING):
            normal = Normal(terms, 1.0 * (used & ~clipped), absent, self.found.ridge)
            native = normal.solve(pixels, start)
            made = forward(terms, native)
            residual = np.where(used, pixels - made, 0.0)
            before, least = clipped, np.where(clipped, 0, self.bound)
            clipped = (low & (residual > least)) | (high & (residual < -least))
            if np.array_equal(before, clipped):
                break
        residual = np.where(clipped, 0.0, residual)
        variance = normal.variance()
        freedom = normal.freedom(variance)
        spread = spread_of(self.inner(variance), self.found, self.peak, float(np.sum(residual**2)), freedom)
        there = self.present > 0 if there is None else there & (self.present > 0)
        part = residual[self.checked]
        number = max(1, int(np.count_nonzero(used[self.checked])))
        fitted = Fitted(
            self.inner(native) + less,
            spread,
            there & known(self.found, self.ratio, self.peak, spread),
            float(np.abs(part).max(initial=0.0)),
            float((np.sum(part**2) / number) ** 0.5),
            freedom,
            number,
            there,
        )
        return fitted, made


def fit_complete(problem: Problem) -> Fitted:
    """Fit an image without missing pixels."""
    return problem.solve(problem.terms(), np.ones(problem.pixels.shape, bool))[0]


def _fit_numbers(problem: Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were interpolated as numbers: those are known."""
    if problem.absent is None:
        return None
    absent = problem.extended(problem.present == 0)
    certain = problem.certain(problem.extended(problem.present < problem.pieces))
    fitted, made = problem.solve(problem.terms(), certain & ~problem.missing, absent, problem.absent)
    unsure = ~known(problem.found, problem.ratio, problem.peak, fitted.spread)
    unsure = np.pad(unsure, problem.borders(), constant_values=True) & ~absent
    beyond = made * (certain & problem.missing & ~problem.reached(unsure))
    beyond = np.maximum(beyond, 0) if problem.absent == 0 else beyond  # where the sum is negative, 0 is written
    beyond = float(np.abs(beyond[problem.checked]).max(initial=0.0))
    doubt = np.where(problem.present < problem.pieces, NOTHING_BESIDE, NOTHING) if problem.found.counted else 0.0
    something = np.abs(fitted.native - problem.absent) > doubt
    return replace(fitted, valid=fitted.valid & something, largest=max(fitted.largest, beyond))


def _shares(problem: Problem, method: str, part: np.ndarray, there: np.ndarray) -> Term | None:
    """Return a part of an interpolation that shares out the weights of native pixels which are not there."""
    rows, columns = axes_of(problem.found, problem.ratio, problem.pixels.shape, method)
    shares = Term(rows.matrix, columns.matrix).forward(there)
    used = part & ~problem.missing
    if np.any(np.abs(shares[used]) < SHARE):
        return None
    return Term(rows.matrix, columns.matrix, used / np.where(used, shares, 1.0))


def _fit_left_out(problem: Problem, parts: Sequence[tuple[str, np.ndarray]]) -> Fitted | None:
    """Fit an image whose missing native pixels were left out, by methods that each gave a part of the fine pixels.

    That leaves holes of whole native pixels. Where one is missing in part, pixels were masked afterwards, and those
    beside it that are wholly missing may have been there. All fine pixels have to be explained, but native ones are
    found from those alone that do not depend on such.
    """
    absent = problem.extended(problem.present == 0)
    doubtful = absent & problem.near_partly_missing()
    terms = [_shares(problem, method, part, 1.0 - absent) for method, part in parts if part.any()]
    shared = [term for term in terms if term is not None]
    if len(shared) < len(terms):
        return None
    used = problem.seen() & ~problem.missing
    fitted = problem.solve(shared, used, absent)[0]
    if fitted.largest > problem.bound or not doubtful.any():
        return fitted
    sure = problem.solve(shared, used & ~problem.reached(doubtful), absent)[0]
    return replace(fitted, native=sure.native, spread=sure.spread, valid=sure.valid)


def _fit_shared(problem: Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were left out, and their weights shared, in both axes at once."""
    frame = problem.frame() > 0
    return _fit_left_out(problem, [(problem.found.method, ~frame), ("bilinear", frame)])


def _fit_beside_bilinear(problem: Problem) -> Fitted | None:
    """Fit an image for which gdalwarp's bilinear replaced cubic beside missing native pixels."""
    if problem.found.method != "cubic":
        return None
    beside = problem.reached(problem.extended(problem.present == 0)) | (problem.frame() > 0)
    return _fit_left_out(problem, [(problem.found.method, ~beside), ("bilinear", beside)])


def _fit_by_axes(problem: Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were left out, and their weights shared, one axis after the other.

    Then fine pixels have data wherever the weights of native ones that have data sum up to more than nothing.
    """
    if problem.frame().any():
        return None
    rows, columns = problem.rows.matrix, problem.columns.matrix
    absent = problem.reaching(problem.missing)
    across = np.ascontiguousarray((columns @ (1.0 - absent).T).T)
    between = across > SHARE
    down = rows @ (1.0 * between)
    used = ~problem.missing
    if np.any(down[used] < SHARE):
        return None
    term = Term(
        rows,
        columns,
        np.where(used, 1.0 / np.where(used, down, 1.0), 0.0),
        np.where(between, 1.0 / np.where(between, across, 1.0), 0.0),
    )
    hidden = problem.filled_along_cuts(problem.inner(absent))
    used = problem.seen() & used & ~problem.reached(hidden)
    return problem.solve([term], used, absent, there=~problem.inner(absent | hidden))[0]


def fit_masked(problem: Problem) -> Fitted:
    """Fit an image whose pixels were masked after interpolation."""
    return problem.solve(problem.terms(), ~problem.missing)[0]


def fit_away(problem: Problem) -> Fitted:
    """Fit the part of an image that does not depend on native pixels which are not wholly there."""
    gone = problem.extended(problem.present < problem.pieces)
    gone |= problem.filled_along_cuts(problem.inner(gone))
    used = problem.seen() & ~problem.reached(gone) & ~problem.missing
    return replace(problem.solve(problem.terms(), used, there=~problem.inner(gone))[0], there=None)


TREATMENTS: dict[str, Callable[[Problem], Fitted | None]] = {
    "numbers": _fit_numbers,
    "shared": _fit_shared,
    "bilinear": _fit_beside_bilinear,
    "by axes": _fit_by_axes,
    "masked": fit_masked,
    "avoided": fit_away,
}
"""Treatments of native pixels without data, in the order in which they are tried."""
