# SPDX-License-Identifier: Apache-2.0
"""Warping of images by flows: bicubic sampling at any position, and composition of flows.

A flow gives, for each pixel p of its grid, the displacement to the matching position in an image: warped(p) =
image(p + flow(p)), in pixels, x (columns) first. Positions are relative to the centre of the first pixel. Beyond its
border an image is mirrored about the centres of its edge pixels, for each tap separately.

The cubic kernel is that of R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE
Transactions on Acoustics, Speech, and Signal Processing 29(6), 1981, with a = -0.75. Everything is differentiable.

    warped = warp(images, flow)
"""

import tensorflow as tf

A = -0.75
"""Slope of the cubic kernel at distance 1."""
CUBIC_REACH = 3
"""Pixels around a position that its interpolation may read, rounding included."""


def warp(images: tf.Tensor, flow: tf.Tensor) -> tf.Tensor:
    """Warp images onto the grid of a flow. Where the flow is zero, pixels are unchanged to the bit.

    Args:
        images: (batch, height, width, bands).
        flow: (batch, height, width, 2), in pixels.
    """
    x, y = positions(flow)
    return sample(images, x, y)


def sample(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Interpolate images at given positions with the cubic kernel.

    Args:
        images: (batch, height, width, bands).
        x: columns, (batch, rows, columns), in pixels.
        y: rows, of the same shape.

    Returns:
        (batch, rows, columns, bands).
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    left, top = tf.floor(x), tf.floor(y)
    column_weights, row_weights = _cubic_weights(x - left), _cubic_weights(y - top)
    columns = [mirrored(tf.cast(left, tf.int32) + tap, width) for tap in range(-1, 3)]
    starts = [width * mirrored(tf.cast(top, tf.int32) + tap, height) for tap in range(-1, 3)]
    pixels = _flat(images)
    return tf.add_n(
        [
            row_weight
            * tf.add_n([weight * _taken(pixels, start + column) for weight, column in zip(column_weights, columns)])
            for row_weight, start in zip(row_weights, starts)
        ]
    )


def positions(flow: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return x and y, (batch, height, width), of where a flow (batch, height, width, 2) points to, in pixels."""
    x = tf.cast(tf.range(tf.shape(flow)[2]), flow.dtype) + flow[..., 0]
    y = tf.cast(tf.range(tf.shape(flow)[1]), flow.dtype)[:, tf.newaxis] + flow[..., 1]
    return x, y


def compose(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Compose two flows: first(p) + second(p + first(p)).

    The second flow is interpolated linearly; beyond its border its edge values apply.

    Args:
        first: flow on the grid of the result, (batch, height, width, 2), in pixels.
        second: flow on the grid that the first one points to, of the same shape.
    """
    x, y = positions(first)
    right, bottom = tf.shape(second)[2] - 1, tf.shape(second)[1] - 1
    x = tf.clip_by_value(x, 0, tf.cast(right, x.dtype))
    y = tf.clip_by_value(y, 0, tf.cast(bottom, y.dtype))
    column, row = tf.cast(tf.floor(x), tf.int32), tf.cast(tf.floor(y), tf.int32)
    next_column, next_row = tf.minimum(column + 1, right), tf.minimum(row + 1, bottom)
    across, down = (x - tf.floor(x))[..., tf.newaxis], (y - tf.floor(y))[..., tf.newaxis]
    flat, start, next_start = _flat(second), row * (right + 1), next_row * (right + 1)
    above = (1 - across) * _taken(flat, start + column) + across * _taken(flat, start + next_column)
    below = (1 - across) * _taken(flat, next_start + column) + across * _taken(flat, next_start + next_column)
    return first + (1 - down) * above + down * below


def warp_and_decimate(images: tf.Tensor, flows: tf.Tensor) -> tf.Tensor:
    """Sample super-resolved images at the pixels of another view of the ground, without blur.

    Pixel (scale y, scale x) of the images is centred on pixel (y, x) of the input they were computed from.

    Args:
        images: (batch, scale height, scale width, bands).
        flows: (batch, height, width, bands, 2): from each pixel of the other view's bands into the input's grid, in
            pixels of the input.

    Returns:
        (batch, height, width, bands).
    """
    scale = images.shape[1] // flows.shape[1]
    seen = []
    for band in range(flows.shape[3]):
        x, y = positions(flows[..., band, :])
        seen.append(sample(images[..., band : band + 1], scale * x, scale * y))
    return tf.concat(seen, axis=-1)


def standardize(images: tf.Tensor) -> tf.Tensor:
    """Subtract the mean of each band of each image and divide by its standard deviation (with n - 1).

    A constant band becomes zero.

    Args:
        images: (batch, height, width, bands).
    """
    pixels = tf.cast(tf.shape(images)[1] * tf.shape(images)[2], images.dtype)
    lowest, highest = (
        tf.stop_gradient(reduce(images, axis=(1, 2), keepdims=True)) for reduce in (tf.reduce_min, tf.reduce_max)
    )
    images = images - lowest  # the mean of smaller numbers has a smaller rounding error
    centred = images - tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    variance = tf.reduce_sum(centred**2, axis=(1, 2), keepdims=True) / tf.maximum(pixels - 1, 1)
    return centred / tf.sqrt(tf.where(lowest < highest, variance, tf.ones_like(variance)))


def mirrored(indices: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    """Map any indices to those of an image that is mirrored about the centres of its edge pixels.

    Args:
        indices: int32.
        size: number of pixels, at least 1.
    """
    period = tf.maximum(2 * (size - 1), 1)
    indices = tf.math.floormod(indices, period)
    return tf.minimum(indices, period - indices)


def _cubic_weights(beyond: tf.Tensor) -> list[tf.Tensor]:
    """Return the weights of taps -1 to 2, (batch, rows, columns, 1), for positions 0 to 1 pixel beyond tap 0."""
    beyond = beyond[..., tf.newaxis]
    weights = []
    for distance, is_near in ((beyond + 1, False), (beyond, True), (1 - beyond, True), (2 - beyond, False)):
        if is_near:
            weights.append(((A + 2) * distance - (A + 3)) * distance**2 + 1)
        else:
            weights.append(((A * distance - 5 * A) * distance + 8 * A) * distance - 4 * A)
    return weights


def _flat(images: tf.Tensor) -> tf.Tensor:
    """Return the pixels of images in reading order: (batch, height * width, bands)."""
    shape = tf.shape(images)
    return tf.reshape(images, [shape[0], shape[1] * shape[2], images.shape[-1]])


def _taken(pixels: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Return pixels (batch, rows, columns, bands) by their indices in reading order, (batch, rows, columns), int32."""
    return tf.gather(pixels, indices, axis=1, batch_dims=1)
