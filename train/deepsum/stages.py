# SPDX-License-Identifier: Apache-2.0
"""How DeepSUM learns, in three stages (Molini et al. 2020, doi:10.1109/TGRS.2019.2959248).

* `SISRNet`: features, by super-resolving single frames. Each of a patch's frames may stand for its scene: the loss
  takes the truth to be placed to 3 pixels only.
* `RegNet`: registration, by recognising by how many whole pixels features were moved. The features are SISRNet's, which
  stays as it is; what is moved is the frame itself, within what the patch shows of it.
* `Joint`: all of it, by the error of the image alone.
"""

import shutil
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from datasets.deepsum.kelvins import SCALE
from models.base import WEIGHTS_NAME, ModelDescription, Tensors
from models.deepsum import FRAMES, DeepSUM, load_part
from models.weights_file import save_weights
from train.deepsum.images import FilterSummaries, ImageSummaries
from train.deepsum.losses import (
    FARTHEST,
    cpsnr,
    registration_accuracy,
    registration_loss,
    shift_loss,
)
from train.deepsum.options import Options
from train.grid_penalty import grid_penalty
from train.objective import Losses, Objective


class Stage(Objective):
    """What the stages have in common: Adam as in TensorFlow 1, and samples that may be flipped.

    Args:
        options: those of the training.
    """

    options: Options
    epsilon = 1e-8
    summaries = ImageSummaries

    def part(self, model: DeepSUM) -> keras.Model:
        """Return the part of the model whose weights are learnt."""
        raise NotImplementedError(f"{type(self).__name__} does not define part")

    def load(self, model: DeepSUM, path: str | Path) -> None:
        """Read the weights of the part."""
        load_part(model, path)

    def export(self, model: DeepSUM, folder: Path) -> ModelDescription | None:
        """Write the weights of the part only: the model is not one yet."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save_weights(self.part(model), folder / WEIGHTS_NAME)
        return None


class SISRNet(Stage):
    """The pre-training of the features."""

    names = ("loss", "cpsnr")

    def network(self, model: DeepSUM) -> keras.Model:
        """Return the network of single images, and remember the statistics."""
        self._mean, self._deviation = model.arguments["mean"], model.arguments["deviation"]
        return self.part(model)

    def part(self, model: DeepSUM) -> keras.Model:
        """Return the network of single images."""
        return model.sisrnet_model()

    def losses(self, network: keras.Model, inputs: Tensors, targets: Tensors, training: bool) -> Losses:
        """Compare one frame of each sample, super-resolved, with the truth: any in training, else the reference."""
        count = tf.shape(inputs["frames"])[0]
        chosen = self.draws(network).uniform([count], 0, FRAMES, tf.int32) if training else tf.zeros([count], tf.int32)
        image = tf.gather(inputs["frames"], chosen, axis=3, batch_dims=1)[..., tf.newaxis]
        made = network((image - self._mean) / self._deviation, training=training) * self._deviation + self._mean
        errors = shift_loss(targets["hr"], made, targets["clear"])
        return {"loss": tf.reduce_mean(errors) / self._deviation**2, "cpsnr": tf.reduce_mean(cpsnr(errors))}


class RegNet(Stage):
    """The pre-training of the registration."""

    names = ("loss", "accuracy")
    summaries = FilterSummaries

    def network(self, model: DeepSUM) -> keras.Model:
        """Return the network of features, and keep the one that makes them."""
        if self.options.sisrnet:
            _load("--sisrnet", "sisrnet", model, self.options.sisrnet)
        self._mean, self._deviation = model.arguments["mean"], model.arguments["deviation"]
        self._features = model.features_model()
        return self.part(model)

    def part(self, model: DeepSUM) -> keras.Model:
        """Return the network of features."""
        return model.registration_model()

    def losses(self, network: keras.Model, inputs: Tensors, targets: Tensors, training: bool) -> Losses:
        """Recognise by how much one frame of each sample was moved, eight times."""
        frames = inputs["frames"]
        count, height, width = tf.shape(frames)[0], tf.shape(frames)[1], tf.shape(frames)[2]
        if training:
            draws = self.draws(network)
            chosen = draws.uniform([count], 0, FRAMES, tf.int32)
            moves = draws.uniform([count, FRAMES - 1, 2], -FARTHEST, FARTHEST + 1, tf.int32)
        else:
            chosen = tf.zeros([count], tf.int32)
            moves = tf.random.stateless_uniform([count, FRAMES - 1, 2], (0, 1), -FARTHEST, FARTHEST + 1, tf.int32)
        image = tf.gather(frames, chosen, axis=3, batch_dims=1)[..., tf.newaxis]
        features = tf.stop_gradient(self._features((image - self._mean) / self._deviation, training=False))
        still = tf.zeros([count, 1, 2], tf.int32)
        seen = _moved(features, tf.concat([still, moves], axis=1), height - 2 * FARTHEST, width - 2 * FARTHEST)
        logits = network(seen, training=training)
        return {
            "loss": tf.reduce_mean(registration_loss(moves, logits)),
            "accuracy": tf.reduce_mean(registration_accuracy(moves, logits)),
        }


def _moved(features: tf.Tensor, moves: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Cut windows out of features so that what they show is displaced.

    Args:
        features: (batch, height + 8, width + 8, depth).
        moves: rows and columns by which each window's content is displaced, (batch, windows, 2).
        height: rows of a window.
        width: columns of a window.

    Returns:
        (batch, windows, height, width, depth).
    """
    rows = FARTHEST - moves[..., :1] + tf.range(height)
    columns = FARTHEST - moves[..., 1:] + tf.range(width)
    windows = tf.gather(features, rows, axis=1, batch_dims=1)
    windows = tf.transpose(windows, (0, 1, 3, 2, 4))  # batch, windows, columns, rows, depth
    windows = tf.gather(windows, columns, axis=2, batch_dims=2)
    return tf.transpose(windows, (0, 1, 3, 2, 4))


class Joint(Stage):
    """The training of the whole network."""

    names = ("loss", "cpsnr", "accuracy")

    def network(self, model: DeepSUM) -> keras.Model:
        """Return the network, which starts from what the pre-trainings gave."""
        for option, part, path in (
            ("--sisrnet", "sisrnet", self.options.sisrnet),
            ("--regnet", "registration", self.options.regnet),
        ):
            if path:
                _load(option, part, model, path)
        self._deviation = model.arguments["target_deviation"]
        return model.training_model()

    def load(self, model: DeepSUM, path: str | Path) -> None:
        """Read the weights of a whole model."""
        Objective.load(self, model, path)

    def export(self, model: DeepSUM, folder: Path) -> ModelDescription | None:
        """Write the whole model."""
        return Objective.export(self, model, folder)

    def losses(self, network: keras.Model, inputs: Tensors, targets: Tensors, training: bool) -> Losses:
        """Compare the image with the truth, and say how often the largest weight of a filter is where shifts say."""
        image, logits = network(inputs, training=training)
        errors = shift_loss(targets["hr"], image, targets["clear"])
        loss = tf.reduce_mean(errors) / self._deviation**2
        if self.options.registration_weight:
            registration = tf.reduce_mean(registration_loss(targets["shifts"], logits))
            loss = loss + self.options.registration_weight * registration
        if training and self.options.grid_penalty:
            loss = loss + self.options.grid_penalty * tf.reduce_mean(grid_penalty(image, SCALE, targets["hr"]))
        return {
            "loss": loss,
            "cpsnr": tf.reduce_mean(cpsnr(errors)),
            "accuracy": tf.reduce_mean(registration_accuracy(targets["shifts"], logits)),
        }


def _load(option: str, part: str, model: DeepSUM, path: str) -> None:
    """Load the weights of a part, or raise ValueError if they are those of the other one, or none."""
    found = load_part(model, path)
    if found != part:
        raise ValueError(f"{option}: expected weights of {part}, got those of {found} in {path}")


STAGES: dict[str, type[Stage]] = {"sisrnet": SISRNet, "regnet": RegNet, "joint": Joint}
"""Stages by the name that the command line has for them."""
