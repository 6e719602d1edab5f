# SPDX-License-Identifier: Apache-2.0
"""Whether TensorFlow computes what it is asked for.

Its matrix products and convolutions run code that oneDNN makes when the first one is computed. Where there is no memory
for a part of this code (`ulimit -v`), they leave their output as it was, whatever that was, and tell nobody: TensorFlow
looks at the status of oneDNN's `sgemm` in debug builds alone. Once made, the code stays.
"""

import functools

import numpy as np
import tensorflow as tf

SIDE, FEATURES, KERNEL = 16, 16, 3
TOLERANCE = 0.2
"""Largest error of sums of some hundred products of numbers from -1 to 1, even if these are rounded to 16 bits."""


@functools.cache
def check_convolutions() -> None:
    """Hold a matrix product, a convolution and its transpose against NumPy's, once in a process.

    Raises:
        RuntimeError: They differ.
    """
    draw = np.random.default_rng(0).uniform
    images, others = (draw(-1, 1, (1, SIDE, SIDE, FEATURES)).astype(np.float32) for _ in range(2))
    kernel = draw(-1, 1, (KERNEL, KERNEL, FEATURES, FEATURES)).astype(np.float32)
    with tf.init_scope():  # at once, also where a function is traced
        product = tf.linalg.matmul(images[0], others[0]).numpy()
        convolved = tf.nn.conv2d(images, kernel, 1, "SAME").numpy()
        transposed = tf.nn.conv2d_transpose(others, kernel, images.shape, 1, "SAME").numpy()
    padded = np.pad(images[0], ((1, 1), (1, 1), (0, 0)))
    sums = sum(padded[y : y + SIDE, x : x + SIDE] @ kernel[y, x] for y, x in np.ndindex(KERNEL, KERNEL))
    errors = (
        np.abs(product - images[0] @ others[0]).max(),
        np.abs(convolved[0] - sums).max(),
        abs(np.vdot(convolved, others) - np.vdot(images, transposed)) / SIDE,
    )
    if not all(error < TOLERANCE for error in errors):
        raise RuntimeError(
            "expected TensorFlow to convolve as NumPy does, got other numbers, as where there is no memory for the "
            "code that it makes (ulimit -v)"
        )
