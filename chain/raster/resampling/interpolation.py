# SPDX-License-Identifier: Apache-2.0
"""Interpolation of an image to a finer grid, as the usual tools do it.

An image made finer by a whole ratio is `R X C'`: `X` are the native pixels, and the matrices `R` and `C` of its rows
and columns have few numbers in each line, which depend on the method, on where the first fine pixel lies within its
native one (the phase), and on what the tool did beyond the borders.

What tools do (measured with GDAL 3.6, OTB 8.1 and scikit-image 0.24; SNAP's is read from its source): all take pixel
centres for where values are. Cubic is Keys' with a = -0.5, in OpenCV and PyTorch with -0.75. Beyond the border, OTB,
OpenCV and bilinear nearly everywhere repeat the edge; scikit-image mirrors; gdal_translate's cubic leaves out what is
missing and renormalises; gdalwarp's turns to bilinear; SNAP's bilinear extrapolates on the upper and the left side.

    fine = interpolate(native, 2, "bilinear")
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve_banded, cholesky_banded

from chain.raster.resampling.least_squares import Term, forward, inverse_diagonal

OPEN = "open"
"""Border rule of an image cut after interpolation: native pixels beyond its border are unknown."""
SPLINE = "cubicspline"
"""GDAL's cubic spline, which smooths: native pixels are the coefficients of a spline, not its values."""
FRAME = "frame"
"""Border rule of gdalwarp's cubic: bilinear along both axes wherever a native pixel beyond the border was needed."""
SIDES = ("top", "bottom", "left", "right")
RIDGE, EXACT = 1e-9, 1e-12
"""Weights of the starting values in least squares, of digital numbers and of floating point ones. With what rounding
adds, 0.29, the first is right where native pixels can be off the starting values by some thousands."""

TRUNCATION = {2: 15 / 32}
"""What truncation takes away on average, by ratio, if not a half; bilinear by 2 has sixteenths."""


def _nearest(distance: np.ndarray) -> np.ndarray:
    return (np.abs(distance) < 0.5).astype(float)


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


def _keys(a: float) -> Callable[[np.ndarray], np.ndarray]:
    def kernel(distance: np.ndarray) -> np.ndarray:
        d = np.abs(distance)
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
        return np.where(d < 1, near, np.where(d < 2, far, 0.0))

    return kernel


def _b_spline(distance: np.ndarray) -> np.ndarray:
    d = np.abs(distance)
    return np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0.0))


def _lanczos(distance: np.ndarray) -> np.ndarray:
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)


@dataclass(frozen=True)
class Method:
    """A kernel of interpolation, and the border rules that tools have for it."""

    kernel: Callable[[np.ndarray], np.ndarray]
    """Weight of a native pixel at a distance, in native pixels."""
    reach: int
    """Native pixels beyond the border that can have a weight."""
    borders: tuple[str, ...]
    """Rules beyond the border, likely ones first."""


METHODS = {
    "nearest": Method(_nearest, 0, ("edge",)),
    "bilinear": Method(_linear, 1, ("edge", "mirror", "extrapolated")),
    "cubic": Method(_keys(-0.5), 2, ("edge", "renormalised", "symmetric", FRAME, "mirror")),
    "cubic with a = -0.75": Method(_keys(-0.75), 2, ("edge", "renormalised", "symmetric", "mirror")),
    "lanczos": Method(_lanczos, 3, ("renormalised", "edge", "symmetric", "mirror")),
    SPLINE: Method(_b_spline, 2, ("renormalised", "edge", "symmetric", "mirror")),
}
"""Methods by name, simple ones first. To a finer grid, an average is nearest."""
FORCED = ("nearest", "bilinear", "cubic", SPLINE, "lanczos")
"""Methods that a user can state where pixels do not tell."""


@dataclass(frozen=True)
class Resampling:
    """How an image was made finer."""

    method: str
    """Name in `METHODS`."""
    phase: tuple[int, int] = (0, 0)
    """Fine pixels, rows and columns, by which the first native pixel begins before the image."""
    top: str = OPEN
    """Border rule of the upper side: one of the method's, or `open`."""
    bottom: str = OPEN
    """Border rule of the lower side."""
    left: str = OPEN
    """Border rule of the left side."""
    right: str = OPEN
    """Border rule of the right side."""
    hidden: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Native pixels between the image and each border that is not open: top, bottom, left, right."""
    trimmed: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Native pixels along each side that are not known, as it is not known what the resampler did beyond it."""
    counted: bool = True
    """Whether its pixels are whole numbers, of whatever type."""
    truncated: bool = False
    """Whether they were truncated, not rounded, to them."""
    stated: bool = False
    """Whether the method is a statement of the user's: then pixels need not be explained."""

    def lost(self, ratio: int) -> float:
        """Return what truncation took away from the fine pixels, on average."""
        return lost_by_truncation(ratio) if self.truncated and self.method != "nearest" else 0.0

    @property
    def ridge(self) -> float:
        """Weight of the starting values in least squares."""
        return RIDGE if self.counted else EXACT


def lost_by_truncation(ratio: int) -> float:
    """Return what truncation takes away from fine pixels, on average."""
    return TRUNCATION.get(ratio, 0.5)


@dataclass(frozen=True)
class Axis:
    """Interpolation along one axis: from `before + count + after` native pixels to fine ones."""

    matrix: sparse.csr_matrix
    """Weights, (fine pixels, native pixels)."""
    transposed: sparse.csr_matrix
    """The same, transposed."""
    factor: np.ndarray
    """Banded Cholesky factor of the normal equations, lower form."""
    ridge: float
    """Weight of the starting values in them."""
    before: int
    """Unknown native pixels before the first one that the image shows."""
    count: int
    """Native pixels that the image shows, the first and the last one maybe in part."""
    footprint: np.ndarray
    """For each fine pixel, the index among `count` of the native pixel that holds it."""

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solve the normal equations for right-hand sides (native pixels, any number)."""
        return cho_solve_banded((self.factor, True), right, check_finite=False)

    @cached_property
    def variance(self) -> np.ndarray:
        """Variance of each native pixel, were that of each fine one 1."""
        return inverse_diagonal(self.factor)

    @property
    def determined(self) -> float:
        """Number of native pixels that the fine ones determine."""
        return len(self.variance) - self.ridge * float(self.variance.sum())

    def shown(self, fine: np.ndarray) -> np.ndarray:
        """Sum fine pixels (fine, any number) over each native pixel that holds them: (count, any number)."""
        starts = np.flatnonzero(np.diff(self.footprint, prepend=-1))
        return np.add.reduceat(fine, starts, axis=0)


def _place(index: int, count: int, rule: str) -> list[tuple[int, float]]:
    """Return what stands for a native pixel beyond a border: indices and factors."""
    if 0 <= index < count:
        return [(index, 1.0)]
    edge, beyond = (0, -index) if index < 0 else (count - 1, index - count + 1)
    inward = 1 if index < 0 else -1
    last = count - 1
    if rule == "renormalised":
        return []
    if rule == "mirror":
        return [(edge + inward * min(beyond, last), 1.0)]
    if rule == "symmetric":
        return [(edge + inward * min(beyond - 1, last), 1.0)]
    if rule == "extrapolated" and last:
        return [(edge, 1.0 + beyond), (edge + inward, -float(beyond))]
    return [(edge, 1.0)]


@lru_cache(maxsize=256)
def axis(
    method: str,
    ratio: int,
    phase: int,
    length: int,
    start: str,
    end: str,
    unknown: int | None = None,
    hidden: tuple[int, int] = (0, 0),
    ridge: float = RIDGE,
) -> Axis:
    """Return the interpolation of one axis.

    Args:
        method: name in `METHODS`.
        ratio: fine pixels along a native one.
        phase: fine pixels of the first native pixel that lie before the image, less than `ratio`.
        length: fine pixels.
        start: border rule before the first fine pixel.
        end: border rule after the last one.
        unknown: native pixels to add beyond an open border, by default those that have a weight.
        hidden: native pixels between the image and each border that is not open.
        ridge: weight of the starting values in least squares.
    """
    kernel, reach = METHODS[method].kernel, METHODS[method].reach
    unknown = reach if unknown is None else unknown
    count = -(-(length + phase) // ratio)
    before, after = (unknown if rule == OPEN else each for rule, each in zip((start, end), hidden))
    total = before + count + after
    fine = np.arange(length) + phase
    centre = (fine + 0.5) / ratio - 0.5
    taps = np.floor(centre).astype(int)[:, None] + np.arange(-reach, reach + 2)
    weights = kernel(taps - centre[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    lines, columns, values = [], [], []
    for line, tap in zip(*np.nonzero(np.abs(weights) > 1e-12)):
        index = taps[line, tap] + before
        rule = start if index < 0 else end
        held = [(index, 1.0)] if rule == OPEN else _place(index, total, rule)
        for place, factor in held:
            lines.append(line)
            columns.append(place)
            values.append(weights[line, tap] * factor)
    matrix = sparse.csr_matrix((values, (lines, columns)), (length, total))
    matrix = sparse.csr_matrix(sparse.diags(1 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix)
    normal = (matrix.T @ matrix + ridge * sparse.eye(matrix.shape[1])).tocoo()
    width = int(np.abs(normal.row - normal.col).max()) if normal.nnz else 0
    band = np.zeros((width + 1, matrix.shape[1]))
    below = normal.row >= normal.col
    band[normal.row[below] - normal.col[below], normal.col[below]] = normal.data[below]
    factor = cholesky_banded(band, lower=True)
    return Axis(matrix, sparse.csr_matrix(matrix.T), factor, ridge, before, count, fine // ratio)


def interpolate(native: np.ndarray, ratio: int, method: str, border: str | None = None) -> np.ndarray:
    """Make an image finer, as tools do that know all of it.

    Args:
        native: native pixels, (rows, columns).
        ratio: fine pixels along a native one.
        method: name in `METHODS`.
        border: rule beyond the border, by default the first of the method.

    Returns:
        (ratio * rows, ratio * columns), float64.
    """
    rule = border or METHODS[method].borders[0]
    found = Resampling(method, (0, 0), rule, rule, rule, rule)
    rows, columns = (ratio * size for size in native.shape)
    return forward(terms_of(found, ratio, (rows, columns)), np.asarray(native, float))


def axes_of(found: Resampling, ratio: int, shape: tuple[int, ...], method: str | None = None) -> tuple[Axis, Axis]:
    """Return the axes of an image, or those of another method on the same native pixels."""
    unknown = METHODS[found.method].reach
    sides = ((found.top, found.bottom), (found.left, found.right))
    hidden = found.hidden[:2], found.hidden[2:]
    rows, columns = (
        axis(method or found.method, ratio, phase, size, *rules, unknown, beyond, found.ridge)
        for phase, size, rules, beyond in zip(found.phase, shape, sides, hidden)
    )
    return rows, columns


def frame_of(found: Resampling, ratio: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the fine pixels, (rows, columns), that gdalwarp's cubic leaves to bilinear; None when there is none."""
    frame = np.zeros(shape, bool)
    depths = ratio + (ratio + 1) // 2, ratio + ratio // 2  # a pixel at a native one's centre looks back
    for axis_, rules in enumerate(((found.top, found.bottom), (found.left, found.right))):
        size, phase = shape[axis_], found.phase[axis_]
        cut = phase, -(size + phase) % ratio
        before, after = (
            max(0, depth - hidden * ratio - part) for depth, hidden, part in zip(depths, found.hidden[2 * axis_ :], cut)
        )
        lines = np.moveaxis(frame, axis_, 0)
        if rules[0] == FRAME:
            lines[:before] = True
        if rules[1] == FRAME:
            lines[max(0, size - after) :] = True
    return frame if frame.any() else None


def terms_of(found: Resampling, ratio: int, shape: tuple[int, ...]) -> list[Term]:
    """Return the interpolation of an image without missing pixels."""
    rows, columns = axes_of(found, ratio, shape)
    frame = frame_of(found, ratio, shape)
    if frame is None:
        return [Term(rows.matrix, columns.matrix)]
    plain_rows, plain_columns = axes_of(found, ratio, shape, "bilinear")
    return [
        Term(rows.matrix, columns.matrix, 1.0 - frame),
        Term(plain_rows.matrix, plain_columns.matrix, 1.0 * frame),
    ]
