# SPDX-License-Identifier: Apache-2.0
"""Train `SRModel`, from Sentinel-2 resampled to 6 m to pansharpened Spot-7 at 1.5 m.

The patches are those of `sr_dataset.py`: `{train,valid,test}_{lr,hr}.tif`. The network and its losses are
those of OTBTF's tutorial, see `models/spot7.py`; the tutorial leaves the learning rate open: see
`train/optimizers.py`.

    python -m train.spot7 --patches patches --model-dir model --size small --epochs 30
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, changed, option
from chain.runtime.progress import Progress
from models.description import read_description
from train.options import (
    BlocksOptions,
    SupervisionOptions,
    TrainingCommand,
    existing_folder,
    learning_rate,
    sizes,
)
from train.training import History, System, Training, run_training

if TYPE_CHECKING:
    from models.spot7 import SRModel

LEARNING_RATES = {"base": 1e-4, "small": 2e-3}
"""Sizes of the network, and the step that each bears: `base` is thrown off at the start by ten times as much."""
GRID_PENALTY = 0.003
"""Gradients then differ by 1 % across and inside the pixels of 6 m, rather than by 9 %, at the same error."""
KEYS = ("lr", "hr")


@dataclass(frozen=True, kw_only=True)
class Options(SupervisionOptions, BlocksOptions):
    """How `SRModel` is trained."""

    system = "spot7"
    default_size = "base"

    size: str = sizes(LEARNING_RATES, default_size)
    learning_rate: float = learning_rate(LEARNING_RATES)
    grid_penalty: float = changed(SupervisionOptions, "grid_penalty", GRID_PENALTY)
    activation: str | None = option(None, "a Keras activation (default: that of --init, else swish)", metavar="NAME")
    final_activation: str | None = option(
        None, "activation of the output (default: that of --init, else relu)", metavar="NAME"
    )
    global_skip: bool | None = option(
        None,
        "compute what bicubic interpolation lacks, rather than the image itself as the tutorial does "
        "(default: as --init, else yes)",
        negated=True,
    )
    streaming: bool = option(
        False, "read patches images again in each epoch, rather than hold them in memory", pixels=False
    )

    def defaults(self) -> dict[str, Any]:
        """Return what options mean that are None."""
        network = {"activation": "swish", "final_activation": "relu", "global_skip": True}
        return {"learning_rate": LEARNING_RATES[self.size], **network}

    def network_arguments(self) -> dict[str, str]:
        """Return the options that say what the network is, and the arguments of the model's class that they are."""
        own = {name: name for name in ("activation", "final_activation", "global_skip")}
        return {**super().network_arguments(), **own}


@dataclass(frozen=True, kw_only=True)
class Command(Options, TrainingCommand):
    """The command line."""

    patches: str = option(
        MISSING,
        "folder of the patches: {train,valid,test}_{source}.tif, or {train,valid,test}/*.records",
        metavar="DIR",
        reads=True,
        check=existing_folder,
    )


def train(
    patches: str | Path,
    model_dir: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Training:
    """Train, export and score the network; an interrupted training goes on.

    Args:
        patches: folder of the patches: `{train,valid,test}_{lr,hr}.tif`, or `{train,valid,test}/*.records`.
        model_dir: folder to be made: SavedModel, weights and scores.
        options: how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Raises:
        ValueError: the patches, the weights to start from, or the checkpoint are not what the training needs.
        RuntimeError: another training uses the checkpoint folder, or the model could not be scored.
        OSError: a folder cannot be made, or a file cannot be written.
        Cancelled: `cancelled` said so; the epochs that are done are kept.
    """
    from models.spot7 import SIZES, SRModel
    from train.data import Patches, find_patches
    from train.report import write_report

    options = options.with_defaults(SIZES)

    def build(element_spec: tuple) -> "SRModel":
        return SRModel(element_spec, **options.architecture(SIZES))

    def score(folder: Path, samples: dict[str, Patches], history: History) -> dict:
        return write_report(folder, read_description(folder), samples["test"], options.batch_size, history)

    def find() -> dict[str, Patches]:
        bands = dict(zip(KEYS, (SRModel.sources[0].bands, SRModel.bands)))
        gsds = dict(zip(KEYS, (SRModel.sources[0].gsd, SRModel.gsd)))
        return find_patches(patches, KEYS, options.streaming, bands, gsds)

    system = System(find, build, score)
    return run_training(options, model_dir, {"patches": str(patches)}, system, Progress(progress, cancelled))


def command(options: Command, progress: Progress) -> None:
    """Train, and print the scores."""
    training = train(options.patches, options.model_dir, options, progress=progress)
    if training.scores:
        from train.report import table

        print(table(training.scores))
        print(f"{training.path}: the model and its scores")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m train.spot7",
        description="Train, export and score the network that turns Sentinel-2 into Spot-7's 1.5 m.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
