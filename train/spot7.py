# SPDX-License-Identifier: Apache-2.0
"""Train `SRModel`, from Sentinel-2 resampled to 6 m to pansharpened Spot-7 at 1.5 m.

The patches are those of `sr_dataset.py`: `{train,valid,test}_{lr,hr}.tif`. The network and its losses are
those of OTBTF's tutorial, see `models/spot7.py`; the tutorial leaves the learning rate open: see
`train/optimizers.py`.

    python -m train.spot7 --patches patches --model-dir model --size small --epochs 30
"""

import argparse
import sys
from pathlib import Path

from chain.runtime.command_line import run
from train.common import (
    add_arguments,
    add_blocks_argument,
    add_patches_arguments,
    add_supervision_arguments,
    architecture,
    check_arguments,
    check_patches,
    train,
)

LEARNING_RATES = {"base": 1e-4, "small": 2e-3}
"""Sizes of the network, and the step that each bears: `base` is thrown off at the start by ten times as much."""
KEYS = ("lr", "hr")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.spot7",
        description="Train, export and score the network that turns Sentinel-2 into Spot-7's 1.5 m.",
    )
    add_patches_arguments(parser)
    add_arguments(parser, LEARNING_RATES, "base")
    add_blocks_argument(parser)
    add_supervision_arguments(parser)
    add = parser.add_argument
    add("--activation", default="swish", metavar="NAME", help="a Keras activation (default: %(default)s)")
    add("--final-activation", default="relu", metavar="NAME", help="activation of the output (default: %(default)s)")
    add(
        "--no-global-skip",
        dest="global_skip",
        action="store_false",
        help="compute the image itself, as the tutorial does, rather than what bicubic interpolation lacks",
    )
    return parser


def train_spot7(arguments: argparse.Namespace) -> dict:
    """Train the model, and return its scores."""
    from models.spot7 import SIZES, SRModel
    from train.data import find_patches
    from train.report import write_report

    def build(element_spec: tuple) -> SRModel:
        return SRModel(
            element_spec,
            activation=arguments.activation,
            final_activation=arguments.final_activation,
            global_skip=arguments.global_skip,
            **architecture(arguments, SIZES),
        )

    def score(folder: Path, description, patches: dict, history: list) -> dict:
        return write_report(folder, description, patches["test"], arguments.batch_size, history)

    return train(arguments, lambda: find_patches(arguments.patches, KEYS, arguments.streaming), build, score)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check_arguments(parser, arguments)
    check_patches(parser, arguments)
    arguments.learning_rate = arguments.learning_rate or LEARNING_RATES[arguments.size]
    return run(parser, arguments, train_spot7)


if __name__ == "__main__":
    sys.exit(main())
