# SPDX-License-Identifier: Apache-2.0
"""What DeepSUM's trainings show in TensorBoard, of the first scene for validation and after each epoch."""

import numpy as np
import tensorflow as tf

from models.deepsum import FILTER
from train.callbacks import DISPLAY_PERCENTILES, PictureSummaries

MAGNIFICATION = 8
"""Pixels of a picture along a weight of a filter."""


class ImageSummaries(PictureSummaries):
    """Shows the reference, what is made, and the truth."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Return all three, stretched as the truth is."""
        truth = np.asarray(self.targets["hr"])
        low, high = np.percentile(truth, DISPLAY_PERCENTILES)
        images = {"1 reference": self.inputs["frames"][..., :1], "2 made": self._made(), "3 truth": truth}
        return {
            name: np.clip((np.asarray(image) - low) / max(high - low, 1e-6), 0, 1) for name, image in images.items()
        }

    def _made(self) -> tf.Tensor:
        if len(self.model.outputs) > 1:
            return self.model(self.inputs, training=False)[0]
        statistics = self.shown.arguments
        reference = (self.inputs["frames"][..., :1] - statistics["mean"]) / statistics["deviation"]
        return self.model(reference, training=False) * statistics["deviation"] + statistics["mean"]


class FilterSummaries(PictureSummaries):
    """Shows the filters by which the frames of the scene are moved onto the reference."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Return a picture for each frame but the reference."""
        _, logits = self.shown.training_model()(self.inputs, training=False)
        filters = tf.reshape(tf.nn.softmax(logits[0]), (-1, FILTER, FILTER, 1)).numpy()
        return {"filters": filters.repeat(MAGNIFICATION, axis=1).repeat(MAGNIFICATION, axis=2)}
