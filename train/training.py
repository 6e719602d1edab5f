# SPDX-License-Identifier: Apache-2.0
"""The course of a training, which is the same for all systems.

A training reads patches, fits the model, exports the best weights as a SavedModel and records in `run.json` what it
was made of. Until then it lives in the checkpoint folder: a model folder that exists holds a whole model, and the same
command goes on with a training that was interrupted. The SavedModel is scored last, where it is to stay, over the test
set beside bicubic interpolation: a model that cannot be scored is not lost, and the same command scores it later.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime import provenance
from chain.runtime.command_line import one_line
from chain.runtime.files import locked, read_document
from chain.runtime.options import kinds
from chain.runtime.progress import LOG, Cancelled, Progress
from models.description import FILE_NAME, ModelDescription, read_description
from train.options import UNSCORED_NAME, TrainingOptions, check_model_dir
from train.options import checkpoint_dir as checkpoint_dir_of
from train.samples import Samples

if TYPE_CHECKING:
    from models.base import SuperResolutionModel
    from train.learning import Learning

LOCK_NAME = ".lock"
FITTING = (0.01, 0.95)
"""Fractions of the work between which the model is fitted."""

History = list[dict[str, float]]


@dataclass(frozen=True)
class System:
    """What a system's training consists of.

    Attributes:
        find: gives the samples by set: `train`, `valid`, and more.
        build: makes the model, given the element specification of a dataset.
        score: called with the folder of the exported model, the samples and the losses of each epoch, writes the
            scores into the folder and returns them.
        learning: the kind of training; None: with truth and a plain loss, by `SupervisionOptions`.
        decisions: what was decided about what is read, in sentences, for the record; `find` may add to it.
    """

    find: Callable[[], Mapping[str, Samples]]
    build: "Callable[[tuple], SuperResolutionModel]"
    score: Callable[[Path, Any, History], dict[str, Any]]
    learning: "Learning | None" = None
    decisions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """What a training has made.

    Attributes:
        path: folder of the model.
        description: what the model is; None for a part of one, and on workers that do not write.
        record: content of `run.json`.
        scores: content of `scores.json`.
    """

    path: Path
    description: ModelDescription | None
    record: dict[str, Any]
    scores: dict[str, Any]

    @property
    def history(self) -> History:
        """Losses and metrics of each epoch."""
        return self.record["history"]


def run_training(
    options: TrainingOptions,
    model_dir: str | Path,
    inputs: Mapping[str, Any],
    system: System,
    progress: Progress,
) -> Training:
    """Train, export and score a model.

    Args:
        options: how, with their defaults filled in.
        model_dir: folder to be made.
        inputs: what it is trained on, by the names of the caller's arguments, for the record.
        system: the system's part.
        progress: where to report.

    Raises:
        ValueError: the samples, the weights or the checkpoint are not what the training needs.
        RuntimeError: another training uses the checkpoint folder, or the model is in place but could not be scored.
        OSError: a folder cannot be made, or a file cannot be written.
        Cancelled: the caller has cancelled; the epochs that are done are kept.
    """
    check_model_dir(model_dir, options)

    from tensorflow import keras

    from models.base import replace_folder
    from train.callbacks import BEST_NAME, STATE_NAME, forget
    from train.fit import fit, is_chief, make_strategy
    from train.learning import Learning
    from train.supervised import Supervised

    start = time.perf_counter()
    model_dir, checkpoint_dir = Path(model_dir), checkpoint_dir_of(model_dir, options)
    strategy = make_strategy(options.strategy)
    unscored = checkpoint_dir / UNSCORED_NAME
    with _alone(checkpoint_dir, is_chief(strategy)) as last:
        if unscored.exists() and model_dir.exists() and not (checkpoint_dir / STATE_NAME).exists():
            forget(checkpoint_dir)  # killed when all was done but this
            last.callback(unscored.unlink, missing_ok=True)
            return _made(model_dir)
        progress(0, "samples")
        samples = system.find()
        identity = _identity(options, samples)
        dataset = _dataset_record(inputs)
        for name, subset in samples.items():
            LOG.info("%s: %d patches", name, subset.size)
        learning: Learning = system.learning or Supervised(options)
        history = fit(
            options, system.build, samples, strategy, checkpoint_dir, identity, learning, progress.part(*FITTING)
        )
        if not is_chief(strategy):
            return Training(model_dir, None, {"history": history}, {})
        progress(FITTING[1], "export")
        keras.backend.clear_session()
        model = system.build(samples["valid"].dataset(options.batch_size).element_spec)
        learning.load(model, checkpoint_dir / BEST_NAME)
        exported = checkpoint_dir / "model"
        description = learning.export(model, exported)
        record = {
            "arguments": {**dataclasses.asdict(options), **inputs, "model_dir": str(model_dir)},
            "init": identity["arguments"]["init"],
            "patches": identity["patches"],
            "dataset": dataset,
            "decisions": system.decisions,
            "versions": provenance.versions(),
            "seconds": round(time.perf_counter() - start, 1),
            "best_epoch": 1 + min(range(len(history)), key=lambda index: history[index]["val_loss"]),
            "history": history,
        }
        provenance.write(exported / "run.json", record)
        model_dir.parent.mkdir(parents=True, exist_ok=True)
        unscored.touch()  # before the model is in place: the same command is to go on from any moment
        replace_folder(exported, model_dir)
        LOG.info("%s: the model and run.json", model_dir)
        progress(0.96, "scores")
        try:
            scores = system.score(model_dir, samples, history)
        except Cancelled:
            raise
        except Exception as error:
            raise RuntimeError(
                f"the model is in {model_dir}, but could not be scored, which the same command will try again: "
                f"{one_line(error)}"
            ) from error
        forget(checkpoint_dir)
        last.callback(unscored.unlink, missing_ok=True)
    progress(1, "done")
    return Training(model_dir, description, record, scores)


def _made(model_dir: Path) -> Training:
    """Return what a training has made whose model and scores are in place."""
    description = read_description(model_dir) if (model_dir / FILE_NAME).exists() else None
    record, scores = (json.loads(read_document(model_dir / name)) for name in ("run.json", "scores.json"))
    return Training(model_dir, description, record, scores)


def _identity(options: TrainingOptions, samples: Mapping[str, Samples]) -> dict[str, dict[str, Any]]:
    """Return what a training is made of, as JSON gives it back: options, weights by content, and patches."""
    from models.weights_file import weights_digest

    arguments: dict[str, Any] = {}
    for name, kind in kinds(type(options)).items():
        value = getattr(options, name)
        if kind.weights:
            arguments[name] = weights_digest(value) if value else None
        elif kind.pixels and not kind.reads:
            arguments[name] = value
    patches = {
        f"{name}: {content}": value for name, subset in samples.items() for content, value in subset.identity().items()
    }
    return json.loads(json.dumps({"arguments": arguments, "patches": patches}))


@contextmanager
def _alone(folder: Path, writes: bool) -> Iterator[ExitStack]:
    """Hold the checkpoint folder, which is removed at the end when nothing is left in it.

    What the stack is given is done when the lock is gone: a marker that stays until then has the same command complete
    what a kill leaves.

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
        with ExitStack() as last, locked(folder / LOCK_NAME, refusal) if writes else nullcontext():
            yield last
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _dataset_record(inputs: Mapping[str, Any]) -> dict | None:
    """Return what the program that made the patches of a folder left beside them, where it did.

    Raises:
        ValueError: it is no JSON.
    """
    path = Path(inputs.get("patches", "")) / "dataset.json"
    try:
        return json.loads(read_document(path)) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"--patches: expected JSON in dataset.json, got {path} ({error})") from error
