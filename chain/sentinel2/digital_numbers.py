# SPDX-License-Identifier: Apache-2.0
"""What the numbers of a raster are: digital numbers (10 000 x reflectance), reflectance, or neither.

Reflectance from 0 to 1 is taken as such where it is evident: floating point numbers of which 99 % lie within -0.2 to 2.
Pictures of 8 bits, percent and scales of other sensors are refused by name, as they would be very dark digital numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from chain.sentinel2.bands import REFLECTANCE
from chain.sentinel2.decision import Decision
from chain.sentinel2.sampling import FLOATING, sampled_numbers, sampled_parts

LOWEST = -1000
"""Digital numbers below are none, but mean that there is no data."""
REFLECTANCES = (-0.2, 2.0)
SHARE = 0.99
"""Share of the pixels that have to lie within a range."""
BRIGHTEST, TOO_BRIGHT = 20000, 0.05
"""Digital number (reflectance 2) and the share of a band's pixels above it that no image reaches."""
PERCENT, PICTURE = 110, 255
"""Largest numbers of reflectance in percent, and of pictures."""
SHADES = 16
"""Different numbers, at least, that a picture has."""
SCALE_HELP = "pass --scale, the reflectance of a number: 1 for reflectance, 0.01 for percent, 0.0001 for Sentinel-2's"
SATURATED, MOST_SATURATED = 65535, 0.001
"""ESA's number of saturated pixels, which others take for missing ones, and the share that no image has of it in all
bands at once."""
OTHER_FILL = {-32768: "openEO's", -10000: "MAJA's"}
"""Numbers that mean no data even where a raster does not declare them, and whose they are."""


@dataclass(frozen=True)
class Numbers:
    """What the numbers of a raster are."""

    factor: float = 1.0
    """By which they become digital numbers."""
    fill: tuple[float, ...] = ()
    """Those that mean no data, beside what the raster declares."""
    decisions: tuple[Decision, ...] = ()
    """What was decided, if anything had to be."""


def numbers_of(names: Mapping[str, str], path: str, scale: float | None = None) -> Numbers:
    """Tell what the numbers of bands of a raster are.

    Args:
        names: for each band, a raster of one band in which 0 and the declared nodata are missing.
        path: the name of the raster that they are of, for errors.
        scale: reflectance of a number, which the user states.

    Raises:
        ValueError: they are neither digital numbers nor reflectance.
    """
    if scale is not None:
        return Numbers(scale / REFLECTANCE, decisions=(Decision("scale", f"{scale:g}", "--scale"),))
    datasets = [gdal.Open(name) for name in names.values()]
    types = [dataset.GetRasterBand(1).DataType for dataset in datasets]
    if gdal.GDT_Byte in types:
        raise ValueError(f"{path}: expected digital numbers, 10000 x reflectance, got 8 bits: {SCALE_HELP}")
    samples = [values for values in map(sampled_numbers, datasets) if values.size]
    fill, decisions = _undeclared(samples, path)
    samples = [values for values in (values[~np.isin(values, fill)] for values in samples) if values.size]
    if not samples:
        return Numbers(fill=fill, decisions=decisions)
    values = np.concatenate(samples)
    if all(kind in FLOATING for kind in types):
        low, high = REFLECTANCES
        if np.mean((values >= low) & (values <= high)) >= SHARE and values.max() > 0:
            found = Decision("scale", "1", "numbers from 0 to 1 are reflectance, and become digital numbers x 10000")
            return Numbers(1 / REFLECTANCE, fill, (*decisions, found))
        if np.mean(np.abs(values) <= PERCENT) >= SHARE:
            raise ValueError(f"{path}: expected digital numbers or reflectance, got percent, or the like: {SCALE_HELP}")
    if len(names) > 2 and values.max() <= PICTURE and np.unique(values).size >= SHADES:
        raise ValueError(
            f"{path}: expected digital numbers or reflectance, got numbers up to {values.max():g}: {SCALE_HELP}"
        )
    if any(np.mean(band > BRIGHTEST) > TOO_BRIGHT for band in samples):
        raise ValueError(
            f"{path}: expected digital numbers, 10000 x reflectance, got more than {100 * TOO_BRIGHT:g} % above "
            f"{BRIGHTEST}: {SCALE_HELP}"
        )
    return Numbers(fill=fill, decisions=decisions)


def check_not_filled(names: Mapping[str, str], path: str) -> None:
    """Refuse an image of which many pixels are `SATURATED` in all bands: they are missing, but nothing says so.

    Args:
        names: for each band, a raster of one band in which 0 and the declared nodata are missing.
        path: the name of the image, for errors.

    Raises:
        ValueError: there are such pixels.
    """
    by_size: dict[tuple[int, int], list[gdal.Dataset]] = {}
    for name in names.values():
        dataset = gdal.Open(name)
        by_size.setdefault((dataset.RasterXSize, dataset.RasterYSize), []).append(dataset)
    for datasets in by_size.values():
        share = 1.0
        filled: np.ndarray | None = None
        for dataset in datasets:
            parts = [(array == SATURATED).ravel() for array, _ in sampled_parts(dataset)]
            here = np.concatenate(parts) if parts else np.zeros(0, bool)
            filled = here if filled is None else filled & here
            share = float(np.mean(filled)) if filled.size else 0.0
            if share <= MOST_SATURATED:
                break
        if share > MOST_SATURATED:
            raise ValueError(
                f"{path}: expected digital numbers, and nodata that the raster declares, got {SATURATED} in all bands "
                f"of {100 * share:.2g} % of the pixels, undeclared (gdal_edit.py -a_nodata {SATURATED} declares it)"
            )


def _undeclared(samples: Sequence[np.ndarray], path: str) -> tuple[tuple[float, ...], tuple[Decision, ...]]:
    """Return the numbers that mean no data though the raster does not declare them.

    Raises:
        ValueError: there are numbers that mean nothing.
    """
    below = {float(number) for values in samples for number in np.unique(values[values < LOWEST])}
    if not below:
        return (), ()
    if len(below) == 1 and (number := min(below)) in OTHER_FILL:
        text = f"{number:g} is {OTHER_FILL[int(number)]} nodata; the raster declares none"
        return (number,), (Decision("nodata", f"{number:g}", text),)
    raise ValueError(
        f"{path}: expected digital numbers, and nodata that the raster declares, got {min(below):g}, undeclared "
        "(gdal_edit.py -a_nodata declares it)"
    )
