# SPDX-License-Identifier: Apache-2.0
"""Which of L1BSR's networks a program runs, and whether it runs on the whole image or piece by piece."""

from dataclasses import dataclass
from pathlib import Path

from chain.runtime.resources import available_memory
from chain.serving.exported_models import find_models
from chain.serving.network import Network
from models.base import SuperResolutionModel, load_weights
from models.build import build
from models.description import ModelDescription, read_description

SYSTEM = "l1bsr"
PROJECT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / SYSTEM
ARRAYS = {"REC": 14, "CSR": 28}
"""Arrays of an image's rows and columns by the network's depth, float32, that a run holds at once: measured."""
LIBRARIES = 500_000_000
"""Bytes that TensorFlow and OTB need themselves."""
PART = 0.75
"""Part of the memory there is that may be used."""


@dataclass(frozen=True)
class Mode:
    """How a network is run."""

    whole: bool
    """On the whole image at once."""
    memory: int
    """Bytes that may be used."""
    needed: int
    """Bytes that the whole image would need, or so."""

    def __str__(self) -> str:
        needed, memory = (f"{number / 1e9:.1f} GB" for number in (self.needed, self.memory))
        if self.whole:
            return f"whole image at once, in about {needed} of memory ({memory} may be used)"
        return f"piece by piece, exactly; at once, about {needed} of memory would be needed ({memory} may be used)"


def choose_mode(wanted: str, description: ModelDescription, pixels: int, memory: int | None = None) -> Mode:
    """Choose how a network is run: on the whole image, where memory holds it.

    Args:
        wanted: `auto`, `whole` or `strips`.
        description: what the network is.
        pixels: rows x columns of the input.
        memory: bytes that may be used; by default, a part of those that there are.
    """
    memory = memory or int(PART * available_memory())
    needed = LIBRARIES + ARRAYS[description.model] * 4 * description.arguments["depth"] * pixels
    return Mode(wanted == "whole" or (wanted == "auto" and needed <= memory), memory, needed)


def find_network(folder: str | None, name: str, option: str = "--model-dir") -> Network:
    """Find a network, as an exported model or as weights.

    Args:
        folder: the model's folder, or one that holds it; that of the project's weights by default.
        name: `REC` or `CSR`.
        option: the option that errors are of.

    Raises:
        ValueError: it is not there.
    """
    if folder is None and not PROJECT_WEIGHTS.joinpath(name).is_dir():
        raise ValueError(
            f"{option}: the folder of a model is wanted, such as weights.convert_l1bsr or train.l1bsr makes. "
            f"Received: none, and there is none in {PROJECT_WEIGHTS / name}"
        )
    folder = folder or PROJECT_WEIGHTS / name
    descriptions = {path: read_description(path) for path in find_models(folder)}
    found = [path for path, each in descriptions.items() if (each.system, each.model) == (SYSTEM, name)]
    if len(found) != 1:
        received = ", ".join(f"{each.system} {each.model}".strip() for each in descriptions.values())
        raise ValueError(f"{option}: the one model {SYSTEM} {name} is wanted. Received: {folder}, of {received}")
    return Network(descriptions[found[0]], str(found[0]))


def keras_model(network: Network) -> SuperResolutionModel:
    """Make a network with its weights.

    Raises:
        ValueError: the folder has no weights, or not this model's.
    """
    model = build(network.description)
    load_weights(model.model, network.model_dir)
    return model
