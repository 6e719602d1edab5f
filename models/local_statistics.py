# SPDX-License-Identifier: Apache-2.0
"""Layers that standardise each band by its own local level and spread, so that a network sees no gain and no offset.

The level is the mean over a square window, the spread the root mean square of what differs from it, over a second
window. Both are computed by pooling: they are part of the receptive field, and tiles have no seams. Of a network that
sees standardised bands only, and whose output is multiplied by a band's spread, a gain on another band changes nothing.

    level, spread = LocalStatistics(level_radius=5, spread_radius=3)(images)
    standardized = Standardization()(images, level, spread)
"""

import dataclasses
from typing import Any

import tensorflow as tf
from tensorflow import keras

FLOOR = 1e-6
"""Least spread, in the unit of the images: constant ground has none."""


@dataclasses.dataclass(frozen=True)
class Windows:
    """Radii of the windows in which a network looks at bands, in pixels of the coarsest one."""

    level: int
    """That of a band's level."""
    spread: int
    """That of its spread."""
    correlation: int
    """That of the correlations of bands."""
    of_pixels: bool
    """Whether the spread of finer bands is that of their own pixels, or that of their means over coarse pixels."""

    @property
    def radius(self) -> int:
        """How far the network sees by way of them."""
        return self.level + self.spread + self.correlation


def box_mean(images: tf.Tensor, radius: int) -> tf.Tensor:
    """Average (batch, height, width, bands) over windows of 2 radius + 1 pixels a side, of those that exist."""
    side = 2 * radius + 1
    rows = tf.nn.avg_pool2d(images, (side, 1), 1, "SAME")
    return tf.nn.avg_pool2d(rows, (1, side), 1, "SAME")


class SpaceToDepth(keras.layers.Layer):
    """Makes each square of pixels one pixel, with the bands of the square's first pixel, then those of the next one.

    Args:
        scale: side of the squares.
    """

    def __init__(self, scale: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn (batch, scale height, scale width, bands) into (batch, height, width, scale² bands)."""
        return tf.nn.space_to_depth(inputs, self.scale)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "scale": self.scale}


class LocalStatistics(keras.layers.Layer):
    """Gives the local level and spread of bands.

    Args:
        level_radius: rows around a pixel that its level is the mean of.
        spread_radius: rows around a pixel over whose differences from their levels the spread is taken.
    """

    def __init__(self, level_radius: int, spread_radius: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.level_radius = level_radius
        self.spread_radius = spread_radius

    def call(self, images: tf.Tensor, pixels: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the level and the spread of images.

        Args:
            images: (batch, height, width, bands).
            pixels: what the images are the means of, (batch, height, width, phases x bands), of which the spread then
                is; by default it is that of the images.

        Returns:
            (batch, height, width, bands) each.
        """
        level = box_mean(images, self.level_radius)
        parts = [images] if pixels is None else tf.split(pixels, pixels.shape[-1] // images.shape[-1], axis=-1)
        variance = tf.add_n([tf.square(part - level) for part in parts]) / len(parts)
        return level, tf.sqrt(box_mean(variance, self.spread_radius) + FLOOR**2)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "level_radius": self.level_radius, "spread_radius": self.spread_radius}


class Standardization(keras.layers.Layer):
    """Subtracts the level of each band, and divides by its spread.

    Args:
        phases: number of pixels that `SpaceToDepth` has made one: they share level and spread.
    """

    def __init__(self, phases: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.phases = phases

    def call(self, images: tf.Tensor, level: tf.Tensor, spread: tf.Tensor) -> tf.Tensor:
        """Standardise (batch, height, width, phases x bands), given (batch, height, width, bands) twice."""
        # Joined rather than tiled, which OpenVINO cannot read here.
        level, spread = (tf.concat([each] * self.phases, axis=-1) for each in (level, spread))
        return (images - level) / spread

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "phases": self.phases}


class LocalCorrelation(keras.layers.Layer):
    """Correlates standardised coarse bands with fine ones, and these with each other, over a window.

    Args:
        radius: rows around a pixel over which products are averaged.
    """

    def __init__(self, radius: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius

    def call(self, coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
        """Average products of (batch, height, width, bands) and (batch, height, width, fine bands).

        Returns:
            Those of each fine band with all coarse ones, then those of each fine band with the fine ones behind it.
        """
        count = fine.shape[-1]
        products = [coarse * fine[..., band : band + 1] for band in range(count)]
        products += [fine[..., band + 1 :] * fine[..., band : band + 1] for band in range(count - 1)]
        return box_mean(tf.concat(products, axis=-1), self.radius)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "radius": self.radius}


class ByPhase(keras.layers.Layer):
    """Puts bands on one grid behind fine ones, once for each of the pixels that `SpaceToDepth` has made one.

    Args:
        phases: number of these pixels.
    """

    def __init__(self, phases: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.phases = phases

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Join (batch, height, width, phases x fine bands) and (batch, height, width, bands), pixel by pixel."""
        fine, coarse = inputs
        parts = tf.split(fine, self.phases, axis=-1)
        return tf.concat([part for each in parts for part in (each, coarse)], axis=-1)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "phases": self.phases}


class WeightedSum(keras.layers.Layer):
    """Adds up fine bands, each by weights that the pixels have in common that `SpaceToDepth` has made one.

    Args:
        phases: number of these pixels.
    """

    def __init__(self, phases: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.phases = phases

    def call(self, weights: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
        """Weigh fine bands.

        Args:
            weights: (batch, height, width, fine bands x bands).
            fine: (batch, height, width, phases x fine bands).

        Returns:
            (batch, height, width, phases x bands).
        """
        height, width = tf.shape(fine)[1], tf.shape(fine)[2]
        count, bands = fine.shape[-1] // self.phases, weights.shape[-1] * self.phases // fine.shape[-1]
        pixels = tf.reshape(fine, (-1, height, width, self.phases, count))
        sums = pixels @ tf.reshape(weights, (-1, height, width, count, bands))
        return tf.reshape(sums, (-1, height, width, self.phases * bands))

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "phases": self.phases}
