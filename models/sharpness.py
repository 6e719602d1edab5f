# SPDX-License-Identifier: Apache-2.0
"""What a sensor with pixels twice as large sees of an image: a Gaussian blur, then every second pixel.

The blur transfers `TRANSFER` at the Nyquist frequency of the larger pixels. A sensor transfers less of the ground,
Sentinel-2 some 0.2 to 0.3. But an image is not the ground: a sensor with its pixels has blurred it before. If that one
transfers as much at its own Nyquist frequency, and blurs like a Gaussian, 0.3 to 0.4 remain for the larger pixels; and
more if the image has been resampled since, as L1C and L2A have. Blurred by half, their isolated edges become as steep
as those of L1B. Pixel (y, x) of what is seen is centred on pixel (2y, 2x) of the image.
"""

import functools
import math

import numpy as np
import tensorflow as tf

TRANSFER = 0.5
"""Modulation transfer at the Nyquist frequency of the larger pixels."""
SCALE = 2
"""Pixels of the image along one larger pixel."""
RADIUS = 4
"""Pixels of the image around a pixel that the blur sees: 5.3 standard deviations, of 0.75 pixels."""

BORDER = RADIUS // SCALE
"""Larger pixels on each side that see what lies beyond an image."""


@functools.cache
def blur_kernel() -> np.ndarray:
    """Return the weights of the blur along one axis, at -`RADIUS` to +`RADIUS`; they add up to one."""
    deviation = SCALE * math.sqrt(-2 * math.log(TRANSFER)) / math.pi
    gaussian = np.exp(-0.5 * np.square(np.arange(-RADIUS, RADIUS + 1) / deviation))
    return gaussian / gaussian.sum()


def blurred(images: tf.Tensor) -> tf.Tensor:
    """Return images (batch, height, width, bands), mirrored beyond their borders, as blurred as by larger pixels."""
    bands = images.shape[-1]
    images = tf.pad(images, [[0, 0], [RADIUS, RADIUS], [RADIUS, RADIUS], [0, 0]], "REFLECT")
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        weights = np.tile(blur_kernel().reshape(shape), (1, 1, bands, 1))
        images = tf.nn.depthwise_conv2d(images, tf.constant(weights, images.dtype), (1, 1, 1, 1), "VALID")
    return images


def seen_coarser(images: tf.Tensor) -> tf.Tensor:
    """Return what larger pixels see of images: (batch, height / 2, width / 2, bands).

    `BORDER` pixels on each side depend on what lies beyond the images.
    """
    return blurred(images)[:, ::SCALE, ::SCALE]
