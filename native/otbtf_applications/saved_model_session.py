# SPDX-License-Identifier: Apache-2.0
"""Running a signature of a SavedModel on arrays, with OTBTF's rules for names, types and user placeholders.

As in OTBTF, the model is loaded into a TensorFlow 1 session, which computes only the requested outputs and needs only
the inputs for them: labels that a signature also lists need no value, and outputs that cannot be computed for the given
window do not matter unless they are requested.

Models written by Keras 2 (``model.save``), Keras 3 (``model.export``), ``tf.Module`` and TensorFlow 1 are treated
alike: inputs and outputs are the keys of the signature ``serving_default``, else of the first signature. TensorFlow is
imported when a model is loaded, not before.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_TYPES = ("float32", "float64", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_NO_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")
"""Keys of operations that TensorFlow stores beside the signatures."""


def load(model_dir: str, tags: Sequence[str]) -> SavedModelSession:
    """Return the session of a SavedModel; the most recent ones stay loaded until their folder changes.

    Args:
        model_dir: SavedModel folder.
        tags: Tag set of the graph, ``serve`` when empty.

    Raises:
        RuntimeError: The folder is not a SavedModel, or has no graph with these tags.
    """
    folder = os.path.realpath(model_dir)
    files = ("saved_model.pb", "saved_model.pbtxt", "variables/variables.index")
    stamps = []
    for name in files:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            status = os.stat(path)
            stamps.append((name, status.st_mtime_ns, status.st_size))
    return _load(folder, tuple(tags) or ("serve",), tuple(stamps))


@functools.lru_cache(maxsize=2)
def _load(folder: str, tags: tuple[str, ...], stamps: tuple) -> SavedModelSession:
    if not stamps:
        raise RuntimeError(f"model.dir: expected a folder with a SavedModel, got {folder}")
    _import_h5py()
    import tensorflow as tf

    session = tf.compat.v1.Session(graph=tf.Graph())
    try:
        with session.graph.as_default(), _only_errors():
            model = tf.compat.v1.saved_model.load(session, list(tags), folder)
    except Exception as error:
        raise RuntimeError(f"Could not load the SavedModel {folder} with tags {list(tags)}: {error}") from error
    signatures = {name: model.signature_def[name] for name in sorted(model.signature_def) if name not in _NO_SIGNATURES}
    if not signatures:
        raise RuntimeError(f"model.dir: expected a SavedModel with a signature, got none in {folder}")
    return SavedModelSession(session, signatures.get("serving_default") or next(iter(signatures.values())))


@contextmanager
def _only_errors() -> Iterator[None]:
    """Suppress TensorFlow's warning that sessions belong to TensorFlow 1."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _import_h5py() -> None:
    """Hide h5py from Keras, which TensorFlow imports, where h5py cannot be imported.

    In OTB's launcher, h5py finds OTB's HDF5 instead of its own, and may fail with an error other than ImportError.
    Keras works without h5py, and serving does not need it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import h5py  # noqa: F401
    except Exception:
        sys.modules["h5py"] = None


class SavedModelSession:
    """One signature of a loaded SavedModel.

    Args:
        session: The ``tf.compat.v1.Session`` that holds the model.
        signature: The signature, a ``SignatureDef``.
    """

    def __init__(self, session: tf.compat.v1.Session, signature):
        self._session = session
        self._inputs = dict(signature.inputs)
        self._outputs = dict(signature.outputs)
        self._runners: dict[tuple, Callable[..., list[np.ndarray]]] = {}

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in alphabetical order."""
        return sorted(self._inputs)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in alphabetical order."""
        return sorted(self._outputs)

    def input_name(self, name: str) -> str:
        """Return the signature's key of an input; only the part before ``:`` is compared."""
        return _find(name, self._inputs)

    def output_name(self, name: str) -> str:
        """Return the signature's key of an output; only the part before ``:`` is compared."""
        return _find(name, self._outputs)

    def bands(self, output: str) -> int:
        """Return the number of bands of an output, from its static shape.

        Raises:
            RuntimeError: The shape does not determine it.
        """
        shape = self._outputs[output].tensor_shape
        rank = 0 if shape.unknown_rank else len(shape.dim)
        if rank in (1, 3):
            return 1
        if rank not in (0, 2, 4):
            raise RuntimeError(f"dim_size={rank} currently not supported (output {output})")
        if rank == 0 or shape.dim[-1].size < 0:
            raise RuntimeError(
                f"Cannot determine the size of the last dimension of one output tensor (output {output})"
            )
        return int(shape.dim[-1].size)

    def run(
        self, inputs: dict[str, np.ndarray], constants: dict[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        """Run the network once.

        Args:
            inputs: float32 arrays by input name, cast here to the type of the input.
            constants: Arrays by input name, fed as they are.
            outputs: Names of the requested outputs.

        Returns:
            The outputs as float32 arrays, with the network's shapes.

        Raises:
            RuntimeError: TensorFlow fails, or OTBTF does not support a type.
        """
        feeds = {name: self._cast(name, array) for name, array in inputs.items()} | constants
        for name in outputs:
            _check_type(_dtype(self._outputs[name]))
        try:
            results = self._runner(tuple(feeds), tuple(outputs))(*feeds.values())
        except Exception as error:
            raise RuntimeError(f"Can't run the session: {_reason(error)}") from error
        return [result.astype(np.float32, copy=False) for result in results]

    def _runner(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Callable[..., list[np.ndarray]]:
        """Return a function that runs the session like C++, without checking the shapes of inputs.

        A user placeholder, of rank 1, can therefore feed a scalar input.
        """
        from tensorflow.core.protobuf import config_pb2

        if (inputs, outputs) not in self._runners:
            options = config_pb2.CallableOptions()
            options.feed.extend(self._inputs[name].name for name in inputs)
            options.fetch.extend(self._outputs[name].name for name in outputs)
            self._runners[inputs, outputs] = self._session._make_callable_from_options(options)
        return self._runners[inputs, outputs]

    def _cast(self, name: str, array: np.ndarray) -> np.ndarray:
        dtype = _dtype(self._inputs[name])
        _check_type(dtype)
        if dtype.is_integer:
            return array.astype(np.int64).astype(dtype.as_numpy_dtype)
        return array.astype(dtype.as_numpy_dtype, copy=False)


def parse_placeholder(text: str) -> tuple[str, np.ndarray]:
    """Read a user placeholder, ``name=value``: int32 if only digits, float32 with a point, or a boolean.

    Args:
        text: For example ``drop=false``, ``rate=0.5`` or ``scale=(1.5, 4)``.

    Returns:
        The name and an array of rank 1.

    Raises:
        ValueError: The text has none of these forms.
    """
    name, separator, value = (part.strip() for part in text.partition("="))
    values = [item.strip() for item in value.strip("()").split(",")]
    if name and separator and all(re.fullmatch(r"[+-]?\d+", item) for item in values):
        return name, np.array(values, np.int32)
    if name and separator and all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", item) for item in values):
        return name, np.array(values, np.float32)
    if name and separator and all(item.lower() in ("true", "false") for item in values):
        return name, np.array([item.lower() == "true" for item in values])
    raise ValueError(f"model.userplaceholders: expected name=value, with numbers or true or false, got {text}")


def _find(name: str, names: dict) -> str:
    for key in names:
        if key.split(":")[0] == name.split(":")[0]:
            return key
    raise RuntimeError(f'Tensor name "{name}" not found. Names in the model: {", ".join(sorted(names))}')


def _dtype(tensor) -> tf.DType:
    """Return the type of a signature's tensor, a ``TensorInfo``."""
    import tensorflow as tf

    return tf.dtypes.as_dtype(tensor.dtype)


def _check_type(dtype: tf.DType) -> None:
    if dtype.name not in _TYPES:
        raise RuntimeError(f"TF DataType {dtype.as_datatype_enum} not currently implemented !")


def _reason(error: Exception) -> str:
    """Return TensorFlow's reason: the last line before the list of nodes."""
    lines = [line.strip() for line in str(error).split("[[")[0].splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
