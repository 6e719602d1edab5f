# SPDX-License-Identifier: Apache-2.0
"""The four 10 m bands of an image, from one raster or several, as the counts that the networks of L1BSR take.

L1B images come as plain TIFFs without georeference, with their bands in the order B02, B03, B04, B08, or with a band in
each file. Bands are known by descriptions, by names of files, or by the names given.

    image = open_image(["00.tif"])
    counts = read_counts(image, Scratch(folder))
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.blocks import fill_missing
from chain.raster.grids import Grid
from chain.raster.mask import grow
from chain.sentinel2.bands import COMMON_NAMES, band_in_name, level_in_name
from inference.l1bsr.scratch import Scratch
from models.l1bsr import BANDS

gdal.UseExceptions()

ROWS = 512
"""Rows that are read at once."""
FILLED = 32
"""Distance from valid pixels, in pixels, up to which missing ones are filled from them; farther ones get the mean."""
LEVEL_KEYS = ("PROCESSING_LEVEL", "PRODUCT_TYPE", "PRODUCT_URI")
"""Metadata by which a raster states its processing level."""


@dataclass(frozen=True)
class L1BImage:
    """The bands of an image, in files."""

    bands: dict[str, tuple[str, int]]
    """For each band, its file and its number in it."""
    grid: Grid
    """Where its pixels lie; of an image without georeference, pixels of size 1."""
    placed: bool
    """Whether it has a georeference."""
    level: str
    """`L1B`, `L1C`, `L2A` or `unknown`."""
    assumed: bool
    """Whether nothing names the bands, whose usual order was taken."""

    @property
    def files(self) -> list[str]:
        """Names of its files."""
        return list(dict.fromkeys(file for file, _ in self.bands.values()))


@dataclass(frozen=True)
class Counts:
    """The pixels of an image, of which none is missing any more."""

    pixels: np.ndarray
    """float32 (rows, columns, bands), counts."""
    present: np.ndarray
    """Whether they were there, (rows, columns)."""
    constant: tuple[str, ...]
    """Bands of one value."""


def open_image(names: Sequence[str], bands: Sequence[str] | None = None) -> L1BImage:
    """Open an image.

    Args:
        names: one raster, or several.
        bands: names of all bands of all rasters, in order, whatever the rasters say.

    Raises:
        ValueError: a raster cannot be read, a band is missing or there twice, or rasters lie on different grids.
    """
    datasets = {name: _open(name) for name in names}
    places = [(name, number) for name in names for number in range(1, datasets[name].RasterCount + 1)]
    if bands and len(bands) != len(places):
        raise ValueError(
            f"--bands: names of the {len(places)} bands of --input, in order, are wanted. Received: {','.join(bands)}"
        )
    stated = bands or [_stated(datasets[name], name, number) for name, number in places]
    assumed = not any(stated) and len(names) == 1 and len(places) == len(BANDS)
    found: dict[str, tuple[str, int]] = {}
    for band, place in zip(BANDS if assumed else stated, places):
        if band in found:
            raise ValueError(f"--input: each band once is wanted. Received: {band} twice")
        if band:
            found[band] = place
    missing = [band for band in BANDS if band not in found]
    if missing:
        raise ValueError(
            f"--input: the bands {', '.join(BANDS)}, which descriptions, names of files or --bands name, are wanted. "
            f"Received: {', '.join(found) or f'{len(places)} without names'}"
        )
    found = {band: found[band] for band in BANDS}
    used = {name: datasets[name] for name, _ in found.values()}
    grid, placed = _common_grid(used)
    levels = {_level(dataset, name) for name, dataset in used.items()} - {"unknown"}
    return L1BImage(found, grid, placed, " and ".join(sorted(levels)) or "unknown", assumed)


def read_counts(image: L1BImage, scratch: Scratch, scale: float = 1.0, offset: float = 0.0) -> Counts:
    """Read an image. Pixels that a band misses are missing, and so are those that are 0 in all bands.

    They are filled, so that a network sees no cliff.

    Args:
        image: the image.
        scratch: makes the arrays.
        scale: counts of one digital number.
        offset: added to digital numbers before.

    Raises:
        ValueError: a raster cannot be read, or all pixels are missing.
    """
    shape = (image.grid.rows, image.grid.columns)
    pixels, present = scratch.empty((*shape, len(BANDS)), np.float32), scratch.empty(shape, np.bool_)
    datasets = {name: _open(name) for name in image.files}
    sources = [(name, datasets[name].GetRasterBand(number)) for name, number in image.bands.values()]
    lowest, highest, total = np.full(len(BANDS), np.inf), np.full(len(BANDS), -np.inf), np.zeros(len(BANDS))
    for rows in _strips(shape[0]):
        values, there = _read(sources, rows, shape[1])
        pixels[rows] = (values + np.float32(offset)) * np.float32(scale) if (scale, offset) != (1, 0) else values
        present[rows] = there
        valid = pixels[rows][there]
        if len(valid):
            lowest, highest = np.minimum(lowest, valid.min(axis=0)), np.maximum(highest, valid.max(axis=0))
            total += valid.sum(axis=0, dtype=np.float64)
        scratch.release()
    number = int(np.count_nonzero(present))
    if not number:
        raise ValueError("--input: valid pixels are wanted. Received: nodata only")
    if number < present.size:
        _fill(pixels, present, (total / number).astype(np.float32))
    return Counts(pixels, present, tuple(band for band, same in zip(BANDS, lowest == highest) if same))


def _open(name: str) -> gdal.Dataset:
    """Open a raster."""
    try:
        return gdal.Open(name)
    except RuntimeError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: RuntimeError) -> ValueError:
    """Return what to say of a raster that cannot be read."""
    return ValueError(f"--input: a raster that can be read is wanted. Received: {name} ({error})")


def _stated(dataset: gdal.Dataset, name: str, number: int) -> str | None:
    """Return the band that a raster's description states, or the name of a raster of one band."""
    description = dataset.GetRasterBand(number).GetDescription().strip()
    stated = band_in_name(description)
    if not stated and dataset.RasterCount == 1:
        stated = band_in_name(Path(name).stem)
    return stated[0] if stated else COMMON_NAMES.get(description.lower())


def _level(dataset: gdal.Dataset, name: str) -> str:
    """Return the processing level that a raster's metadata, its name, or that of a product's folder states."""
    metadata = dataset.GetMetadata()
    for key in LEVEL_KEYS:
        found = re.search(r"(?:LEVEL-|MSIL?)(1B|1C|2A)", metadata.get(key, "").upper())
        if found:
            return f"L{found[1]}"
    path = Path(name).resolve()
    folders = re.findall(r"MSIL(?:1B|1C|2A)", str(path.parent).upper())
    stated = level_in_name(re.sub("L1BSR", "", path.name.upper()))
    return stated if stated != "unknown" else level_in_name(folders[-1] if folders else "")


def _common_grid(datasets: dict[str, gdal.Dataset]) -> tuple[Grid, bool]:
    """Return the one grid of rasters, and whether it has a place."""
    grids = {
        name: (
            dataset.GetGeoTransform(can_return_null=True),
            dataset.GetProjection(),
            dataset.RasterXSize,
            dataset.RasterYSize,
        )
        for name, dataset in datasets.items()
    }
    first, (geotransform, projection, columns, rows) = next(iter(grids.items()))
    other = next((name for name, grid in grids.items() if grid != grids[first]), None)
    if other:
        raise ValueError(f"--input: bands of one grid are wanted. Received: {other}, not on that of {first}")
    if geotransform is None:
        return Grid(0.0, 0.0, 1.0, 1.0, columns, rows, ""), False
    left, dx, skew, top, other_skew, dy = geotransform
    if skew or other_skew or dx <= 0 or dy >= 0:
        raise ValueError(f"--input: a north-up image is wanted. Received: geotransform {geotransform} of {first}")
    return Grid(left, top, dx, -dy, columns, rows, projection), True


def _strips(rows: int) -> list[slice]:
    """Return the rows that are read one after the other."""
    return [slice(top, min(top + ROWS, rows)) for top in range(0, rows, ROWS)]


def _read(sources: Sequence[tuple[str, gdal.Band]], rows: slice, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Read rows of an image: float32 (rows, columns, bands), and whether they are there, (rows, columns)."""
    count = rows.stop - rows.start
    values = np.empty((count, columns, len(sources)), np.float32)
    there = np.ones((count, columns), bool)
    dark = np.ones((count, columns), bool)
    for index, (name, band) in enumerate(sources):
        try:
            numbers = band.ReadAsArray(0, rows.start, columns, count)
        except RuntimeError as error:
            raise _unreadable(name, error) from error
        nodata = band.GetNoDataValue()
        there &= np.isfinite(numbers)
        if nodata is not None:
            there &= numbers != nodata
        dark &= numbers == 0
        values[..., index] = numbers
    return values, there & ~dark


def _fill(pixels: np.ndarray, present: np.ndarray, means: np.ndarray) -> None:
    """Fill missing pixels from the valid ones around, or by the means of the bands far away from them."""
    for rows in _strips(len(pixels)):
        seen = slice(max(rows.start - FILLED, 0), rows.stop + FILLED)
        inside = slice(rows.start - seen.start, rows.stop - seen.start)
        known = present[seen]
        if not known[inside].all():
            there = np.broadcast_to(known[..., np.newaxis], pixels[seen].shape)
            filled = fill_missing(pixels[seen], there, FILLED)
            pixels[rows] = np.where(grow(known, FILLED)[..., np.newaxis], filled, means)[inside]
