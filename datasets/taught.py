# SPDX-License-Identifier: Apache-2.0
"""Training samples of DSen2 whose target is, in part, what other networks make of them: their teacher.

What a patch's truth holds that its sources do not tell is noise to a training; what a teacher makes of them holds none.
So the target is the mean of both. Of patches of scenes as they are, whose truth at 10 m nobody knows, it is what the
teacher makes: G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015 (arXiv:1503.02531).

    TaughtPatches(scenes, "2x", patch_size=48, size=4000, teacher=Teacher(["weights/dsen2/2x"], "2x")).dataset(8)
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chain.runtime.progress import LOG
from datasets.dsen2 import Scene, WaldPatches
from models.dsen2 import ROLES

TRUTH_SHARE = 0.5
"""Share of the truth in the target, where there is one."""
NATIVE_SHARE = 0.4
"""Share of patches of scenes as they are."""

Images = dict[str, np.ndarray]


class Teacher(Protocol):
    """Makes the target of images."""

    def __call__(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Make the coarsest source as fine as the finest one, (rows, columns, bands), given sources by name."""

    def identity(self) -> dict[str, str]:
        """Return digests of what it is made of, by name."""


@dataclass(frozen=True)
class Taught:
    """A scene, made coarser or as it is, and what the teacher makes of it."""

    first: tuple[int, int] | None
    """Pixel of the scene's target at which blocks begin; None for the scene as it is."""
    images: Images
    made: np.ndarray


class TaughtPatches(WaldPatches):
    """Patches of scenes as `WaldPatches`, but for their targets, and for those of scenes as they are.

    Args:
        scenes: as there, and so are all others.
        teacher: makes targets, of each scene as it is and made coarser from each pixel that blocks may begin at.
    """

    def __init__(self, scenes: Sequence[Scene], *others: Any, teacher: Teacher, **named: Any):
        super().__init__(scenes, *others, **named)
        self._teacher = teacher
        self._taught = {}
        for number, scene in enumerate(self.scenes, start=1):
            LOG.info("teacher: scene %d of %d", number, len(self.scenes))
            self._taught[id(scene)] = [self._teach(scene, first) for first in (None, *self._firsts())]

    def identity(self) -> dict[str, str]:
        """Return digests of the scenes and of the teacher, by name."""
        return {**super().identity(), **self._teacher.identity()}

    def _firsts(self) -> list[tuple[int, int]]:
        """Return the pixels of the target at which blocks may begin."""
        return list(itertools.product(range(self.scale if self.any_phase else 1), repeat=2))

    def _teach(self, scene: Scene, first: tuple[int, int] | None) -> Taught:
        if first is None:
            images = scene.images
        else:
            images = {
                name: self._coarse(scene, name, tuple(start * self._fineness(name) for start in first))
                for name in ROLES[self.role]
            }
        ratios = {name: self.scale // self._fineness(name) for name in images}
        size = [min(image.shape[axis] * ratios[name] for name, image in images.items()) for axis in (0, 1)]
        rows, columns = (length // self.scale * self.scale for length in size)
        images = {name: image[: rows // ratios[name], : columns // ratios[name]] for name, image in images.items()}
        return Taught(first, images, self._teacher(images))

    def _pair(self, generator: np.random.Generator, scene: Scene) -> tuple[Images, np.ndarray] | None:
        """Cut a patch of a scene, made coarser or as it is, at a random place; None where it is no use."""
        native, *coarser = self._taught[id(scene)]
        taught = native if generator.random() < NATIVE_SHARE else coarser[generator.integers(len(coarser))]
        side = self.patch_size
        row, column = (
            self.scale * int(generator.integers((length - side) // self.scale + 1)) for length in taught.made.shape[:2]
        )
        images = {}
        for name, image in taught.images.items():
            top, left, across = (number * self._fineness(name) // self.scale for number in (row, column, side))
            images[name] = image[top : top + across, left : left + across]
        target = taught.made[row : row + side, column : column + side]
        if taught.first is None:
            clear = self._has_few_clouds(scene, row, column, side)
        else:
            row, column = row + taught.first[0], column + taught.first[1]
            truth = self._target(scene)[row : row + side, column : column + side]
            target = TRUTH_SHARE * truth + (1 - TRUTH_SHARE) * target
            clear = self._is_clear(scene, row, column)
        clear = clear and all(np.isfinite(image).all() for image in (*images.values(), target))
        return (images, target) if clear else None
