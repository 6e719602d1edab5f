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
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chain.serving.engines.engine import Engine

ENGINES = ("otbtf", "tensorflow", "openvino")
"""Names of engines."""
FILES = ("saved_model.pb", "variables/variables.index", "openvino.xml", "openvino.bin")
"""Files of a model's folder by which a change is noticed."""
KEPT = 4
"""Number of models that stay loaded."""


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
