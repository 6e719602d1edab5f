# SPDX-License-Identifier: Apache-2.0
"""Networks that teach another one: the mean of what they make of an image, turned and mirrored in all eight ways.

That mean has less error than any of them: R. Timofte, R. Rothe, L. Van Gool, "Seven ways to improve example-based
single image super resolution", CVPR 2016 (doi:10.1109/CVPR.2016.206).

    Teacher(["weights/dsen2/2x"], "2x")(images)     # (rows, columns, bands) at 10 m, digital numbers
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from chain.runtime.files import default_cache
from chain.serving.exported_models import served_folder
from chain.serving.network import Network
from evaluation.networks import sharpener
from models.description import read_description
from models.dsen2 import DSen2
from models.weights_file import weights_digest

SYMMETRIES = tuple(itertools.product(range(4), (False, True)))
"""Those of the square: quarter turns, and whether it is mirrored."""


class Teacher:
    """Networks of one role.

    Args:
        folders: their folders, with weights.
        role: `2x` or `6x`.
        precision: in which they compute: `float32`, or `bfloat16`.

    Raises:
        ValueError: one of them is another network.
        OSError: the cache, in which they are exported, cannot be written.
    """

    def __init__(self, folders: Sequence[str], role: str, precision: str = "float32"):
        self._folders, self._sharpeners = tuple(folders), []
        for folder in folders:
            try:
                description = read_description(folder)
                served = served_folder(Path(folder), default_cache(), precision=precision)
            except ValueError as error:
                raise ValueError(f"--teacher: {str(error).removeprefix('--model-dir: ')}") from error
            found = f"{description.system} {description.arguments.get('role', '')}".strip()
            if found != f"{DSen2.system} {role}":
                raise ValueError(f"--teacher: expected a network of {DSen2.system} {role}, got {found} in {folder}")
            self._sharpeners.append(sharpener([Network(description, str(served))]))
            self._sources, self._bands = description.sources, description.bands

    def identity(self) -> dict[str, str]:
        """Return the SHA-256 of each network's weights."""
        return {f"teacher {number}": weights_digest(folder) for number, folder in enumerate(self._folders, start=1)}

    def __call__(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Make the coarsest source as fine as the finest one.

        Args:
            images: sources by name, (rows, columns, bands), digital numbers, missing pixels NaN.

        Returns:
            float32 (rows, columns, bands), digital numbers, missing pixels NaN.
        """
        made = [
            _turned_back(self._sharpened(sharpen, images, *symmetry), *symmetry)
            for sharpen, symmetry in itertools.product(self._sharpeners, SYMMETRIES)
        ]
        return np.mean(made, axis=0, dtype=np.float32)

    def _sharpened(self, sharpen: Callable, images: Mapping[str, np.ndarray], turns: int, mirrored: bool) -> np.ndarray:
        """Let a network see images that were turned and mirrored; what it makes still is."""
        bands = {}
        for source in self._sources:
            image = np.rot90(images[source.name], turns)
            image = image[:, ::-1] if mirrored else image
            bands.update({band: image[..., index] for index, band in enumerate(source.bands)})
        found = sharpen(bands, self._bands)
        return np.stack([found[band] for band in self._bands], axis=-1)


def _turned_back(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.rot90(image[:, ::-1] if mirrored else image, -turns)
