# SPDX-License-Identifier: Apache-2.0
"""Scores of a model of DeepSUM on the scenes for validation of some records, nine frames at a time.

Beside the model: the reference, which is the clearest frame enlarged, and the mean of the nine registered frames. cPSNR
and cSSIM are those of `evaluation.cpsnr`. `accuracy` is the share of frames whose largest filter weight is where the
cross-correlation of the preparation says.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from datasets.deepsum_example import to_batch
from evaluation.cpsnr import cpsnr, cssim, score
from evaluation.multi_frame import clearest, mean_of_registered
from models.base import WEIGHTS_NAME, load_weights, read_description
from models.deepsum import DeepSUM
from train.deepsum_losses import registration_accuracy

METHODS = ("sr", "clearest", "mean_of_registered")


def score_scenes(folder: Path, records, registered: bool) -> dict:
    """Score an exported model.

    Args:
        folder: the model's.
        records: `datasets.deepsum_records.Records`.
        registered: whether masks are moved onto the reference, as the model's variant wants them.

    Returns:
        `scenes`: name -> method -> `cpsnr` in dB and `cssim`, and `accuracy`; `mean`: the same over all scenes, and
        `score` of each method, the challenge's, over those scenes of which the records have ESA's baseline.
    """
    model = DeepSUM.from_bands(**read_description(folder).arguments)
    load_weights(model.model, folder / WEIGHTS_NAME)
    network, scenes = model.training_model(), {}
    for name, sample in records.validation_scenes():
        best = sample.best()
        inputs, targets = to_batch([best], registered)
        image, logits = network({key: tf.constant(value) for key, value in inputs.items()}, training=False)
        made = (image[0, ..., 0].numpy(), clearest(best.frames), mean_of_registered(best.frames))
        scenes[name] = {
            method: {
                "cpsnr": float(cpsnr(sample.hr, estimate, sample.clear)),
                "cssim": float(cssim(sample.hr, estimate, sample.clear)),
            }
            for method, estimate in zip(METHODS, made)
        }
        scenes[name]["accuracy"] = float(registration_accuracy(targets["shifts"], logits)[0])
    return {"scenes": scenes, "mean": _mean(scenes, records.norm)}


def _mean(scenes: dict, norm: dict[str, float]) -> dict:
    mean: dict = {
        method: {
            metric: float(np.mean([scene[method][metric] for scene in scenes.values()]))
            for metric in ("cpsnr", "cssim")
        }
        for method in METHODS
    }
    known = [name for name in scenes if name in norm]
    if known:
        for method in METHODS:
            values = {name: scenes[name][method]["cpsnr"] for name in known}
            mean[method]["score"] = score(values, norm)
    mean["accuracy"] = float(np.mean([scene["accuracy"] for scene in scenes.values()]))
    return mean
