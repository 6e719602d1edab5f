# SPDX-License-Identifier: Apache-2.0
"""Refinement of flows between two bands by local correlation, however differently the bands show the ground.

Around each pixel, the bands are assumed to be linear functions of each other, with any slope, positive or negative. A
flow is right where this fits best, that is, where the squared correlation r^2 within small windows is largest (B. B.
Avants, C. L. Epstein, M. Grossman, J. C. Gee, "Symmetric diffeomorphic image registration with cross-correlation",
Medical Image Analysis 12(1), 2008). Each step is a Gauss-Newton step that minimises the mean of log(1 - r^2), the
logarithm of the share of one band that the other does not explain. Displacements are assumed to vary slowly: they are
constant over a wide window, and defined on cells of `CELL` x `CELL` pixels, between whose centres they are linear.

    flow = refine(pairs, flow, steps=5)

The same in parts, for images that are processed in tiles: `pool`, then in each step `smooth`, `spread`,
`normal_equations` and `advance`, and finally `spread`.
"""

import math

import tensorflow as tf

from models.warp import positions, warp

CELL = 8
"""Side of the cells on which flows are defined, in pixels."""
LOCAL_DEVIATION = 1.0
"""Standard deviation of the windows within which the bands are assumed linear functions of each other, in pixels."""
DEVIATION = 3.0
"""Standard deviation of the windows over which a displacement is assumed constant, in cells."""
REACH = 3
"""Radius of both windows, in standard deviations."""
NOISE = 1e-3
"""Added to the variance within a local window, in units of the variance of the whole band."""
DAMPING = 1e-3
"""Added to the normal equations, per pixel of a cell: where there is no texture, a flow stays as it is."""
LONGEST_STEP = 0.5
"""Largest change of a flow in one step, in pixels."""
PIXELS_REACH = math.ceil(REACH * LOCAL_DEVIATION) + 1
"""Pixels around a cell that its normal equations depend on: windows and gradients."""


def refine(pairs: tf.Tensor, flow: tf.Tensor, steps: int) -> tf.Tensor:
    """Improve flows that are off by no more than about a pixel.

    Args:
        pairs: (batch, height, width, 2), standardised: the band on whose grid the flow is defined, and the one that
            it points into.
        flow: (batch, height, width, 2), in pixels.
        steps: number of steps; with 0 the flow is only smoothed.

    Returns:
        Flows (batch, height, width, 2).
    """
    shape = tf.shape(pairs)
    cells = pool(flow)
    for _ in range(steps):
        cells = smooth(cells)
        cells = advance(cells, normal_equations(pairs, spread(cells, shape[1], shape[2])))
    return spread(cells, shape[1], shape[2])


def pool(flow: tf.Tensor) -> tf.Tensor:
    """Average a flow (batch, height, width, 2) over cells: (batch, rows, columns, 2)."""
    return _sums(flow) / _sums(tf.ones_like(flow[..., :1]))


def smooth(cells: tf.Tensor) -> tf.Tensor:
    """Smooth a flow of cells (batch, rows, columns, 2) with the window over which displacements are constant."""
    return _windowed(cells, DEVIATION) / _windowed(tf.ones_like(cells[..., :1]), DEVIATION)


def spread(cells: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int) -> tf.Tensor:
    """Interpolate the flow of cells linearly to pixels: (batch, height, width, 2)."""
    shape = tf.shape(cells)
    return tf.image.resize(cells, [CELL * shape[1], CELL * shape[2]])[:, :height, :width]


def normal_equations(pairs: tf.Tensor, flow: tf.Tensor) -> tf.Tensor:
    """Compute the normal equations of a Gauss-Newton step, summed over each cell.

    Pixels whose flow points outside the image are left out.

    Args:
        pairs: (batch, height, width, 2), standardised.
        flow: (batch, height, width, 2), in pixels.

    Returns:
        (batch, rows, columns, 5): xx, xy and yy of the matrix, x and y of the right side; sums over the cell's pixels.
    """
    grid, seen = pairs[..., :1], warp(pairs[..., 1:], flow)
    inside = _inside(flow)
    x, y = _gradient(seen)
    # Covariances within local windows: of the grid's band and the warped one, with each other and with the gradient.
    values = [grid, seen, x, y]
    products = [(0, 0), (0, 1), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)]
    moments = tf.concat(values + [values[first] * values[second] for first, second in products], axis=-1)
    means = tf.math.divide_no_nan(_windowed(inside * moments, LOCAL_DEVIATION), _windowed(inside, LOCAL_DEVIATION))
    means = tf.split(means, moments.shape[-1], axis=-1)
    covariances = [mean - means[i] * means[j] for mean, (i, j) in zip(means[len(values) :], products)]
    grid_grid, grid_seen, seen_seen, grid_x, grid_y, seen_x, seen_y, x_x, x_y, y_y = covariances
    slope = grid_seen / (seen_seen + NOISE)
    residual = grid_grid + NOISE - slope * grid_seen
    matrix = [
        x_x - seen_x**2 / (seen_seen + NOISE),
        x_y - seen_x * seen_y / (seen_seen + NOISE),
        y_y - seen_y**2 / (seen_seen + NOISE),
    ]
    right_side = [grid_x - slope * seen_x, grid_y - slope * seen_y]
    terms = [slope**2 * term for term in matrix] + [slope * term for term in right_side]
    return _sums(inside * tf.concat(terms, axis=-1) / residual)


def advance(cells: tf.Tensor, equations: tf.Tensor) -> tf.Tensor:
    """Take a step.

    Args:
        cells: flow of cells, (batch, rows, columns, 2), in pixels.
        equations: its `normal_equations`.
    """
    xx, xy, yy, x, y = tf.split(_windowed(equations, DEVIATION) / CELL**2, 5, axis=-1)
    xx, yy = xx + DAMPING, yy + DAMPING
    step = tf.concat([yy * x - xy * y, xx * y - xy * x], axis=-1) / (xx * yy - xy**2)
    return cells + tf.clip_by_norm(step, LONGEST_STEP, axes=-1)


def _inside(flow: tf.Tensor) -> tf.Tensor:
    """Return 1 where a flow points inside the image, 0 elsewhere: (batch, height, width, 1)."""
    bottom, right = (tf.cast(tf.shape(flow)[axis] - 1, flow.dtype) for axis in (1, 2))
    x, y = positions(flow)
    return tf.cast((x >= 0) & (x <= right) & (y >= 0) & (y <= bottom), flow.dtype)[..., tf.newaxis]


def _gradient(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return central differences along x and y; at the border, half the difference of its two pixels."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    x = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    y = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    return x, y


def _windowed(images: tf.Tensor, deviation: float) -> tf.Tensor:
    """Average images (batch, height, width, bands) over Gaussian windows of sum 1; beyond the border they are zero."""
    radius = math.ceil(REACH * deviation)
    weights = [math.exp(-0.5 * (place / deviation) ** 2) for place in range(-radius, radius + 1)]
    kernel = tf.constant(weights, images.dtype) / math.fsum(weights)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        bands = tf.tile(tf.reshape(kernel, shape), [1, 1, images.shape[-1], 1])
        images = tf.nn.depthwise_conv2d(images, bands, [1, 1, 1, 1], "SAME")
    return images


def _sums(images: tf.Tensor) -> tf.Tensor:
    """Sum images (batch, height, width, bands) over cells; cells at the right and bottom may be incomplete."""
    shape = tf.shape(images)
    lacking = [[0, 0], [0, -shape[1] % CELL], [0, -shape[2] % CELL], [0, 0]]
    return CELL**2 * tf.nn.avg_pool2d(tf.pad(images, lacking), CELL, CELL, "VALID")
