# SPDX-License-Identifier: Apache-2.0
"""Which bands of a product are shown as which colours."""

from collections.abc import Sequence

from osgeo import gdal

NATURAL = ("B04", "B03", "B02")
"""Bands of natural colours: red, green, blue."""
INFRARED = (("B08", "B04", "B03"), ("B8A", "B04", "B03"))
"""Bands of false colours, which show vegetation in red; the first that a product has are taken."""


def band_names(dataset: gdal.Dataset) -> list[str]:
    """Return the names of the bands of a product, in order."""
    return [dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1)]


def numbers_of(wanted: Sequence[str], names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers, counted from 1, of bands among the names of all; None where one is missing."""
    return tuple(names.index(name) + 1 for name in wanted) if set(wanted) <= set(names) else None


def shown(names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the red, green and blue bands, else of the first one or three."""
    return numbers_of(NATURAL, names) or ((1, 2, 3) if len(names) >= 3 else (1,))


def shown_infrared(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers of the bands of false colours; None where the product has none."""
    return next((found for found in (numbers_of(wanted, names) for wanted in INFRARED) if found), None)
