# SPDX-License-Identifier: Apache-2.0
"""What a product was made of, as a report reads it: for each band a raster, and what its numbers mean.

given = of_image(image)                              # an opened scene of Sentinel-2
values = given.bands["B11"].read(Region(0, 0, 84, 84))
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from osgeo import gdal

from chain.raster.grids import Grid, Region, raster_grid
from chain.runtime.credentials import without_credentials
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.provenance import names_of
from chain.serving.recipe import REFLECTANCE

gdal.UseExceptions()


@dataclass(frozen=True)
class NativeBand:
    """A band of an input: its numbers are `max(pixel + offset, least) x scale`, those of the product.

    Missing are pixels that are not finite, or that the raster declares, and zeros.
    """

    name: str
    """The raster, as a name for GDAL."""
    number: int = 1
    """The band in it, counted from 1."""
    offset: float = 0.0
    """Added to pixels."""
    least: float = -np.inf
    """What pixels are then, at least."""
    scale: float = 1.0
    """They are then multiplied by it."""
    zero_is_missing: bool = True
    """Whether pixels that are 0 are missing."""
    place: Grid | None = None
    """Where the pixels lie, if the raster does not say it, or where a part of them does."""
    corner: tuple[int, int] = (0, 0)
    """Column and row of the raster at which they begin."""

    @cached_property
    def dataset(self) -> gdal.Dataset:
        """The raster, open."""
        return gdal.Open(self.name)

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""
        return self.place or raster_grid(self.dataset)

    def read(self, region: Region) -> np.ndarray:
        """Read a region: float32 (rows, columns), in numbers of the product, missing pixels NaN.

        Raises:
            RuntimeError: GDAL cannot read it.
        """
        band = self.dataset.GetRasterBand(self.number)
        x, y = region.x + self.corner[0], region.y + self.corner[1]
        pixels = band.ReadAsArray(x, y, region.columns, region.rows).astype(np.float32)
        missing = ~np.isfinite(pixels) | (self.zero_is_missing & (pixels == 0))
        declared = band.GetNoDataValue()
        if declared is not None:
            missing |= pixels == np.float32(declared)
        values = np.maximum(pixels + np.float32(self.offset), np.float32(self.least)) * np.float32(self.scale)
        return np.where(missing, np.float32(np.nan), values)


class Band(Protocol):
    """A band of an input."""

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""

    def read(self, region: Region, /) -> np.ndarray:
        """Read a region: float32 (rows, columns), in numbers of the product, missing pixels NaN."""


@dataclass(frozen=True)
class Given:
    """What a product was made of, open."""

    bands: Mapping[str, Band]
    """The bands of the input, by the names that the product's have."""
    classes: str | None = None
    """Raster of Sentinel-2's scene classification, as a name for GDAL."""
    stamps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """In which state its files are, as `chain.serving.input_files.stamps`; empty where nobody has looked."""
    moved: frozenset[str] = frozenset()
    """Bands that the product lays onto others: the input's pixels below them show other ground."""


def of_image(image: OpenedImage, floating: bool, stamps: Mapping[str, Mapping[str, Any]] | None = None) -> Given:
    """Return what an open scene has to show.

    Args:
        image: the scene.
        floating: whether the product holds reflectance.
        stamps: in which state its files are.
    """
    scale = REFLECTANCE if floating else 1.0
    bands = {band: NativeBand(name, offset=image.offset, least=1.0, scale=scale) for band, name in image.bands.items()}
    return Given(bands, image.classes, stamps or {})


@contextmanager
def opened_image(opened: AbstractContextManager[tuple[OpenedImage, Any]], floating: bool) -> Iterator[Given]:
    """Give what an open scene has to show, and in which state its files are.

    Args:
        opened: opens the scene, and gives it with the recipe of its product.
        floating: whether the product holds reflectance.
    """
    with opened as (image, _):
        yield of_image(image, floating, stamps_of(image))


def stamps_of(image: OpenedImage) -> dict[str, dict[str, Any]]:
    """Return in which state the files of an open scene are."""
    from chain.serving.input_files import stamps

    return stamps(names_of(image))


def input_names(names: Sequence[Any]) -> list[str]:
    """Return the names of an input as a record keeps them: paths from the root, addresses without credentials.

    Args:
        names: files, folders, addresses; items that are no names are left out.
    """
    texts = [str(name) for name in names if isinstance(name, str | Path)]
    return [os.path.abspath(text) if os.path.exists(text) else without_credentials(text) for text in texts]
