# SPDX-License-Identifier: Apache-2.0
"""Native pixels from an image interpolated to a finer grid, when it is known how: the inverse of an interpolation.

Least squares are solved along one axis after the other, by banded Cholesky factors. Where the product of two axes does
not hold, around missing pixels and in the frame of gdalwarp's cubic, the same factors precondition conjugate gradients.
The fit has to leave no more than rounding.

From rounded numbers, native integers come back by a ratio of 6, but for one in 100 000. By 2, rounding leaves single
counts open, as each native pixel has four fine ones only: off by 1 are 8 % of the native pixels for bilinear and 0.6 %
for cubic. No more than half of these could be told by a search among integers. By 2 at the very worst is what the
inverse can do to rounding; off by 1 was the most in 30 million pixels.

Little is known of one or two native pixels beside a side that was cut after cubic or Lanczos, or a mask put on it: what
lies beyond has a part in all that shows them. They are off by some tens of counts in real images.

    native = restore(pixels, 2, Resampling("bilinear", (0, 0), "edge", "edge", "edge", "edge")).native
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt

from chain.raster.resampling.interpolation import (
    EXACT,
    LeastSquares,
    Resampling,
    axes_of,
    frame_of,
    interpolation_of,
    product,
)

ROUNDING = 2.0
"""Largest residual of digital numbers. A rounded number is off by 0.5, which the fit can distribute unevenly."""
ROUNDING_RMS = 0.4
"""Largest root mean square of residuals of digital numbers; that of a number rounded is 0.29."""
RELATIVE = 1e-4
"""Largest residual of floating point numbers, relative to the largest one."""
TRUNCATION = {2: 15 / 32}
"""What truncation takes away on average, by ratio, if not a half; bilinear by 2 has sixteenths."""
DETERMINED = 0.3
"""Least share of the squared weights of a native pixel that pixels at hand have, for it to count as determined."""
NOTHING, NOTHING_BESIDE = 0.5, 6.0
"""Where missing pixels were interpolated as numbers, a native pixel has no data when it is this near to that number; a
native pixel partly missing is less well determined."""
CLIPPED = (32766, 32767, 65534, 65535)
"""Numbers that stand for larger ones; those up to 1 can stand for smaller ones, as nodata is avoided."""
CLIPPING = 8
"""Most times to decide which numbers are such."""


class Mismatch(ValueError):
    """Pixels that an interpolation does not give."""

    def __init__(self, method: str, off: float):
        super().__init__(f"pixels that no such interpolation gives (closest: {method}, off by up to {off:.3g} DN)")
        self.method, self.off = method, off


def is_counted(pixels: np.ndarray) -> bool:
    """Return whether pixels are integers, of whatever type."""
    return np.issubdtype(pixels.dtype, np.integer) or bool(np.all(pixels == np.rint(pixels)))


def limits_of(pixels: np.ndarray, method: str, counted: bool) -> tuple[float, float]:
    """Return the largest residual and the largest root mean square that pixels may leave."""
    peak = float(np.abs(pixels).max(initial=0.0))
    if method == "nearest":
        return (0.0, 0.0) if counted else (1e-6 * peak, 1e-6 * peak)
    return (ROUNDING, ROUNDING_RMS) if counted else (RELATIVE * peak, RELATIVE * peak)


@dataclass
class Fitted:
    """Native pixels fitted to an image."""

    native: np.ndarray
    """Values, (rows, columns), float64."""
    valid: np.ndarray
    """Whether each has data."""
    largest: float
    """Largest residual of the fine pixels."""
    rms: float
    """Root mean square of their residuals."""
    gaps: str = ""
    """Treatment of native pixels without data that explains the image: one in `TREATMENTS`."""


def fit(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray | None = None,
    absent: float | None = None,
    checked: tuple[slice, slice] = (slice(None), slice(None)),
) -> Fitted:
    """Fit native pixels to an image, by whichever treatment of missing pixels explains it.

    A resampler takes missing native pixels as numbers (0, for files which declare no nodata), or leaves them out and
    renormalises the others' weights, or, gdalwarp's cubic, turns to bilinear beside them. Pixels may also be masked
    after it: then the fit is to those left.

    Args:
        pixels: fine pixels, (rows, columns).
        ratio: fine pixels along a native one.
        found: how they were made.
        missing: true where there is no data; none by default.
        absent: the number of missing pixels, where it can have been interpolated as one.
        checked: the part whose pixels have to be explained, rows and columns.

    Raises:
        Mismatch: the pixels are not made so.
    """
    if missing is None or not missing.any():
        treatments = [""]
        missing = np.zeros(pixels.shape, bool)
    else:
        treatments = sorted(TREATMENTS, key=lambda name: name != found.gaps)
        pixels = np.where(missing, 0, pixels)
    problem = _Problem(np.asarray(pixels, float), ratio, found, missing, absent, checked)
    limits = (np.inf, np.inf) if found.stated else limits_of(problem.pixels, found.method, found.counted)
    if found.stated and treatments != [""]:
        treatments = ["masked"]
    largest = []
    for name in treatments:
        fitted = TREATMENTS[name](problem) if name else _fit_complete(problem)
        if fitted is not None:
            largest.append(fitted.largest)
            if fitted.largest <= limits[0] + 1e-6 and fitted.rms <= limits[1] + 1e-6:
                return replace(fitted, gaps=name)
    raise Mismatch(found.method, min(largest))


def _ridge(means: np.ndarray) -> float:
    """Return the weight of starting values that is right for rounded numbers: a power of 10, as axes are kept.

    It is the variance of rounding by that of the difference between a native pixel and the mean of its fine ones, or
    of its neighbour, both at most ten times the variance between neighbours.
    """
    steps = np.diff(means, axis=1)
    steps = steps[np.isfinite(steps)]
    variance = float(np.mean(steps**2)) if steps.size else 0.0
    return 10.0 ** round(np.log10((1 / 120) / max(variance, 1.0)))


class _Problem:
    """An image to fit, its axes, and what does not depend on the treatment of missing pixels."""

    def __init__(self, pixels, ratio, found, missing, absent, checked):
        self.pixels, self.ratio, self.found, self.missing = pixels, ratio, found, missing
        self.checked = checked
        self.absent = absent if absent is not None and abs(absent) < 1e5 else None
        self.rows, self.columns = axes_of(found, ratio, pixels.shape)
        self.tolerance = 1e-3 if found.counted else 1e-7 * float(np.abs(pixels).max(initial=0.0))
        self.bound = ROUNDING if found.counted else np.inf
        present = self._shown(1.0 - missing)
        self.pieces = self._shown(np.ones(pixels.shape))
        self.present = present
        with np.errstate(invalid="ignore", divide="ignore"):
            self.means = self._shown(pixels * ~missing) / present

        self.ridge = _ridge(self.means) if found.counted else EXACT

    def interpolation(self) -> LeastSquares:
        """Return the interpolation of the image, were no pixel missing."""
        return interpolation_of(self.found, self.ratio, self.pixels.shape, self.ridge)

    def frame(self) -> np.ndarray:
        """Return 1 for the fine pixels that gdalwarp's cubic left to bilinear at the borders, 0 for others."""
        frame = frame_of(self.found, self.ratio, self.pixels.shape)
        return np.zeros(self.pixels.shape) if frame is None else 1.0 * frame

    def certain(self) -> np.ndarray:
        """Return 1 for the fine pixels which do not depend on doubtful native ones, 0 for others.

        Those are doubtful that the image does not show, beside some that are not wholly there.
        """
        beyond = np.pad(np.zeros(self.means.shape, bool), self.borders(), constant_values=True)
        gone = self.extended((self.present < self.pieces).astype(float)) > 0
        doubtful = beyond & binary_dilation(gone, np.ones((3, 3), bool), iterations=2)
        return 1.0 * (product(abs(self.rows.matrix), abs(self.columns.matrix), 1.0 * doubtful) < 1e-9)

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
        self, fit_: LeastSquares, weight: np.ndarray | None, start: np.ndarray, less: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit and return native pixels, extended, and residuals; pixels that were clipped are left out.

        Args:
            fit_: the interpolation, without weights.
            weight: 1 for the fine pixels to fit, 0 for others; None for all.
            start: values of what stays undetermined.
            less: what to take off the fine pixels, and the native ones, before.
        """
        plain, pixels, start = fit_.terms, self.pixels - less, start - less if less else start
        low, high = self.pixels <= 1, np.isin(self.pixels, CLIPPED)
        clipped = np.zeros(pixels.shape, bool)
        for _ in range(CLIPPING):
            used = weight if not clipped.any() else (1.0 if weight is None else weight) * ~clipped
            if used is not None:
                fit_.terms = [(used if scale is None else used * scale, *axes) for scale, *axes in plain]
            native = fit_.solve(pixels if used is None else used * pixels, start, self.tolerance)
            self.energy = fit_.energy() if used is not None else None
            fit_.terms = plain
            residual = (pixels - fit_.forward(native)) * (1.0 if weight is None else weight)
            before, least = clipped, np.where(clipped, 0, self.bound)
            clipped = (low & (residual > least)) | (high & (residual < -least))
            if np.array_equal(before, clipped):
                break
        return native, np.where(clipped, 0, residual)

    def determined(self) -> np.ndarray:
        """Return which native pixels the fine ones determine that were used last."""
        return self.inner(self.energy) > DETERMINED * self.inner(self.interpolation().energy())

    def fitted(self, native: np.ndarray, valid: np.ndarray, residual: np.ndarray) -> Fitted:
        residual, missing = residual[self.checked], self.missing[self.checked]
        number = max(1, residual.size - int(missing.sum()))
        rms = (np.sum(residual**2) / number) ** 0.5
        return Fitted(self.inner(native), valid, float(np.abs(residual).max(initial=0.0)), float(rms))


def _fit_complete(problem: _Problem) -> Fitted:
    """Fit an image without missing pixels."""
    whole = problem.interpolation()
    native, residual = problem.solve(whole, None, problem.start())
    return problem.fitted(native, np.ones(problem.means.shape, bool), residual)


def _fit_numbers(problem: _Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were interpolated as numbers: those are known."""
    absent, whole = problem.absent, problem.interpolation()
    if absent is None:
        return None
    whole.mask = problem.extended((problem.present > 0).astype(float))
    certain = problem.certain()
    native, residual = problem.solve(whole, certain * ~problem.missing, problem.start() * whole.mask, absent)
    beyond = whole.forward(native) * certain
    beyond = np.maximum(beyond, 0) if absent == 0 else beyond  # where the sum is negative, 0 is written
    residual = np.where(problem.missing, beyond, residual)
    doubt = np.where(problem.present < problem.pieces, NOTHING_BESIDE, NOTHING)
    valid = (problem.present > 0) & (np.abs(problem.inner(native)) > (doubt if problem.found.counted else 0))
    return problem.fitted(native + absent, valid, residual)


def _fit_left_out(problem: _Problem, parts: list[tuple[np.ndarray | float, str]]) -> Fitted | None:
    """Fit an image whose missing native pixels were left out, their weights shared among the others.

    Args:
        problem: the image.
        parts: methods, each with 1 for the fine pixels that it gave and 0 for the others.
    """
    there = problem.present == problem.pieces
    whole = problem.interpolation()
    whole.mask, whole.terms = problem.extended(there.astype(float)), []
    for part, method in parts:
        rows, columns = axes_of(problem.found, problem.ratio, problem.pixels.shape, method, problem.ridge)
        shares, used = product(rows.matrix, columns.matrix, whole.mask), part * ~problem.missing
        if np.any(shares[used > 0] < 1e-6):
            return None
        whole.terms.append((used / np.where(used > 0, shares, 1.0), rows, columns))
    native, residual = problem.solve(whole, problem.certain() * ~problem.missing, problem.start() * whole.mask)
    return problem.fitted(native, there, residual)


def _fit_renormalised(problem: _Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were left out."""
    frame, method = problem.frame(), problem.found.method
    return _fit_left_out(problem, [(1.0 - frame, method), (frame, "bilinear")] if frame.any() else [(1.0, method)])


def _fit_beside_bilinear(problem: _Problem) -> Fitted | None:
    """Fit an image for which gdalwarp's bilinear replaced cubic beside missing native pixels."""
    if problem.found.method != "cubic":
        return None
    beside = np.maximum(_beside(problem), problem.frame())
    return _fit_left_out(problem, [(1.0 - beside, problem.found.method), (beside, "bilinear")])


def _fit_masked(problem: _Problem) -> Fitted:
    """Fit an image whose pixels were masked after interpolation."""
    native, residual = problem.solve(problem.interpolation(), 1.0 - problem.missing, problem.start())
    valid = (problem.present > 0) & problem.determined()
    return problem.fitted(native, valid, residual)


def _fit_away(problem: _Problem) -> Fitted:
    """Fit the part of an image that does not depend on native pixels which are not wholly there."""
    weight = (1.0 - _beside(problem)) * problem.certain() * ~problem.missing
    native, residual = problem.solve(problem.interpolation(), weight, problem.start())
    there = problem.present == problem.pieces
    return problem.fitted(native, there & problem.determined(), residual)


def _beside(problem: _Problem) -> np.ndarray:
    """Return 1 for the fine pixels that depend on native ones which are not wholly there, 0 for others."""
    gone = problem.extended((problem.present < problem.pieces).astype(float))
    return 1.0 * (product(abs(problem.rows.matrix), abs(problem.columns.matrix), gone) > 1e-9)


TREATMENTS = {
    "numbers": _fit_numbers,
    "left out": _fit_renormalised,
    "bilinear": _fit_beside_bilinear,
    "masked": _fit_masked,
    "avoided": _fit_away,
}
"""Treatments of native pixels without data, in the order in which they are tried."""
TELLING = ("numbers", "left out", "bilinear")
"""Those that explain an image by what the resampler did: one for all parts of an image."""


def restore(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray | None = None,
    absent: float | None = None,
    checked: tuple[slice, slice] = (slice(None), slice(None)),
) -> Fitted:
    """Invert an interpolation in an image held in memory.

    Args:
        pixels: fine pixels, (rows, columns).
        ratio: fine pixels along a native one.
        found: how they were made.
        missing: true where there is no data; none by default.
        absent: the number of missing pixels, where it can have been interpolated as one.
        checked: the part whose pixels have to be explained, rows and columns; all by default.

    Returns:
        Native pixels, whole numbers where the fine pixels are, and which of them have data.

    Raises:
        Mismatch: the pixels are not made so.
    """
    fitted = fit(pixels, ratio, found, missing, absent, checked)
    if not found.counted:
        return fitted
    lost = TRUNCATION.get(ratio, 0.5) if found.truncated else 0.0
    return replace(fitted, native=np.rint(fitted.native + lost))
