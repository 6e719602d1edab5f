# SPDX-License-Identifier: Apache-2.0
"""The models that contracts are tested with: a small one of each class in `models/`, found in the folder."""

import importlib
import inspect
import itertools
from pathlib import Path

import numpy as np

import models
from models import base

SMALL = 3
"""Largest number among the arguments of a model that is tested."""


def classes():
    """Return the classes of models of which a system is made, and their modules."""
    found = []
    for file in sorted(Path(models.__file__).parent.glob("*.py")):
        module = importlib.import_module(f"models.{file.stem}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, base.SuperResolutionModel) and kind.__module__ == module.__name__:
                if hasattr(kind, "system"):
                    found.append((kind, module))
    return found


def sizes(kind, module):
    """Return the arguments of a class by the names of its sizes."""
    return getattr(module, f"{kind.class_name}_SIZES" if kind.class_name else "SIZES")


def cases():
    """Return the class and the arguments of a small model of each kind."""
    for kind, module in classes():
        size = next(iter(sizes(kind, module).values()))
        small = {name: min(value, SMALL) if type(value) is int else value for name, value in size.items()}
        required = [
            name
            for name, parameter in inspect.signature(kind.from_bands).parameters.items()
            if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        choices = [getattr(module, f"{name}s".upper()) for name in required]
        for values in itertools.product(*choices):
            yield kind, {**dict(zip(required, values)), **small}


CASES = list(cases())


def small_model(case):
    """Return a small model whose weights are all positive: each pixel has a say wherever the network looks.

    The mean of an image is about kept, so that digital numbers are neither dark nor clipped. Normalised features are
    kept as they are.
    """
    kind, arguments = case
    model = kind.from_bands(**arguments)
    model.levels, model.origin = ("L2A",), {"file": "weights.hdf5"}
    rng = np.random.default_rng(0)
    for variable in model.model.weights:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            variable.assign(rng.uniform(0.5, 1.5, shape) / np.prod(shape[:-1]))
        else:
            variable.assign(np.full(shape, float("gamma" in variable.name)))
    return model


def export_small(case, folder):
    """Export a small model, and return it."""
    model = small_model(case)
    base.export(model, folder)
    return model
