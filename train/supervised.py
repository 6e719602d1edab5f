# SPDX-License-Identifier: Apache-2.0
"""Learning from samples with their truth, `targets["sr"]`, by a plain loss."""

from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from models.base import SuperResolutionModel
from train.callbacks import ImageSummaries
from train.grid_penalty import GridPenalty
from train.learning import Learning
from train.optimizers import Nadam, Plateau, PlateauRate, cosine
from train.options import SupervisionOptions

LOSSES = {"l1": "mae", "l2": "mse"}
"""Keras' names of the losses."""


class Supervised(Learning):
    """The training with truth.

    Args:
        options: those of the training.
    """

    options: SupervisionOptions

    def precision_policy(self) -> str:
        """Name the Keras policy to compute with: 16-bit floats have a type for GPUs and one for CPUs."""
        if not self.options.mixed_precision:
            return "float32"
        return "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"

    def compile(self, model: SuperResolutionModel, element_spec: tuple, steps: int) -> keras.Model:
        """Return the model of the one output, compiled with a plain loss.

        Raises:
            ValueError: targets have another size or number of bands than the model's output.
        """
        check_targets(element_spec, model)
        trained = self._with_grid_penalty(model.training_model(), model)
        trained.compile(
            optimizer=self._optimizer(steps),
            loss=LOSSES[self.options.loss],
            jit_compile=False,  # XLA has no bicubic interpolation
            metrics=[keras.metrics.MeanAbsoluteError("l1"), keras.metrics.MeanSquaredError("l2")],
        )
        return trained

    def _with_grid_penalty(self, trained: keras.Model, model: SuperResolutionModel) -> keras.Model:
        """Return the model to train with the penalty on a grid, where one is asked for."""
        if not self.options.grid_penalty:
            return trained
        ratio = round(max(source.gsd for source in model.sources) / model.gsd)
        penalty = GridPenalty(self.options.grid_penalty, ratio, dtype="float32", name="grid_penalty")
        ground = [trained.input[source.name] for source in model.sources if source.gsd == model.gsd]
        return keras.Model(trained.input, penalty([trained.output, *ground]), name="training")

    def _optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """Make the optimizer of `--optimizer`."""
        if self.options.optimizer == "nadam":
            return Nadam(self.options.learning_rate)
        return keras.optimizers.Adam(cosine(self.options.learning_rate, steps))

    def batches(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Give batches as the trained model takes them: the target as it gives its output."""
        return dataset.map(lambda inputs, targets: (inputs, targets["sr"]))

    def callbacks(self, history: list[dict[str, float]]) -> list[keras.callbacks.Callback]:
        """Make the callbacks that set the learning rate, where the optimizer has no schedule of its own."""
        if self.options.optimizer != "nadam":
            return []
        return [PlateauRate(Plateau(self.options.learning_rate), history)]

    def summaries(self, log_dir: Path, sample: tuple[dict, dict], model: SuperResolutionModel) -> ImageSummaries:
        """Make the callback that writes images of a few samples for TensorBoard."""
        return ImageSummaries(log_dir, sample, model)


def check_targets(element_spec: tuple, model: SuperResolutionModel) -> None:
    """Refuse targets of another size or number of bands than the model's output.

    Raises:
        ValueError: they are.
    """
    inputs, targets = element_spec
    height, width = inputs[model.sources[0].name].shape[1:3]
    wanted = (height * model.scale, width * model.scale, len(model.bands))
    received = tuple(targets["sr"].shape[1:])
    if received != wanted:
        raise ValueError(f"--patches: expected targets of shape {wanted}, got {received}")
