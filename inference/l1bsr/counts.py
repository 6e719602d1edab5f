# SPDX-License-Identifier: Apache-2.0
"""The pixels of an image, as the counts that the networks of L1BSR take.

Counts of L1B have 12 bits: some hundreds over land, up to 4095 over clouds. Numbers that cannot be such counts
(reflectance, 8 bits, the 10 000 steps of L1C) are refused before anything is computed.

    counts = read_counts(image, Scratch(folder))
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from chain.raster.blocks import fill_missing
from chain.raster.mask import grow
from chain.runtime.progress import LOG, SILENT, Progress
from datasets.l1bsr.counts import Statistics
from inference.l1bsr.image import ROWS, L1BImage, open_raster, unreadable
from inference.l1bsr.scratch import Scratch
from models.l1bsr import BANDS

FILLED = 32
"""Distance from valid pixels, in pixels, up to which missing ones are filled from them; farther ones get the mean."""
PER_REFLECTANCE = 1400
"""Counts of a reflectance of 1, or so, over land in summer."""
ADVICE = {
    "numbers below 0": "--count-offset is added to numbers, and rasters have to declare their nodata",
    "reflectance": f"--count-scale {PER_REFLECTANCE} makes counts, or so, of reflectance from 0 to 1",
    "8 bits": "--count-scale X makes counts of them",
    "10 000 x reflectance": f"--count-scale {PER_REFLECTANCE / 1e4:g} makes counts of them, or so",
    "L1C and L2A of baseline 04.00 on": (
        f"--count-offset -1000 --count-scale {PER_REFLECTANCE / 1e4:g} makes counts of them, or so"
    ),
}
"""What makes counts of what numbers are instead."""
NEVER = ("numbers below 0", "reflectance")
"""What is refused whatever --count-scale is: it has been applied."""


@dataclass(frozen=True)
class Counts:
    """The pixels of an image, of which none is missing any more."""

    pixels: np.ndarray
    """float32 (rows, columns, bands), counts."""
    present: np.ndarray
    """Whether they were there, (rows, columns)."""
    statistics: Statistics
    """Of the pixels that were there."""

    @property
    def constant(self) -> tuple[str, ...]:
        """Bands of one value."""
        return tuple(band for band, (low, high) in self.statistics.ranges.items() if low == high)


def check_range(statistics: Statistics, scale: float | None) -> None:
    """Refuse numbers that cannot be counts of L1B.

    Args:
        statistics: what is known of them.
        scale: counts of one digital number, as the user says; None if not.

    Raises:
        ValueError: they cannot be counts.
    """
    if statistics.fill is not None:
        fill = f"{statistics.fill:g}"
        raise ValueError(
            f"--input: expected counts of L1B, and nodata that rasters declare, got {fill} in all bands of many "
            f"pixels, undeclared (gdal_edit.py -a_nodata {fill} declares it)"
        )
    other = statistics.other
    if other and (scale is None or other in NEVER):
        as_they_are = "" if other in NEVER else "; --count-scale 1 takes numbers as they are"
        raise ValueError(f"--input: {statistics.expected} ({other}); {ADVICE[other]}{as_they_are}")
    _check_bands(statistics, scale)
    if other:
        LOG.warning("%s", statistics.expected)
    for band, share in statistics.holed.items():
        LOG.warning("%s is 0 in %.2g %% of the pixels where others are not, which is taken for data", band, 100 * share)
    for number, share in statistics.maybe_fill.items():
        LOG.warning(
            "%g in all bands of %.2g %% of the pixels, taken for data; gdal_edit.py -a_nodata %g declares it missing",
            number,
            100 * share,
            number,
        )
    for one, other in statistics.same:
        LOG.warning("%s and %s hold the same pixels, as no two bands of Sentinel-2 do", one, other)


def _check_bands(statistics: Statistics, scale: float | None) -> None:
    """Refuse numbers of single bands that cannot be counts of L1B.

    Raises:
        ValueError: they cannot be counts.
    """
    if statistics.repeated:
        raise ValueError(
            f"--input: expected pixels of 10 m, got {', '.join(statistics.repeated)} with each pixel repeated, as "
            "nearest neighbours of coarser ones are"
        )
    if scale is None and statistics.fill_of_bands:
        band, number = next(iter(statistics.fill_of_bands.items()))
        raise ValueError(
            f"--input: expected counts of L1B, and nodata that rasters declare, got {number:g} in many pixels of "
            f"{band}, undeclared (gdal_edit.py -a_nodata {number:g} declares it)"
        )
    if scale is None and statistics.reflectance:
        raise ValueError(
            f"--input: expected counts of L1B in all bands, got reflectance in {', '.join(statistics.reflectance)} "
            "alone"
        )


def read_counts(
    image: L1BImage, scratch: Scratch, scale: float | None = None, offset: float = 0.0, progress: Progress = SILENT
) -> Counts:
    """Read an image. Pixels that a band misses are missing, and so are those that are 0 in all bands.

    They are filled, so that a network sees no cliff.

    Args:
        image: the image.
        scratch: makes the arrays.
        scale: counts of one digital number; None for 1.
        offset: added to digital numbers before.
        progress: where progress is reported.

    Raises:
        ValueError: a raster cannot be read, or all pixels are missing.
    """
    shape = (image.grid.rows, image.grid.columns)
    pixels, present = scratch.empty((*shape, len(BANDS)), np.float32), scratch.empty(shape, np.bool_)
    statistics = Statistics()
    for rows, values, there in _read(image, scale, offset):
        pixels[rows], present[rows] = values, there
        statistics.add(values, there)
        scratch.release()
        progress(rows.stop / shape[0], "reading")
    statistics.check_valid()
    if statistics.valid < present.size:
        _fill(pixels, present, statistics.means.astype(np.float32))
    return Counts(pixels, present, statistics)


def statistics_of(image: L1BImage, scale: float | None = None, offset: float = 0.0) -> Statistics:
    """Return what is to be known of the counts of an image.

    Raises:
        ValueError: a raster cannot be read.
    """
    statistics = Statistics()
    for _, values, there in _read(image, scale, offset):
        statistics.add(values, there)
    return statistics


def _strips(rows: int) -> list[slice]:
    """Return the rows that are read one after the other."""
    return [slice(top, min(top + ROWS, rows)) for top in range(0, rows, ROWS)]


def _read(image: L1BImage, scale: float | None, offset: float) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield rows of an image: which, float32 counts (rows, columns, bands), and whether they are there."""
    datasets = {name: open_raster(name) for name in image.files}
    sources = [(name, datasets[name].GetRasterBand(number)) for name, number in image.bands.values()]
    masks = {name: _mask(name, dataset, image) for name, dataset in datasets.items()}
    for rows in _strips(image.grid.rows):
        left, top = image.corner
        window = (left, top + rows.start, image.grid.columns, rows.stop - rows.start)
        values = np.empty((window[3], window[2], len(sources)), np.float32)
        there, dark = np.ones(values.shape[:2], bool), np.ones(values.shape[:2], bool)
        for index, (name, band) in enumerate(sources):
            try:
                numbers = band.ReadAsArray(*window)
                mask = found.ReadAsArray(*window) if (found := masks[name]) else None
            except RuntimeError as error:
                raise unreadable(name, error) from error
            nodata = band.GetNoDataValue()
            there &= np.isfinite(numbers)
            if nodata is not None:
                there &= numbers != nodata
            if mask is not None:
                there &= mask > 0
            dark &= numbers == 0
            values[..., index] = numbers
        if (scale, offset) not in ((None, 0), (1, 0)):
            values = (values + np.float32(offset)) * np.float32(1 if scale is None else scale)
        yield rows, values, there & ~dark


def _mask(name: str, dataset: gdal.Dataset, image: L1BImage) -> gdal.Band | None:
    """Return the mask of a raster, if it has one: an alpha band that is none of the image's bands, or a mask band."""
    used = {number for file, number in image.bands.values() if file == name}
    for number in set(range(1, dataset.RasterCount + 1)) - used:
        if dataset.GetRasterBand(number).GetColorInterpretation() == gdal.GCI_AlphaBand:
            return dataset.GetRasterBand(number)
    band = dataset.GetRasterBand(1)
    flags = band.GetMaskFlags()
    return band.GetMaskBand() if flags & gdal.GMF_PER_DATASET and not flags & gdal.GMF_ALPHA else None


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
