# SPDX-License-Identifier: Apache-2.0
"""What a product is made of: the bands that networks compute, and those that are taken from the input as they are.

A region is made in two steps, so that the next one can be read while this one is computed: `read` pulls its native
pixels through OTB, each source once, and `compute` needs nothing else.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chain.raster.blocks import Block, read_block
from chain.raster.grids import Grid, Region, image_grid
from chain.raster.mask import Mask
from chain.serving.network import TILE_SIZE, Network, fields, whole_tile
from chain.serving.super_resolution import INTERPOLATION_SUPPORT, Bands, ground, reach, resample, seen, super_resolve
from models.description import Source

REFLECTANCE = 1e-4
"""Reflectance of one digital number."""


@dataclass(frozen=True)
class Recipe:
    """How the bands of a product are made. All networks have the product's spacing."""

    bands: tuple[str, ...]
    """Bands of the product, in order."""
    gsd: float
    """Spacing of the product, in metres."""
    networks: tuple[Network, ...] = ()
    """Networks that make bands; of bands that two make, the first one's are taken."""
    passed_through: tuple[Source, ...] = ()
    """Sources whose bands are taken: as they are where they have the product's pixels, else interpolated (bicubic)."""
    shared_nodata: bool = True
    """Whether a pixel that is missing in one band of a network's sources is missing in all of its output."""
    masks: tuple[Mask, ...] = ()
    """Ground to be missing."""
    alignment: int = 1
    """Number of pixels that parts of a product are whole multiples of, beside what the networks want."""
    notes: tuple[str, ...] = ()
    """What was decided about the input, in sentences: shown, and kept in the record."""

    @property
    def sources(self) -> dict[str, Source]:
        """All sources, by name."""
        found = {source.name: source for source in self.passed_through}
        found.update({s.name: s for network in self.networks for s in network.description.sources})
        return found

    @property
    def step(self) -> int:
        """Number of pixels that parts of a product are whole multiples of."""
        return math.lcm(
            self.alignment, *(ratio for network in self.networks for ratio in fields(network.description).ratios)
        )

    def tile(self, size: int) -> int:
        """Return the largest side of a tile, at most `size` where possible, that suits all networks."""
        field = math.lcm(1, *(fields(network.description).expression for network in self.networks))
        return whole_tile(size, field)

    def read(
        self, images: Mapping[str, object], region: Region, origin: tuple[float, float], nodata: float = 0.0
    ) -> dict[str, Block]:
        """Read the native pixels that a region of the product needs.

        Args:
            images: For each source's name, a pyotb image of native pixels.
            region: Pixels of the product.
            origin: Upper-left corner (x, y) of the product's pixel (0, 0).
            nodata: Value of missing native pixels.

        Beside other threads, `chain.raster.otb` has to be held.

        Raises:
            RuntimeError: When OTB refuses.
        """
        blocks = {}
        for name in self.sources:
            wanted, distance = self.needs(name, image_grid(images[name]), region, origin)
            blocks[name] = read_block(images[name], wanted, distance, nodata)
        return blocks

    def needs(self, name: str, native: Grid, region: Region, origin: tuple[float, float]) -> tuple[list[Grid], int]:
        """Return what a region of the product needs of a source: grids to cover, and a margin in native pixels.

        Args:
            name: The source's.
            native: Grid of its native pixels.
            region: Pixels of the product.
            origin: Upper-left corner (x, y) of the product's pixel (0, 0).
        """
        wanted: list[Grid] = []
        distance = INTERPOLATION_SUPPORT
        if any(source.name == name for source in self.passed_through):
            wanted.append(ground(region, origin, self.gsd))
        for network in self.networks:
            field = fields(network.description)
            for source in network.description.sources:
                if source.name == name:
                    wanted.append(seen(network, source, region, origin, field))
                    distance = max(distance, reach(network, min(native.dx, native.dy)))
        return wanted, distance

    def compute(
        self,
        blocks: Mapping[str, Block],
        region: Region,
        origin: tuple[float, float],
        floating: bool = False,
        tile_size: int = TILE_SIZE,
        told: Callable[[float], None] = lambda fraction: None,
    ) -> Bands:
        """Compute a region of the product.

        Args:
            blocks: What `read` returned for it.
            region: Pixels of the product.
            origin: Upper-left corner (x, y) of the product's pixel (0, 0).
            floating: Reflectance rather than digital numbers.
            tile_size: Side of the tile that one run of a network writes, in pixels of the product.
            told: Called now and then with the fraction that is done.

        Returns:
            The bands, in the order of the product.

        Raises:
            ValueError: When the images do not suit.
            RuntimeError: When OTB or the engine refuses.
        """
        found: Bands = {}
        for source in self.passed_through:
            numbers, present = resample(blocks[source.name], ground(region, origin, self.gsd), self.gsd, self.masks)
            if floating:
                numbers = numbers * np.float32(REFLECTANCE)
            for index, band in enumerate(source.bands):
                found.setdefault(band, (numbers[..., index], present[..., index]))
        count = len(self.networks)
        for number, network in enumerate(self.networks):
            made = super_resolve(
                blocks,
                network,
                region,
                origin,
                output_kind="float" if floating else "integer",
                tile_size=tile_size,
                shared_nodata=self.shared_nodata,
                masks=self.masks,
                told=lambda fraction, before=number: told((before + fraction) / count),  # type: ignore[misc]
            )
            found = {**made, **found}
        return {band: found[band] for band in self.bands}
