# SPDX-License-Identifier: Apache-2.0
"""What the training programs share: their command line, and the course of a training.

A training reads patches, fits the model, exports the best weights as a SavedModel and records in `run.json` what it
was made of. Until then it lives in the checkpoint folder: a model folder that exists holds a whole model, and the same
command goes on with a training that was interrupted. The SavedModel is scored last, where it is to stay, over the test
set beside bicubic interpolation: a model that cannot be scored is not lost, and the same command scores it later.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from chain.runtime import provenance
from chain.runtime.command_line import add_program_arguments, one_line
from chain.runtime.files import locked
from chain.runtime.progress import SILENT, shown_on_terminal
from chain.sentinel2.options import NAMING_ARGUMENTS
from models.description import check_replaceable

LOCK_NAME = ".lock"
UNSCORED_NAME = "unscored"
"""File of the checkpoint folder that says that the model is in place, and its scores are not."""
WEIGHTS = ("init", "csr", "sisrnet", "regnet")
"""Arguments that name weights, which are recorded by content."""
NOT_IDENTITY = (
    *("debug", "log_dir", "overwrite", "checkpoint_dir", "model_dir", "streaming", *WEIGHTS),
    *("patches", "input", "test", "levels", *NAMING_ARGUMENTS),
)
"""Arguments that may change between the beginning of a training and its resumption, or are recorded by content."""


def add_patches_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the training programs whose samples are patches on a disk."""
    add = parser.add_argument
    add(
        "--patches",
        required=True,
        metavar="DIR",
        help="folder of the patches: {train,valid,test}_{source}.tif, or {train,valid,test}/*.records",
    )
    add(
        "--streaming",
        action="store_true",
        help="read patches images again in each epoch, rather than hold them in memory",
    )


def add_arguments(parser: argparse.ArgumentParser, learning_rates: dict[str, float], size: str, **defaults) -> None:
    """Add the arguments that all training programs have.

    Args:
        parser: the parser.
        learning_rates: the model's sizes, and the default learning rate of each.
        size: the default size.
        defaults: other defaults than those below, by the arguments' names.
    """
    add = parser.add_argument
    rates = ", ".join(f"{rate:g} for {name}" for name, rate in learning_rates.items())
    add("--model-dir", required=True, metavar="DIR", help="folder to be made: SavedModel, weights and scores")
    add(
        "--overwrite",
        action="store_true",
        help="replace --model-dir, and begin again a training that was begun otherwise",
    )
    add("--size", choices=list(learning_rates), default=size, help="size of the network (default: %(default)s)")
    add("--depth", type=int, metavar="N", help="features of the network (default: that of --size)")
    add("--epochs", type=int, default=100, metavar="N", help="epochs, at most (default: %(default)s)")
    add(
        "--steps-per-epoch",
        type=int,
        metavar="N",
        help="batches per epoch (default: all training patches once)",
    )
    add("--batch-size", type=int, default=4, metavar="N", help="patches per batch (default: %(default)s)")
    add(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help=f"the optimizer's step (default: {rates})",
    )
    add(
        "--patience",
        type=int,
        default=20,
        metavar="N",
        help="stop after N epochs without a lower validation loss (default: %(default)s)",
    )
    add(
        "--augmentation",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="flip and rotate patches at random (default: %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of weights, order and augmentation (default: 0)",
    )
    add(
        "--init",
        metavar="WEIGHTS",
        help="start from these weights: weights.h5, or the folder of a trained model",
    )
    add(
        "--mixed-precision",
        action="store_true",
        help="compute in 16 bits: float16 on a GPU, bfloat16 otherwise",
    )
    add(
        "--strategy",
        choices=["none", "mirrored", "multiworker"],
        default="none",
        help="one device, all GPUs, or, under Keras 2, several machines by TF_CONFIG (default: %(default)s)",
    )
    add("--log-dir", metavar="DIR", help="write losses and images for TensorBoard there")
    add(
        "--checkpoint-dir",
        metavar="DIR",
        help="where the training is kept until it is complete (default: MODEL_DIR.checkpoint)",
    )
    add_program_arguments(parser)
    parser.set_defaults(**defaults)


def add_blocks_argument(parser: argparse.ArgumentParser) -> None:
    """Add the number of residual blocks, for networks that have such."""
    parser.add_argument(
        "--blocks", type=int, metavar="N", help="residual blocks of the network (default: that of --size)"
    )


def add_supervision_arguments(parser: argparse.ArgumentParser, optimizer: str = "adam") -> None:
    """Add the arguments of trainings with truth and a plain loss, given the default optimizer."""
    add = parser.add_argument
    add(
        "--loss",
        choices=["l1", "l2"],
        default="l1",
        help="mean absolute (l1) or squared (l2) error (default: l1)",
    )
    add(
        "--optimizer",
        choices=["adam", "nadam"],
        default=optimizer,
        help="adam: the step rises, then falls to zero along a cosine; nadam: with Keras' momentum schedule of 2018, "
        "the step is halved when the validation loss no longer falls (default: %(default)s)",
    )


def add_schedule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how Adam's step changes, for trainings by a loss of their own."""
    add = parser.add_argument
    add(
        "--schedule",
        choices=["constant", "steps", "cosine"],
        help="the step stays, is multiplied by --decay after each --decay-steps, or rises and falls to zero along a "
        "cosine",
    )
    add("--decay", type=float, default=0.6, metavar="FACTOR", help="factor of the schedule (default: %(default)s)")
    add("--decay-steps", type=int, default=12000, metavar="N", help="steps of the schedule (default: %(default)s)")


def check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when an argument is out of its range."""
    for name in ("epochs", "steps_per_epoch", "batch_size", "patience", "learning_rate", "decay", "decay_steps"):
        value = getattr(arguments, name, None)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"argument --{name.replace('_', '-')}: more than 0 is wanted. Received: {value}")
    for name, wanted, least in (("depth", "more than 0", 1), ("blocks", "0 or more", 0)):
        value = getattr(arguments, name, None)
        if value is not None and value < least:
            parser.error(f"argument --{name}: {wanted} is wanted. Received: {value}")
    if not 0 <= arguments.seed < 2**32:
        parser.error(f"argument --seed: 0 to 2**32 - 1 is wanted. Received: {arguments.seed}")
    if arguments.init and not Path(arguments.init).exists():
        parser.error(f"argument --init: a file or folder that exists is wanted. Received: {arguments.init}")
    unscored = (_checkpoint_dir(arguments) / UNSCORED_NAME).exists()
    if Path(arguments.model_dir).exists() and not (arguments.overwrite or unscored):
        parser.error(
            "argument --model-dir: a folder that does not exist is wanted, or --overwrite. "
            f"Received: {arguments.model_dir}"
        )
    try:
        check_replaceable(arguments.model_dir, "argument --model-dir")
    except FileExistsError as error:
        parser.error(str(error))


def architecture(arguments: argparse.Namespace, sizes: dict[str, dict]) -> dict:
    """Return the network's arguments that --size, --depth and --blocks ask for."""
    asked = {"depth": arguments.depth, "num_blocks": getattr(arguments, "blocks", None)}
    return {**sizes[arguments.size], **{name: value for name, value in asked.items() if value is not None}}


def check_patches(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when the folder of patches is not there."""
    if not Path(arguments.patches).is_dir():
        parser.error(f"argument --patches: a folder that exists is wanted. Received: {arguments.patches}")


def train(arguments: argparse.Namespace, find: Callable, build: Callable, score: Callable, learning=None) -> dict:
    """Train, export and score a model.

    Args:
        arguments: those of `add_arguments`.
        find: gives the samples: set (`train`, `valid`, and more) -> what has `size`, `identity()` and
            `dataset(batch_size, augmentation=False, first_epoch=0)`, as `train.data.Patches`.
        build: makes the model from a dataset's element specification.
        score: called with the folder of the exported model, its description, the samples and the history of the
            losses, writes the scores into the folder and returns them.
        learning: the kind of training, a `train.learning.Learning`; by default `train.supervised.Supervised`.

    Returns:
        The scores.

    Raises:
        ValueError: the samples, the weights or the checkpoint are not what the training needs.
        RuntimeError: another training uses the checkpoint folder, or the model is in place but could not be scored.
    """
    from tensorflow import keras

    from models.base import replace_folder, weights_digest
    from train.callbacks import BEST_NAME, forget
    from train.fit import fit, is_chief, make_strategy
    from train.supervised import Supervised

    start = time.perf_counter()
    model_dir = Path(arguments.model_dir)
    checkpoint_dir = _checkpoint_dir(arguments)
    strategy = make_strategy(arguments.strategy)
    with shown_on_terminal(), _alone(checkpoint_dir, is_chief(strategy)):
        samples = find()
        identity = {
            "arguments": {
                **{name: value for name, value in vars(arguments).items() if name not in NOT_IDENTITY},
                **{
                    name: weights_digest(getattr(arguments, name)) if getattr(arguments, name) else None
                    for name in WEIGHTS
                    if hasattr(arguments, name)
                },
            },
            "patches": {
                f"{name}: {content}": value
                for name, subset in samples.items()
                for content, value in subset.identity().items()
            },
        }
        dataset = _dataset_record(arguments)
        for name, subset in samples.items():
            print(f"{name}: {subset.size} patches", flush=True)
        learning = learning or Supervised(arguments)
        history = fit(arguments, build, samples, strategy, checkpoint_dir, identity, learning, SILENT)
        if not is_chief(strategy):
            return {}
        keras.backend.clear_session()
        model = build(samples["valid"].dataset(arguments.batch_size).element_spec)
        learning.load(model, checkpoint_dir / BEST_NAME)
        exported = checkpoint_dir / "model"
        description = learning.export(model, exported)
        _write_run(exported, arguments, {**identity, "dataset": dataset}, history, time.perf_counter() - start)
        model_dir.parent.mkdir(parents=True, exist_ok=True)
        replace_folder(exported, model_dir)
        (checkpoint_dir / UNSCORED_NAME).touch()
        print(f"{model_dir}: the model and run.json", flush=True)
        try:
            report = score(model_dir, description, samples, history)
        except Exception as error:
            raise RuntimeError(
                f"the model is in {model_dir}, but could not be scored, which the same command will try again: "
                f"{one_line(error)}"
            ) from error
        (checkpoint_dir / UNSCORED_NAME).unlink()
        forget(checkpoint_dir)
    print(f"{model_dir}: its scores")
    return report


def _checkpoint_dir(arguments: argparse.Namespace) -> Path:
    """Return the folder in which a training is kept until it is complete."""
    return Path(arguments.checkpoint_dir or f"{arguments.model_dir.rstrip('/')}.checkpoint")


@contextmanager
def _alone(folder: Path, writes: bool) -> Iterator[None]:
    """Hold the checkpoint folder, which is removed at the end when nothing is left in it.

    Args:
        folder: the folder.
        writes: whether this process is the one that writes; others hold nothing.

    Raises:
        RuntimeError: another training holds it.
    """
    from train.fit import make_folder

    refusal = RuntimeError(f"--checkpoint-dir: expected a folder that no other training uses, got {folder}")
    try:
        if writes:
            make_folder(folder, "--checkpoint-dir")
        with locked(folder / LOCK_NAME, refusal) if writes else nullcontext():
            yield
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _write_run(folder: Path, arguments: argparse.Namespace, identity: dict, history: list, seconds: float) -> None:
    """Write what a result is made of."""
    content = {
        "arguments": vars(arguments),
        "init": identity["arguments"]["init"],
        "patches": identity["patches"],
        "dataset": identity["dataset"],
        "versions": provenance.versions(),
        "seconds": round(seconds, 1),
        "best_epoch": 1 + min(range(len(history)), key=lambda index: history[index]["val_loss"]),
        "history": history,
    }
    provenance.write(folder / "run.json", content)


def _dataset_record(arguments: argparse.Namespace) -> dict | None:
    """Return what the program that made the patches of a folder left beside them, where it did.

    Raises:
        ValueError: it is no JSON.
    """
    import json

    path = Path(getattr(arguments, "patches", "")) / "dataset.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"patches: JSON is wanted in dataset.json. Received: {path} ({error})") from error
