# SPDX-License-Identifier: Apache-2.0
"""Which of L1BSR's networks a program runs, and whether it runs on the whole image or piece by piece."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chain.raster.gdal_memory import memory_image
from chain.raster.grids import Grid
from chain.raster.otb import OTB_LOCK
from chain.runtime.files import default_cache
from chain.runtime.resources import available_memory
from chain.serving.engines.opening import open_engine
from chain.serving.exported_models import find_models, served_folder
from chain.serving.network import Network
from chain.serving.tensorflow_model_serve import serve_whole
from inference.l1bsr.options import PROJECT_WEIGHTS
from inference.l1bsr.scratch import Scratch
from models.base import SuperResolutionModel
from models.build import build
from models.description import ModelDescription, read_description
from models.weights_file import load_weights

SYSTEM = "l1bsr"
ARRAYS = {"REC": 16, "CSR": 25}
"""Arrays of an image's rows and columns by the network's depth, float32, that a run holds at once: measured."""
LIBRARIES = 900_000_000
"""Bytes that TensorFlow and OTB need themselves, and what is left of one network when the next one is run."""
PART = 0.75
"""Part of the memory there is that may be used."""
LEAST_SIDE = {"REC": 16, "CSR": 80}
"""Rows and columns that an image needs, in pixels: measured.

Parts of real images were computed on their own, and compared with the same parts of the whole images' results. From 16
pixels on, REC keeps the mean of each band to 1 %, and is closer than with the part mirrored on all sides; of an image
of one row, the zeros that convolutions see beyond the border change most pixels by more than 2 % of the counts. From 80
pixels on, CSR finds the flow of B08 as well as in larger images: to 0.3 pixels in six of seven parts, where 40 pixels
give one of two, and errors of some pixels. The flows of B02 and B04 are right to 0.1 pixels from 40 pixels on.
"""


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


@dataclass(frozen=True)
class Execution:
    """What networks may be run with."""

    mode: str
    """`whole`: on the whole image at once; `strips`: piece by piece; `auto`: at once where memory holds it."""
    memory: int | None
    """Bytes that may be used; None for a part of those that there are."""
    scratch: Scratch
    """Makes the arrays that memory cannot hold."""

    def chosen(self, description: ModelDescription, pixels: int) -> Mode:
        """Return how a network is run.

        Args:
            description: what the network is.
            pixels: rows x columns of the input.
        """
        memory = self.memory or int(PART * available_memory())
        needed = LIBRARIES + ARRAYS[description.model] * 4 * description.arguments["depth"] * pixels
        return Mode(self.mode == "whole" or (self.mode == "auto" and needed <= memory), memory, needed)


def check_size(networks: list[Network], grid: Grid) -> None:
    """Refuse an image that is too small for networks.

    Raises:
        ValueError: it is.
    """
    least, model = max((LEAST_SIDE[network.description.model], network.description.model) for network in networks)
    if min(grid.rows, grid.columns) < least:
        raise ValueError(
            f"--input: expected at least {least} x {least} pixels, of which {model} makes right ones, got "
            f"{grid.columns} x {grid.rows}; make the product of a larger part, and cut it"
        )


def find_network(folder: str | None, name: str, option: str = "--model-dir") -> Network:
    """Find a network, as an exported model or as weights.

    Args:
        folder: the model's folder, or one that holds it; that of the project's weights by default.
        name: `REC` or `CSR`.
        option: the option that errors are of.

    Raises:
        ValueError: it is not there.
    """
    project = PROJECT_WEIGHTS / name
    if folder is None and not project.is_dir():
        raise ValueError(
            f"{option}: expected the folder of a model, such as weights.convert_l1bsr or train.l1bsr makes, got none, "
            f"and there is none in {project}"
        )
    place = folder or project
    descriptions = {path: read_description(path) for path in find_models(place)}
    found = [path for path, each in descriptions.items() if (each.system, each.model) == (SYSTEM, name)]
    if len(found) != 1:
        received = ", ".join(f"{each.system} {each.model}".strip() for each in descriptions.values())
        raise ValueError(f"{option}: expected one model {SYSTEM} {name}, got {place}, of {received}")
    return Network(descriptions[found[0]], str(found[0]))


def keras_model(network: Network) -> SuperResolutionModel:
    """Make a network with its weights, in its precision.

    Raises:
        ValueError: the folder has no weights, or not this model's.
    """
    model = build(network.description, network.description.precision)
    load_weights(model.model, network.model_dir)
    return model


def run_whole(network: Network, pixels: np.ndarray, output: str) -> np.ndarray:
    """Run a network on a whole image at once, by its engine.

    Args:
        network: the network.
        pixels: float32 (rows, columns, bands), counts.
        output: name of the network's output.

    Returns:
        float32 (rows, columns, bands).

    Raises:
        ValueError: the folder of the network has neither SavedModel nor weights.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the cache of exported models cannot be written.
    """
    source = network.description.sources[0]
    if network.engine != "otbtf":
        engine = open_engine(network.engine, network.model_dir)
        result = engine.run({source.name: pixels}, output)
        engine.release()
        return result
    folder = str(served_folder(Path(network.model_dir), default_cache(), network.description.precision))
    grid = Grid(0.0, 0.0, source.gsd, source.gsd, pixels.shape[1], pixels.shape[0], "")
    with memory_image(pixels, grid) as image, OTB_LOCK:
        return serve_whole({source.name: image}, network.description, folder, [output]).app.to_numpy(copy=True)
