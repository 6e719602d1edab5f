# SPDX-License-Identifier: Apache-2.0
"""Interpolation of an image to a finer grid, as the usual tools do it, and its least squares.

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
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve_banded, cholesky_banded

OPEN = "open"
"""Border rule of an image cut after interpolation: native pixels beyond its border are unknown."""
FRAME = "frame"
"""Border rule of gdalwarp's cubic: bilinear along both axes wherever a native pixel beyond the border was needed."""
EXACT = 1e-9
"""Weight of the starting values in least squares, where only what the pixels leave undetermined may depend on them."""
STEPS = 120
"""Most steps of conjugate gradients."""


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
}
"""Methods by name, simple ones first. To a finer grid, an average is nearest."""
FORCED = ("nearest", "bilinear", "cubic", "lanczos")
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
    counted: bool = True
    """Whether its pixels are whole numbers, of whatever type."""
    truncated: bool = False
    """Whether they were truncated, not rounded, to them."""
    stated: bool = False
    """Whether the method is a statement of the user's: then pixels need not be explained."""
    gaps: str = ""
    """How native pixels without data were treated, where that is known: `numbers`, `left out` or `bilinear`."""


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
    ridge: float = EXACT,
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
        ridge: weight of the starting values in least squares.
    """
    kernel, reach = METHODS[method].kernel, METHODS[method].reach
    unknown = reach if unknown is None else unknown
    count = -(-(length + phase) // ratio)
    before, after = unknown if start == OPEN else 0, unknown if end == OPEN else 0
    fine = np.arange(length) + phase
    centre = (fine + 0.5) / ratio - 0.5
    taps = np.floor(centre).astype(int)[:, None] + np.arange(-reach, reach + 2)
    weights = kernel(taps - centre[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    lines, columns, values = [], [], []
    for line, tap in zip(*np.nonzero(np.abs(weights) > 1e-12)):
        index = taps[line, tap]
        rule = start if index < 0 else end
        held = [(index, 1.0)] if rule == OPEN else _place(index, count, rule)
        for place, factor in held:
            lines.append(line)
            columns.append(place + before)
            values.append(weights[line, tap] * factor)
    matrix = sparse.csr_matrix((values, (lines, columns)), (length, before + count + after))
    matrix = sparse.csr_matrix(sparse.diags(1 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix)
    normal = (matrix.T @ matrix + ridge * sparse.eye(matrix.shape[1])).tocoo()
    width = int(np.abs(normal.row - normal.col).max()) if normal.nnz else 0
    band = np.zeros((width + 1, matrix.shape[1]))
    below = normal.row >= normal.col
    band[normal.row[below] - normal.col[below], normal.col[below]] = normal.data[below]
    factor = cholesky_banded(band, lower=True)
    return Axis(matrix, sparse.csr_matrix(matrix.T), factor, ridge, before, count, fine // ratio)


def product(rows: sparse.csr_matrix, columns: sparse.csr_matrix, image: np.ndarray) -> np.ndarray:
    """Return `rows @ image @ columns'`."""
    return np.ascontiguousarray((columns @ np.ascontiguousarray((rows @ image).T)).T)


def _inner(first: np.ndarray, second: np.ndarray) -> float:
    """Return the inner product; without BLAS, whose threads wait for each other on a busy machine."""
    return float(np.sum(first * second))


class LeastSquares:
    """Least squares of native pixels: `scale * (R X C')`, and the same of a second pair of axes, against targets."""

    def __init__(self, rows: Axis, columns: Axis):
        self.terms = [(None, rows, columns)]
        self.mask = None
        """Native pixels that have a value, where not all have."""

    def forward(self, native: np.ndarray) -> np.ndarray:
        """Interpolate native pixels."""
        native = native if self.mask is None else native * self.mask
        total = 0.0
        for scale, rows, columns in self.terms:
            part = product(rows.matrix, columns.matrix, native)
            total = total + (part if scale is None else scale * part)
        return total

    def backward(self, fine: np.ndarray) -> np.ndarray:
        """Apply the transposed of `forward`."""
        total = 0.0
        for scale, rows, columns in self.terms:
            weighted = fine if scale is None else scale * fine
            total = total + product(rows.transposed, columns.transposed, weighted)
        return total if self.mask is None else total * self.mask

    def energy(self) -> np.ndarray:
        """Return the sum of squared weights of each native pixel."""
        total = 0.0
        for scale, rows, columns in self.terms:
            squares = np.ones((rows.matrix.shape[0], columns.matrix.shape[0])) if scale is None else scale**2
            total = total + product(rows.transposed.power(2), columns.transposed.power(2), squares)
        return total

    def _precondition(self, native: np.ndarray) -> np.ndarray:
        _, rows, columns = self.terms[0]
        solved = np.ascontiguousarray(columns.solve(rows.solve(native).T).T)
        return solved if self.mask is None else solved * self.mask

    def solve(self, target: np.ndarray, start: np.ndarray, tolerance: float) -> np.ndarray:
        """Return the native pixels nearest to `start` that fit `target` best, to a change below `tolerance`."""
        gradient = self.backward(target - self.forward(start))
        if self.mask is None and len(self.terms) == 1 and self.terms[0][0] is None:
            return start + self._precondition(gradient)
        change, ridge = np.zeros_like(start), self.terms[0][1].ridge
        step = direction = self._precondition(gradient)
        slope = _inner(gradient, step)
        for _ in range(STEPS):
            if slope <= 0 or np.abs(step).max() < tolerance:
                break
            image = self.backward(self.forward(direction)) + ridge * direction
            length = slope / _inner(direction, image)
            change += length * direction
            gradient = gradient - length * image
            step = self._precondition(gradient)
            slope, previous = _inner(gradient, step), slope
            direction = step + slope / previous * direction
        return start + change


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
    found = Resampling(method, (0, 0), *[border or METHODS[method].borders[0]] * 4)
    rows, columns = (ratio * size for size in native.shape)
    return interpolation_of(found, ratio, (rows, columns)).forward(np.asarray(native, float))


def axes_of(
    found: Resampling, ratio: int, shape: tuple[int, int], method: str | None = None, ridge: float = EXACT
) -> tuple[Axis, Axis]:
    """Return the axes of an image, or those of another method on the same native pixels."""
    unknown = METHODS[found.method].reach
    sides = ((found.top, found.bottom), (found.left, found.right))
    return tuple(
        axis(method or found.method, ratio, phase, size, *side, unknown, ridge)
        for phase, size, side in zip(found.phase, shape, sides)
    )


def frame_of(found: Resampling, ratio: int, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the fine pixels, (rows, columns), that gdalwarp's cubic leaves to bilinear; None when there is none."""
    before, after = ratio + (ratio + 1) // 2, ratio + ratio // 2  # a pixel at a native one's centre looks back
    frame = np.zeros(shape, bool)
    for rule, part in (
        (found.top, np.s_[:before]),
        (found.bottom, np.s_[-after:]),
        (found.left, np.s_[:, :before]),
        (found.right, np.s_[:, -after:]),
    ):
        if rule == FRAME:
            frame[part] = True
    return frame if frame.any() else None


def interpolation_of(found: Resampling, ratio: int, shape: tuple[int, int], ridge: float = EXACT) -> LeastSquares:
    """Return the interpolation of an image without missing pixels."""
    axes = axes_of(found, ratio, shape, None, ridge)
    squares = LeastSquares(*axes)
    frame = frame_of(found, ratio, shape)
    if frame is not None:
        squares.terms = [
            (1.0 - frame, *axes),
            (1.0 * frame, *axes_of(found, ratio, shape, "bilinear")),
        ]
    return squares
