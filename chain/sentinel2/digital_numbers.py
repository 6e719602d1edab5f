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
SATURATED, MOST_ALIKE = 65535, 0.001
"""ESA's number of saturated pixels, which others take for missing ones, and the share of the pixels in which no image
holds one number in all bands at once."""
SEVERAL = 4
"""Bands that hold such a number at once, at least, if it is another one: fewer may be dark or bright alike."""
HARMONISED_ZERO = -0.1
"""Reflectance of ESA's number of missing pixels, 0, from which the offset was taken."""
ROUNDING = 1e-6
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
    datasets = [gdal.Open(name) for name in names.values()]
    types = [dataset.GetRasterBand(1).DataType for dataset in datasets]
    if scale is None and gdal.GDT_Byte in types:
        raise ValueError(f"{path}: expected digital numbers, 10000 x reflectance, got 8 bits: {SCALE_HELP}")
    by_band = {band: values for band, values in zip(names, map(sampled_numbers, datasets)) if values.size}
    samples = list(by_band.values())
    fill, decisions = _undeclared(samples, path, scale)
    if scale is not None:
        return Numbers(scale / REFLECTANCE, fill, (*decisions, Decision("scale", f"{scale:g}", "--scale")))
    samples = [values for values in (values[~np.isin(values, fill)] for values in samples) if values.size]
    if not samples:
        return Numbers(fill=fill, decisions=decisions)
    values = np.concatenate(samples)
    _check_one_kind(by_band, fill, path)
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


def _check_one_kind(by_band: Mapping[str, np.ndarray], fill: Sequence[float], path: str) -> None:
    """Refuse bands of reflectance, or of an index, beside others of digital numbers.

    Whole numbers are digital numbers, however small: those of B12 over water may be 1.

    Raises:
        ValueError: there are both.
    """
    low, high = REFLECTANCES
    fractions = []
    for band, sample in by_band.items():
        values = sample[~np.isin(sample, fill)]
        is_small = values.size and np.mean((values >= low) & (values <= high)) >= SHARE
        if is_small and np.unique(values[values % 1 != 0]).size >= SHADES:
            fractions.append(band)
    others = [band for band in by_band if band not in fractions]
    if fractions and others:
        raise ValueError(
            f"{path}: expected bands of one kind, got numbers from 0 to 1 in {', '.join(fractions)} beside others in "
            f"{', '.join(others)}"
        )


def check_not_filled(
    names: Mapping[str, str], path: str, factor: float | None = None, told: bool = False
) -> list[Decision]:
    """Refuse an image that holds a number in all bands of many pixels that is no reflectance: nothing says its meaning.

    Such a number that may be reflectance, as of clouds that were clipped at 10000, is taken for data, and told.

    Args:
        names: for each band, a raster of one band in which 0 and the declared nodata are missing.
        path: the name of the image, for errors.
        factor: by which its numbers became digital numbers; None where a format states what they are: then the number
            of saturated pixels alone is looked for.
        told: whether the image tells which pixels are missing: numbers below 0 are dark then.

    Raises:
        ValueError: there are such pixels.
    """
    taken: dict[str, float] = {}
    by_size: dict[tuple[int, int], list[gdal.Dataset]] = {}
    for name in names.values():
        dataset = gdal.Open(name)
        by_size.setdefault((dataset.RasterXSize, dataset.RasterYSize), []).append(dataset)
    for datasets in by_size.values():
        for number, share in _alike(datasets):
            held = f"{number / (factor or 1.0):g}"
            is_looked_for = len(datasets) >= SEVERAL and factor is not None
            if number == SATURATED or (is_looked_for and (number > BRIGHTEST or (number < 0 and not told))):
                raise ValueError(
                    f"{path}: expected digital numbers, and nodata that the raster declares, got {held} in all bands "
                    f"of {100 * share:.2g} % of the pixels, undeclared (gdal_edit.py -a_nodata {held} declares it)"
                )
            if is_looked_for:
                taken[held] = max(share, taken.get(held, 0.0))
    return [
        Decision(
            "pixels",
            f"{held} in all bands of {100 * share:.2g} % of them is taken for data",
            f"gdal_edit.py -a_nodata {held} declares it missing",
        )
        for held, share in taken.items()
    ]


def _alike(datasets: Sequence[gdal.Dataset]) -> list[tuple[float, float]]:
    """Return the numbers that many pixels hold in all bands at once, and the share of such pixels."""
    first: np.ndarray | None = None
    alike = np.zeros(0, bool)
    for dataset in datasets:
        parts = [array.ravel() for array, _ in sampled_parts(dataset)]
        values = np.concatenate(parts) if parts else np.zeros(0)
        first = values if first is None else first
        alike = ~np.isnan(values) if first is values else alike & (values == first)
        if np.count_nonzero(alike) <= MOST_ALIKE * alike.size:
            return []
    numbers, counts = np.unique(first[alike] if first is not None else alike, return_counts=True)
    shares = counts / max(alike.size, 1)
    return [(float(number), float(share)) for number, share in zip(numbers, shares) if share > MOST_ALIKE]


def _undeclared(
    samples: Sequence[np.ndarray], path: str, scale: float | None
) -> tuple[tuple[float, ...], tuple[Decision, ...]]:
    """Return the numbers that mean no data though the raster does not declare them, given a scale that the user states.

    Raises:
        ValueError: there are numbers that mean nothing.
    """
    fill, decisions = _harmonised_zeros(samples, scale)
    below = {float(number) for values in samples for number in np.unique(values[values < LOWEST])} - {*fill}
    if not below:
        return fill, decisions
    if len(below) == 1 and (number := min(below)) in OTHER_FILL:
        text = f"{number:g} is {OTHER_FILL[int(number)]} nodata; the raster declares none"
        return (*fill, number), (*decisions, Decision("nodata", f"{number:g}", text))
    raise ValueError(
        f"{path}: expected digital numbers, and nodata that the raster declares, got {min(below):g}, undeclared "
        "(gdal_edit.py -a_nodata declares it)"
    )


def _harmonised_zeros(
    samples: Sequence[np.ndarray], scale: float | None
) -> tuple[tuple[float, ...], tuple[Decision, ...]]:
    """Return what 0 became where an offset of 1000 was taken from it too, if many pixels of all bands hold that.

    Missing pixels are then as dark as -0.1, which no ground is.
    """
    zeros = [HARMONISED_ZERO / each for each in ((scale,) if scale else (1.0, REFLECTANCE))]
    found = []
    for values in samples:
        dark = values[values < 0]
        found.append(dark[np.isclose(dark[:, None], zeros, rtol=ROUNDING, atol=0).any(axis=1)])
        if found[-1].size <= MOST_ALIKE * values.size:
            return (), ()
    numbers = tuple(np.unique(np.concatenate(found)).tolist()) if found else ()
    text = "ESA's 0, from which an offset of 1000 was taken"
    return numbers, (Decision("nodata", f"{numbers[0]:g}", text),) if numbers else ()
