# SPDX-License-Identifier: Apache-2.0
"""Whether images are one series: different dates of one band, at one place, in one unit.

check_one_series(dates)
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from osgeo import osr

from chain.raster.grids import Grid
from chain.runtime.progress import LOG
from inference.deepsum.dates import Date
from inference.deepsum.warping import same_grid

OTHER_UNIT = 20.0
"""Ratio of means, and of deviations, from which images are of different units."""
OTHER_SIZE = 1.5
"""Ratio of pixel sizes from which images are of different resolutions."""


def check_one_series(dates: Sequence[Date], repeat: bool = False) -> None:
    """Refuse images that are not one series.

    Args:
        dates: the images.
        repeat: accept the same image several times.

    Raises:
        ValueError: they cannot be brought to one grid, are of several bands or units, or two are the same.
    """
    _check_places(dates)
    _check_bands(dates)
    _check_units(dates)
    if not repeat:
        _check_other_pixels(dates)


def tell_sizes(dates: Sequence[Date], reference: Date) -> None:
    """Warn of pixels of another size than the reference's, which decides that of the product."""
    for date in dates:
        if not _is_same_size(date.grid, reference.grid):
            LOG.warning(
                "pixels of %g in %s and of %g in %s, which is the reference: the product's are a third of the latter",
                date.grid.dx,
                date.name,
                reference.grid.dx,
                reference.name,
            )
            return


def _is_same_size(one: Grid, other: Grid) -> bool:
    """Return whether pixels are of about one size, as far as they are in one unit."""
    degrees = [osr.SpatialReference(grid.projection).IsGeographic() for grid in (one, other) if grid.projection]
    return len(set(degrees)) > 1 or max(one.dx, other.dx) <= OTHER_SIZE * min(one.dx, other.dx)


def _check_places(dates: Sequence[Date]) -> None:
    """Refuse images that cannot be brought to one grid.

    Raises:
        ValueError: one is georeferenced and another is not, or sizes differ.
    """
    for date in dates[1:]:
        if date.placed != dates[0].placed or bool(date.grid.projection) != bool(dates[0].grid.projection):
            raise ValueError(
                f"--input: expected images that all have a georeference, or none, got {dates[0].name} and {date.name}"
            )
        if not date.placed and not same_grid(date.grid, dates[0].grid):
            sizes = [f"{grid.rows} x {grid.columns}" for grid in (dates[0].grid, date.grid)]
            raise ValueError(
                "--input: expected images of one size, where they have no georeference, "
                f"got {sizes[0]} of {dates[0].name}, {sizes[1]} of {date.name}"
            )


def _check_bands(dates: Sequence[Date]) -> None:
    """Refuse images of several bands, by what states them.

    Raises:
        ValueError: there are some.
    """
    bands: dict[str, str] = {}
    for date in dates:
        if date.stated:
            bands.setdefault(date.stated, date.name)
    if len(bands) > 1:
        (first, one), (second, other) = list(bands.items())[:2]
        raise ValueError(
            f"--input: expected images of one band, got {first} in {one} and {second} in {other}; --band chooses one "
            "by its name, or by its number in all of them"
        )


def _check_units(dates: Sequence[Date]) -> None:
    """Refuse images in different units, judged by tags, by the baselines in their names, and by their statistics.

    Raises:
        ValueError: there are some.
    """
    for date in dates[1:]:
        if date.scaling != dates[0].scaling:
            stated = [f"{scale:g} and {offset:g} of {each.name}" for each in (dates[0], date)
                      for scale, offset in [each.scaling]]  # fmt: skip
            raise ValueError(f"--input: expected one scale and offset, got {' beside '.join(stated)}")
    offsets = {date.offset: date.name for date in dates if date.offset is not None}
    if len(offsets) > 1:
        said = " beside ".join(f"{offset} of {name}" for offset, name in offsets.items())
        raise ValueError(
            f"--input: expected digital numbers of one offset, got {said}: pass the products (SAFE), whose offset is "
            "taken off, or --offset 0 where all rasters carry none"
        )
    known = {date.name: moments for date in dates if (moments := date.moments) and moments.deviation > 0}
    if not known:
        return
    mean, deviation = (
        float(np.median([abs(getattr(moments, name)) for moments in known.values()])) for name in ("mean", "deviation")
    )
    for name, moments in known.items():
        ratios = [abs(moments.mean) / mean if mean else 1.0, moments.deviation / deviation]
        if min(ratios) > OTHER_UNIT or max(ratios) < 1 / OTHER_UNIT:
            raise ValueError(
                f"--input: expected images in one unit, got {moments} in {name} and about mean {mean:.5g}, deviation "
                f"{deviation:.5g} in the others"
            )


def _check_other_pixels(dates: Sequence[Date]) -> None:
    """Refuse two images of the same pixels, which are one date.

    Raises:
        ValueError: there are some.
    """
    found: dict[bytes, str] = {}
    for date in dates:
        if not (moments := date.moments) or not moments.deviation > 0:
            continue
        digest = hashlib.sha256(date.values.tobytes()).digest()
        if digest in found:
            raise ValueError(
                f"--input: expected images of different dates, got the same pixels in {found[digest]} and {date.name}; "
                "--repeat accepts that, and adds no detail"
            )
        found[digest] = date.name
