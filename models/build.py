# SPDX-License-Identifier: Apache-2.0
"""Build the model of a description, whatever its system, in the precision in which it will be served.

With `bfloat16`, Keras' policy `mixed_bfloat16` applies to the layers without an explicit type. These are the inner
convolutions: the last convolution and skips are declared float32 in each model's file, and so are the first convolution
and the sums of networks whose input is not standardised. The casts are part of the exported graph, so OTBTF serves it
like any other model.

    python -c "from models import build, description; build.build(description.read_description('weights/dsen2/2x'))"
"""

import importlib
import inspect
import re

from models.base import SuperResolutionModel, policy
from models.description import ModelDescription

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Keras policies by precision."""


def build(description: ModelDescription, precision: str = "float32", served: bool = False) -> SuperResolutionModel:
    """Build the model of a description, without its weights.

    Args:
        description: the description.
        precision: `float32`, or `bfloat16` for the inner convolutions.
        served: leave out what is not served tile by tile, if the class knows how (`cropped`).

    Raises:
        ValueError: the system, its arguments or the precision are unknown.
    """
    if precision not in POLICIES:
        raise ValueError(f"precision: expected one of {', '.join(POLICIES)}, got {precision}")
    model_class = _class_of(description.system, description.model)
    cropped = {"cropped": True} if served and "cropped" in inspect.signature(model_class).parameters else {}
    try:
        with policy(POLICIES[precision]):
            model = model_class.from_bands(**description.arguments, **cropped)
    except TypeError as error:
        raise ValueError(f"--model-dir: its arguments do not fit {model_class.__name__} ({error})") from error
    model.levels, model.origin = description.levels, description.origin
    return model


def _class_of(system: str, model: str) -> type[SuperResolutionModel]:
    """Return the class of a system, from `models/<system>.py`, by its `class_name` where there are several.

    Raises:
        ValueError: there is no such class.
    """
    error = ValueError(f"--model-dir: expected a system with a file in models/, got {system!r}")
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
        raise ValueError(f"--model-dir: expected a model of {system} ({', '.join(classes)}), got {model!r}")
    return classes[model]
