# SPDX-License-Identifier: Apache-2.0
"""A product and what it was made of, read window by window: a whole tile is never in memory.

Where a product is larger than `SAMPLED` pixels, windows spread over it stand for all.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region, plan, raster_grid, same_crs, shifted, spread
from chain.raster.opening import open_raster
from chain.runtime.files import read_document
from chain.runtime.provenance import record_of
from chain.serving.colours import band_names
from chain.serving.recipe import REFLECTANCE
from chain.serving.report.native import Band, Given
from chain.serving.report.resampling import CUBIC, bicubic, covering, degraded, inside
from models.degradation import blur_radius

gdal.UseExceptions()

SIDE, COUNT = 504, 16
"""Side of the windows in pixels, a multiple of what 20 m and 60 m are of 10 m, and their number at most."""
SAMPLED = COUNT * SIDE**2
"""Pixels up to which a product is read whole."""
PREVIEW = 1024
"""Longest side of the product made small, in pixels."""
ERROR = "_error"
"""End of the names of bands that hold the error to be expected of another one, and of the file that holds these."""


@dataclass(frozen=True)
class Pair:
    """A band in a window: what was made, and what it was made of."""

    made: np.ndarray
    """The product, float32 (rows, columns), missing pixels NaN."""
    bicubic: np.ndarray
    """The input interpolated to the product's pixels, of the same shape."""
    native: np.ndarray
    """The input's pixels that lie wholly in the window; may be empty."""
    degraded: np.ndarray
    """The product made as coarse as these, of their shape; NaN where what they see is not all in the product."""
    place: Grid
    """Where the input's pixels lie."""


class Subject:
    """A product that is to be shown.

    Args:
        product: its file.
        given: what it was made of; None where that is not at hand.
        reason: why it is not.

    Raises:
        ValueError: the file is no raster, or what it was made of lies on another map.
    """

    def __init__(self, product: Path, given: Given | None, reason: str = ""):
        self.path, self.reason = product, reason
        try:
            self.dataset: gdal.Dataset = open_raster(str(product))
        except RuntimeError as error:
            raise ValueError(f"PRODUCT: expected a raster, got {str(product)!r} ({error})") from error
        self.names = [name or f"band {number}" for number, name in enumerate(band_names(self.dataset), start=1)]
        self.record = record_beside(product)
        self.given = given
        self.placed = self.dataset.GetGeoTransform(can_return_null=True) is not None
        self.natives: dict[str, Band] = {}
        if given:
            self.natives = {name: given.bands[name] for name in self.bands if name in given.bands}
            self.native_grids = {name: band.grid for name, band in self.natives.items()}
            for name, grid in self.native_grids.items():
                if not same_crs(grid.projection, self.dataset.GetProjection()):
                    raise ValueError(f"--input: expected an image on the product's map, got another one for {name}")
                if min(inside(self.grid, grid).columns, inside(self.grid, grid).rows) < 1:
                    raise ValueError(f"--input: expected an image of the product's ground, got another one for {name}")

    @property
    def bands(self) -> list[str]:
        """Names of its bands, without those of errors."""
        return [name for name in self.names if not name.endswith(ERROR)]

    @cached_property
    def errors(self) -> dict[str, gdal.Band]:
        """The error layer: for each band that has one, the raster of the errors to be expected."""
        beside = self.path.with_name(f"{self.path.stem}{ERROR}.tif")
        self._files = [open_raster(str(beside))] if beside.exists() else []  # GDAL's bands live as long as their file
        found = {}
        for dataset in [*self._files, self.dataset]:
            for number, name in enumerate(band_names(dataset), start=1):
                if name.endswith(ERROR):
                    found[name.removesuffix(ERROR)] = dataset.GetRasterBand(number)
        return found

    @cached_property
    def grid(self) -> Grid:
        """Where its pixels lie; where it does not say so, by what it was made of."""
        if self.placed or not (self.given and self.given.bands):
            return raster_grid(self.dataset) if self.placed else _counted(self.dataset)
        native = next(iter(self.given.bands.values())).grid
        columns, rows = self.dataset.RasterXSize, self.dataset.RasterYSize
        dx, dy = native.columns * native.dx / columns, native.rows * native.dy / rows
        shift = next((float(model.get("shift", 0)) for model in self.record.get("models", ())), 0.0)
        left, top = native.left + shift * dx, native.top - shift * dy
        return Grid(left, top, dx, dy, columns, rows, native.projection)

    @property
    def is_geographic(self) -> bool:
        """Whether its map counts degrees."""
        projection = self.dataset.GetProjection()
        return bool(projection) and bool(osr.SpatialReference(wkt=projection).IsGeographic())

    @property
    def whole(self) -> Region:
        """All of its pixels."""
        return Region(0, 0, self.dataset.RasterXSize, self.dataset.RasterYSize)

    @property
    def spacing_ratio(self) -> dict[str, float]:
        """How many of its pixels lie along one of the input, by band."""
        return {name: grid.dx / self.grid.dx for name, grid in self.native_grids.items()} if self.natives else {}

    @property
    def finer(self) -> list[str]:
        """Bands that were made finer than they were; all that the input has, if none was."""
        found = [name for name, ratio in self.spacing_ratio.items() if ratio > 1 + 1e-6]
        return found or list(self.natives)

    @property
    def moved(self) -> frozenset[str]:
        """Bands that the product lays onto others: the input's pixels below them show other ground."""
        return self.given.moved if self.given else frozenset()

    @property
    def is_reflectance(self) -> bool:
        """Whether its numbers are 10 000 x reflectance."""
        return self.dataset.GetRasterBand(1).GetScale() == REFLECTANCE

    @cached_property
    def windows(self) -> list[Region]:
        """The windows that are read: all of it, or some spread over it."""
        if self.whole.columns * self.whole.rows <= SAMPLED:
            return plan(self.whole, SIDE)
        return spread((self.whole.columns, self.whole.rows), SIDE, COUNT)

    @cached_property
    def sampled(self) -> float:
        """Share of its pixels that are read."""
        read = sum(window.columns * window.rows for window in self.windows)
        return read / (self.whole.columns * self.whole.rows)

    def read(self, name: str, region: Region) -> np.ndarray:
        """Read a region of a band: float32 (rows, columns), missing pixels NaN."""
        return _read(self.dataset.GetRasterBand(self.names.index(name) + 1), region)

    def preview(self, name: str, size: int = PREVIEW) -> np.ndarray:
        """Read a band made small, from its overviews: float32, the longest side `size` at most, missing pixels NaN."""
        return small(self.dataset.GetRasterBand(self.names.index(name) + 1), size)

    def pair(self, name: str, region: Region) -> Pair:
        """Read a band of the product and of the input in a region.

        Raises:
            RuntimeError: GDAL cannot read them.
        """
        band, image = self.natives[name], self.native_grids[name]
        ground = shifted(self.grid, region)
        part = covering(image, ground, CUBIC.reach)
        if not (part.columns and part.rows):
            nothing = np.full((region.rows, region.columns), np.nan, np.float32)
            return Pair(self.read(name, region), nothing, nothing[:0, :0], nothing[:0, :0], shifted(image, part))
        pixels, place = band.read(part), shifted(image, part)
        within = inside(place, ground)
        native = pixels[within.y : within.y + within.rows, within.x : within.x + within.columns]
        around = region.grown(blur_radius(self.spacing_ratio[name]), (self.whole.columns, self.whole.rows))
        made, below = self.read(name, around), shifted(place, within)
        coarse = degraded(made, shifted(self.grid, around), below)
        x, y = region.x - around.x, region.y - around.y
        shown = made[y : y + region.rows, x : x + region.columns]
        return Pair(shown, bicubic(pixels, place, ground), native, coarse, below)

    def pairs(self, names: Sequence[str]) -> Iterator[tuple[Region, dict[str, Pair]]]:
        """Yield each window that is read, and its bands."""
        for region in self.windows:
            yield region, {name: self.pair(name, region) for name in names}


def small(band: gdal.Band, size: int) -> np.ndarray:
    """Read a band made small: float32, the longest side `size` at most, missing pixels NaN."""
    factor = max(band.XSize, band.YSize, size) / size
    columns, rows = (max(round(side / factor), 1) for side in (band.XSize, band.YSize))
    values = band.ReadAsArray(buf_xsize=columns, buf_ysize=rows, resample_alg=gdal.GRIORA_NearestNeighbour)
    return _without_missing(band, values)


def _read(band: gdal.Band, region: Region) -> np.ndarray:
    """Read a region of a band: float32, missing pixels NaN."""
    return _without_missing(band, band.ReadAsArray(region.x, region.y, region.columns, region.rows))


def _without_missing(band: gdal.Band, values: np.ndarray) -> np.ndarray:
    """Return values, float32, with NaN where they are missing."""
    nodata = band.GetNoDataValue()
    missing = ~np.isfinite(values) if nodata is None or np.isnan(nodata) else values == nodata
    return np.where(missing, np.float32(np.nan), values.astype(np.float32))


def _counted(dataset: gdal.Dataset) -> Grid:
    """Return the grid of a raster without georeference: pixels of size 1."""
    return Grid(0.0, 0.0, 1.0, 1.0, dataset.RasterXSize, dataset.RasterYSize, "")


def record_beside(product: Path) -> Mapping[str, Any]:
    """Return the record beside a product; empty where there is none.

    Raises:
        ValueError: it is not what this project writes.
    """
    path = record_of(product)
    if not path.exists():
        return {}
    try:
        content = json.loads(read_document(path))
        if isinstance(content, dict):
            return content
        raise ValueError("no mapping")
    except (OSError, ValueError) as error:
        raise ValueError(f"PRODUCT: expected a record of this project in {path} ({error})") from error
