# SPDX-License-Identifier: Apache-2.0
"""Optimizers and learning rate schedules, the same under Keras 2 and Keras 3.

* `adam` with a `cosine`: the rate rises linearly, then falls to zero along a cosine (Loshchilov and Hutter 2017,
  arXiv:1608.03983), or with a `staircase`;
* `nadam` with a `plateau`, as DSen2 was trained in 2018: Nadam with the momentum schedule that Keras had then, and a
  rate that is halved when the validation loss no longer falls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow import keras

KERAS_3 = hasattr(keras, "ops")
WARM_UP = 0.05
"""Share of the steps during which a cosine's learning rate rises."""


def cosine(learning_rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Make the learning rate rise linearly, then fall to zero along a cosine."""
    rising = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rising), warmup_target=learning_rate, warmup_steps=rising
    )


def staircase(learning_rate: float, factor: float, every: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Multiply the learning rate by a factor each time a number of steps is done."""
    return keras.optimizers.schedules.ExponentialDecay(learning_rate, every, factor, staircase=True)


@dataclass(frozen=True)
class Plateau:
    """A learning rate that is lowered when the validation loss no longer falls."""

    learning_rate: float
    """Rate at the start."""
    factor: float = 0.5
    """By which it is multiplied."""
    patience: int = 5
    """Epochs without a lower loss after which it is lowered."""
    least_gain: float = 1e-6
    """By how much a loss has to be lower to count."""
    cooldown: int = 20
    """Epochs after a lowering that do not count."""
    least: float = 1e-5
    """Rate below which it does not go."""

    def rate(self, losses: Sequence[float]) -> float:
        """Return the rate after these validation losses, by the rules of Keras' ReduceLROnPlateau.

        They are today's: that of Keras 2.1 waited one epoch more.
        """
        rate, best, waited, resting = self.learning_rate, float("inf"), 0, 0
        for loss in losses:
            resting = max(resting - 1, 0)
            if loss < best - self.least_gain:
                best, waited = loss, 0
            elif not resting:
                waited += 1
                if waited >= self.patience and rate > self.least:
                    rate, resting, waited = max(rate * self.factor, self.least), self.cooldown, 0
        return rate


class PlateauRate(keras.callbacks.Callback):
    """Sets a plateau's rate before each epoch, from the history alone: a resumed training goes on with it.

    Args:
        plateau: the rule.
        history: losses of the epochs that are done, by name; it grows.
    """

    def __init__(self, plateau: Plateau, history: list[dict[str, float]]):
        super().__init__()
        self.plateau = plateau
        self.history = history

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the rate."""
        rate = self.plateau.rate([losses["val_loss"] for losses in self.history])
        self.model.optimizer.learning_rate.assign(rate)


class Nadam(keras.optimizers.Optimizer):
    """Adam with Nesterov momentum, as in Keras up to 2.3 (T. Dozat, ICLR Workshop 2016).

    The momentum at step t is beta_1 (1 - 0.5 * 0.96^(schedule_decay t)). Later Keras has no `schedule_decay`: its
    momentum rises 250 times as fast.

    Args:
        learning_rate: step.
        beta_1: decay of the mean of the gradients.
        beta_2: decay of the mean of their squares.
        epsilon: added to the root of the latter.
        schedule_decay: how fast the momentum rises.
    """

    def __init__(
        self,
        learning_rate: float = 1e-4,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        schedule_decay: float = 0.004,
        name: str = "nadam",
        **kwargs: Any,
    ):
        if KERAS_3:
            super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        else:
            super().__init__(name=name, **kwargs)
            self._learning_rate = self._build_learning_rate(learning_rate)
        self.beta_1, self.beta_2, self.epsilon, self.schedule_decay = beta_1, beta_2, epsilon, schedule_decay

    def build(self, variables: Sequence) -> None:
        """Make, for each variable, the means of gradients and of squares, and the product of the momenta so far."""
        if getattr(self, "_means", None):
            return
        super().build(variables)
        self._means = [self._slot(variable, "mean") for variable in variables]
        self._squares = [self._slot(variable, "square") for variable in variables]
        self._products = [self._product(index) for index in range(len(variables))]

    def _slot(self, variable: tf.Variable, name: str) -> tf.Variable:
        if KERAS_3:
            return self.add_variable_from_reference(variable, name=name)
        return self.add_variable_from_reference(variable, name)

    def _product(self, index: int) -> tf.Variable:
        if KERAS_3:
            return self.add_variable((), initializer="ones", dtype="float32", name=f"product{index}")
        return self.add_variable((), dtype=tf.float32, initializer="ones", name=f"product{index}")

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor | None = None) -> None:
        """Change one variable by its gradient."""
        index = self._get_variable_index(variable) if KERAS_3 else self._index_dict[self._var_key(variable)]
        mean, square, product = self._means[index], self._squares[index], self._products[index]
        rate = tf.cast(self.learning_rate if learning_rate is None else learning_rate, gradient.dtype)
        step = tf.cast(self.iterations + 1, gradient.dtype)
        momentum, following = (
            self.beta_1 * (1 - 0.5 * 0.96 ** (self.schedule_decay * number)) for number in (step, step + 1)
        )
        product.assign(product * momentum)
        mean.assign(self.beta_1 * mean + (1 - self.beta_1) * gradient)
        square.assign(self.beta_2 * square + (1 - self.beta_2) * tf.square(gradient))
        direction = (1 - momentum) * gradient / (1 - product) + following * mean / (1 - product * following)
        variable.assign_sub(rate * direction / (tf.sqrt(square / (1 - self.beta_2**step)) + self.epsilon))

    def get_config(self) -> dict:
        """Give the arguments."""
        config = super().get_config()
        names = ("beta_1", "beta_2", "epsilon", "schedule_decay")
        config.update({name: getattr(self, name) for name in names})
        if not KERAS_3:
            rate = self._serialize_hyperparameter(self._learning_rate)
            config["learning_rate"] = rate if isinstance(rate, dict) else float(rate)
        return config
