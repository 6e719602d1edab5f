# SPDX-License-Identifier: Apache-2.0
"""The fitting of a model: distribution, precision, optimizer, callbacks, and resumption."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow import keras

from chain.runtime.progress import LOG, Progress
from models.base import KERAS_3, SuperResolutionModel
from train.callbacks import Backup, Reports, epochs_done, forget, read_identity
from train.learning import Learning
from train.options import TrainingOptions

if TYPE_CHECKING:
    from train.samples import Samples

SUMMARISED_PATCHES = 4


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Make the distribution strategy of `--strategy`.

    Raises:
        ValueError: this version of Keras does not train so.
    """
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multiworker":
        if KERAS_3:
            raise ValueError(
                "--strategy: expected none or mirrored under Keras 3, which does not fit a model on several workers' "
                "batches of named inputs, got 'multiworker'"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Say whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    return (
        resolver is None
        or resolver.task_type in (None, "", "chief")
        or (resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs)
    )


def check_identity(folder: Path, identity: dict, overwrite: bool) -> None:
    """Refuse to go on with a training that was begun with something else, or forget it.

    Args:
        folder: where trainings are kept.
        identity: what this training is made of.
        overwrite: forget the other training.

    Raises:
        ValueError: the folder holds another training, which is not to be forgotten.
    """
    begun = read_identity(folder)
    if begun is None:
        return
    differing = [
        f"{name} {begun[part].get(name)}" if part == "arguments" else f"another {name}"
        for part in ("arguments", "patches")
        for name in sorted({*begun[part], *identity[part]})
        if begun[part].get(name) != identity[part].get(name)
    ]
    if not differing:
        return
    message = f"{folder} holds a training begun with {', '.join(differing)}"
    if not overwrite:
        raise ValueError(f"--checkpoint-dir: expected a folder of the same training, or --overwrite, but {message}")
    LOG.warning("%s: beginning again", message)
    forget(folder)


def fit(
    options: TrainingOptions,
    build: Callable[[tuple], SuperResolutionModel],
    samples: "Mapping[str, Samples]",
    strategy: tf.distribute.Strategy,
    checkpoint_dir: Path,
    identity: dict,
    learning: Learning,
    progress: Progress,
) -> list[dict[str, float]]:
    """Fit a model, going on from the last complete epoch when there is one, as if it had not been interrupted.

    Args:
        options: how.
        build: makes the model from a dataset's element specification.
        samples: the sets `train` and `valid`.
        strategy: the distribution strategy.
        checkpoint_dir: the best weights are left there, as `best.h5`.
        identity: what the training is made of.
        learning: the kind of training.
        progress: where to report.

    Returns:
        The losses and metrics of each epoch.
    """
    check_identity(checkpoint_dir, identity, options.overwrite)
    done = epochs_done(checkpoint_dir)
    keras.utils.set_random_seed(options.seed)
    training, validation = _datasets(options, samples, 0)
    steps = options.steps_per_epoch or _batches(options, samples)
    keras.mixed_precision.set_global_policy(learning.precision_policy())
    try:
        with strategy.scope():
            model = build(training.element_spec)
            if options.init:
                learning.load(model, options.init)
            make_folder(checkpoint_dir, "--checkpoint-dir")
            trained = learning.compile(model, training.element_spec, options.epochs * steps)
            backup = Backup(checkpoint_dir, identity, options.patience, is_chief(strategy))
            backup.restore(trained)
        if done:
            LOG.info("going on after epoch %d of %d", done, options.epochs)
        callbacks = [
            backup,
            Reports(progress, steps, options.epochs),
            *learning.callbacks(backup.history),
            *_tensorboard(options, learning, model, validation, is_chief(strategy)),
        ]
        for epoch in range(done, options.epochs):
            if backup.is_over:
                break
            training, validation = _datasets(options, samples, epoch)
            trained.fit(
                learning.batches(training),
                epochs=epoch + 1,
                initial_epoch=epoch,
                steps_per_epoch=steps,
                validation_data=learning.batches(validation),
                callbacks=callbacks,
                verbose=0,
            )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return backup.history


def _batches(options: TrainingOptions, samples: "Mapping[str, Samples]") -> int:
    """Return the number of batches of a pass over the samples."""
    return math.ceil(samples["train"].size / options.batch_size)


def _datasets(
    options: TrainingOptions, samples: "Mapping[str, Samples]", epoch: int
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Make the samples of an epoch, to train on and to validate on.

    They depend on the seed and on the number of the epoch alone, so that a training that goes on sees what one that was
    never interrupted sees.
    """
    batches = _batches(options, samples)
    passes, skipped = divmod(epoch * (options.steps_per_epoch or batches), batches)
    keras.utils.set_random_seed((options.seed + passes) % 2**32)
    training = samples["train"].dataset(options.batch_size, augmentation=options.augmentation, first_epoch=passes)
    return training.repeat().skip(skipped), samples["valid"].dataset(options.batch_size)


def make_folder(path: Path, argument: str) -> None:
    """Make the folder that an argument names.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{argument}: expected a folder that can be made, got {path} ({error.strerror})") from None


def _tensorboard(
    options: TrainingOptions,
    learning: Learning,
    model: SuperResolutionModel,
    validation: tf.data.Dataset,
    writes: bool,
) -> list[keras.callbacks.Callback]:
    """Make the callbacks that write for TensorBoard, where they are asked for."""
    if not options.log_dir or not writes:
        return []
    folder = Path(options.log_dir)
    make_folder(folder, "--log-dir")
    sample = next(iter(validation.unbatch().batch(SUMMARISED_PATCHES)))
    return [
        keras.callbacks.TensorBoard(options.log_dir, write_graph=False),
        learning.summaries(folder, sample, model),
    ]
