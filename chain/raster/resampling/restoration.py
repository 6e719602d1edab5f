# SPDX-License-Identifier: Apache-2.0
"""Native pixels from an image interpolated to a finer grid, when it is known how: the inverse of an interpolation.

Where the interpolation is the product of two axes, least squares are solved along one after the other. Elsewhere,
around missing pixels, clipped ones and in the frame of gdalwarp's cubic, the image is cut into tiles, and each is
solved as a whole (`least_squares`). The fit has to leave no more than rounding.

What rounding does to a native pixel is known from the same equations: its standard deviation, from 0.06 (cubic by 6) to
0.29 (bilinear by 2) and 0.73 (cubic spline by 2) digital numbers where all pixels are there. A native pixel of which it
is larger than 0.6 (or, for the spline, by a quarter larger than inside) is not known, and has no data: one beside a
side that was cut after cubic by 2, for instance, as what lies beyond has a part in all that shows it, and many an image
of it gives the same pixels. The others are off by 2 digital numbers at most, after a cubic spline by 4.

    native = restore(pixels, 2, Resampling("bilinear", (0, 0), "edge", "edge", "edge", "edge")).native
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from chain.raster.resampling.interpolation import Axis, Resampling, axes_of, frame_of
from chain.raster.resampling.tiles import native_shape, tiles
from chain.raster.resampling.treatments import (
    CLIPPED,
    LARGEST_ABSENT,
    ROUNDING,
    TREATMENTS,
    Fitted,
    Problem,
    fit_complete,
    fit_masked,
    known,
    largest_spread,
    spread_of,
)

ROUNDING_RMS = 0.4
"""Largest root mean square of residuals of digital numbers; that of a number rounded is 0.29."""
RELATIVE = 1e-4
"""Largest residual of floating point numbers, relative to the largest one."""
TILE = 48
"""Native pixels along a tile."""
TRIES = 3
"""Tiles that a treatment of missing pixels may fail to explain before it is only tried where all others fail."""
AGREEMENT = 3.0
"""Largest difference between native pixels by two explanations, in standard deviations that count as known."""

ABSENT = 4.0
"""Distance of a native pixel from the number of missing ones, in standard deviations, up to which it may be that."""


class Mismatch(ValueError):
    """Pixels that an interpolation does not give."""

    def __init__(self, method: str, off: float):
        super().__init__(f"pixels that no known interpolation gives (closest: {method}, off by up to {off:.3g} DN)")
        self.method, self.off = method, off


def is_counted(pixels: np.ndarray) -> bool:
    """Return whether pixels are integers, of whatever type."""
    return np.issubdtype(pixels.dtype, np.integer) or bool(np.all(pixels == np.rint(pixels)))


def limits_of(peak: float, found: Resampling) -> tuple[float, float]:
    """Return the largest residual and the largest root mean square that pixels may leave."""
    if found.stated:
        return np.inf, np.inf
    if found.method == "nearest":
        return (0.0, 0.0) if found.counted else (1e-6 * peak, 1e-6 * peak)
    return (ROUNDING, ROUNDING_RMS) if found.counted else (RELATIVE * peak, RELATIVE * peak)


@dataclass
class Gaps:
    """Which treatments of missing pixels have explained parts of an image so far: one resampler made all of it."""

    explained: Counter[str] = field(default_factory=Counter)
    """Tiles that each explained."""
    failed: Counter[str] = field(default_factory=Counter)
    """Tiles that each did not."""
    only: str | None = None
    """The one treatment to try, where it is to be no other."""

    def likely(self) -> list[str]:
        """Return the treatments to try, the likeliest first."""
        if self.only is not None:
            return [self.only]
        names = sorted(TREATMENTS, key=lambda name: -self.explained[name])
        return [name for name in names if name != "avoided" and (self.explained[name] or self.failed[name] < TRIES)]

    def unlikely(self) -> list[str]:
        """Return the treatments to try where no likely one explains the pixels."""
        if self.only is not None:
            return []
        return [name for name in TREATMENTS if name not in self.likely()]


def fit(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray | None = None,
    absent: float | None = None,
    checked: tuple[slice, slice] = (slice(None), slice(None)),
    gaps: Gaps | None = None,
) -> Fitted:
    """Fit native pixels to an image, by whichever treatment of missing pixels explains it.

    Args:
        pixels: fine pixels, (rows, columns).
        ratio: fine pixels along a native one.
        found: how they were made.
        missing: true where there is no data; none by default.
        absent: the number of missing pixels, where it can have been interpolated as one.
        checked: the part whose pixels have to be explained, rows and columns.
        gaps: what is known of missing pixels from other parts of the image; this part's are added.

    Raises:
        Mismatch: the pixels are not made so.
    """
    missing = np.zeros(pixels.shape, bool) if missing is None else missing
    pixels = np.where(missing, 0, pixels).astype(float)
    if found.method == "nearest":
        return _fit_nearest(pixels, ratio, found, missing, checked)
    fitted = None
    if not missing.any() and frame_of(found, ratio, pixels.shape) is None:
        fitted = _fit_by_axes(pixels, ratio, found, checked)
    if fitted is None:
        fitted = _fit_by_tiles(pixels, ratio, found, missing, absent, checked, gaps or Gaps())
    top, bottom, left, right = found.trimmed
    rows, columns = fitted.valid.shape
    inside = np.zeros(fitted.valid.shape, bool)
    inside[top : rows - bottom, left : columns - right] = True
    return replace(fitted, valid=fitted.valid & inside)


def _fit_by_tiles(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray,
    absent: float | None,
    checked: tuple[slice, slice],
    gaps: Gaps,
) -> Fitted:
    """Fit an image tile by tile."""
    shape = native_shape(pixels.shape, ratio, found.phase)
    whole = Fitted(np.zeros(shape), np.full(shape, np.inf), np.zeros(shape, bool), 0.0, 0.0, 0.0)
    squares, number = 0.0, 0
    for tile in tiles(found, ratio, pixels.shape, TILE):
        down, across = (
            slice(max(part.start, limits.start - span.start), min(part.stop, limits.stop - span.start))
            for part, span, limits in zip(tile.checked, tile.fine, _bounds(checked, pixels.shape))
        )
        inside = down, across
        if missing[tile.fine].all():
            continue
        fitted = _fit_tile(pixels[tile.fine], ratio, tile.found, missing[tile.fine], absent, inside, gaps)
        for name in ("native", "spread", "valid"):
            getattr(whole, name)[tile.native] = getattr(fitted, name)[tile.kept]
        seen = int(np.count_nonzero(~missing[tile.fine][inside]))
        squares, number = squares + seen * fitted.rms**2, number + seen
        whole.largest = max(whole.largest, fitted.largest)
        whole.freedom += fitted.freedom * seen / max(1, np.count_nonzero(~missing[tile.fine]))
    whole.rms, whole.used = (squares / max(1, number)) ** 0.5, number
    return whole


def _bounds(part: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of an image with all its bounds as numbers."""
    rows, columns = (slice(*each.indices(size)[:2]) for each, size in zip(part, shape))
    return rows, columns


def _shown(image: np.ndarray, ratio: int, phase: tuple[int, int], reduce: np.ufunc) -> np.ndarray:
    """Reduce fine pixels over the native pixels that hold them."""
    for along, (size, first) in enumerate(zip(image.shape, phase)):
        starts = np.flatnonzero(np.diff((np.arange(size) + first) // ratio, prepend=-1))
        image = reduce.reduceat(image, starts, axis=along)
    return image


def _fit_nearest(
    pixels: np.ndarray, ratio: int, found: Resampling, missing: np.ndarray, checked: tuple[slice, slice]
) -> Fitted:
    """Fit an image whose fine pixels are those of the native ones that hold them."""
    number = _shown((~missing).astype(int), ratio, found.phase, np.add)
    lowest = _shown(np.where(missing, np.inf, pixels), ratio, found.phase, np.minimum)
    highest = _shown(np.where(missing, -np.inf, pixels), ratio, found.phase, np.maximum)
    sums = _shown(np.where(missing, 0.0, pixels), ratio, found.phase, np.add)
    valid = number > 0
    native = np.where(lowest == highest, lowest, sums / np.maximum(number, 1))
    native = np.where(valid, native, 0.0)
    rows, columns = (
        (np.arange(size)[part] + first) // ratio for size, part, first in zip(pixels.shape, checked, found.phase)
    )
    residual = np.where(missing[checked], 0.0, pixels[checked] - native[np.ix_(rows, columns)])
    largest = float(np.abs(residual).max(initial=0.0))
    rms = float(np.sum(residual**2) / max(1, np.count_nonzero(~missing[checked]))) ** 0.5
    limits = limits_of(float(np.abs(pixels).max(initial=0.0)), found)
    if largest > limits[0]:
        raise Mismatch(found.method, largest)
    return Fitted(
        native, np.zeros(native.shape), valid, largest, rms, float(np.sum(number[valid] - 1)), int(np.sum(number))
    )


def solve_axis(lines: Axis, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit along the first axis of pixels (fine pixels, any number); return native ones, and what is left of fine ones.

    Where these leave the native pixels open, they are near the means of the pixels that they hold.
    """
    seen = lines.shown(pixels) / np.bincount(lines.footprint)[:, None]
    after = lines.matrix.shape[1] - lines.before - lines.count
    start = np.pad(seen, ((lines.before, after), (0, 0)), mode="edge")
    native = start + lines.solve(lines.transposed @ (pixels - lines.matrix @ start))
    return native, pixels - lines.matrix @ native


def _fit_by_axes(pixels: np.ndarray, ratio: int, found: Resampling, checked: tuple[slice, slice]) -> Fitted | None:
    """Fit an image without missing pixels, one axis after the other; None where some seem to have been clipped."""
    rows, columns = axes_of(found, ratio, pixels.shape)
    full = pixels + found.lost(ratio)
    native = solve_axis(rows, solve_axis(columns, full.T)[0].T)[0]
    residual = full - np.ascontiguousarray((columns.matrix @ (rows.matrix @ native).T).T)
    clipped = ((pixels <= 1) & (residual > ROUNDING)) | (np.isin(pixels, CLIPPED) & (residual < -ROUNDING))
    if found.counted and clipped.any():
        return None
    peak = float(np.abs(pixels).max(initial=0.0))
    inner = tuple(slice(lines.before, lines.before + lines.count) for lines in (rows, columns))
    variance = np.outer(rows.variance[inner[0]], columns.variance[inner[1]])
    freedom = float(pixels.size) - rows.determined * columns.determined
    spread = spread_of(variance, found, peak, float(np.sum(residual**2)), freedom)
    part = residual[checked]
    largest, rms = float(np.abs(part).max(initial=0.0)), float(np.mean(part**2)) ** 0.5
    limits = limits_of(peak, found)
    if largest > limits[0] + 1e-6 or rms > limits[1] + 1e-6:
        raise Mismatch(found.method, largest)
    return Fitted(native[inner], spread, known(found, ratio, peak, spread), largest, rms, freedom, part.size)


def _fit_tile(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray,
    absent: float | None,
    checked: tuple[slice, slice],
    gaps: Gaps,
) -> Fitted:
    """Fit a small part of an image. Native pixels on which two explanations differ are not known."""
    problem = Problem(pixels, ratio, found, missing, absent, checked)
    limits = limits_of(problem.peak, found)
    if not missing.any():
        fitted = fit_complete(problem)
        if _explains(fitted, limits):
            return fitted
        raise Mismatch(found.method, fitted.largest)
    if found.stated:
        return fit_masked(problem)
    largest: list[float] = []
    explained: list[Fitted] = []
    for names in (gaps.likely(), gaps.unlikely()):
        for name in names:
            treated = TREATMENTS[name](problem)
            if treated is None:
                continue
            largest.append(treated.largest)
            (gaps.explained if _explains(treated, limits) else gaps.failed)[name] += 1
            explained += [treated] if _explains(treated, limits) else []
        if explained:
            break
    if not explained:
        raise Mismatch(found.method, min(largest, default=np.inf))
    return _agreed(explained, AGREEMENT * largest_spread(found, ratio, problem.peak))


def _may_be_absent(
    fitted: Fitted, pixels: np.ndarray, ratio: int, found: Resampling, missing: np.ndarray, absent: float
) -> np.ndarray:
    """Return the native pixels that can be the number of missing ones, interpolated as any other.

    One whose own fine pixels all have data, and are as near to that number, is dark ground.
    """
    peak = float(np.abs(pixels[~missing]).max(initial=0.0))
    limit = np.maximum(ABSENT * fitted.spread, largest_spread(found, ratio, peak))
    away = np.where(missing, np.inf, np.abs(pixels - absent))
    dark = _shown(away, ratio, found.phase, np.maximum) <= ABSENT * limit
    return (np.abs(fitted.native - absent) <= limit) & ~dark


def _explains(fitted: Fitted, limits: tuple[float, float]) -> bool:
    """Return whether a fit leaves no more of the pixels than it may."""
    return fitted.largest <= limits[0] + 1e-6 and fitted.rms <= limits[1] + 1e-6


def _agreed(explanations: list[Fitted], tolerance: float) -> Fitted:
    """Return the first of some explanations, without native pixels that another one gives another value, or no data."""
    first, *others = explanations
    valid = first.valid.copy()
    for other in others:
        valid &= ~(other.valid & (np.abs(other.native - first.native) > tolerance))
        valid &= True if other.there is None else other.there
    return replace(first, valid=valid)


def restore(
    pixels: np.ndarray,
    ratio: int,
    found: Resampling,
    missing: np.ndarray | None = None,
    absent: float | None = None,
    checked: tuple[slice, slice] = (slice(None), slice(None)),
    gaps: Gaps | None = None,
) -> Fitted:
    """Invert an interpolation in an image held in memory.

    Args:
        pixels: fine pixels, (rows, columns).
        ratio: fine pixels along a native one.
        found: how they were made.
        missing: true where there is no data; none by default.
        absent: the number of missing pixels, where it can have been interpolated as one.
        checked: the part whose pixels have to be explained, rows and columns; all by default.
        gaps: what is known of missing pixels from other parts of the image; this part's are added.

    Returns:
        Native pixels, whole numbers where the fine pixels are, and which of them have data and are known.

    Raises:
        Mismatch: the pixels are not made so.
    """
    missing = np.zeros(pixels.shape, bool) if missing is None else missing
    fitted = fit(pixels, ratio, found, missing, absent, checked, gaps)
    if found.method != "nearest" and absent is not None and abs(absent) < LARGEST_ABSENT:
        nothing = _may_be_absent(fitted, pixels, ratio, found, missing, absent)
        fitted = replace(fitted, valid=fitted.valid & ~nothing)
    return replace(fitted, native=np.rint(fitted.native)) if found.counted else fitted
