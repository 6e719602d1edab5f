# SPDX-License-Identifier: Apache-2.0
"""What a sensor with pixels twice as large sees of an image, and images that are consistent with what it saw.

It sees the image through a Gaussian blur, at every second pixel. The blur transfers `TRANSFER` at the Nyquist frequency
of the larger pixels. A sensor transfers less of the ground, Sentinel-2 some 0.2 to 0.3. But an image is not the ground:
a sensor with its pixels has blurred it before. If that one transfers as much at its own Nyquist frequency, and blurs
like a Gaussian, 0.3 to 0.4 remain for the larger pixels; and more if the image has been resampled since, as L1C and L2A
have. Blurred by 0.5 to 0.6, their isolated edges become as steep as those of L1B. The larger one is on the safe side:
what is taken for more blurred than it is gets ringing edges. Pixel (y, x) of what is seen is centred on pixel (2y, 2x)
of the image.
"""

import functools
import math

import numpy as np
import tensorflow as tf
from tensorflow import keras

from models.warp import A, mirrored

TRANSFER = 0.6
"""Modulation transfer at the Nyquist frequency of the larger pixels."""
SCALE = 2
"""Pixels of the image along one larger pixel."""
RADIUS = 4
"""Pixels of the image around a pixel that the blur sees: 6.2 standard deviations, of 0.64 pixels."""

BORDER = RADIUS // SCALE
"""Larger pixels on each side that see what lies beyond an image."""
REACH = BORDER + 2
"""Larger pixels around a pixel that have a say in its back-projection."""
HALFWAY = (A / 8, 0.5 - A / 8, 0.5 - A / 8, A / 8)
"""Weights of pixels halfway between the second and the third one, by the cubic kernel of `models.warp`."""


@functools.cache
def blur_kernel() -> np.ndarray:
    """Return the weights of the blur along one axis, at -`RADIUS` to +`RADIUS`; they add up to one.

    Being sampled, this Gaussian transfers 0.61.
    """
    deviation = SCALE * math.sqrt(-2 * math.log(TRANSFER)) / math.pi
    gaussian = np.exp(-0.5 * np.square(np.arange(-RADIUS, RADIUS + 1) / deviation))
    return gaussian / gaussian.sum()


def blurred(images: tf.Tensor) -> tf.Tensor:
    """Return images (batch, height, width, bands), mirrored beyond their borders, as blurred as by larger pixels."""
    bands = images.shape[-1]
    for axis, shape in ((1, (-1, 1, 1, 1)), (2, (1, -1, 1, 1))):
        size = tf.shape(images)[axis]
        extended = tf.gather(images, mirrored(tf.range(-RADIUS, size + RADIUS), size), axis=axis)
        weights = tf.constant(np.tile(blur_kernel().reshape(shape), (1, 1, bands, 1)), images.dtype)
        images = tf.nn.depthwise_conv2d(extended, weights, (1, 1, 1, 1), "VALID")
    return images


def seen_coarser(images: tf.Tensor) -> tf.Tensor:
    """Return what larger pixels see of images: (batch, height / 2, width / 2, bands).

    `BORDER` pixels on each side depend on what lies beyond the images.
    """
    return blurred(images)[:, ::SCALE, ::SCALE]


def interpolated(images: tf.Tensor) -> tf.Tensor:
    """Return images (batch, height, width, bands) at half the pixel, (batch, 2 height, 2 width, bands): bicubically."""
    for axis in (1, 2):
        size = tf.shape(images)[axis]
        taps = [tf.gather(images, mirrored(tf.range(size) + tap, size), axis=axis) for tap in range(-1, 3)]
        between = tf.add_n([weight * tap for weight, tap in zip(HALFWAY, taps)])
        shape = tf.unstack(tf.shape(images))
        shape[axis] *= SCALE
        images = tf.reshape(tf.stack([images, between], axis=axis + 1), shape)
    return images


class BackProjection(keras.layers.Layer):
    """Brings sharpened images nearer to those that they were made of: one step of back-projection.

    What larger pixels see of an image is subtracted from what they saw, and the difference interpolated and added
    (M. Irani, S. Peleg, "Improving resolution by image registration", CVGIP 53(3), 1991). Of slow differences next to
    nothing remains; of those at the Nyquist frequency 0.4 along one axis, and 0.64 along both. `REACH` pixels around a
    pixel have a say.
    """

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Correct images (batch, 2 height, 2 width, bands) by those that were seen (batch, height, width, bands)."""
        images, seen = inputs
        return images + interpolated(seen - seen_coarser(images))
