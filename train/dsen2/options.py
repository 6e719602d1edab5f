# SPDX-License-Identifier: Apache-2.0
"""How DSen2's networks are trained. Defaults are those of Lanaras et al. 2018; `--adapt` has others."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.runtime.options import MISSING, at_least, band_names, changed, option
from chain.sentinel2.bands import BANDS, SURFACE_BANDS
from chain.sentinel2.options import NamingOptions, ReadingOptions
from models.description import ModelDescription
from train.options import (
    BlocksOptions,
    SupervisionOptions,
    TrainingCommand,
    TrainingOptions,
    existing_folder,
    learning_rate,
    share,
    sizes,
)
from weights.convert_dsen2 import known_levels

LEARNING_RATES = {"dsen2": 1e-4, "vdsen2": 1e-4, "narrow": 1e-4, "fast": 2e-3}
"""Sizes of the network, and the step of each."""
BATCH_SIZES = {"dsen2": 128, "vdsen2": 8, "narrow": 128, "fast": 8}
FAST = "FAST"
"""Name of the class `FastDSen2`, whose size is `fast`; other sizes are of `DSen2`."""
PATCH_SIZES = {"2x": 32, "6x": 96}
"""Side of the patches of each role, in pixels of the target."""
SAMPLES = {"2x": 8000, "6x": 500}
"""Patches of an epoch, for each scene."""
PROJECT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "dsen2"
"""Folder of the weights that `--adapt` starts from, one for each role in it."""
ADAPTATION: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 2e-4,
    "batch_size": 8,
    "samples": 800,
    "epochs": 10,
    "augmentation": True,
    "any_phase": True,
}
"""Other defaults of `--adapt`."""
SCENE = "files of one scene: a SAFE folder or zip, a STAC item, rasters with 10, 20 and 60 m bands"


def transfers(text: str) -> dict[str, float]:
    """Read modulation transfers: B05=0.28,B11=0.2.

    Raises:
        ValueError: the text is none.
    """
    try:
        return {name: float(value) for name, value in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise ValueError(f"expected BAND=MTF,..., got {text!r}") from None


def _known_transfers(values: Mapping[str, float]) -> None:
    """Check modulation transfers.

    Raises:
        ValueError: a band is none of Sentinel-2's, or a transfer is none.
    """
    unknown = [name for name in values if name not in BANDS]
    if unknown:
        raise ValueError(f"expected bands among {', '.join(BANDS)}, got {', '.join(unknown)}")
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"expected numbers between 0 and 1, got {name}={value:g}")


def _existing_folders(paths: Iterable[str]) -> None:
    """Check that folders are there.

    Raises:
        ValueError: one is not.
    """
    for path in paths:
        existing_folder(path)


def bands_of(role: str) -> tuple[str, ...]:
    """Return the bands that the network of a role takes."""
    coarsest = {"2x": 20, "6x": 60}[role]
    return tuple(band for band in SURFACE_BANDS if BANDS[band] <= coarsest)


@dataclass(frozen=True, kw_only=True)
class Options(SupervisionOptions, BlocksOptions, NamingOptions, ReadingOptions):
    """How `DSen2` and `FastDSen2` are trained."""

    system = "dsen2"
    default_size = "dsen2"

    role: str = option(MISSING, "2x: 20 m bands to 10 m; 6x: 60 m bands to 10 m", choices=tuple(PATCH_SIZES))
    test: tuple[tuple[str, ...], ...] = option(
        (), f"{SCENE}, to score the network on", many=True, repeated=True, metavar="IMG", reads=True, pixels=False
    )
    valid: tuple[tuple[str, ...], ...] = option(
        (), f"{SCENE}, to validate on, instead of --valid-share", many=True, repeated=True, metavar="IMG", reads=True
    )
    bands_10m: tuple[str, ...] | None = changed(NamingOptions, "bands_10m", None, pixels=False)
    bands_20m: tuple[str, ...] | None = changed(NamingOptions, "bands_20m", None, pixels=False)
    bands_60m: tuple[str, ...] | None = changed(NamingOptions, "bands_60m", None, pixels=False)
    adapt: bool = option(
        False,
        "train the project's own weights for a short while on --input: other defaults for --init and the training",
    )
    size: str = sizes(LEARNING_RATES, default_size)
    learning_rate: float = learning_rate(LEARNING_RATES)
    optimizer: str = changed(
        SupervisionOptions,
        "optimizer",
        None,
        help="nadam: with Keras' momentum schedule of 2018, the step is halved when the validation loss no longer "
        "falls; adam: the step rises, then falls to zero along a cosine (default: nadam, or adam with --adapt)",
    )
    epochs: int = changed(TrainingOptions, "epochs", None, help="epochs, at most (default: 8192, or 10 with --adapt)")
    patience: int = changed(TrainingOptions, "patience", 100)
    batch_size: int = changed(
        TrainingOptions, "batch_size", None, help="patches per batch (default: 128, or 8 for vdsen2 and with --adapt)"
    )
    augmentation: bool = changed(
        TrainingOptions,
        "augmentation",
        None,
        help="flip and rotate patches at random (default: no, or yes with --adapt)",
    )
    valid_share: float = option(0.1, "rows for validation", metavar="SHARE", check=share)
    windows: int = option(
        4,
        "windows of 14.4 km read of a larger scene; 33 MB of memory each",
        metavar="N",
        check=at_least(1),
    )
    patch_size: int = option(
        None, "in pixels of the target (default: 32 for 2x, 96 for 6x)", read=int, metavar="N", check=at_least(1)
    )
    samples: int | None = option(
        None,
        "patches of an epoch (default: 8000 or 500 for each scene, or 800 with --adapt)",
        read=int,
        metavar="N",
        check=at_least(1),
    )
    any_phase: bool = option(
        None,
        "begin the coarser pixels at any pixel, not only at every 2nd or 6th: more samples from few scenes "
        "(default: no, or yes with --adapt)",
        negated=True,
    )
    radiometry: bool = option(
        False,
        "apply random gains and offsets, which stand for other illumination, atmosphere and processing level",
    )
    balance: bool = option(
        False, "give the bands of all patches the same contrast, so that dark and bright ones weigh alike in the loss"
    )
    teacher: tuple[str, ...] = option(
        (),
        "folders of networks of the role; the target becomes the mean of the truth and of what these make of a patch, "
        "turned and mirrored in all eight ways, and of scenes as they are it is the latter",
        many=True,
        metavar="DIR",
        reads=True,
        check=_existing_folders,
    )
    mtf: Mapping[str, float] = option(
        None,
        "transfer of bands at the coarser pixels' Nyquist frequency, instead of the paper's blur",
        read=transfers,
        metavar="BAND=MTF,...",
        check=_known_transfers,
    )
    start_at_interpolation: bool = option(False, "start the last convolution at zero instead of at random")
    back_projection: bool = option(
        None,
        "add to the output what its means over coarse pixels lack of these: no colour shift "
        "(default: as --init, else no)",
        negated=True,
    )
    consistent: bool = option(
        None,
        "end by making the output consistent: made coarser, it is the input, exactly (default: as --init, else no)",
        negated=True,
    )
    levels: tuple[str, ...] = option(
        None,
        "processing levels that the weights are for: L1C, L2A or L1C,L2A (default: those of --init, else those of "
        "--input; any, if one does not tell)",
        read=band_names,
        metavar="NAMES",
        check=known_levels,
        pixels=False,
    )

    def defaults(self) -> dict[str, Any]:
        """Return what options mean that are None."""
        description = self.description_of_start()
        return {
            "optimizer": "nadam",
            "epochs": 8192,
            "learning_rate": LEARNING_RATES[self.size],
            "batch_size": BATCH_SIZES[self.size],
            "patch_size": PATCH_SIZES[self.role],
            "augmentation": False,
            "any_phase": False,
            "mtf": {},
            "back_projection": False,
            "consistent": False,
            "levels": description.levels if description else (),
            **(ADAPTATION if self.adapt else {}),
        }

    def network_arguments(self) -> dict[str, str]:
        """Return the options that say what the network is, and the arguments of the model's class that they are."""
        own = () if self.size == "fast" else ("back_projection", "consistent")
        return {**super().network_arguments(), **{name: name for name in own}}

    def fixed_arguments(self) -> dict[str, Any]:
        """Return what the weights to start from have to be of: the role."""
        return {"role": self.role}

    def with_defaults(self, sizes: Mapping[str, Mapping[str, Any]]) -> "Options":
        """Return the options with the defaults that depend on others; weights of `FastDSen2` are of the size `fast`."""
        description = self.description_of_start()
        if description and (description.model == FAST) != (self.size == "fast"):
            if self.size or description.model != FAST:
                raise ValueError(f"--size: expected one of the network of --init {self.start()}, got {self.size}")
            found = description.arguments
            own = {"size": "fast", "depth": found["depth"], "blocks": found["num_blocks"]}
            return dataclasses.replace(self, **own).with_defaults(sizes)
        return super().with_defaults(sizes)

    def start(self) -> str | None:
        """Return the weights to start from: `init`, or the project's own with `adapt`."""
        return self.init or (str(PROJECT_WEIGHTS / self.role) if self.adapt else None)

    def description_of_start(self) -> ModelDescription | None:
        """Return what the weights to start from are; None where their folder does not tell.

        Raises:
            ValueError: an option contradicts them, they are of another network, or `adapt` needs to know.
        """
        description = super().description_of_start()
        if self.adapt and description is None:
            raise ValueError(f"--init: expected a folder with model.json, made by a training, got {self.start()}")
        return description

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        for name in ("back_projection", "consistent", "start_at_interpolation"):
            if self.size == "fast" and getattr(self, name):
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"{flag} and --size fast are mutually exclusive: that network always does so")
        unknown = [band for band in self.mtf or () if band not in bands_of(self.role)]
        if unknown:
            expected = ", ".join(bands_of(self.role))
            raise ValueError(f"--mtf: expected bands of the role {self.role}, {expected}, got {', '.join(unknown)}")


@dataclass(frozen=True, kw_only=True)
class Command(Options, TrainingCommand):
    """The command line."""

    input: tuple[tuple[str, ...], ...] = option(
        MISSING, f"{SCENE}; once for each scene", many=True, repeated=True, metavar="IMG", reads=True
    )
