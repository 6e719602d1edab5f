# SPDX-License-Identifier: Apache-2.0
"""How L1BSR's networks are trained. The paper leaves choices open; all are options."""

from dataclasses import dataclass
from typing import Any

from chain.runtime.options import MISSING, at_least, changed, option
from train.options import (
    BlocksOptions,
    ScheduleOptions,
    TrainingCommand,
    TrainingOptions,
    existing_folder,
    learning_rate,
    share,
    sizes,
)

DEFAULTS: dict[str, dict[str, Any]] = {
    "csr": {"batch_size": 64, "schedule": "constant", "roll": 3, "warm_up": 3000, "refinements": 0},
    "rec": {"batch_size": 8, "schedule": "steps", "roll": 0, "warm_up": 0, "registered": False, "sharp": False},
}
"""Defaults of each network."""
LEARNING_RATES = {"paper": 5e-5, "small": 5e-5}
"""Sizes of the networks, and the step of each."""
NETWORK_OPTIONS = {
    "csr": {"refinements": "refinements"},
    "rec": {"blocks": "num_blocks", "groups": "num_groups", "registered": "registered", "sharp": "sharp"},
}
"""Options that only one of the networks has, and the arguments of its class that they are."""
OTHERS = {"csr": ("csr", "groups", "blocks", "registered", "sharp", "consistency"), "rec": ("examples", "refinements")}
"""Options that do not apply to a network."""


def _multiple_of_16(value: int) -> None:
    """Check the side of samples.

    Raises:
        ValueError: it is too small, or the networks cannot halve it four times.
    """
    at_least(32)(value)
    if value % 16:
        raise ValueError(f"expected a multiple of 16, got {value}")


@dataclass(frozen=True, kw_only=True)
class Options(ScheduleOptions, BlocksOptions):
    """How `CSR` or `REC` is trained."""

    system = "l1bsr"
    default_size = "paper"

    network: str = option(MISSING, "csr: registration; rec: super-resolution", choices=tuple(DEFAULTS))
    size: str = sizes(LEARNING_RATES, default_size)
    learning_rate: float = learning_rate(LEARNING_RATES)
    epochs: int = changed(TrainingOptions, "epochs", 50)
    patience: int = changed(TrainingOptions, "patience", 50)
    batch_size: int = changed(
        TrainingOptions, "batch_size", None, help="samples per batch (default: 64 for csr, 8 for rec)"
    )
    test: tuple[str, ...] = option(
        (), "folders of other pairs, to score the network on", many=True, metavar="DIR", reads=True
    )
    examples: tuple[str, ...] = option(
        (), "csr: images of 4 bands, to register and score", many=True, metavar="IMG", reads=True
    )
    csr: str | None = option(
        None,
        "rec: folder of the model that registers",
        metavar="DIR",
        reads=True,
        weights=True,
        check=existing_folder,
    )
    valid_share: float = option(0.1, "pairs for validation", metavar="SHARE", check=share)
    crop: int = option(96, "side of the samples, in pixels", metavar="N", check=_multiple_of_16)
    crops_per_pair: int = option(8, "samples of each pair in an epoch", metavar="N", check=at_least(1))
    roll: int = option(
        None,
        "shift images by up to N whole pixels at random, circularly (default: 3 for csr, 0 for rec)",
        read=int,
        metavar="N",
        check=at_least(0),
    )
    warm_up: int = option(
        None,
        "csr: steps on copies of images with known shifts, before the anchor consistency (default: 3000)",
        read=int,
        metavar="STEPS",
        check=at_least(0),
    )
    warm_up_shift: float = option(
        6.0, "csr: longest of these shifts along each axis", metavar="PIXELS", check=at_least(0)
    )
    tv_weight: float = option(0.003, "csr: weight of the flows' total variation", metavar="WEIGHT", check=at_least(0))
    identity_weight: float = option(
        0.1, "csr: weight of the flow from an image into itself", metavar="WEIGHT", check=at_least(0)
    )
    refinements: int | None = option(
        None,
        "csr: steps by which the model refines what the network, which is trained without, finds "
        "(default: as --init, else 0)",
        read=int,
        metavar="STEPS",
        check=at_least(0),
    )
    supervised: bool = option(
        False, "learn the true flows (csr) or images (rec) of pairs, all of which have to be simulated"
    )
    nir_share: float = option(
        0.28,
        "csr, with --supervised: part of the samples that is of B08, which is the hardest",
        metavar="SHARE",
        check=share,
    )
    registered: bool | None = option(
        None,
        "rec: learn to super-resolve what --csr has registered; with --supervised only (default: as --init, else no)",
        negated=True,
    )
    sharp: bool | None = option(
        None,
        "rec, with --supervised: learn images as a sensor with pixels of 5 m sees them, not as sharp as the input "
        "(default: as --init, else no)",
        negated=True,
    )
    consistency: float | None = option(
        None,
        "rec, with --sharp: weight of how far the output, blurred as by the sensor and sampled down, is from the input "
        "(default: 0)",
        read=float,
        metavar="WEIGHT",
        check=at_least(0),
    )
    groups: int | None = option(
        None,
        "rec: groups of residual blocks (default: that of --init or --size)",
        read=int,
        metavar="N",
        check=at_least(0),
    )

    def defaults(self) -> dict[str, Any]:
        """Return what options mean that are None."""
        return {"learning_rate": LEARNING_RATES[self.size], **DEFAULTS[self.network]}

    def network_arguments(self) -> dict[str, str]:
        """Return the options that say what the network is, and the arguments of the model's class that they are."""
        return {"depth": "depth", **NETWORK_OPTIONS[self.network]}

    def fixed_arguments(self) -> dict[str, Any]:
        """Return what the weights of `init` have to be of: the network's class."""
        return {"model": self.network.upper()}

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        for name in OTHERS[self.network]:
            if getattr(self, name) not in (None, (), 0):
                raise ValueError(f"--{name} does not apply to --network {self.network}")
        if self.network == "rec" and not self.csr:
            raise ValueError("--network rec requires --csr, the folder of a model that --network csr has made")
        self.require("registered", "supervised")
        self.require("sharp", "supervised")
        self.require("consistency", "sharp")


@dataclass(frozen=True, kw_only=True)
class Command(Options, TrainingCommand):
    """The command line."""

    pairs: tuple[str, ...] = option(
        MISSING, "folders with NAME_left and NAME_right", many=True, metavar="DIR", reads=True
    )
