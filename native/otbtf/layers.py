# SPDX-License-Identifier: Apache-2.0
"""Layers for models that are served on images: nodata masks, scalars as images, classes.

import otbtf
mask = otbtf.layers.DilatedMask(nodata_value=0, radius=64)(inputs["image"][:, :, :, :1])
output = otbtf.layers.ApplyMask(out_nodata=-1)((mask, output))
"""

import tensorflow as tf
from tensorflow import keras

_serialisable = keras.utils.register_keras_serializable(package="otbtf")


@_serialisable
class DilatedMask(keras.layers.Layer):
    """One where the input is nodata, or has nodata nearby.

    Args:
        nodata_value: the value that means nodata.
        radius: the mask is dilated by a square of 2 * radius + 1 pixels.
        name: name of the layer.
    """

    def __init__(self, nodata_value: float, radius: int, name: str | None = None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.nodata_value = nodata_value
        self.radius = radius

    def call(self, inp: tf.Tensor) -> tf.Tensor:
        """Compute the mask, (batch, height, width, 1), uint8, of an image of one band."""
        mask = tf.cast(tf.equal(inp, tf.cast(self.nodata_value, inp.dtype)), tf.float32)
        return tf.cast(tf.nn.max_pool2d(mask, 2 * self.radius + 1, 1, "SAME"), tf.uint8)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "nodata_value": self.nodata_value, "radius": self.radius}


@_serialisable
class ApplyMask(keras.layers.Layer):
    """Write a value where a mask is one.

    Args:
        out_nodata: the value to write.
        name: name of the layer.
    """

    def __init__(self, out_nodata: float, name: str | None = None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.out_nodata = out_nodata

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Apply the first input, a mask of shape (batch, height, width, 1), to the second."""
        mask, tensor = inputs
        return tf.where(tf.equal(mask, 1), tf.cast(self.out_nodata, tensor.dtype), tensor)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "out_nodata": self.out_nodata}


@_serialisable
class ScalarsTile(keras.layers.Layer):
    """Repeat scalars over the pixels of a reference image.

    The scalars are a list of tensors (batch,), one for each band. As in OTBTF, a single tensor is treated as the list
    of its rows, so that (batch, n) is transposed.
    """

    def __init__(self, name: str | None = None, **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Tile scalars, the second input, over height and width of the first: (batch, height, width, scalars)."""
        reference, scalars = inputs
        shape = tf.shape(reference)
        stacked = tf.stack(scalars, axis=-1) if isinstance(scalars, list | tuple) else tf.transpose(scalars)
        return tf.tile(stacked[:, tf.newaxis, tf.newaxis, :], [1, shape[1], shape[2], 1])


@_serialisable
class Argmax(keras.layers.Layer):
    """Index of the largest band.

    Args:
        name: name of the layer.
        expand_last_dim: whether the result keeps a last axis, of size one.
    """

    def __init__(self, name: str | None = None, expand_last_dim: bool = True, **kwargs):
        super().__init__(name=name, **kwargs)
        self.expand_last_dim = expand_last_dim

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Compute the index along the last axis."""
        index = tf.math.argmax(inputs, axis=-1)
        return tf.expand_dims(index, axis=-1) if self.expand_last_dim else index

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "expand_last_dim": self.expand_last_dim}


@_serialisable
class Max(keras.layers.Layer):
    """Value of the largest band, with a last axis of size one."""

    def __init__(self, name: str | None = None, **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Compute the maximum along the last axis."""
        return tf.reduce_max(inputs, axis=-1, keepdims=True)
