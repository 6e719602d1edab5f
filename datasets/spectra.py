# SPDX-License-Identifier: Apache-2.0
"""The spectra of the ground that a network is trained on (`models/spectra.py`), of its scenes as they are.

Random gains of a training are not among them: they stand for other light and air rather than for other ground.

    spectra_of(scenes, "2x")
"""

from collections.abc import Sequence

import numpy as np

from datasets.dsen2 import Scene
from datasets.wald import block_means
from models.dsen2 import ROLES, SOURCES
from models.spectra import Spectra, covering

SAMPLES = 20_000
"""Pixels that are drawn from a scene."""


def pixels_of(scene: Scene, role: str) -> np.ndarray:
    """Return the pixels of a scene on the grid of its coarsest source, finer ones averaged, none missing or cloudy.

    Args:
        scene: the scene.
        role: `2x` or `6x`.

    Returns:
        (pixels, bands), digital numbers, bands in the order of the sources.
    """
    coarsest = SOURCES[ROLES[role][-1]].gsd
    images = [block_means(scene.images[name], round(coarsest / SOURCES[name].gsd)) for name in ROLES[role]]
    clouds = block_means(scene.clouds[..., np.newaxis].astype(np.float32), round(coarsest / SOURCES["x20"].gsd))
    rows, columns = (min(image.shape[axis] for image in [*images, clouds]) for axis in (0, 1))
    image = np.concatenate([image[:rows, :columns] for image in images], axis=-1)
    clear = np.isfinite(image).all(axis=-1) & (clouds[:rows, :columns, 0] == 0)
    return image[clear]


def spectra_of(scenes: Sequence[Scene], role: str) -> Spectra:
    """Return the spectra of scenes.

    Raises:
        ValueError: no pixel is clear.
    """
    generator = np.random.default_rng(0)
    pixels = [pixels_of(scene, role) for scene in scenes]
    drawn = [found[generator.permutation(len(found))[:SAMPLES]] for found in pixels]
    if not any(len(found) for found in drawn):
        raise ValueError("scenes: expected clear pixels, got none")
    bands = [band for name in ROLES[role] for band in SOURCES[name].bands]
    return covering(bands, np.concatenate(drawn))
