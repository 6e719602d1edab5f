# SPDX-License-Identifier: Apache-2.0
"""What a sensor with pixels twice as large sees of an image: a Gaussian blur, then every second pixel.

The blur transfers `TRANSFER` at the Nyquist frequency of the larger pixels, which is the middle of what Sentinel-2's
10 m bands do in flight, 0.2 to 0.3 (mission requirement: 0.15 to 0.3). Pixel (y, x) of what is seen is centred on
pixel (2y, 2x) of the image.
"""

import functools
import math

import numpy as np
import tensorflow as tf

TRANSFER = 0.25
"""Modulation transfer at the Nyquist frequency of the larger pixels."""
SCALE = 2
"""Pixels of the image along one larger pixel."""
RADIUS = 6
"""Pixels of the image around a pixel that the blur sees: 5.7 standard deviations, of 1.06 pixels."""


@functools.cache
def blur_kernel() -> np.ndarray:
    """Return the weights of the blur along one axis, at -`RADIUS` to +`RADIUS`; they add up to one."""
    deviation = SCALE * math.sqrt(-2 * math.log(TRANSFER)) / math.pi
    gaussian = np.exp(-0.5 * np.square(np.arange(-RADIUS, RADIUS + 1) / deviation))
    return gaussian / gaussian.sum()


def seen_coarser(images: tf.Tensor) -> tf.Tensor:
    """Return what larger pixels see of images (batch, height, width, bands): (batch, height / 2 - 6, …).

    The blur is not computed where it reaches over the border: the result is without the three outermost pixels on each
    side, so that its pixel (y, x) is centred on pixel (2y + 6, 2x + 6).
    """
    bands = images.shape[-1]
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        weights = np.tile(blur_kernel().reshape(shape), (1, 1, bands, 1))
        images = tf.nn.depthwise_conv2d(images, tf.constant(weights, images.dtype), (1, 1, 1, 1), "VALID")
    return images[:, ::SCALE, ::SCALE]
