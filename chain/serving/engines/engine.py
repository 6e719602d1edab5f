# SPDX-License-Identifier: Apache-2.0
"""What runs a model: OTBTF's TensorflowModelServe, TensorFlow itself, or OpenVINO.

`otbtf` needs the otbtf image, or `native/`, and is run by `chain.serving.tensorflow_model_serve`. The others run a
model on arrays, and need no more than their library:

    engine = open_engine("openvino", "model")
    engine.run({"x10": fine, "x20": coarse}, "sr_dn_crop18")
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

ENGINES = ("otbtf", "tensorflow", "openvino")
"""Names of engines."""
FILES = ("saved_model.pb", "variables/variables.index", "openvino.xml", "openvino.bin")
"""Files of a model's folder by which a change is noticed."""
KEPT = 4
"""Number of models that stay loaded."""


class Engine(Protocol):
    """A loaded model. One thread at a time may run it."""

    def run(self, sources: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Run the model once.

        Args:
            sources: For each source's name, float32 (rows, columns, bands), at its own resolution, with the margin.
            output: Name of an output, as in `description.outputs`.

        Returns:
            float32 (rows, columns, bands).

        Raises:
            RuntimeError: When the model has no such source or output, or the engine refuses.
        """

    def release(self) -> None:
        """Give back the memory that it keeps for the next run."""


def default_engine() -> str:
    """Return what serves where nothing else is asked for: OTBTF in its image, TensorFlow itself elsewhere.

    Where `native/` stands for OTBTF, its application would but hand the same pixels to the same TensorFlow.
    """
    return "tensorflow" if find_spec("otbtf_applications") else "otbtf"


def open_engine(name: str, model_dir: str) -> Engine:
    """Return a loaded model; the last few stay loaded until their folders change.

    Args:
        name: `tensorflow` or `openvino`.
        model_dir: Folder of a SavedModel, or, for OpenVINO, of a quantised model
            (`chain.serving.precision.quantization`).

    Raises:
        ValueError: When there is no such engine.
        RuntimeError: When the engine is not installed, or the folder holds no model that it can read.
    """
    if name not in ENGINES[1:]:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES[1:])}, got {name}")
    folder = os.path.realpath(model_dir)
    stamps = []
    for file in FILES:
        path = os.path.join(folder, file)
        if os.path.exists(path):
            status = os.stat(path)
            stamps.append((file, status.st_mtime_ns, status.st_size))
    return _open(name, folder, tuple(stamps))


@functools.lru_cache(maxsize=KEPT)
def _open(name: str, folder: str, stamps: tuple) -> Engine:
    """Load a model."""
    if name == "tensorflow":
        from chain.serving.engines.tensorflow_engine import TensorflowEngine

        return TensorflowEngine(folder)
    from chain.serving.engines.openvino_engine import OpenvinoEngine

    return OpenvinoEngine(folder)


def check_names(sources: Collection[str], inputs: Collection[str], output: str, outputs: Collection[str]) -> None:
    """Refuse to run a model on other sources than its inputs, or for an output that it has not got.

    Raises:
        RuntimeError: When that is asked for.
    """
    if set(sources) != set(inputs):
        raise RuntimeError(f"sources: expected {', '.join(inputs)}, got {', '.join(sources) or 'none'}")
    if output not in outputs:
        raise RuntimeError(f"output: expected one of {', '.join(outputs)}, got {output}")


def reason(error: Exception) -> str:
    """Return the line of an engine's error that says what the matter is: the last one that names no place."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("[[") and "https:" not in line]
    return lines[-1] if lines else type(error).__name__
