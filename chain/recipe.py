# SPDX-License-Identifier: Apache-2.0
"""What a product is made of: the bands that networks compute, and those that are taken from the input as they are."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chain.grids import Region
from chain.mask import Mask
from chain.serve import TILE_SIZE, fields
from chain.super_resolution import resample, super_resolve
from models.description import ModelDescription, Source

REFLECTANCE = 1e-4
"""Reflectance of one digital number."""


@dataclass(frozen=True)
class Network:
    """An exported model, and where it is."""

    description: ModelDescription
    """What it is."""
    model_dir: str
    """Folder of its SavedModel."""

    def scaled(self, factor: float) -> "Network":
        """Return the network for images whose pixels are all larger by a factor."""
        sources = tuple(dataclasses.replace(s, gsd=s.gsd * factor) for s in self.description.sources)
        description = dataclasses.replace(self.description, gsd=self.description.gsd * factor, sources=sources)
        return Network(description, self.model_dir)


@dataclass(frozen=True)
class Recipe:
    """How the bands of a product are made. All networks have the product's spacing."""

    bands: tuple[str, ...]
    """Bands of the product, in order."""
    gsd: float
    """Spacing of the product, in metres."""
    networks: tuple[Network, ...] = ()
    """Networks that make bands; of bands that two make, the first one's are taken."""
    taken: tuple[Source, ...] = ()
    """Sources whose bands are taken: as they are where they have the product's pixels, else interpolated (bicubic)."""
    joint: bool = True
    """Whether a pixel that is missing in one band of a network's sources is missing in all of its output."""
    masks: tuple[Mask, ...] = ()
    """Ground to be missing."""
    grain: int = 1
    """Number of pixels that parts of a product are whole multiples of, beside what the networks want."""

    @property
    def sources(self) -> dict[str, Source]:
        """All sources, by name."""
        found = {source.name: source for source in self.taken}
        found.update({s.name: s for network in self.networks for s in network.description.sources})
        return found

    @property
    def step(self) -> int:
        """Number of pixels that parts of a product are whole multiples of."""
        return math.lcm(
            self.grain, *(ratio for network in self.networks for ratio in fields(network.description).ratios)
        )

    def tile(self, size: int) -> int:
        """Return the largest side of a tile, at most `size` where possible, that suits all networks."""
        field = math.lcm(1, *(fields(network.description).expression for network in self.networks))
        return max(size // field, 1) * field

    def compute(
        self,
        images: Mapping[str, object],
        region: Region,
        origin: tuple[float, float],
        floating: bool = False,
        nodata: float = 0.0,
        tile_size: int = TILE_SIZE,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute a region of the product.

        Args:
            images: For each source's name, a pyotb image of native pixels.
            region: Pixels of the product.
            origin: Upper-left corner (x, y) of the product's pixel (0, 0).
            floating: Reflectance rather than digital numbers.
            nodata: Value of missing native pixels.
            tile_size: Side of the tile that one run of a network writes, in pixels of the product.

        Returns:
            float32 array (rows, columns, bands), and a boolean array of that shape: where it is valid.

        Raises:
            ValueError: When the images do not suit.
            RuntimeError: When OTB or TensorFlow refuses.
        """
        values: dict[str, np.ndarray] = {}
        valid: dict[str, np.ndarray] = {}
        for source in self.taken:
            numbers, present = resample(images[source.name], region, origin, self.gsd, nodata, self.masks)
            self._add(values, valid, source.bands, numbers * REFLECTANCE if floating else numbers, present)
        for network in self.networks:
            result = super_resolve(
                images,
                network.description,
                network.model_dir,
                region,
                output_kind="float" if floating else "integer",
                nodata=nodata,
                tile_size=tile_size,
                origin=origin,
                joint=self.joint,
                masks=self.masks,
            )
            self._add(values, valid, network.description.bands, *result)
        return tuple(np.stack([found[band] for band in self.bands], axis=2) for found in (values, valid))

    @staticmethod
    def _add(values: dict, valid: dict, bands: tuple[str, ...], numbers: np.ndarray, present: np.ndarray) -> None:
        """Add bands (rows, columns, bands) that are not there yet."""
        for index, band in enumerate(bands):
            values.setdefault(band, numbers[..., index])
            valid.setdefault(band, present[..., index])
