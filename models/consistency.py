# SPDX-License-Identifier: Apache-2.0
"""Layers that make a sharpened image consistent: made coarser again, it is the coarse image it came from, exactly.

What is lost by coarse pixels is modelled by `models/degradation.py`. `ConsistentUpsampling` interpolates by the
smoothest kernel that this undoes: with D for the former and U for the latter, D U is the identity, so that
y + U(x - D y) is consistent with x whatever y is. It is one step of back-projection (M. Irani, S. Peleg, "Improving
resolution by image registration", CVGIP 53(3), 1991) after which nothing is left to be done.

    ConsistentUpsampling(2)(coarse)     # means over coarse pixels, after the blur, are those pixels
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from models.degradation import blur_radius, degradation_kernel

RADIUS = 2
"""Coarse pixels around a pixel that its interpolation reaches."""


@functools.cache
def upsampling_kernel(scale: int) -> np.ndarray:
    """Return the weights of a coarse pixel, along one axis, in the fine pixels around its centre.

    Of the kernels that are undone by `degradation_kernel`, and that keep constant and linear images as they are, it
    has the least second differences.

    Returns:
        (2 RADIUS + 1) scale weights.
    """
    count = 2 * RADIUS + 1
    size = count * scale
    degradation = degradation_kernel(scale)
    margin = len(degradation) - scale
    conditions, values = [], []
    for coarse in range(-RADIUS - 2, RADIUS + 3):  # a pixel's neighbours do not see it
        row = np.zeros(size + 6 * scale)
        start = (coarse + RADIUS + 3) * scale - margin // 2
        row[start : start + len(degradation)] = degradation
        conditions.append(row[3 * scale : -3 * scale])
        values.append(float(coarse == 0))
    for phase in range(scale):
        row = np.zeros((count, scale))
        row[:, phase] = 1
        conditions += [row.ravel(), (row * np.arange(-RADIUS, RADIUS + 1)[:, None]).ravel()]
        values += [1.0, 0.5 - (phase + 0.5) / scale]
    matrix = np.array(conditions)
    weights = np.linalg.lstsq(matrix, np.array(values), rcond=None)[0]
    _, singular, directions = np.linalg.svd(matrix)
    free = directions[(singular > 1e-9).sum() :].T
    differences = np.diff(np.eye(size + 4), n=2, axis=0)[:, 2:-2]
    weights = weights - free @ np.linalg.lstsq(differences @ free, differences @ weights, rcond=None)[0]
    return np.round((weights + weights[::-1]) / 2, 12)


def _extended(images: tf.Tensor, margin: int, axis: int) -> tf.Tensor:
    """Repeat the edge pixels of images of any size along an axis."""
    size = tf.shape(images)[axis]
    return tf.gather(images, tf.clip_by_value(tf.range(-margin, size + margin), 0, size - 1), axis=axis)


class _Scaled(keras.layers.Layer):
    """A layer that has a scale, the number of fine pixels along a coarse one, for its only argument.

    Args:
        scale: at least 2.
    """

    def __init__(self, scale: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "scale": self.scale}


class Degradation(_Scaled):
    """Makes images coarser: blur, then mean."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, scale height, scale width, bands) into (batch, height, width, bands), edge pixels repeated."""
        margin = blur_radius(self.scale)
        kernel = degradation_kernel(self.scale)
        weights = np.tile(np.outer(kernel, kernel)[:, :, None, None], (1, 1, inputs.shape[-1], 1))
        extended = _extended(_extended(inputs, margin, 1), margin, 2)
        strides = (1, self.scale, self.scale, 1)
        return tf.nn.depthwise_conv2d(extended, tf.constant(weights, inputs.dtype), strides, "VALID")


class ConsistentUpsampling(_Scaled):
    """Interpolates so that `Degradation` gives the images back."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, height, width, bands) into (batch, scale height, scale width, bands), edge pixels repeated."""
        return self._along(self._along(inputs, 1), 2)

    def _along(self, images: tf.Tensor, axis: int) -> tf.Tensor:
        """Upsample along an axis: each phase weighs the same coarse pixels; the phases are woven together."""
        bands, count = images.shape[-1], 2 * RADIUS + 1
        by_phase = upsampling_kernel(self.scale).reshape(count, self.scale)[::-1]
        weights = np.tile(by_phase[:, None, None, :] if axis == 1 else by_phase[None, :, None, :], (1, 1, bands, 1))
        extended = _extended(images, RADIUS, axis)
        phases = tf.nn.depthwise_conv2d(extended, tf.constant(weights, images.dtype), (1, 1, 1, 1), "VALID")
        shape = tf.unstack(tf.shape(images))
        phases = tf.reshape(phases, [*shape[:3], bands, self.scale])
        order = [0, 1, 4, 2, 3] if axis == 1 else [0, 1, 2, 4, 3]
        shape[axis], shape[3] = shape[axis] * self.scale, bands
        return tf.reshape(tf.transpose(phases, order), shape)
