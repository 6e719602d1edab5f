# SPDX-License-Identifier: Apache-2.0
"""Native pixels from an image interpolated to a finer grid, when it is known how: the inverse of an interpolation.

Least squares are solved along one axis after the other, by banded Cholesky factors. Where the product of two axes does
not hold, around missing pixels and in the frame of gdalwarp's cubic, the same factors precondition conjugate gradients.
The fit has to leave no more than rounding.

From rounded numbers, native integers come back exactly by a ratio of 6. By 2, rounding leaves single counts open: each
native pixel has four fine ones only. Off by 1 are then 8 % of the native pixels for bilinear and 0.6 % for cubic; no
more than half of these could be told by a search among integers.

    native, valid = restore(pixels, 2, Resampling("bilinear", (0, 0), "edge", "edge", "edge", "edge"))
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from chain.interpolation import EXACT, LeastSquares, Resampling, axes_of, frame_of, interpolation_of, product

ROUNDING = 1.5
"""Largest residual of digital numbers. A rounded number is off by 0.5, which the fit can distribute unevenly."""
ROUNDING_RMS = 0.4
"""Largest root mean square of residuals of digital numbers; that of a number rounded is 0.29."""
RELATIVE = 1e-4
"""Largest residual of floating point numbers, relative to the largest one."""
TRUNCATION = {2: 15 / 32}
"""What truncation takes away on average, by ratio, if not a half; bilinear by 2 has sixteenths."""
DETERMINED = 0.05
"""Least sum of squared weights of a native pixel in the pixels at hand, for its value to count as determined."""
CLIPPED = (32766, 32767, 65534, 65535)
"""Numbers that stand for larger ones; those up to 1 can stand for smaller ones, as nodata is avoided."""


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


def fit(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray | None = None,
    absent: float | None = None,
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

    Raises:
        Mismatch: the pixels are not made so.
    """
    if missing is None or not missing.any():
        attempts = (_fit_complete,)
        missing = np.zeros(pixels.shape, bool)
    else:
        attempts = (_fit_numbers, _fit_renormalised, _fit_beside_bilinear, _fit_masked)
        pixels = np.where(missing, 0, pixels)
    problem = _Problem(np.asarray(pixels, float), ratio, found, missing, absent)
    limits = limits_of(problem.pixels, found.method, found.counted)
    largest = []
    for attempt in attempts:
        fitted = attempt(problem)
        if fitted is not None:
            largest.append(fitted.largest)
            if fitted.largest <= limits[0] + 1e-6 and fitted.rms <= limits[1] + 1e-6:
                return fitted
    raise Mismatch(found.method, min(largest))


def _ridge(means: np.ndarray) -> float:
    """Return the weight of starting values that is right for rounded numbers: a power of 10, as axes are kept.

    It is the variance of rounding by that of the difference between a native pixel and the mean of its fine ones, or
    of its neighbour: about that between neighbours.
    """
    steps = np.diff(means, axis=1)
    steps = steps[np.isfinite(steps)]
    variance = float(np.mean(steps**2)) if steps.size else 0.0
    return 10.0 ** round(np.log10((1 / 12) / max(variance, 1.0)))


class _Problem:
    """An image to fit, its axes, and what does not depend on the treatment of missing pixels."""

    def __init__(self, pixels, ratio, found, missing, absent):
        self.pixels, self.ratio, self.found, self.missing = pixels, ratio, found, missing
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

    def _shown(self, fine: np.ndarray) -> np.ndarray:
        """Sum fine pixels over the native pixels that hold them."""
        return self.columns.shown(self.rows.shown(fine).T).T

    def extended(self, native: np.ndarray) -> np.ndarray:
        """Repeat the edges of native pixels over those that the image does not show."""
        after = [lines.matrix.shape[1] - lines.before - lines.count for lines in (self.rows, self.columns)]
        return np.pad(native, ((self.rows.before, after[0]), (self.columns.before, after[1])), mode="edge")

    def inner(self, native: np.ndarray) -> np.ndarray:
        """Return the native pixels that the image shows."""
        rows, columns = self.rows, self.columns
        return native[rows.before :, columns.before :][: rows.count, : columns.count]

    def start(self, missing_value: float | None = None) -> np.ndarray:
        """Return means over native pixels; without data, the value given or that of the nearest one with data."""
        empty = self.present == 0
        means = self.means
        if empty.any():
            if missing_value is not None:
                means = np.where(empty, missing_value, means)
            elif not empty.all():
                nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
                means = means[tuple(nearest)]
            else:
                means = np.zeros_like(means)
        return self.extended(means)

    def solve(self, fit_: LeastSquares, weight: np.ndarray | None, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit and return native pixels, extended, and residuals; pixels that were clipped are left out.

        Args:
            fit_: the interpolation, without weights.
            weight: 1 for the fine pixels to fit, 0 for others; None for all.
            start: values of what stays undetermined.
        """
        plain = fit_.terms
        for _ in range(3):
            if weight is not None:
                fit_.terms = [(weight if scale is None else weight * scale, *axes) for scale, *axes in plain]
            target = self.pixels if weight is None else weight * self.pixels
            native = fit_.solve(target, start, self.tolerance)
            self.energy = fit_.energy() if weight is not None else None
            fit_.terms = plain
            residual = self.pixels - fit_.forward(native)
            if weight is not None:
                residual *= weight
            clipped = ((self.pixels <= 1) & (residual > self.bound)) | (
                np.isin(self.pixels, (32766, 32767, 65534, 65535)) & (residual < -self.bound)
            )
            if not clipped.any():
                break
            weight = np.where(clipped, 0.0, 1.0 if weight is None else weight)
        return native, residual

    def fitted(self, native: np.ndarray, valid: np.ndarray, residual: np.ndarray) -> Fitted:
        number = max(1, residual.size - int(self.missing.sum()))
        rms = (np.vdot(residual, residual) / number) ** 0.5
        return Fitted(self.inner(native), valid, float(np.abs(residual).max(initial=0.0)), float(rms))


def _fit_complete(problem: _Problem) -> Fitted:
    """Fit an image without missing pixels."""
    whole = problem.interpolation()
    native, residual = problem.solve(whole, None, problem.start())
    return problem.fitted(native, np.ones(problem.means.shape, bool), residual)


def _fit_numbers(problem: _Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were interpolated as numbers."""
    if problem.absent is None:
        return None
    whole = problem.interpolation()
    native, residual = problem.solve(whole, 1.0 - problem.missing, problem.start(problem.absent))
    beyond = whole.forward(native) - problem.absent
    beyond = np.maximum(beyond, 0) if problem.absent == 0 else beyond
    residual = np.where(problem.missing, beyond, residual)
    partly = problem.present < problem.pieces
    valid = (problem.present > 0) & ~(partly & (np.abs(problem.inner(native) - problem.absent) < 1.5))
    return problem.fitted(native, valid, residual)


def _fit_left_out(problem: _Problem, bilinear: bool) -> Fitted | None:
    """Fit an image whose missing native pixels were left out, and maybe bilinear taken beside them."""
    shape = problem.pixels.shape
    whole = problem.interpolation()
    valid = problem.present == problem.pieces
    whole.mask = problem.extended(valid.astype(float))
    weight = 1.0 - problem.missing
    terms = []
    beside = np.zeros(shape, bool)
    if bilinear:
        rows, columns = (abs(lines.matrix) for lines in axes_of(problem.found, problem.ratio, shape))
        beside = product(rows, columns, 1 - whole.mask) > 1e-9
        frame = frame_of(problem.found, problem.ratio, shape)
        beside |= False if frame is None else frame
        terms = [(~beside, problem.found.method), (beside, "bilinear")]
    else:
        terms = [(scale, None) for scale, *_ in whole.terms]
    scaled = []
    for term, (part, method) in enumerate(terms):
        axes = whole.terms[term][1:] if method is None else axes_of(problem.found, problem.ratio, shape, method)
        shares = product(axes[0].matrix, axes[1].matrix, whole.mask)
        used = (problem.missing == 0) if part is None else (np.asarray(part, bool) & ~problem.missing)
        if np.any(used & (shares < 1e-6)):
            return None
        scaled.append((np.where(used, 1 / np.where(used, shares, 1.0), 0.0), *axes))
    whole.terms = scaled
    native, residual = problem.solve(whole, weight, problem.start() * whole.mask)
    return problem.fitted(native, valid, residual)


def _fit_renormalised(problem: _Problem) -> Fitted | None:
    """Fit an image whose missing native pixels were left out."""
    return _fit_left_out(problem, bilinear=False)


def _fit_beside_bilinear(problem: _Problem) -> Fitted | None:
    """Fit an image for which bilinear replaced cubic beside missing native pixels."""
    return _fit_left_out(problem, bilinear=True) if problem.found.method == "cubic" else None


def _fit_masked(problem: _Problem) -> Fitted:
    """Fit an image whose pixels were masked after interpolation."""
    whole = problem.interpolation()
    native, residual = problem.solve(whole, 1.0 - problem.missing, problem.start())
    valid = (problem.present > 0) & (problem.inner(problem.energy) > DETERMINED)
    return problem.fitted(native, valid, residual)


def restore(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray | None = None,
    absent: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Invert an interpolation in an image held in memory.

    Args:
        pixels: fine pixels, (rows, columns).
        ratio: fine pixels along a native one.
        found: how they were made.
        missing: true where there is no data; none by default.
        absent: the number of missing pixels, where it can have been interpolated as one.

    Returns:
        Native pixels, (rows, columns), float64, whole numbers where the fine pixels are; and which of them have data.

    Raises:
        Mismatch: the pixels are not made so.
    """
    fitted = fit(pixels, ratio, found, missing, absent)
    native = fitted.native
    if found.counted:
        native = np.rint(native + (TRUNCATION.get(ratio, 0.5) if found.truncated else 0.0))
    return native, fitted.valid
