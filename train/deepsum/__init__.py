# SPDX-License-Identifier: Apache-2.0
"""Train DeepSUM in its three stages: features, registration, then all of it.

    python -m datasets.deepsum.records --input probav_data --band NIR --output records
    python -m train.deepsum --stage sisrnet --records records --model-dir sisrnet
    python -m train.deepsum --stage regnet --records records --sisrnet sisrnet --model-dir regnet
    python -m train.deepsum --stage joint --records records --sisrnet sisrnet --regnet regnet --model-dir model

The stages' losses are in `train/deepsum/stages.py`; defaults are the authors', for whom one took a week of a GPU. The
first two leave their part's weights, `weights.h5`, for the third; the third leaves the model. Each is validated on
whole scenes.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chain.runtime.command_line import run
from train.common import add_arguments, add_schedule_arguments, architecture, check_arguments, train

DEFAULTS = {
    "sisrnet": {"learning_rate": 5e-5, "batch_size": 16, "steps_per_epoch": 600, "epochs": 19},
    "regnet": {"learning_rate": 1e-3, "batch_size": 16, "steps_per_epoch": 600, "epochs": 10},
    "joint": {"learning_rate": 5e-6, "batch_size": 8, "steps_per_epoch": 1000, "epochs": 969},
}
"""The authors' choices."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.deepsum",
        description="Train DeepSUM, which super-resolves nine images of a place to one of three times the resolution.",
    )
    add = parser.add_argument
    add(
        "--stage",
        choices=list(DEFAULTS),
        required=True,
        help="sisrnet: features of single frames; regnet: registration; joint: the whole network",
    )
    add("--records", required=True, metavar="DIR", help="samples, as datasets.deepsum.records makes them")
    add("--sisrnet", metavar="WEIGHTS", help="regnet, joint: what the stage sisrnet has made, or the converter")
    add("--regnet", metavar="WEIGHTS", help="joint: what the stage regnet has made, or the converter")
    add(
        "--variant",
        choices=["P", "C"],
        default="P",
        help="joint: conceal pixels after (P) or before (C) the frames are registered (default: %(default)s)",
    )
    add(
        "--registration-weight",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="joint: weight of the cross-entropy of filters and shifts in the loss (default: 0, as the authors)",
    )
    add_schedule_arguments(parser)
    add_arguments(
        parser,
        {"paper": 5e-6, "small": 5e-6},
        "paper",
        batch_size=None,
        epochs=None,
        patience=1000,
        augmentation=False,
        schedule="constant",
    )
    return parser


@dataclass(frozen=True)
class Patches:
    """The patches for training, as a training asks for them."""

    records: object
    """`datasets.deepsum.records.Records`."""
    registered: bool
    seed: int

    @property
    def size(self) -> int:
        """Number of patches of an epoch."""
        return self.records.size

    def identity(self) -> dict[str, str]:
        """Say what the patches were made of."""
        return self.records.identity()

    def dataset(self, batch_size: int, augmentation: bool = False, first_epoch: int = 0):
        """Give batches, flipped at random if so asked."""
        dataset = self.records.dataset(batch_size, self.registered, first_epoch, self.seed)
        return dataset.map(flip) if augmentation else dataset


@dataclass(frozen=True)
class Scenes:
    """The scenes for validation, whole and one at a time, as a training asks for them."""

    records: object
    registered: bool

    @property
    def size(self) -> int:
        """Number of scenes."""
        return len(self.records.validation_names)

    def identity(self) -> dict[str, str]:
        """Say what the scenes were made of."""
        return self.records.identity()

    def dataset(self, batch_size: int, augmentation: bool = False, first_epoch: int = 0):
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


def train_deepsum(arguments: argparse.Namespace) -> dict:
    """Train the stage, and return its scores."""
    from datasets.deepsum.records import read_records
    from evaluation.deepsum import table
    from models.deepsum import SIZES, DeepSUM
    from train.deepsum.report import score_scenes
    from train.deepsum.stages import make_stage

    records = read_records(arguments.records)
    if not records.validation_names:
        raise ValueError(f"records: scenes for validation are wanted. Received: none in {arguments.records}")
    registered = arguments.variant == "P"

    def find() -> dict:
        return {"train": Patches(records, registered, arguments.seed), "valid": Scenes(records, registered)}

    def build(element_spec: tuple) -> DeepSUM:
        statistics = records.statistics._asdict()
        return DeepSUM.from_bands(variant=arguments.variant, **statistics, **architecture(arguments, SIZES))

    def score(folder: Path, description, samples: dict, history: list) -> dict:
        if arguments.stage == "joint":
            scores = score_scenes(folder, records, registered)
            print(table(scores))
        else:
            scores = min(history, key=lambda losses: losses["val_loss"])
        (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        return scores

    return train(arguments, find, build, score, make_stage(arguments))


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Set the stage's defaults; end the program with status 2 when an argument is out of its range."""
    for name, default in DEFAULTS[arguments.stage].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    for name, stages in (("sisrnet", ("regnet", "joint")), ("regnet", ("joint",))):
        path = getattr(arguments, name)
        if path and arguments.stage not in stages:
            parser.error(f"argument --{name}: it is not for --stage {arguments.stage}")
        if path and not Path(path).exists():
            parser.error(f"argument --{name}: a file or folder that exists is wanted. Received: {path}")
    if arguments.stage == "regnet" and not arguments.sisrnet:
        parser.error("argument --sisrnet: the weights of --stage sisrnet are wanted")
    if not 0 <= arguments.registration_weight < math.inf:
        parser.error(f"argument --registration-weight: 0 or more is wanted. Received: {arguments.registration_weight}")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check_arguments(parser, arguments)
    check(parser, arguments)
    return run(parser, arguments, train_deepsum)
