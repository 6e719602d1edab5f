# SPDX-License-Identifier: Apache-2.0
"""Scores of a model of DeepSUM on the scenes for validation of some records, of the nine best frames of each.

`accuracy` is the share of frames whose largest filter weight is where the cross-correlation of the preparation says.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from datasets.deepsum.example import to_batch
from datasets.deepsum.preparation import mean_of_registered
from datasets.deepsum.records import Records
from evaluation.deepsum import report, score_scene
from evaluation.multi_frame import clearest
from models.base import WEIGHTS_NAME, read_description
from models.deepsum import DeepSUM
from models.weights_file import load_weights
from train.deepsum.losses import registration_accuracy


def score_scenes(folder: Path, records: Records, registered: bool) -> dict:
    """Score an exported model.

    Args:
        folder: the model's.
        records: records with scenes for validation.
        registered: whether masks are moved onto the reference, as the model's variant wants them.

    Returns:
        What `evaluation.deepsum.report` does, and `accuracy`; without the challenge's score where the records lack
        ESA's baseline of a scene.
    """
    model = DeepSUM.from_bands(**read_description(folder).arguments)
    load_weights(model.model, folder / WEIGHTS_NAME)
    network, scenes, accuracies = model.training_model(), {}, []
    for name, sample in records.validation_scenes():
        best = sample.best()
        inputs, targets = to_batch([best], registered)
        image, logits = network({key: tf.constant(value) for key, value in inputs.items()}, training=False)
        images = {
            "sr": image[0, ..., 0].numpy(),
            "clearest": clearest(best.frames),
            "mean_of_registered": mean_of_registered(best.frames),
        }
        scenes[name] = score_scene(sample.hr, sample.clear, images)
        accuracies.append(registration_accuracy(targets["shifts"], logits)[0])
    norm = records.norm if scenes.keys() <= records.norm.keys() else None
    return {**report(scenes, norm), "accuracy": float(np.mean(accuracies))}
