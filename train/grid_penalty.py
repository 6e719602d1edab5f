# SPDX-License-Identifier: Apache-2.0
"""A penalty on the grid that a network leaves: gradients that differ across and inside the pixels it makes finer.

Ground knows nothing of pixels: of enough of it, the mean gradient across the borders of coarse pixels is that inside
them. A network that damps details, or learnt them at another scale, makes one larger than the other, which shows.

    python -m train.dsen2 --init weights/dsen2/2x --grid-penalty 0.1 ...
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

LEAST = 1e-6
"""Added to mean gradients, in the unit of the images: constant ground has none."""


def grid_penalty(images: tf.Tensor, ratio: int) -> tf.Tensor:
    """Return how much images show a grid.

    Args:
        images: (batch, height, width, bands); coarse pixels begin at the first one.
        ratio: number of pixels along a coarse one.

    Returns:
        (batch,): the square of the logarithm of the mean gradient across coarse pixels over that inside them, both mean
        absolute differences of neighbours, in the mean of both directions; the mean over the bands.
    """
    logarithms = []
    for rows in (images, tf.transpose(images, (0, 2, 1, 3))):
        differences = tf.abs(rows[:, 1:] - rows[:, :-1])
        inside = tf.concat([differences[:, phase::ratio] for phase in range(ratio - 1)], axis=1)
        across = tf.reduce_mean(differences[:, ratio - 1 :: ratio], axis=(1, 2))
        logarithms.append(tf.math.log((across + LEAST) / (tf.reduce_mean(inside, axis=(1, 2)) + LEAST)))
    return tf.reduce_mean(tf.square(tf.add_n(logarithms) / 2), axis=-1)


class GridPenalty(keras.layers.Layer):
    """Gives images as they are; in training, adds their mean penalty to the loss: losses of validation are plain ones.

    Args:
        weight: factor of the penalty.
        ratio: as `grid_penalty` takes it.
    """

    def __init__(self, weight: float, ratio: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.weight, self.ratio = weight, ratio

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Take (batch, height, width, bands)."""
        if training:
            self.add_loss(self.weight * tf.reduce_mean(grid_penalty(inputs, self.ratio)))
        return inputs

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "weight": self.weight, "ratio": self.ratio}
