# SPDX-License-Identifier: Apache-2.0
"""Files of weights: HDF5, one dataset per weight, read by any version of Keras.

from models.weights_file import load_weights
load_weights(model.model, "model")
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from tensorflow import keras

from chain.runtime.files import LONGEST_STEM, reason_of, replace, scratch_folder
from models.description import WEIGHTS_NAME
from models.hdf5 import check_hdf5


def _variables(model: keras.Model) -> dict:
    """Return the weights of a model by names that do not depend on the version of Keras: `layer/weight`."""
    return {
        f"{layer.name}/{weight.name.split('/')[-1].split(':')[0]}": weight
        for layer in model.layers
        for weight in layer.weights
    }


def save_weights(model: keras.Model, path: str | Path) -> None:
    """Write the weights of a Keras model as HDF5, one dataset per weight, for any version of Keras.

    The file is written under a temporary name and then renamed.

    Args:
        model: a model without nested models.
        path: the file.
    """
    with whole_hdf5(path) as file:
        for name, variable in _variables(model).items():
            file[name] = variable.numpy()


@contextmanager
def whole_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file in memory, written to disk when the block ends: completely or not at all.

    Raises:
        OSError: the file cannot be written. HDF5 itself would not report this in one line.
    """
    content, path = io.BytesIO(), Path(path)
    with h5py.File(content, "w") as file:
        yield file
    try:
        with scratch_folder(path.parent, f".{path.name[:LONGEST_STEM]}.partial-") as folder:
            (folder / path.name).write_bytes(content.getbuffer())
            replace(folder / path.name, path)
    except OSError as error:
        raise OSError(f"cannot write {path} ({reason_of(error)})") from error


def _weights_file(path: str | Path) -> Path:
    """Return the weights file, given the file or the folder of an exported model."""
    return Path(path) / WEIGHTS_NAME if Path(path).is_dir() else Path(path)


def weights_digest(path: str | Path) -> str:
    """Return the SHA-256 of a weights file.

    Args:
        path: the file, or the folder of an exported model.

    Raises:
        ValueError: the file cannot be read.
    """
    path = _weights_file(path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"weights: expected a readable file, got {path} ({error.strerror})") from None


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read weights written by `save_weights`, by name: `layer/weight`, float32. A file may keep them in 16 bits.

    Args:
        path: the file, or the folder of an exported model.

    Raises:
        ValueError: it is not a weights file, or reading it does not end.
    """
    path = _weights_file(path)
    arrays = {}
    check_hdf5(path)

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            arrays[name] = item[()].astype(np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except OSError as error:
        raise ValueError(f"weights: expected a readable HDF5 file, got {path} ({error})") from None
    return arrays


def load_weights(model: keras.Model, path: str | Path) -> None:
    """Load weights written by `save_weights`: exactly those of the model, with the same shapes.

    Args:
        model: a model with the same layers.
        path: the file, or the folder of an exported model.

    Raises:
        ValueError: it is not a weights file, or the weights are not this model's.
    """
    arrays = read_weights(path)
    variables = _variables(model)
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in arrays.items()}
    for name in sorted(expected.keys() | received.keys()):
        if expected.get(name) != received.get(name):
            raise ValueError(
                f"weights: expected {name} of shape {expected.get(name)}, got {received.get(name)} in "
                f"{_weights_file(path)}"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])
