# SPDX-License-Identifier: Apache-2.0
"""A penalty on the grid that a network leaves: gradients that differ across and inside the pixels it makes finer.

Ground knows nothing of pixels: of enough of it, the mean gradient across the borders of coarse pixels is that inside
them, wherever it is. A network that damps details, or learnt them at another scale, makes some larger than others,
which shows.

    python -m train.dsen2 --init weights/dsen2/2x --grid-penalty 0.004 ...
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

LEAST = 1e-6
"""Added to mean gradients, in the unit of the images: constant ground has none."""


def grid_penalty(images: tf.Tensor, ratio: int, ground: tf.Tensor | None = None) -> tf.Tensor:
    """Return how much images show a grid.

    Args:
        images: (batch, height, width, bands); coarse pixels begin at the first one.
        ratio: number of pixels along a coarse one.
        ground: images without a grid of the same ground, of any bands: a small piece of it is not alike in all phases.

    Returns:
        (batch,): how the mean gradients of neighbouring phases differ, in the mean of both directions: the mean size
        of the differences of their logarithms, less those of the ground, over phases and bands. A phase is where two
        neighbours lie in, or across, coarse pixels; its gradient the mean of their absolute differences.
    """
    steps = _steps(images, ratio)
    if ground is not None:
        steps -= tf.reduce_mean(_steps(ground, ratio), axis=2, keepdims=True)
    return tf.reduce_mean(tf.abs(steps), axis=(0, 2))


def _steps(images: tf.Tensor, ratio: int) -> tf.Tensor:
    """Return the differences of the logarithms of the mean gradients of neighbouring phases, (phases, batch, bands)."""
    logarithms = []
    for rows in (images, tf.transpose(images, (0, 2, 1, 3))):
        differences = tf.abs(rows[:, 1:] - rows[:, :-1])
        phases = [tf.reduce_mean(differences[:, phase::ratio], axis=(1, 2)) for phase in range(ratio)]
        logarithms.append(tf.math.log(tf.stack(phases) + LEAST))
    means = tf.add_n(logarithms) / len(logarithms)
    return means - tf.roll(means, 1, axis=0)


class GridPenalty(keras.layers.Layer):
    """Gives images as they are; in training, adds their mean penalty to the loss: losses of validation are plain ones.

    Args:
        weight: factor of the penalty.
        ratio: as `grid_penalty` takes it.
    """

    def __init__(self, weight: float, ratio: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.weight, self.ratio = weight, ratio

    def call(self, inputs: list[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Take images, (batch, height, width, bands), and, if they are known, images of the ground; give the former."""
        if training:
            self.add_loss(self.weight * tf.reduce_mean(grid_penalty(inputs[0], self.ratio, *inputs[1:])))
        return inputs[0]

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "weight": self.weight, "ratio": self.ratio}
