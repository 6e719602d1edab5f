# SPDX-License-Identifier: Apache-2.0
"""Learning by a loss that is more than a comparison of an output with a target: several passes, several outputs.

A subclass of `Objective` states the network and the loss; `ObjectiveModel` is the Keras model that is fitted.
"""

import itertools
from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow import keras

from models.base import SuperResolutionModel, Tensors
from train.learning import Learning
from train.optimizers import cosine, staircase
from train.options import ScheduleOptions

Losses = dict[str, tf.Tensor]
MOST_DRAWS = 1 << 16
"""Numbers of draws of one step, at most."""


class Draws:
    """Random numbers of one step of a training: the same for the same seed and step, whatever was drawn before.

    Args:
        seed: that of the training.
        step: number of the step; replicas count on from it.
    """

    def __init__(self, seed: int, step: tf.Tensor):
        replicas = tf.distribute.get_replica_context()
        number = replicas.replica_id_in_sync_group if replicas else 0
        self._place = tf.cast(step, tf.int64) * tf.distribute.get_strategy().num_replicas_in_sync + tf.cast(
            number, tf.int64
        )
        self._seed, self._draws = seed, itertools.count()

    def uniform(
        self, shape: Sequence[int | tf.Tensor], low: float = 0, high: float = 1, dtype: tf.DType = tf.float32
    ) -> tf.Tensor:
        """Draw numbers from `low` to `high`, which is left out."""
        seed = tf.stack([tf.constant(self._seed * MOST_DRAWS + next(self._draws), tf.int64), self._place])
        return tf.random.stateless_uniform(shape, seed, low, high, dtype)


class ObjectiveModel(keras.Model):
    """A functional Keras model that is trained by a loss of its own. It is made of inputs and outputs as any.

    After `minimise`, and once compiled with an optimizer, it is fitted to batches of (inputs, targets).
    """

    def minimise(self, losses: Callable[[keras.Model, Tensors, Tensors, bool], Losses], names: Sequence[str]) -> None:
        """State what is minimised.

        Args:
            losses: called with this model, inputs, targets and whether it is trained; gives scalars by name, of which
                `loss` is minimised and all are reported.
            names: their names.
        """
        self._objective: Callable[..., Losses] = losses
        self._means = {name: keras.metrics.Mean(name) for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The means over an epoch."""
        return list(self._means.values())

    def _report(self, losses: Losses) -> dict[str, tf.Tensor]:
        for name, value in losses.items():
            self._means[name].update_state(value)
        return {name: self._means[name].result() for name in losses}

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """Take a step downwards."""
        with tf.GradientTape() as tape:
            losses = self._objective(self, *data, True)
        gradients = tape.gradient(losses["loss"], self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return self._report(losses)

    def test_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """Compute the losses only."""
        return self._report(self._objective(self, *data, False))


class Objective(Learning):
    """The training by a loss of its own. Subclasses define `network` and `losses`.

    Args:
        options: those of the training.
    """

    options: ScheduleOptions

    names: tuple[str, ...] = ("loss",)
    """Names of what `losses` gives."""
    epsilon = 1e-7
    """Adam's."""

    def network(self, model: SuperResolutionModel) -> keras.Model:
        """Return the network that is trained: a functional model."""
        raise NotImplementedError(f"{type(self).__name__} does not define network")

    def losses(self, network: keras.Model, inputs: Tensors, targets: Tensors, training: bool) -> Losses:
        """Compute `loss`, and other scalars to be reported, of a batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define losses")

    def compile(self, model: SuperResolutionModel, element_spec: tuple, steps: int) -> keras.Model:
        """Return the network, compiled with its loss and Adam."""
        network = self.network(model)
        trained = ObjectiveModel(network.input, network.outputs, name="trained")
        trained.minimise(self.losses, self.names)
        trained.compile(optimizer=keras.optimizers.Adam(self._rate(steps), epsilon=self.epsilon), jit_compile=False)
        return trained

    def draws(self, network: keras.Model) -> Draws:
        """Return the random numbers of the step that a network takes."""
        return Draws(self.options.seed, tf.convert_to_tensor(network.optimizer.iterations))

    def _rate(self, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """Make the learning rate of `--schedule`."""
        rate = self.options.learning_rate
        if self.options.schedule == "cosine":
            return cosine(rate, steps)
        if self.options.schedule == "steps":
            return staircase(rate, self.options.decay, self.options.decay_steps)
        return rate
