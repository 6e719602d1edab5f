# SPDX-License-Identifier: Apache-2.0
"""Flows between two bands made exact by local correlation, however differently the bands show the ground.

Around each pixel the bands are taken to be linear functions of each other, of any slope, rising or falling; a flow is
right where they come closest to it, that is, where the squared correlation r^2 within small windows is largest (B. B.
Avants, C. L. Epstein, M. Grossman, J. C. Gee, "Symmetric diffeomorphic image registration with cross-correlation",
Medical Image Analysis 12(1), 2008). Each step here is one of Gauss and Newton's towards the least mean of log(1 - r^2),
the logarithm of what the one band does not tell of the other. Displacements are taken to vary slowly: they are one over
a wide window, and live on cells of `CELL` x `CELL` pixels, between whose centres they are linear.

    flow = refine(pairs, flow, steps=5)

The same in parts, for images that are worked on tile by tile: `pool`, then `smooth`, `spread`, `normal_equations` and
`advance` in each step, and `spread` in the end.
"""

import math

import tensorflow as tf

from models.warp import positions, warp

CELL = 8
"""Side of the cells on which flows live, in pixels."""
LOCAL_DEVIATION = 1.0
"""Standard deviation of the windows within which bands are linear functions of each other, in pixels."""
DEVIATION = 3.0
"""Standard deviation of the windows over which a displacement is one, in cells."""
REACH = 3
"""Radius of both windows, in standard deviations."""
NOISE = 1e-3
"""Variance added to that within a local window, in standard deviations of the whole band, squared."""
DAMPING = 1e-3
"""Added to the normal equations of a cell's pixel: where nothing is seen, a flow stays."""
LONGEST_STEP = 0.5
"""Pixels by which a step changes a flow at most."""
PIXELS_REACH = math.ceil(REACH * LOCAL_DEVIATION) + 1
"""Pixels around a cell that have a say in its normal equations, before they are followed: windows and gradients."""


def refine(pairs: tf.Tensor, flow: tf.Tensor, steps: int) -> tf.Tensor:
    """Improve flows that are right to a pixel or so.

    Args:
        pairs: (batch, height, width, 2), standardised: the band on whose grid the flow lies, and the one that it leads
            into.
        flow: (batch, height, width, 2), in pixels.
        steps: number of steps; with none the flow is only made smooth.

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
    """Take the means of a flow (batch, height, width, 2) over cells: (batch, rows, columns, 2)."""
    return _sums(flow) / _sums(tf.ones_like(flow[..., :1]))


def smooth(cells: tf.Tensor) -> tf.Tensor:
    """Smooth a flow of cells (batch, rows, columns, 2) by the window over which displacements are one."""
    return _windowed(cells, DEVIATION) / _windowed(tf.ones_like(cells[..., :1]), DEVIATION)


def spread(cells: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int) -> tf.Tensor:
    """Give each pixel the flow between its cells' centres: (batch, height, width, 2)."""
    shape = tf.shape(cells)
    return tf.image.resize(cells, [CELL * shape[1], CELL * shape[2]])[:, :height, :width]


def normal_equations(pairs: tf.Tensor, flow: tf.Tensor) -> tf.Tensor:
    """Say of each cell how the bands within it want the flow to change.

    Pixels whose flow leads out of the image have no say.

    Args:
        pairs: (batch, height, width, 2), standardised.
        flow: (batch, height, width, 2), in pixels.

    Returns:
        (batch, rows, columns, 5): xx, xy and yy of the matrix, x and y of the right side; sums over the cell's pixels.
    """
    grid, seen = pairs[..., :1], warp(pairs[..., 1:], flow)
    inside = _inside(flow)
    x, y = _gradient(seen)
    # Covariances within local windows: of the grid's band and of what is seen, with each other and with the gradient.
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
        equations: what `normal_equations` says of it.
    """
    xx, xy, yy, x, y = tf.split(_windowed(equations, DEVIATION) / CELL**2, 5, axis=-1)
    xx, yy = xx + DAMPING, yy + DAMPING
    step = tf.concat([yy * x - xy * y, xx * y - xy * x], axis=-1) / (xx * yy - xy**2)
    return cells + tf.clip_by_norm(step, LONGEST_STEP, axes=-1)


def _inside(flow: tf.Tensor) -> tf.Tensor:
    """Return 1 where a flow leads to a place within the image, 0 elsewhere: (batch, height, width, 1)."""
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
    """Sum images (batch, height, width, bands) over Gaussian windows, of sum 1, beyond whose border all is zero."""
    radius = math.ceil(REACH * deviation)
    weights = [math.exp(-0.5 * (place / deviation) ** 2) for place in range(-radius, radius + 1)]
    kernel = tf.constant(weights, images.dtype) / math.fsum(weights)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        bands = tf.tile(tf.reshape(kernel, shape), [1, 1, images.shape[-1], 1])
        images = tf.nn.depthwise_conv2d(images, bands, [1, 1, 1, 1], "SAME")
    return images


def _sums(images: tf.Tensor) -> tf.Tensor:
    """Sum images (batch, height, width, bands) over cells; the last ones of rows and columns may lack pixels."""
    shape = tf.shape(images)
    lacking = [[0, 0], [0, -shape[1] % CELL], [0, -shape[2] % CELL], [0, 0]]
    return CELL**2 * tf.nn.avg_pool2d(tf.pad(images, lacking), CELL, CELL, "VALID")
