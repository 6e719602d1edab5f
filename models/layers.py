# SPDX-License-Identifier: Apache-2.0
"""Layers shared by the super-resolution networks, for Keras 2 and Keras 3, and for exported graphs."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras


class Crop(keras.layers.Layer):
    """Removes `crop` pixels on each side; an image that is too small becomes empty.

    Args:
        crop: number of pixels, at least 1.
    """

    def __init__(self, crop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.crop = crop

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Crop (batch, height, width, bands)."""
        return inputs[:, self.crop : -self.crop, self.crop : -self.crop, :]

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "crop": self.crop}


class _Scaled(keras.layers.Layer):
    """A layer whose only argument is a scale.

    Args:
        scale: see the subclass.
    """

    def __init__(self, scale: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "scale": self.scale}


class ScaledConv2D(keras.layers.Conv2D):
    """A convolution with padding and bias, times `scale`: its weights are multiplied, which costs nothing.

    Args:
        scale: factor of the output.
    """

    def __init__(self, *arguments: Any, scale: float = 1.0, **kwargs: Any):
        super().__init__(*arguments, padding="same", **kwargs)
        self.scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve (batch, height, width, features)."""
        kernel, bias = (tf.convert_to_tensor(weights) * self.scale for weights in (self.kernel, self.bias))
        return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, "SAME"), bias)

    def get_config(self) -> dict:
        """Return the arguments."""
        config = {**super().get_config(), "scale": self.scale}
        del config["padding"]
        return config


class DigitalNumbers(_Scaled):
    """Converts reflectance to the values of a 16-bit product: times `scale`, rounded, clipped to 0 to 65535.

    The rounding is done here because OTB truncates when it writes integers.

    Args:
        scale: digital number of reflectance 1.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convert reflectance to digital numbers, in the type of the input."""
        return tf.round(tf.clip_by_value(inputs * self.scale, 0, 65535))


class PixelShuffle(_Scaled):
    """Rearranges the features of each pixel into a square of pixels (Shi et al. 2016, arXiv:1609.05158).

    Features are in TensorFlow's order: those of the square's first pixel, then those of the next one.

    Args:
        scale: ratio of the sizes.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, height, width, scale² bands) into (batch, scale height, scale width, bands)."""
        return tf.nn.depth_to_space(inputs, self.scale)


class ReflectPadding(keras.layers.Layer):
    """Mirrors images about the centres of their edge pixels.

    Args:
        rows: number of pixels on each side, smaller than the image.
    """

    def __init__(self, rows: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = rows

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pad (..., height, width, bands), of up to five dimensions."""
        return mirror(inputs, self.rows)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "rows": self.rows}


def mirror(images: tf.Tensor, rows: int) -> tf.Tensor:
    """Pad images (..., height, width, bands), of up to five dimensions, mirrored about their edge pixels' centres.

    Args:
        images: the images.
        rows: number of pixels on each side, smaller than the images.
    """
    side = [rows, rows]
    return tf.pad(images, [*[[0, 0]] * (len(images.shape) - 3), side, side, [0, 0]], "REFLECT")


class InstanceNormalization(keras.layers.Layer):
    """Standardises each feature of each image, then scales and shifts it (Ulyanov et al. 2016, arXiv:1607.08022).

    It keeps no statistics of other images: it works the same in training and in inference.

    Args:
        epsilon: added to the variance, which is divided by the number of pixels n (not n - 1).
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        """Create a scale and a shift for each feature, initially 1 and 0."""
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise (..., height, width, features)."""
        mean, variance = tf.nn.moments(inputs, axes=[-3, -2], keepdims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, self.beta, self.gamma, self.epsilon)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}


class BicubicUpsampling(_Scaled):
    """Bicubic interpolation (Keys, a = -0.5), as OTB's `bco` and GDAL's `cubic`.

    Args:
        scale: ratio of the sizes.
    """

    scale: int

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Upsample (batch, height, width, bands) by `scale` in height and width, to float32."""
        return bicubic(inputs, self.scale)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the output."""
        return upsampled_shape(input_shape, self.scale)


class BilinearUpsampling(_Scaled):
    """Bilinear interpolation between pixel centres; images are mirrored about the centres of their edge pixels.

    The original DSen2 used scikit-image's `resize` (order 1, mode "reflect"), which does the same. `tf.image.resize`
    repeats the edge pixels instead, and rounds the positions.

    Args:
        scale: ratio of the sizes, at least 2.
    """

    scale: int

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Upsample (batch, height, width, bands) by `scale` in height and width."""
        return self._along(self._along(inputs, 1), 2)

    def _along(self, images: tf.Tensor, axis: int) -> tf.Tensor:
        """Upsample along one axis: each phase mixes two neighbours; the phases are then interleaved."""
        size, scale = tf.shape(images)[axis], self.scale

        def part(start: tf.Tensor | int, length: tf.Tensor | int) -> tf.Tensor:
            begin, extent = [0, 0, 0, 0], [-1, -1, -1, -1]
            begin[axis], extent[axis] = start, length
            return tf.slice(images, begin, extent)

        before, after = part(tf.minimum(1, size - 1), 1), part(tf.maximum(size - 2, 0), 1)
        previous = tf.concat([before, part(0, size - 1)], axis)
        following = tf.concat([part(1, size - 1), after], axis)
        phases = []
        for phase in range(scale):
            shift = (phase + 0.5) / scale - 0.5
            neighbour = previous if shift < 0 else following
            phases.append((1 - abs(shift)) * images + abs(shift) * neighbour)
        shape = tf.unstack(tf.shape(images))
        shape[axis], shape[3] = size * scale, images.shape[3]
        return tf.reshape(tf.stack(phases, axis + 1), shape)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the output."""
        return upsampled_shape(input_shape, self.scale)


def upsampled_shape(shape: tuple, scale: int) -> tuple:
    """Return the shape of upsampled images (batch, height, width, bands); sizes may be unknown."""
    return (shape[0], *(None if size is None else size * scale for size in shape[1:3]), shape[3])


def bicubic(images: tf.Tensor, scale: int) -> tf.Tensor:
    """Upsample (batch, height, width, bands) by bicubic interpolation, the baseline of all comparisons."""
    size = tf.shape(images)[1:3] * scale
    upsampled = tf.image.resize(tf.cast(images, tf.float32), size, method="bicubic")
    return tf.ensure_shape(upsampled, [images.shape[0], None, None, images.shape[-1]])


class BilinearInitializer(keras.initializers.Initializer):
    """Makes a stride-2 transposed convolution start as bilinear interpolation of each channel.

    With an even kernel of 4 the weights per axis are (1, 3, 3, 1) / 4, with 2 they are (1, 1). A network that starts
    like this has no checkerboard pattern to unlearn.

    Args:
        noise: standard deviation of the noise that makes channels differ, as a share of the Glorot deviation.
        seed: seed of the noise; by default drawn from numpy's global generator.
    """

    def __init__(self, noise: float = 0.1, seed: int | None = None):
        self.noise = noise
        self.seed = seed

    def __call__(self, shape: tuple, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """Return the weights, (kernel, kernel, output channels, input channels).

        Raises:
            ValueError: the size of the kernel is odd.
        """
        size = shape[0]
        if size % 2:
            raise ValueError(f"shape: expected an even kernel, got {shape}")
        ramp = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
        ramp /= ramp.sum() / 2  # so that the weights of each output pixel add up to one
        weights = np.outer(ramp, ramp)[:, :, None, None] * np.eye(shape[2], shape[3])
        deviation = self.noise * np.sqrt(2 / (size * size / 4 * (shape[2] + shape[3])))
        seed = np.random.randint(2**31) if self.seed is None else self.seed
        weights = weights + np.random.default_rng(seed).normal(0, deviation, shape)
        return tf.constant(weights, dtype=dtype or "float32")

    def get_config(self) -> dict:
        """Return the arguments."""
        return {"noise": self.noise, "seed": self.seed}
