# SPDX-License-Identifier: Apache-2.0
"""The options of trainings: those that all have, and those that some share.

`pixels=False` marks an option that a resumed training may be given otherwise: the weights do not depend on it. Files
that are read are told apart by their content, whatever they are called, and so are weights.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from chain.runtime.options import (
    MISSING,
    BaseOptions,
    Kind,
    above,
    at_least,
    changed,
    flag_of,
    kinds,
    option,
    read_within,
)
from models.description import FILE_NAME, ModelDescription, check_replaceable, read_description

UNSCORED_NAME = "unscored"
"""File of the checkpoint folder that says that the model comes into place, and that not all is done."""

AnyOptions = TypeVar("AnyOptions", bound="TrainingOptions")


def existing(path: str | Path) -> None:
    """Check that a file or a folder is there.

    Raises:
        ValueError: it is not.
    """
    if not Path(path).exists():
        raise ValueError(f"expected a file or folder that exists, got {str(path)!r}")


def existing_folder(path: str | Path) -> None:
    """Check that a folder is there.

    Raises:
        ValueError: it is not.
    """
    if not Path(path).is_dir():
        raise ValueError(f"expected a folder that exists, got {str(path)!r}")


def share(value: float) -> None:
    """Check a share that is neither nothing nor all.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < value < 1:
        raise ValueError(f"expected a number between 0 and 1, got {value}")


def _seed(value: int) -> None:
    """Check a seed of numpy's.

    Raises:
        ValueError: it is none.
    """
    if not 0 <= value < 2**32:
        raise ValueError(f"expected 0 to 2**32 - 1, got {value}")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(BaseOptions):
    """What all trainings have in common. Subclasses give `size` its choices and a default (`sizes`).

    Where a number, a name or a flag is None, its default depends on other options: `with_defaults` fills it in.
    """

    default_size: ClassVar[str] = ""
    system: ClassVar[str] = ""
    """Name of the system's file in `models/`."""

    size: str = option(None, "size of the network")
    depth: int | None = option(
        None, "features of the network (default: that of --init or --size)", read=int, metavar="N", check=at_least(1)
    )
    epochs: int = option(100, "epochs, at most", metavar="N", read=int, check=at_least(1))
    steps_per_epoch: int | None = option(
        None, "batches per epoch (default: all training patches once)", read=int, metavar="N", check=at_least(1)
    )
    batch_size: int = option(4, "patches per batch", metavar="N", read=int, check=at_least(1))
    learning_rate: float = option(None, "the optimizer's step", read=float, metavar="RATE", check=above(0))
    patience: int = option(20, "stop after N epochs without a lower validation loss", metavar="N", check=at_least(1))
    augmentation: bool = option(True, "flip and rotate patches at random", negated=True)
    seed: int = option(0, "seed of weights, order and augmentation", metavar="N", check=_seed)
    init: str | None = option(
        None,
        "start from these weights: weights.h5, or the folder of a trained model",
        metavar="WEIGHTS",
        reads=True,
        weights=True,
        check=existing,
    )
    mixed_precision: bool = option(False, "compute in 16 bits: float16 on a GPU, bfloat16 otherwise")
    strategy: str = option(
        "none",
        "one device, all GPUs, or, under Keras 2, several machines by TF_CONFIG",
        choices=("none", "mirrored", "multiworker"),
    )
    log_dir: str | None = option(None, "write losses and images for TensorBoard there", metavar="DIR", pixels=False)
    checkpoint_dir: str | None = option(
        None,
        "where the training is kept until it is complete (default: MODEL_DIR.checkpoint)",
        metavar="DIR",
        pixels=False,
    )
    overwrite: bool = option(
        False, "replace --model-dir, and begin again a training that was begun otherwise", pixels=False
    )

    def defaults(self) -> dict[str, Any]:
        """Return what options mean that are None and whose default depends on others, by their names."""
        return {}

    def network_arguments(self) -> dict[str, str]:
        """Return the options that say what the network is, and the arguments of the model's class that they are.

        They are None by default: as `init` has it, else as `size` or the class has it.
        """
        return {"depth": "depth"}

    def fixed_arguments(self) -> dict[str, Any]:
        """Return the arguments of the model's class that this training needs, whatever `init` is; `model` is the class.

        `model` is left out where a system has only one.
        """
        return {}

    def start(self) -> str | None:
        """Return the weights to start from: `init`, or those that another option implies."""
        return self.init

    def description_of_start(self) -> ModelDescription | None:
        """Return what the weights to start from are; None where their folder does not tell.

        Raises:
            ValueError: an option contradicts them, or they are of another network.
        """
        start = self.start()
        description = _description_of(start) if start else None
        if description is None:
            return None
        known = {**description.arguments, "model": description.model}
        fixed = self.fixed_arguments()
        if description.system != self.system or any(known.get(name) != value for name, value in fixed.items()):
            found = [known.get(name, "") for name in fixed]
            raise ValueError(
                f"--init: expected weights of {_in_words(self.system, *fixed.values())}, got those of "
                f"{_in_words(description.system, *found, description.model)} in {start}"
            )
        for name, argument in self.network_arguments().items():
            value = getattr(self, name)
            if value is not None and argument in known and value != known[argument]:
                flag = flag_of(name, kinds(type(self))[name])
                raise ValueError(f"{flag}: expected {known[argument]}, as --init {start} has it, got {value}")
        return description

    def with_defaults(self: AnyOptions, sizes: Mapping[str, Mapping[str, Any]]) -> AnyOptions:
        """Return the options with the defaults that depend on others: on `init`, on `size`, and more.

        Args:
            sizes: arguments of the model's class by the names of its sizes.

        Raises:
            ValueError: an option contradicts `init`, or is not given where `init` does not tell it.
        """
        description = self.description_of_start()
        if self.start() and description is None:
            self._check_told(sizes)
        found = description.arguments if description else {}
        options = {argument: name for name, argument in self.network_arguments().items()}
        if found and self.size:
            given = {argument for argument, name in options.items() if getattr(self, name) is not None}
            self._check_size({name: value for name, value in sizes[self.size].items() if name not in given}, found)
        alike = (name for name, arguments in sizes.items() if arguments.items() <= found.items())
        values = {options[argument]: value for argument, value in found.items() if argument in options}
        size = self.size or next(alike, self.default_size)
        filled = dataclasses.replace(self, init=self.start(), size=size, **values)
        missing = {name: value for name, value in filled.defaults().items() if getattr(filled, name) is None}
        return dataclasses.replace(filled, **missing)

    def _check_told(self, sizes: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise ValueError when nothing tells what the network of weights alone is; their shapes tell its size.

        Args:
            sizes: as for `with_defaults`.
        """
        shown = {argument for arguments in sizes.values() for argument in arguments}
        hidden = (name for name, argument in self.network_arguments().items() if argument not in shown)
        lacking = [_spelt(name, kinds(type(self))[name]) for name in hidden if getattr(self, name) is None]
        if lacking:
            raise ValueError(
                f"--init: expected weights beside their {FILE_NAME}, or {', '.join(lacking)}, which weights alone do "
                f"not tell, got {self.start()}"
            )

    def _check_size(self, asked: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Raise ValueError when `size` asks for arguments that the weights to start from do not have."""
        for argument, value in asked.items():
            if found.get(argument) != value:
                raise ValueError(
                    f"--size: {self.size} has {argument} {value}, but --init {self.start()} has {found.get(argument)}"
                )

    def architecture(self, sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the arguments of the model's class that these options ask for, with their defaults filled in.

        Args:
            sizes: as for `with_defaults`.
        """
        description = self.description_of_start()
        options = {argument: getattr(self, name) for name, argument in self.network_arguments().items()}
        asked = {argument: value for argument, value in options.items() if value is not None}
        if description:  # which may be older than an argument
            return {**asked, **description.arguments}
        fixed = {name: value for name, value in self.fixed_arguments().items() if name != "model"}
        return {**sizes[self.size], **fixed, **asked}


def _description_of(weights: str) -> ModelDescription | None:
    """Return what the folder of weights says of them; None where it says nothing.

    Raises:
        ValueError: the description is damaged.
    """
    path = Path(weights)
    folder = path.parent if path.is_file() else path
    if not (folder / FILE_NAME).exists():
        return None
    try:
        return read_description(folder)
    except ValueError as error:
        raise ValueError(f"--init: {error}") from error


def _spelt(name: str, kind: Kind) -> str:
    """Return how the command line spells an option, and its opposite where it has one."""
    flag = flag_of(name, kind)
    return f"{flag} or --no-{flag.removeprefix('--')}" if kind.negated else flag


def _in_words(*words: Any) -> str:
    """Name a network by its system and more, each word once."""
    return " ".join(dict.fromkeys(str(word) for word in words if word))


def sizes(names: Iterable[str], default: str) -> Any:
    """Return the field `size`, given the names of the sizes and the class's `default_size`."""
    text = f"size of the network (default: that of --init, else {default})"
    return changed(TrainingOptions, "size", None, help=text, choices=tuple(names))


def learning_rate(learning_rates: Mapping[str, float]) -> Any:
    """Return the field `learning_rate`, given the default of each size, or of each network or stage."""
    rates = ", ".join(f"{rate:g} for {name}" for name, rate in learning_rates.items())
    return changed(TrainingOptions, "learning_rate", None, help=f"the optimizer's step (default: {rates})")


@dataclass(frozen=True, kw_only=True)
class BlocksOptions(TrainingOptions):
    """The size of networks that have residual blocks."""

    blocks: int | None = option(
        None,
        "residual blocks of the network (default: that of --init or --size)",
        read=int,
        metavar="N",
        check=at_least(0),
    )

    def network_arguments(self) -> dict[str, str]:
        """Return the options that say what the network is, and the arguments of the model's class that they are."""
        return {**super().network_arguments(), "blocks": "num_blocks"}


@dataclass(frozen=True, kw_only=True)
class GridOptions(TrainingOptions):
    """What becomes of the grid that networks leave."""

    grid_penalty: float = option(
        0.0,
        "weight of a penalty on gradients that differ across and inside coarse pixels, which leave a grid",
        metavar="WEIGHT",
        check=at_least(0),
    )


@dataclass(frozen=True, kw_only=True)
class SupervisionOptions(GridOptions):
    """How networks are trained with truth and a plain loss."""

    loss: str = option("l1", "mean absolute (l1) or squared (l2) error", choices=("l1", "l2"))
    optimizer: str = option(
        "adam",
        "adam: the step rises, then falls to zero along a cosine; nadam: with Keras' momentum schedule of 2018, "
        "the step is halved when the validation loss no longer falls",
        choices=("adam", "nadam"),
    )


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions(TrainingOptions):
    """How Adam's step changes in trainings by a loss of their own."""

    schedule: str = option(
        None,
        "the step stays, is multiplied by --decay after each --decay-steps, or rises and falls to zero along a cosine",
        choices=("constant", "steps", "cosine"),
    )
    decay: float = option(0.6, "factor of the schedule", metavar="FACTOR", check=above(0))
    decay_steps: int = option(12000, "steps of the schedule", metavar="N", check=at_least(1))


@dataclass(frozen=True, kw_only=True)
class TrainingCommand(TrainingOptions):
    """What only the command line has."""

    model_dir: str = option(MISSING, "folder to be made: SavedModel, weights and scores", metavar="DIR", pixels=False)

    def check(self) -> None:
        """Raise ValueError when options do not go together, or the model would replace what it must not."""
        super().check()
        self.description_of_start()
        check_model_dir(self.model_dir, self)
        inside = read_within(self, self.model_dir)
        if inside:
            raise ValueError(f"--model-dir: expected a folder that is not read, got {self.model_dir}, of {inside}")


def checkpoint_dir(model_dir: str | Path, options: TrainingOptions) -> Path:
    """Return the folder in which a training is kept until it is complete."""
    return Path(options.checkpoint_dir or f"{str(model_dir).rstrip('/')}.checkpoint")


def check_model_dir(model_dir: str | Path, options: TrainingOptions) -> None:
    """Refuse to replace what exists, unless it is a model that is to be replaced, or one that could not be scored.

    Raises:
        ValueError: it is something else.
    """
    unscored = (checkpoint_dir(model_dir, options) / UNSCORED_NAME).exists()
    if Path(model_dir).exists() and not (options.overwrite or unscored):
        raise ValueError(f"--model-dir: expected a folder that does not exist, or --overwrite, got {str(model_dir)!r}")
    try:
        check_replaceable(model_dir, "--model-dir")
    except FileExistsError as error:
        raise ValueError(str(error)) from error
