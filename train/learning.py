# SPDX-License-Identifier: Apache-2.0
"""What differs from one kind of training to the next; `train.fit` and `train.training` call it."""

from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from models.base import ModelDescription, SuperResolutionModel, export
from models.weights_file import load_weights
from train.options import TrainingOptions


class Learning:
    """A kind of training. Subclasses define `compile` and `summaries`.

    Args:
        options: those of the training.
    """

    def __init__(self, options: TrainingOptions):
        self.options = options

    def precision_policy(self) -> str:
        """Name the Keras policy to compute with: bfloat16 has float32's range, and needs no scaling of losses."""
        return "mixed_bfloat16" if self.options.mixed_precision else "float32"

    def load(self, model: SuperResolutionModel, path: str | Path) -> None:
        """Read the weights to start from, or those that a training has kept."""
        load_weights(model.model, path)

    def compile(self, model: SuperResolutionModel, element_spec: tuple, steps: int) -> keras.Model:
        """Return the Keras model that is trained, compiled.

        Args:
            model: the model.
            element_spec: that of the training samples.
            steps: number of steps of the whole training.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define compile")

    def batches(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Give batches as the Keras model takes them."""
        return dataset

    def callbacks(self, history: list[dict[str, float]]) -> list[keras.callbacks.Callback]:
        """Make further callbacks, given the losses of the epochs that are done: a list that grows."""
        return []

    def summaries(
        self, log_dir: Path, sample: tuple[dict, dict], model: SuperResolutionModel
    ) -> keras.callbacks.Callback:
        """Make the callback that writes images of a few samples for TensorBoard."""
        raise NotImplementedError(f"{type(self).__name__} does not define summaries")

    def export(self, model: SuperResolutionModel, folder: Path) -> ModelDescription | None:
        """Write what was trained into a folder, and return what it is."""
        return export(model, folder, overwrite=True)
