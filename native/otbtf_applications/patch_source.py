# SPDX-License-Identifier: Apache-2.0
"""A source of patches: images stacked by bands, read around points.

Points are located exactly like in ITK, to the last bit: the offset is multiplied by the reciprocal of the spacing, and
halves are rounded up. This matters for even patches, whose points are on pixel corners. Neighbouring patches are read
together (see ``read_plan``), and patches that another source has rejected are not read at all.

    native/bin/otbcli PatchesExtraction -help
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from otbtf_applications.read_plan import plan_reads


class SourceImage(Protocol):
    """The interface of an image that a source needs, implemented by the images of an application's body."""

    size: tuple[int, int]
    """Width and height, in pixels."""
    index: tuple[int, int]
    """Index (x, y) of the first pixel."""
    origin: tuple[float, float]
    """Map coordinates of the centre of the pixel of index (0, 0)."""
    spacing: tuple[float, float]
    """Signed pixel size, in map units."""
    bands: int

    def read(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return the pixels of a region starting at an index, (height, width, bands) float32."""


@dataclass(frozen=True)
class PatchSource:
    """One source of patches."""

    images: list[SourceImage]
    patch_size: tuple[int, int]
    """Width and height of the patches, in pixels."""
    nodata: np.float32 | None

    @property
    def bands(self) -> int:
        """Number of bands of the stacked images."""
        return sum(image.bands for image in self.images)

    def starts(self, points: np.ndarray) -> np.ndarray:
        """Return the (points, 2) int64 first column and row of the patches in the image."""
        image = self.images[0]
        continuous = (points - np.array(image.origin)) * (1.0 / np.array(image.spacing))
        index = np.floor(continuous + 0.5).astype(np.int64)
        return index - np.array(image.index) - np.array(self.patch_size) // 2

    def contains(self, starts: np.ndarray) -> np.ndarray:
        """Return which patches are completely inside the image."""
        last = np.array(self.images[0].size) - np.array(self.patch_size)
        return np.all((starts >= 0) & (starts <= last), axis=1)

    def extract(self, starts: np.ndarray) -> np.ndarray:
        """Read patches, and return them as (patches, height, width, bands) float32."""
        width, height = self.patch_size
        patches = np.empty((len(starts), height, width, self.bands), dtype=np.float32)
        for read in plan_reads(starts, self.patch_size, self.bands):
            left, top, *extent = read.region
            first_band = 0
            for image in self.images:
                pixels = image.read(image.index[0] + left, image.index[1] + top, *extent)
                for patch in read.patches:
                    column, row = starts[patch] - (left, top)
                    patches[patch, :, :, first_band : first_band + image.bands] = pixels[
                        row : row + height, column : column + width
                    ]
                first_band += image.bands
        return patches

    def without_nodata(self, patches: np.ndarray) -> np.ndarray:
        """Return which patches have no nodata value in any band of any pixel."""
        if self.nodata is None:
            return np.ones(len(patches), dtype=bool)
        return np.array([not np.any(patch == self.nodata) for patch in patches], dtype=bool)


def extract_paired(sources: list[PatchSource], points: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Extract the patches of the points that no source rejects.

    Args:
        sources: The sources. Those with a nodata value are read first, because they may make other reads
            unnecessary.
        points: (points, 2) map coordinates.

    Returns:
        Indices of the points kept, and for each source its (kept, height, width, bands) float32 patches.
    """
    starts = [source.starts(points) for source in sources]
    kept = np.flatnonzero(np.all([source.contains(s) for source, s in zip(sources, starts, strict=True)], axis=0))
    patches: dict[int, np.ndarray] = {}
    for rank in sorted(range(len(sources)), key=lambda rank: sources[rank].nodata is None):
        patches[rank] = sources[rank].extract(starts[rank][kept])
        clean = sources[rank].without_nodata(patches[rank])
        kept = kept[clean]
        if not clean.all():
            patches = {read: _moved_to_front(stack, clean) for read, stack in patches.items()}
    return kept, [patches[rank] for rank in range(len(sources))]


def _moved_to_front(stack: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Return the selected patches, moved within the memory of the stack."""
    ranks = np.flatnonzero(selected)
    for target, rank in enumerate(ranks):
        if target != rank:
            stack[target] = stack[rank]
    return stack[: len(ranks)]
