# SPDX-License-Identifier: Apache-2.0
"""What happens after each epoch: state and best weights are kept, losses are told, images are summarised.

A training that is killed goes on from the last complete epoch: weights, the optimizer's variables and the
history are in one file, which is renamed into place when it is whole. Keras' own BackupAndRestore keeps
neither the history nor the counters of early stopping, and writes its two files in place.
"""

import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
from tensorflow import keras

from chain.runtime.progress import LOG, Progress
from models.base import REFLECTANCE, SuperResolutionModel
from models.layers import bicubic
from models.weights_file import save_weights, whole_hdf5

BEST_NAME = "best.h5"
STATE_NAME = "state.h5"
DISPLAY_PERCENTILES = (2, 98)


def read_identity(folder: Path) -> dict | None:
    """Return what the training whose state is in the folder was made of, or None when there is no state."""
    return _read(folder, "identity")


def epochs_done(folder: Path) -> int:
    """Return the number of epochs that are done of the training whose state is in the folder."""
    return len(_read(folder, "history") or ())


def _read(folder: Path, attribute: str) -> Any:
    """Return what the state in the folder says, or None when there is no state."""
    if not (folder / STATE_NAME).exists():
        return None
    with h5py.File(folder / STATE_NAME, "r") as file:
        return json.loads(file.attrs[attribute])


class Backup(keras.callbacks.Callback):
    """Keeps the state and the best weights, and stops when the validation loss no longer falls.

    Args:
        folder: where they are kept.
        identity: what the training is made of, kept with the state.
        patience: number of epochs without a lower validation loss after which the training stops.
        writes: whether this process writes (the chief worker).
    """

    def __init__(self, folder: Path, identity: dict, patience: int, writes: bool = True):
        super().__init__()
        self.folder = folder
        self.identity = identity
        self.patience = patience
        self.writes = writes
        self.history: list[dict[str, float]] = []

    @property
    def best_epoch(self) -> int:
        """Index of the epoch with the lowest validation loss."""
        return int(np.argmin([epoch["val_loss"] for epoch in self.history]))

    @property
    def is_over(self) -> bool:
        """Whether early stopping has ended the training."""
        return bool(self.history) and len(self.history) - 1 - self.best_epoch >= self.patience

    def restore(self, model: keras.Model) -> int:
        """Put a compiled model into the state that the folder holds.

        Returns:
            The number of epochs that are done; 0 when the folder holds no state.
        """
        path = self.folder / STATE_NAME
        if not path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        with h5py.File(path, "r") as file:
            for group, variables in _state(model).items():
                for index, variable in enumerate(variables):
                    variable.assign(file[f"{group}/{index}"][()])
            self.history[:] = json.loads(file.attrs["history"])
        return len(self.history)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the state, and the weights if they are the best so far.

        Raises:
            FloatingPointError: the loss is not a number.
        """
        values = {name: float(value) for name, value in (logs or {}).items()}
        for name in ("loss", "val_loss"):
            if not np.isfinite(values[name]):
                raise FloatingPointError(f"{name} is {values[name]} after epoch {epoch + 1}: lower --learning-rate")
        self.history.append(values)
        if self.writes:
            if self.best_epoch == epoch:
                save_weights(self.model, self.folder / BEST_NAME)
            self._write_state()
        if self.is_over:
            self.model.stop_training = True

    def _write_state(self) -> None:
        with whole_hdf5(self.folder / STATE_NAME) as file:
            for group, variables in _state(self.model).items():
                for index, variable in enumerate(variables):
                    file[f"{group}/{index}"] = variable.numpy()
            file.attrs["history"] = json.dumps(self.history)
            file.attrs["identity"] = json.dumps(self.identity)


class Reports(keras.callbacks.Callback):
    """Reports each batch, and tells the losses of each epoch in one line.

    Args:
        progress: where batches are reported, as fractions of the whole training.
        steps: number of batches of an epoch.
        epochs: number of epochs, those of an interrupted training included.
    """

    def __init__(self, progress: Progress, steps: int, epochs: int):
        super().__init__()
        self.progress = progress
        self.steps = steps
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remember when the epoch has begun."""
        self.epoch, self.start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Report the batch.

        Raises:
            Cancelled: the training is to stop.
        """
        done = self.epoch + (batch + 1) / self.steps
        self.progress(done / self.epochs, f"epoch {self.epoch + 1} of {self.epochs}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Tell the losses."""
        logs = logs or {}
        first = sorted(logs, key=lambda name: name not in ("loss", "val_loss"))
        losses = ", ".join(f"{name} {float(logs[name]):.4g}" for name in first)
        LOG.info("epoch %d of %d, %.1f s: %s", epoch + 1, self.epochs, time.perf_counter() - self.start, losses)


def forget(folder: Path) -> None:
    """Remove the state and the best weights, and the folder if nothing else is in it."""
    for name in (STATE_NAME, BEST_NAME):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _state(model: keras.Model) -> dict[str, list]:
    """Return all variables of a compiled model and of its optimizer, in a fixed order."""
    return {"model": list(model.weights), "optimizer": list(model.optimizer.variables)}


class PictureSummaries(keras.callbacks.Callback):
    """Writes pictures for TensorBoard, after each epoch. Subclasses define `pictures`.

    Args:
        log_dir: TensorBoard's folder.
        sample: batch of inputs and targets, of which pictures are made.
        model: the model that is trained.
    """

    def __init__(self, log_dir: str | Path, sample: tuple[dict, dict], model: SuperResolutionModel):
        super().__init__()
        self.inputs, self.targets = sample
        self.shown = model
        self.writer = tf.summary.create_file_writer(str(Path(log_dir) / "images"))

    def pictures(self) -> dict[str, np.ndarray]:
        """Return pictures by name, (pictures, height, width, 1 or 3), 0 to 1."""
        raise NotImplementedError(f"{type(self).__name__} does not define pictures")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the pictures."""
        with self.writer.as_default(step=epoch):
            for name, pictures in sorted(self.pictures().items()):
                tf.summary.image(name, pictures, max_outputs=len(pictures))
        self.writer.flush()


class ImageSummaries(PictureSummaries):
    """Shows LR, bicubic, SR and HR of a few validation samples.

    The model's last source is the one that is made finer; its first three bands are shown.
    """

    def __init__(self, log_dir: str | Path, sample: tuple[dict, dict], model: SuperResolutionModel):
        super().__init__(log_dir, sample, model)
        source = model.sources[-1]
        reflectance = self.inputs[source.name] * REFLECTANCE
        ratio = round(source.gsd / model.gsd)
        truth = self.targets["sr"][..., :3]
        low, high = np.percentile(truth, DISPLAY_PERCENTILES, axis=(0, 1, 2))
        self._stretch = (low, np.maximum(high - low, 1e-6))
        self._fixed = {"1 LR": reflectance, "2 bicubic": bicubic(reflectance, ratio), "4 HR": truth}

    def pictures(self) -> dict[str, np.ndarray]:
        """Return all four, stretched as the truth is."""
        images = {**self._fixed, "3 SR": self.model(self.inputs, training=False)}
        return {name: self._display(image) for name, image in images.items()}

    def _display(self, image: tf.Tensor) -> np.ndarray:
        """Return the first three bands, or the first one thrice, stretched to 0 to 1."""
        low, extent = self._stretch
        shown = np.clip((np.asarray(image)[..., : len(low)] - low) / extent, 0, 1)
        return shown if len(low) == 3 else np.repeat(shown[..., :1], 3, axis=-1)
