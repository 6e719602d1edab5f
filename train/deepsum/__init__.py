# SPDX-License-Identifier: Apache-2.0
"""Train DeepSUM in its three stages: features, registration, then all of it.

    python -m datasets.deepsum.records --input probav_data --band NIR --output records
    python -m train.deepsum --stage sisrnet --records records --model-dir sisrnet
    python -m train.deepsum --stage regnet --records records --sisrnet sisrnet --model-dir regnet
    python -m train.deepsum --stage joint --records records --sisrnet sisrnet --regnet regnet --model-dir model

The stages' losses are in `train/deepsum/stages.py`, their options in `train/deepsum/options.py`; defaults are the
authors', for whom one took a week of a GPU. The first two leave their part's weights, `weights.h5`, for the third; the
third leaves the model. Each is validated on whole scenes.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import run_program
from chain.runtime.progress import Progress
from train.deepsum.options import Command, Options
from train.samples import Samples
from train.training import History, System, Training, run_training

if TYPE_CHECKING:
    import tensorflow as tf

    from datasets.deepsum.records import Records
    from models.deepsum import DeepSUM

__all__ = ["Command", "Options", "main", "train"]


@dataclass(frozen=True)
class Patches:
    """The patches for training, as a training asks for them."""

    records: "Records"
    registered: bool
    seed: int

    @property
    def size(self) -> int:
        """Number of patches of an epoch."""
        return self.records.size

    def identity(self) -> dict[str, str]:
        """Say what the patches were made of."""
        return self.records.identity()

    def dataset(self, batch_size: int, *, augmentation: bool = False, first_epoch: int = 0) -> "tf.data.Dataset":
        """Give batches, flipped at random if so asked."""
        dataset = self.records.dataset(batch_size, self.registered, first_epoch, self.seed)
        return dataset.map(flip) if augmentation else dataset


@dataclass(frozen=True)
class Scenes:
    """The scenes for validation, whole and one at a time, as a training asks for them."""

    records: "Records"
    registered: bool

    @property
    def size(self) -> int:
        """Number of scenes."""
        return len(self.records.validation_names)

    def identity(self) -> dict[str, str]:
        """Say what the scenes were made of."""
        return self.records.identity()

    def dataset(self, batch_size: int, *, augmentation: bool = False, first_epoch: int = 0) -> "tf.data.Dataset":
        """Give batches of one scene each, whatever is asked for: scenes are large, and may differ in size."""
        import tensorflow as tf

        from datasets.deepsum.example import to_batch
        from models.deepsum import FRAMES

        def batches() -> Iterator[tuple[dict, dict]]:
            for _, sample in self.records.validation_scenes():
                yield to_batch([sample.best()], self.registered)

        frames, image = tf.TensorSpec((1, None, None, FRAMES)), tf.TensorSpec((1, None, None, 1))
        shifts = tf.TensorSpec((1, FRAMES - 1, 2), tf.int32)
        signature = ({"frames": frames, "masks": frames}, {"hr": image, "clear": image, "shifts": shifts})
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        return dataset.apply(tf.data.experimental.assert_cardinality(self.size))


def flip(inputs: dict, targets: dict) -> tuple[dict, dict]:
    """Flip all images of a batch up and down, and left and right, each at random; shifts change their sign."""
    import tensorflow as tf

    for axis in (1, 2):
        is_flipped = tf.random.uniform([]) < 0.5
        flipped = {name: tf.reverse(image, [axis]) for name, image in {**inputs, **targets}.items() if name != "shifts"}
        signs = tf.one_hot(axis - 1, 2, -1, 1, dtype=tf.int32)
        flipped["shifts"] = targets["shifts"] * signs
        inputs = {name: tf.where(is_flipped, flipped[name], image) for name, image in inputs.items()}
        targets = {name: tf.where(is_flipped, flipped[name], image) for name, image in targets.items()}
    return inputs, targets


def train(
    records: str | Path,
    model_dir: str | Path,
    options: Options,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Training:
    """Train and score a stage; an interrupted training goes on.

    Args:
        records: folder of the samples, as `datasets.deepsum.records` makes them.
        model_dir: folder to be made: weights and scores, and the SavedModel of the stage `joint`.
        options: which stage, and how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Raises:
        ValueError: the records, the weights, or the checkpoint are not what the training needs.
        RuntimeError: another training uses the checkpoint folder, or the model could not be scored.
        OSError: a folder cannot be made, or a file cannot be written.
        Cancelled: `cancelled` said so; the epochs that are done are kept.
    """
    from datasets.deepsum.records import read_records
    from models.deepsum import SIZES, DeepSUM
    from train.deepsum.report import score_scenes
    from train.deepsum.stages import STAGES

    options = options.with_defaults(SIZES)
    opened = read_records(records)
    if not opened.validation_names:
        raise ValueError(f"--records: expected scenes for validation, got none in {records}")
    registered = options.variant == "P"

    def find() -> dict[str, Samples]:
        return {"train": Patches(opened, registered, options.seed), "valid": Scenes(opened, registered)}

    def build(element_spec: tuple) -> "DeepSUM":
        return DeepSUM.from_bands(**{**opened.statistics._asdict(), **options.architecture(SIZES)})

    def score(folder: Path, samples: dict[str, Samples], history: History) -> dict:
        if options.stage == "joint":
            scores = score_scenes(folder, opened, registered)
        else:
            scores = min(history, key=lambda losses: losses["val_loss"])
        (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        return scores

    system = System(find, build, score, STAGES[options.stage](options))
    return run_training(options, model_dir, {"records": str(records)}, system, Progress(progress, cancelled))


def command(options: Command, progress: Progress) -> None:
    """Train, and print the scores of whole scenes."""
    training = train(options.records, options.model_dir, options, progress=progress)
    if "scenes" in training.scores:
        from evaluation.deepsum import table

        print(table(training.scores))
    if training.scores:
        print(f"{training.path}: the model and its scores")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m train.deepsum",
        description="Train DeepSUM, which super-resolves nine images of a place to one of three times the resolution.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)
