# SPDX-License-Identifier: Apache-2.0
"""Which bands of a product are shown as which colours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osgeo import gdal

NATURAL = ("B04", "B03", "B02")
"""Bands of natural colours: red, green, blue."""
RAMP = "cividis"
"""Matplotlib's colours of numbers, from dark blue to yellow: those who are blind to red or green tell them apart."""
STYLES = {
    "natural": (NATURAL,),
    "false_colour": (("B08", "B04", "B03"), ("B8A", "B04", "B03")),
    "swir": (("B12", "B8A", "B04"), ("B11", "B8A", "B04"), ("B12", "B08", "B04"), ("B11", "B08", "B04")),
}
"""Bands of styles by name, the first that a product has are taken: what the eye sees; vegetation in red; burnt and bare
ground apart from wet one."""


def band_names(dataset: "gdal.Dataset") -> list[str]:
    """Return the names of the bands of a product, in order."""
    return [dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1)]


def numbers_of(wanted: Sequence[str], names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers, counted from 1, of bands among the names of all; None where one is missing."""
    return tuple(names.index(name) + 1 for name in wanted) if set(wanted) <= set(names) else None


def shown(names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the red, green and blue bands, else of the first one or three."""
    return numbers_of(NATURAL, names) or ((1, 2, 3) if len(names) >= 3 else (1,))


def shown_in(style: str, names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers of the bands of a style; None where the product has none of its sets of bands."""
    return next((found for found in (numbers_of(wanted, names) for wanted in STYLES[style]) if found), None)
