# SPDX-License-Identifier: Apache-2.0
"""Layers of DeepSUM that fold, compare, filter and fill frames.

Frames are (batch, frames, height, width, bands), the reference first. Folded into the batch, they are
(batch * frames, height, width, bands), scene after scene, as two-dimensional layers need them.
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

from models.layers import mirror

CLEAR = 0.5
"""Value of a mask above which a pixel is clear."""


def _sizes(tensor: tf.Tensor) -> list:
    """Return the sizes of a tensor: integers where they are known, tensors elsewhere."""
    return [known if known is not None else found for known, found in zip(tensor.shape, tf.unstack(tf.shape(tensor)))]


class BandsToFrames(keras.layers.Layer):
    """Turns the bands of images into frames of one band."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, height, width, frames) into (batch, frames, height, width, 1)."""
        return tf.transpose(inputs, [0, 3, 1, 2])[..., tf.newaxis]


class FoldFrames(keras.layers.Layer):
    """Folds frames into the batch."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, frames, ...) into (batch * frames, ...)."""
        return tf.reshape(inputs, [-1, *_sizes(inputs)[2:]])


class UnfoldFrames(keras.layers.Layer):
    """Separates frames from the batch again.

    Args:
        frames: number of frames per scene.
    """

    def __init__(self, frames: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch * frames, ...) into (batch, frames, ...)."""
        return tf.reshape(inputs, [-1, self.frames, *_sizes(inputs)[1:]])

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "frames": self.frames}


class PairConvolution(keras.layers.Layer):
    """A convolution of pairs: the features of each frame except the reference, followed by the reference's.

    The contribution of the reference is the same for all pairs of a scene and is computed once. Images are mirrored
    about the centres of their edge pixels.

    Args:
        filters: number of output features.
        size: rows and columns of the kernel, odd.
        kernel_initializer: of the kernel, (size, size, 2 features, filters).
    """

    def __init__(self, filters: int, size: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters
        self.size = size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple) -> None:
        """Create the kernel and the bias."""
        shape = (self.size, self.size, 2 * input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, frames, height, width, features) into (batch, frames - 1, height, width, filters)."""
        _, frames, height, width, _ = _sizes(inputs)
        padded = mirror(inputs, self.size // 2)
        reference, others = padded[:, 0], tf.reshape(padded[:, 1:], [-1, *_sizes(padded)[2:]])
        kernels = tf.split(tf.convert_to_tensor(self.kernel), 2, axis=2)
        others, reference = (tf.nn.conv2d(image, k, 1, "VALID") for image, k in zip((others, reference), kernels))
        others = tf.reshape(others, [-1, frames - 1, height, width, self.filters])
        return others + (reference + self.bias)[:, tf.newaxis]

    def get_config(self) -> dict:
        """Return the arguments."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        config = {"filters": self.filters, "size": self.size, "kernel_initializer": initializer}
        return {**super().get_config(), **config}


class DynamicFilters(keras.layers.Layer):
    """Filters each frame except the reference with its own kernel, the same for all features.

    A kernel that is 1 at row 4 + y, column 4 + x of 9 x 9, and 0 elsewhere, moves a frame that is displaced by (y, x)
    back onto the reference. Images are mirrored about the centres of their edge pixels.

    Args:
        size: rows and columns of the kernels, odd.
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Filter frames (batch, frames, height, width, bands) by kernels (batch, frames - 1, size * size)."""
        frames, kernels = inputs
        padded = mirror(frames[:, 1:], self.size // 2)
        # In the depthwise convolution, which has one kernel per channel, frames are the channels and bands the batch.
        batch, others, height, width, bands = _sizes(padded)
        images = tf.reshape(tf.transpose(padded, [4, 2, 3, 0, 1]), [bands, height, width, batch * others])
        kernels = tf.transpose(tf.reshape(kernels, [batch * others, self.size, self.size]), [1, 2, 0])
        filtered = tf.nn.depthwise_conv2d(images, kernels[..., tf.newaxis], [1, 1, 1, 1], "VALID")
        height, width = height - self.size + 1, width - self.size + 1
        filtered = tf.transpose(tf.reshape(filtered, [bands, height, width, batch, others]), [3, 4, 1, 2, 0])
        return tf.concat([frames[:, :1], filtered], axis=1)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "size": self.size}


class FillConcealed(keras.layers.Layer):
    """Fills concealed pixels of each frame from the first frame that is clear there; where none is, they stay."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Fill frames (batch, frames, height, width, bands) by their masks (batch, height, width, frames)."""
        frames, masks = inputs
        clear = masks > CLEAR
        several = tf.unstack(frames, masks.shape[-1], axis=1)
        first = several[-1]
        for index in reversed(range(len(several) - 1)):
            first = tf.where(clear[..., index, tf.newaxis], several[index], first)
        kept = tf.logical_or(clear, tf.logical_not(tf.reduce_any(clear, axis=-1, keepdims=True)))
        return tf.stack([tf.where(kept[..., i, tf.newaxis], frame, first) for i, frame in enumerate(several)], axis=1)


class GlobalResidual(keras.layers.Layer):
    """Adds the mean of the frames, times a factor, to the fused frame.

    Args:
        factor: the factor.
    """

    def __init__(self, factor: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return (batch, height, width, 1) from fused (batch, 1, height, width, 1) and frames of one band."""
        fused, frames = inputs
        return fused[:, 0] + self.factor * tf.reduce_mean(frames, axis=1)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "factor": self.factor}
