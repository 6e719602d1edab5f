# SPDX-License-Identifier: Apache-2.0
"""DSen2 on patches, as its authors ran it in 2018: to compare with their results, number by number.

The image is padded symmetrically by a border, cut into overlapping patches whose bands are interpolated each by itself,
and the centres of the results are put side by side; the last patch of a row or column is moved back to end with the
image. The border (8 or 12 pixels) is less than what the network sees (15 or 17): results depend on where patches lie.
Missing and masked pixels are digital numbers like others to the network here, and missing in the result. The whole
image is held in memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chain.raster.blocks import Block
from chain.raster.grids import Region
from chain.raster.mask import covered
from chain.serving.network import Network
from chain.serving.recipe import REFLECTANCE, Recipe
from chain.serving.super_resolution import Bands, ground, resample
from models.description import ModelDescription

PATCH_AND_BORDER = {2: (128, 8), 6: (192, 12)}
"""Side and border of the patches, in 10 m pixels, by the scale of the coarsest source."""
BATCH = 32
"""Patches that are run at once."""


def starts(length: int, step: int) -> list[int]:
    """Return where patches begin along an axis: every `step` pixels, and one that ends with the image if need be."""
    places = list(range(0, length - step + 1, step))
    return places if length % step == 0 else [*places, length - step]


def super_resolve_patches(images: Mapping[str, np.ndarray], network: Network) -> np.ndarray:
    """Run a network over an image, patch by patch.

    Args:
        images: for each source, digital numbers, float32 (rows, columns, bands), at its own resolution.
        network: the network; its SavedModel is called by TensorFlow.

    Returns:
        float32 (rows, columns, bands), digital numbers at 10 m, neither rounded nor clipped.

    Raises:
        ValueError: the image is smaller than a patch without its borders, or its sizes do not suit each other.
    """
    import tensorflow as tf

    from models.convolutions import check_convolutions

    check_convolutions()
    description = network.description
    ratios = _ratios(description)
    scale = max(ratios.values())
    patch, border = PATCH_AND_BORDER[scale]
    step = (patch - 2 * border) // scale
    coarsest = next(name for name, ratio in ratios.items() if ratio == scale)
    rows, columns = images[coarsest].shape[:2]
    sizes = {tuple(length * ratio for length in images[name].shape[:2]) for name, ratio in ratios.items()}
    if min(rows, columns) < step or len(sizes) > 1:
        raise ValueError(
            f"--tiling original: expected at least {step * scale} x {step * scale} pixels of 10 m, a multiple of "
            f"{scale}, got {' and '.join(' x '.join(map(str, size)) for size in sorted(sizes))}"
        )
    padded = {name: _padded(images[name], border // ratio) for name, ratio in ratios.items()}
    places = [(row, column) for row in starts(rows, step) for column in starts(columns, step)]
    signature = tf.saved_model.load(network.model_dir).signatures["serving_default"]
    result = np.zeros((rows * scale, columns * scale, len(description.bands)), np.float32)
    inside, side = slice(border, patch - border), step * scale
    for first in range(0, len(places), BATCH):
        batch = places[first : first + BATCH]
        tensors = {
            name: tf.constant(np.stack([_patch(padded[name], place, scale, ratio, patch) for place in batch]))
            for name, ratio in ratios.items()
        }
        for (row, column), values in zip(batch, signature(**tensors)["sr"].numpy() / np.float32(REFLECTANCE)):
            row, column = row * scale, column * scale
            result[row : row + side, column : column + side] = values[inside, inside]
    return result


def _ratios(description: ModelDescription) -> dict[str, int]:
    """Return the number of 10 m pixels along a pixel of each source."""
    return {source.name: round(source.gsd / description.gsd) for source in description.sources}


def _padded(image: np.ndarray, border: int) -> np.ndarray:
    """Mirror an image at its edges, edge pixels repeated."""
    return np.pad(image, ((border, border), (border, border), (0, 0)), mode="symmetric").astype(np.float32)


def _patch(image: np.ndarray, place: tuple[int, int], scale: int, ratio: int, patch: int) -> np.ndarray:
    """Cut the patch of a padded source that begins at a pixel of the coarsest one."""
    row, column = (start * scale // ratio for start in place)
    side = patch // ratio
    return image[row : row + side, column : column + side]


@dataclass(frozen=True)
class OriginalTiling(Recipe):
    """A recipe whose networks are run over the whole image at once, patch by patch."""

    def tile(self, size: int) -> int:
        """Return a side that no product has: the product is one region."""
        return 2**24

    def compute(
        self,
        blocks: Mapping[str, Block],
        region: Region,
        origin: tuple[float, float],
        floating: bool = False,
        tile_size: int = 0,
        told: Callable[[float], None] = lambda fraction: None,
    ) -> Bands:
        """Compute a region, which is the image for the patches; see `Recipe.compute`."""
        found: Bands = {}
        unit = np.float32(REFLECTANCE if floating else 1.0)
        place = ground(region, origin, self.gsd)
        for source in self.passed_through:
            numbers, present = resample(blocks[source.name], place, self.gsd)
            for index, band in enumerate(source.bands):
                found.setdefault(band, (numbers[..., index] * unit, present[..., index]))
        native, valid = {}, {}
        for source in {s.name: s for network in self.networks for s in network.description.sources}.values():
            ratio = round(source.gsd / self.gsd)
            if any(place % ratio for place in (region.x, region.y, region.columns, region.rows)):
                raise ValueError(
                    f"--tiling original: expected a part of whole pixels of {source.gsd:g} m, got "
                    f"{region.columns} x {region.rows} pixels of {self.gsd:g} m at {region.x}, {region.y}"
                )
            part = Region(*(number // ratio for number in (region.x, region.y, region.columns, region.rows)))
            native[source.name], present = resample(blocks[source.name], ground(part, origin, source.gsd), source.gsd)
            present = np.repeat(np.repeat(present, ratio, axis=0), ratio, axis=1)
            valid.update({band: present[..., index] for index, band in enumerate(source.bands)})
        for network in self.networks:
            made = super_resolve_patches(native, network) * unit
            for index, band in enumerate(network.description.bands):
                found.setdefault(band, (made[..., index], valid[band]))
        there = ~covered(self.masks, place)
        return {band: (found[band][0], found[band][1] & there) for band in self.bands}
