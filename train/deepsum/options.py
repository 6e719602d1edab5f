# SPDX-License-Identifier: Apache-2.0
"""How DeepSUM's stages are trained. Defaults are the authors'."""

from dataclasses import dataclass
from typing import Any

from chain.runtime.options import MISSING, at_least, changed, option
from train.options import (
    GridOptions,
    ScheduleOptions,
    TrainingCommand,
    TrainingOptions,
    existing,
    learning_rate,
    sizes,
)

DEFAULTS: dict[str, dict[str, Any]] = {
    "sisrnet": {"learning_rate": 5e-5, "batch_size": 16, "steps_per_epoch": 600, "epochs": 19},
    "regnet": {"learning_rate": 1e-3, "batch_size": 16, "steps_per_epoch": 600, "epochs": 10},
    "joint": {"learning_rate": 5e-6, "batch_size": 8, "steps_per_epoch": 1000, "epochs": 969},
}
"""The authors' choices for each stage."""
STARTS = {"sisrnet": ("regnet", "joint"), "regnet": ("joint",)}
"""Options that name what an earlier stage has made, and the stages that start from it."""


def _defaults_of(name: str) -> str:
    """Say what an option is by default in each stage."""
    return ", ".join(f"{defaults[name]:g} for {stage}" for stage, defaults in DEFAULTS.items())


@dataclass(frozen=True, kw_only=True)
class Options(GridOptions, ScheduleOptions):
    """How a stage of DeepSUM is trained."""

    system = "deepsum"
    default_size = "paper"

    stage: str = option(
        MISSING,
        "sisrnet: features of single frames; regnet: registration; joint: the whole network",
        choices=tuple(DEFAULTS),
    )
    size: str = sizes(("paper", "small"), default_size)
    learning_rate: float = learning_rate({stage: defaults["learning_rate"] for stage, defaults in DEFAULTS.items()})
    epochs: int = changed(TrainingOptions, "epochs", None, help=f"epochs, at most (default: {_defaults_of('epochs')})")
    steps_per_epoch: int | None = changed(
        TrainingOptions,
        "steps_per_epoch",
        None,
        help=f"batches per epoch (default: {_defaults_of('steps_per_epoch')})",
    )
    batch_size: int = changed(
        TrainingOptions, "batch_size", None, help=f"patches per batch (default: {_defaults_of('batch_size')})"
    )
    patience: int = changed(TrainingOptions, "patience", 1000)
    augmentation: bool = changed(TrainingOptions, "augmentation", False, help="flip patches at random")
    schedule: str = changed(ScheduleOptions, "schedule", "constant")
    sisrnet: str | None = option(
        None,
        "regnet, joint: what the stage sisrnet has made, or the converter",
        metavar="WEIGHTS",
        reads=True,
        weights=True,
        check=existing,
    )
    regnet: str | None = option(
        None,
        "joint: what the stage regnet has made, or the converter",
        metavar="WEIGHTS",
        reads=True,
        weights=True,
        check=existing,
    )
    variant: str | None = option(
        None,
        "joint: conceal pixels after (P) or before (C) the frames are registered (default: as --init, else P)",
        choices=("P", "C"),
    )
    registration_weight: float = option(
        0.0,
        "joint: weight of the cross-entropy of filters and shifts in the loss (default: 0, as the authors)",
        metavar="WEIGHT",
        check=at_least(0),
    )

    def defaults(self) -> dict[str, Any]:
        """Return what options mean that are None."""
        return {"variant": "P", **DEFAULTS[self.stage]}

    def network_arguments(self) -> dict[str, str]:
        """Return the options that say what the network is, and the arguments of the model's class that they are."""
        joint = {"variant": "variant"} if self.stage == "joint" else {}
        return {**super().network_arguments(), **joint}

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        if self.grid_penalty and self.stage != "joint":
            raise ValueError(f"--grid-penalty does not apply to --stage {self.stage}")
        for name, stages in STARTS.items():
            if getattr(self, name) and self.stage not in stages:
                raise ValueError(f"--{name} does not apply to --stage {self.stage}")
        if self.stage == "joint":
            for name in STARTS:
                self.exclude("init", name)
        if self.stage == "regnet" and not self.sisrnet:
            raise ValueError("--stage regnet requires --sisrnet, the weights that --stage sisrnet has made")


@dataclass(frozen=True, kw_only=True)
class Command(Options, TrainingCommand):
    """The command line."""

    records: str = option(MISSING, "samples, as datasets.deepsum.records makes them", metavar="DIR", reads=True)
