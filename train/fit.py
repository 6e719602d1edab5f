# SPDX-License-Identifier: Apache-2.0
"""The fitting of a model: distribution, precision, optimizer, callbacks, and resumption."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from models.base import KERAS_3, SuperResolutionModel, load_weights
from train.callbacks import Backup, ImageSummaries, epochs_done, forget, read_identity
from train.optimizers import Nadam, Plateau, PlateauRate, cosine

LOSSES = {"l1": "mae", "l2": "mse"}
"""Keras' names of the losses."""
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


def precision_policy(mixed: bool) -> str:
    """Name the Keras policy to compute with: 16-bit floats have a type for GPUs and one for CPUs."""
    if not mixed:
        return "float32"
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"


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


def check_targets(element_spec: tuple, model: SuperResolutionModel) -> None:
    """Refuse targets of another size or number of bands than the model's output.

    Raises:
        ValueError: they are.
    """
    inputs, targets = element_spec
    height, width = inputs[model.sources[0].name].shape[1:3]
    wanted = (height * model.scale, width * model.scale, len(model.bands))
    received = tuple(targets["sr"].shape[1:])
    if received != wanted:
        raise ValueError(f"patches: targets of shape {wanted} are wanted. Received: {received}")


def fit(
    arguments: argparse.Namespace,
    build: Callable[[tuple], SuperResolutionModel],
    patches: dict,
    strategy: tf.distribute.Strategy,
    checkpoint_dir: Path,
    identity: dict,
) -> list[dict[str, float]]:
    """Fit a model, going on from the last complete epoch when there is one.

    Args:
        arguments: those of `train.common.add_arguments`.
        build: makes the model from a dataset's element specification.
        patches: the sets `train` and `valid`, as `train.common.train` has them.
        strategy: the distribution strategy.
        checkpoint_dir: the best weights are left there, as `best.h5`.
        identity: what the training is made of.

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
    keras.mixed_precision.set_global_policy(precision_policy(arguments.mixed_precision))
    try:
        with strategy.scope():
            model = build(training.element_spec)
            check_targets(training.element_spec, model)
            if arguments.init:
                load_weights(model.model, arguments.init)
            make_folder(checkpoint_dir, "checkpoint-dir")
            trained = model.training_model()
            trained.compile(
                optimizer=_optimizer(arguments, arguments.epochs * steps),
                loss=LOSSES[arguments.loss],
                jit_compile=False,  # XLA has no bicubic interpolation
                metrics=[keras.metrics.MeanAbsoluteError("l1"), keras.metrics.MeanSquaredError("l2")],
            )
            backup = Backup(checkpoint_dir, identity, arguments.patience, is_chief(strategy))
            backup.restore(trained)
        if done:
            print(f"going on after epoch {done} of {arguments.epochs}", flush=True)
        if done < arguments.epochs and not backup.is_over:
            trained.fit(
                training.map(_without_key).repeat(),
                epochs=arguments.epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                validation_data=validation.map(_without_key),
                callbacks=[
                    backup,
                    *_rate_callbacks(arguments, backup),
                    *_tensorboard(arguments, model, validation, is_chief(strategy)),
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


def _optimizer(arguments: argparse.Namespace, steps: int) -> keras.optimizers.Optimizer:
    """Make the optimizer of `--optimizer`, given the number of steps of the whole training."""
    if arguments.optimizer == "nadam":
        return Nadam(arguments.learning_rate)
    return keras.optimizers.Adam(cosine(arguments.learning_rate, steps))


def _rate_callbacks(arguments: argparse.Namespace, backup: Backup) -> list[keras.callbacks.Callback]:
    """Make the callbacks that set the learning rate, where the optimizer has no schedule of its own."""
    return [PlateauRate(Plateau(arguments.learning_rate), backup.history)] if arguments.optimizer == "nadam" else []


def _without_key(inputs: dict, targets: dict) -> tuple[dict, tf.Tensor]:
    """Give the target as the training model gives its output."""
    return inputs, targets["sr"]


def _tensorboard(
    arguments: argparse.Namespace, model: SuperResolutionModel, validation: tf.data.Dataset, writes: bool
) -> list[keras.callbacks.Callback]:
    """Make the callbacks that write for TensorBoard, where they are asked for."""
    if not arguments.log_dir or not writes:
        return []
    make_folder(Path(arguments.log_dir), "log-dir")
    sample = next(iter(validation.unbatch().batch(SUMMARISED_PATCHES)))
    return [
        keras.callbacks.TensorBoard(arguments.log_dir, write_graph=False),
        ImageSummaries(arguments.log_dir, sample, model),
    ]
