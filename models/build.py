# SPDX-License-Identifier: Apache-2.0
"""Making the model of a description, whatever its system, in the precision in which it is to be served.

With `bfloat16`, Keras' policy `mixed_bfloat16` holds for the layers that state no type, which are the inner
convolutions: the first and the last one, the sums and the skips state float32 in each model's file. The casts are in
the exported graph, so that OTBTF serves it as any other.

    python -c "from models import build, description; build.build(description.read_description('weights/dsen2/2x'))"
"""

import importlib
import inspect
import re

from models.base import SuperResolutionModel, policy
from models.description import ModelDescription

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Keras policies by precision."""


def build(description: ModelDescription, precision: str = "float32") -> SuperResolutionModel:
    """Make the model of a description, with weights to be loaded.

    Args:
        description: what it is.
        precision: `float32`, or `bfloat16` for the inner convolutions.

    Raises:
        ValueError: the system is none of this project's, the arguments are not its, or the precision is another one.
    """
    if precision not in POLICIES:
        raise ValueError(f"precision: expected one of {', '.join(POLICIES)}, got {precision}")
    model_class = _class_of(description.system, description.model)
    try:
        with policy(POLICIES[precision]):
            model = model_class.from_bands(**description.arguments)
    except TypeError as error:
        raise ValueError(f"model_dir: its arguments do not fit {model_class.__name__} ({error})") from error
    model.levels, model.origin = description.levels, description.origin
    return model


def _class_of(system: str, model: str) -> type[SuperResolutionModel]:
    """Return the class in `models/<system>.py` that says it is of this system, and, of several, of this name.

    Raises:
        ValueError: there is none.
    """
    error = ValueError(f"model_dir: expected a system with a file in models/, got {system!r}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", system):
        raise error
    name = f"models.{system}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        raise error from None
    classes = {
        found.class_name: found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, SuperResolutionModel) and getattr(found, "system", None) == system
    }
    if not classes:
        raise error
    if model not in classes:
        raise ValueError(f"model_dir: expected a model of {system} ({', '.join(classes)}), got {model!r}")
    return classes[model]
