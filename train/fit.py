# SPDX-License-Identifier: Apache-2.0
"""The fitting of a model: distribution, precision, optimizer, callbacks, and resumption."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from models.base import KERAS_3, SuperResolutionModel
from train.callbacks import Backup, epochs_done, forget, read_identity
from train.learning import Learning

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
                "strategy: none or mirrored is wanted under Keras 3, which does not fit a model on several workers' "
                "batches of named inputs. Received: multiworker"
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
        raise ValueError(
            f"checkpoint-dir: a folder of the same training is wanted, or --overwrite. Received: {message}"
        )
    print(f"{message}: beginning again", flush=True)
    forget(folder)


def fit(
    arguments: argparse.Namespace,
    build: Callable[[tuple], SuperResolutionModel],
    patches: dict,
    strategy: tf.distribute.Strategy,
    checkpoint_dir: Path,
    identity: dict,
    learning: Learning,
) -> list[dict[str, float]]:
    """Fit a model, going on from the last complete epoch when there is one.

    Args:
        arguments: those of `train.common.add_arguments`.
        build: makes the model from a dataset's element specification.
        patches: the sets `train` and `valid`, as `train.common.train` has them.
        strategy: the distribution strategy.
        checkpoint_dir: the best weights are left there, as `best.h5`.
        identity: what the training is made of.
        learning: the kind of training.

    Returns:
        The losses and metrics of each epoch.
    """
    check_identity(checkpoint_dir, identity, arguments.overwrite)
    done = epochs_done(checkpoint_dir)
    # Not the order and the flips of the first epochs again.
    keras.utils.set_random_seed((arguments.seed + done) % 2**32)
    batches = math.ceil(patches["train"].size / arguments.batch_size)
    steps = arguments.steps_per_epoch or batches
    training = patches["train"].dataset(
        arguments.batch_size, augmentation=arguments.augmentation, first_epoch=math.ceil(done * steps / batches)
    )
    validation = patches["valid"].dataset(arguments.batch_size)
    keras.mixed_precision.set_global_policy(learning.precision_policy())
    try:
        with strategy.scope():
            model = build(training.element_spec)
            if arguments.init:
                learning.load(model, arguments.init)
            make_folder(checkpoint_dir, "checkpoint-dir")
            trained = learning.compile(model, training.element_spec, arguments.epochs * steps)
            backup = Backup(checkpoint_dir, identity, arguments.patience, is_chief(strategy))
            backup.restore(trained)
        if done:
            print(f"going on after epoch {done} of {arguments.epochs}", flush=True)
        if done < arguments.epochs and not backup.is_over:
            trained.fit(
                learning.samples(training).repeat(),
                epochs=arguments.epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                validation_data=learning.samples(validation),
                callbacks=[
                    backup,
                    *learning.callbacks(backup.history),
                    *_tensorboard(arguments, learning, model, validation, is_chief(strategy)),
                ],
                verbose=1 if sys.stdout.isatty() else 2,
            )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return backup.history


def make_folder(path: Path, argument: str) -> None:
    """Make the folder that an argument names.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{argument}: a folder that can be made is wanted. Received: {path} ({error.strerror})") from None


def _tensorboard(
    arguments: argparse.Namespace,
    learning: Learning,
    model: SuperResolutionModel,
    validation: tf.data.Dataset,
    writes: bool,
) -> list[keras.callbacks.Callback]:
    """Make the callbacks that write for TensorBoard, where they are asked for."""
    if not arguments.log_dir or not writes:
        return []
    folder = Path(arguments.log_dir)
    make_folder(folder, "log-dir")
    sample = next(iter(validation.unbatch().batch(SUMMARISED_PATCHES)))
    return [
        keras.callbacks.TensorBoard(arguments.log_dir, write_graph=False),
        learning.summaries(folder, sample, model),
    ]
