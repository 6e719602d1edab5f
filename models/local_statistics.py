# SPDX-License-Identifier: Apache-2.0
"""Layers that standardise each band by its own local level and spread, so that a network sees no gain and no offset.

The level is the mean over a square window, the spread the root mean square of what differs from it, over a second
window. Both are computed by pooling: they are part of the receptive field, and tiles have no seams. Of a network that
sees standardised bands only, and whose output is multiplied by a band's spread, a gain on another band changes nothing.

    standardized, spread = LocalStandardization(level_radius=5, spread_radius=3)(images)
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

FLOOR = 1e-6
"""Least spread, in the unit of the images: constant ground has none."""


def box_mean(images: tf.Tensor, radius: int) -> tf.Tensor:
    """Average (batch, height, width, bands) over windows of 2 radius + 1 pixels a side, of those that exist."""
    side = 2 * radius + 1
    rows = tf.nn.avg_pool2d(images, (side, 1), 1, "SAME")
    return tf.nn.avg_pool2d(rows, (1, side), 1, "SAME")


def _mean_of(images: tf.Tensor, phases: int) -> tf.Tensor:
    """Average the pixels that `SpaceToDepth` has made one, (batch, height, width, phases x bands)."""
    return tf.add_n(tf.split(images, phases, axis=-1)) / phases


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


class LocalStandardization(keras.layers.Layer):
    """Subtracts the local level of each band, and divides by its local spread.

    Args:
        level_radius: rows around a pixel that its level is the mean of.
        spread_radius: rows around a pixel over whose differences from their levels the spread is taken.
        phases: number of pixels that `SpaceToDepth` has made one: they share level and spread.
    """

    def __init__(self, level_radius: int, spread_radius: int, phases: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.level_radius = level_radius
        self.spread_radius = spread_radius
        self.phases = phases

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Standardise (batch, height, width, phases x bands).

        Returns:
            The images, standardised, and the spread of each band, (batch, height, width, bands).
        """
        level = box_mean(_mean_of(inputs, self.phases), self.level_radius)
        differences = inputs - self._for_each_phase(level)
        variance = box_mean(_mean_of(tf.square(differences), self.phases), self.spread_radius)
        spread = tf.sqrt(variance + FLOOR**2)
        return differences / self._for_each_phase(spread), spread

    def _for_each_phase(self, images: tf.Tensor) -> tf.Tensor:
        return tf.concat([images] * self.phases, axis=-1)  # OpenVINO cannot read tf.tile here

    def get_config(self) -> dict:
        """Return the arguments."""
        arguments = ("level_radius", "spread_radius", "phases")
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}


class LocalCorrelation(keras.layers.Layer):
    """Correlates standardised coarse bands with fine ones, and these with each other, over a window.

    Args:
        radius: rows around a pixel over which products are averaged.
        phases: number of pixels of the fine bands that `SpaceToDepth` has made one.
    """

    def __init__(self, radius: int, phases: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius
        self.phases = phases

    def call(self, coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
        """Average products of (batch, height, width, bands) and (batch, height, width, phases x fine bands).

        Returns:
            Those of each fine band with all coarse ones, then those of each fine band with the fine ones behind it.
        """
        fine = _mean_of(fine, self.phases)
        count = fine.shape[-1]
        products = [coarse * fine[..., band : band + 1] for band in range(count)]
        products += [fine[..., band + 1 :] * fine[..., band : band + 1] for band in range(count - 1)]
        return box_mean(tf.concat(products, axis=-1), self.radius)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "radius": self.radius, "phases": self.phases}


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
        count = fine.shape[-1] // self.phases
        by_band = tf.split(weights, count, axis=-1)
        pixels = tf.split(fine, self.phases, axis=-1)
        sums = [tf.add_n([each[..., band : band + 1] * by_band[band] for band in range(count)]) for each in pixels]
        return tf.concat(sums, axis=-1)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "phases": self.phases}
