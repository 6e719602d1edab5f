# SPDX-License-Identifier: Apache-2.0
"""An exported DeepSUM, served: by TensorFlow itself, or by OTBTF's TensorflowModelServe, in one piece.

network = served(find_model(None), Options())
image = network.run(frames.images, frames.masks)
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chain.raster.gdal_memory import memory_image
from chain.raster.grids import Grid
from chain.raster.otb import OTB_LOCK
from chain.runtime.files import default_cache
from chain.runtime.progress import LOG
from chain.runtime.resources import available_memory
from chain.serving.engines.opening import open_engine
from chain.serving.exported_models import find_models, served_folder
from chain.serving.network import Network
from chain.serving.tensorflow_model_serve import serve_whole
from inference.deepsum.normalization import Moments
from inference.deepsum.options import Options
from models.description import ModelDescription, read_description

SYSTEM = "deepsum"
PROJECT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / SYSTEM
"""Weights that come with the project."""
BYTES_PER_FEATURE, BYTES_PER_PIXEL = 320, 2000
"""Memory that the network wants for each fine pixel, for each of its features and beside: measured, rounded up."""
MEMORY_SHARE = 0.75
"""Part of the available memory that is used."""


@dataclass(frozen=True)
class DeepSumNetwork:
    """A network that makes one image of nine frames."""

    served: Network
    """What it is, where its SavedModel is, and what runs it."""

    @property
    def arguments(self) -> dict:
        """Arguments of the model's class: `mean`, `deviation`, `target_deviation`, `depth`, `variant`."""
        return self.served.description.arguments

    @property
    def moments(self) -> Moments:
        """Mean and deviation of the data that it is made for."""
        return _moments(self.served.description)

    @property
    def registered(self) -> bool:
        """Whether masks are moved onto the reference."""
        return self.arguments["variant"] == "P"

    def record(self) -> dict:
        """Return what a record says of it."""
        return {
            **self.served.description.to_json(),
            "folder": self.served.model_dir,
            "engine": self.served.engine,
        }

    def largest_block(self, share: float = MEMORY_SHARE) -> int:
        """Return the side of the largest square, in fine pixels, that a share of the memory is enough for."""
        bytes_of_pixel = BYTES_PER_FEATURE * self.arguments["depth"] + BYTES_PER_PIXEL
        return int((share * available_memory() / bytes_of_pixel) ** 0.5)

    def run(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Make an image.

        Args:
            images: nine frames (9, rows, columns), digital numbers, on the fine grid, the reference first.
            masks: whether a pixel is clear, of the same shape; registered if the network wants them so.

        Returns:
            Digital numbers, float32 (rows, columns).

        Raises:
            RuntimeError: OTB or TensorFlow refuses, or values are not finite.
        """
        frames, masks = (np.ascontiguousarray(np.moveaxis(array, 0, -1), np.float32) for array in (images, masks))
        output = self.served.description.outputs["float"]
        if self.served.engine == "otbtf":
            image = self._serve(frames, masks, output)
        else:
            engine = open_engine(self.served.engine, self.served.model_dir)
            image = engine.run({"frames": frames, "masks": masks}, output)
        wrong = np.count_nonzero(~np.isfinite(image))
        if wrong:
            raise RuntimeError(f"model: expected finite values, got {wrong} pixels that are not")
        return image[..., 0]

    def _serve(self, frames: np.ndarray, masks: np.ndarray, output: str) -> np.ndarray:
        """Run TensorflowModelServe on images in memory."""
        description = self.served.description
        grid = Grid(0.0, 0.0, description.gsd, description.gsd, frames.shape[1], frames.shape[0], "")
        with memory_image(frames, grid) as first, memory_image(masks, grid) as second, OTB_LOCK:
            images = {"frames": first, "masks": second}
            application: Any = serve_whole(images, description, self.served.model_dir, [output]).app
            return application.to_numpy(copy=True)


@dataclass(frozen=True)
class FoundModel:
    """A model's folder, and what it says of itself."""

    folder: Path
    description: ModelDescription

    @property
    def moments(self) -> Moments:
        """Mean and deviation of the data that it is made for."""
        return _moments(self.description)


def _moments(description: ModelDescription) -> Moments:
    """Return mean and deviation of the data that a model is made for."""
    return Moments(description.arguments["mean"], description.arguments["deviation"])


def find_model(model_dir: str | None, band: str | None = None) -> FoundModel:
    """Find the model of a folder, or that of the project.

    Args:
        model_dir: folder of the model, or of models in folders named after their bands; the project's by default.
        band: band of the images, if it is known: `NIR` or `RED`.

    Raises:
        ValueError: there is none, several of which none is the band's, or one of another system.
    """
    if not model_dir and not PROJECT_WEIGHTS.is_dir():
        raise ValueError(f"--model-dir: expected the folder of a model of {SYSTEM}, got none")
    found = find_models(model_dir or PROJECT_WEIGHTS)
    fitting = [folder for folder in found if folder.name == band] if len(found) > 1 else found
    if len(fitting) != 1:
        names = ", ".join(map(str, found))
        or_named = f", or one named {band}," if band else ","
        raise ValueError(f"--model-dir: expected the folder of one model{or_named} got {names}")
    description = read_description(fitting[0])
    if description.system != SYSTEM:
        raise ValueError(f"--model-dir: expected a model of {SYSTEM}, got {fitting[0]}, of {description.system!r}")
    made_for = description.origin.get("band")
    if band and made_for and made_for != band:
        LOG.warning("%s is made for %s, the images are of %s", fitting[0], made_for, band)
    return FoundModel(fitting[0], description)


def served(model: FoundModel, options: Options) -> DeepSumNetwork:
    """Return the network of a model, which is exported if need be.

    Args:
        model: the model.
        options: the engine, and the precision of the inner convolutions.

    Raises:
        ValueError: it has no weights.
        OSError: the cache of exported models cannot be written.
    """
    folder = served_folder(model.folder, default_cache(), options.precision)
    description = replace(model.description, precision=options.precision)
    return DeepSumNetwork(Network(description, str(folder), options.engine))
