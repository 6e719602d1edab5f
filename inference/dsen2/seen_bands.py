# SPDX-License-Identifier: Apache-2.0
"""Bands that networks see, and that are missing where other bands are not.

A missing pixel is filled from those around it before a network sees it, which suits holes and edges. Where a band is
missing altogether nothing is around: a network makes of zeros what it should make of a band. Such an image is refused,
unless its neighbours in wavelength are dark too, as over the sea, where old products hold 0 for a dark pixel. Parts of
an image that lack a band are told.
"""

from collections.abc import Sequence

import numpy as np
from osgeo import gdal

from chain.raster.grids import raster_grid, spread
from chain.sentinel2.bands import BANDS, WAVELENGTHS
from chain.sentinel2.decision import Decision
from chain.sentinel2.image import DOUBTFUL, RASTERS
from chain.sentinel2.opened_image import OpenedImage
from chain.sentinel2.sampling import WHOLE_SIDE, WINDOW_SIDE, WINDOWS, sampled_at
from chain.serving.network import Network

STEP = 6
"""Pixels of the finest band from one place that is looked at to the next."""
LEAST = 0.02
"""Share of an image on which a band is missing, from which on it is told."""
HALF = 0.5
"""Share of the bands, at least, that are there where others count as missing: at the edges of holes coarse ones are."""
DARK = 100
"""Digital number below which zeros of the next band may be dark pixels."""


def check_seen_bands(
    image: OpenedImage, bands: Sequence[str], networks: Sequence[Network], name: str
) -> list[Decision]:
    """Refuse an image of rasters of which a band that networks see has no pixels; tell which are missing in part.

    Args:
        image: the opened image, whose format does not vouch for its pixels.
        bands: those of the product.
        networks: those that make some of them.
        name: of the image, for errors.

    Returns:
        A doubt, if there is one.

    Raises:
        ValueError: there is such a band.
    """
    descriptions = [network.description for network in networks]
    seen_by = [{band for source in each.sources for band in source.bands} for each in descriptions]
    seen = sorted(set().union(*seen_by), key=lambda band: (BANDS[band], band))
    if not seen or image.identity.get("kind") not in RASTERS or not set(seen) <= set(image.bands):
        return []
    try:
        numbers = _looked_at([image.bands[band] for band in seen])
    except RuntimeError:  # whoever reads all pixels will say it
        return []
    present = np.isfinite(numbers)
    known = present.mean(axis=0) >= HALF
    if not known.any():
        return []  # there is hardly anything to make a product of, which is told elsewhere
    missing = {band: float(1 - row[known].mean()) for band, row in zip(seen, present)}
    levels = {band: np.median(row[np.isfinite(row)]) for band, row in zip(seen, numbers) if missing[band] < 1}
    blank = [band for band, share in missing.items() if share == 1 and _next_to(band, levels) + image.offset >= DARK]
    if blank:
        spoilt = set(blank).union(*(each.bands for each, own in zip(descriptions, seen_by) if own & set(blank)))
        others = [band for band in bands if band not in spoilt]
        advice = f"; --bands {','.join(others)} needs none of these" if others else ""
        raise ValueError(f"{name}: expected pixels of {', '.join(blank)}, which networks see, got nodata only{advice}")
    told = [f"{band} ({share:.0%})" for band, share in missing.items() if share >= LEAST]
    if not told:
        return []
    where = f"missing on parts of the image where other bands are not: {', '.join(told)}"
    return [Decision(DOUBTFUL, where, "networks see these bands: what they make there may be wrong")]


def _looked_at(names: Sequence[str]) -> np.ndarray:
    """Return pixels of rasters at places that are spread over the first one, (rasters, places), NaN where missing."""
    datasets = [gdal.Open(name) for name in names]
    grid = raster_grid(datasets[0])
    found = []
    side = WHOLE_SIDE if max(grid.columns, grid.rows) <= WHOLE_SIDE else WINDOW_SIDE
    for window in spread((grid.columns, grid.rows), side, WINDOWS):
        xs = grid.left + grid.dx * (window.x + np.arange(min(STEP, window.columns) / 2, window.columns, STEP))
        ys = grid.top - grid.dy * (window.y + np.arange(min(STEP, window.rows) / 2, window.rows, STEP))
        found.append(np.stack([sampled_at(dataset, xs, ys).ravel() for dataset in datasets]))
    return np.concatenate(found, axis=1)


def _next_to(band: str, levels: dict[str, float]) -> float:
    """Return the level of the band whose wavelength is next to that of a band."""
    return levels[min(levels, key=lambda other: abs(WAVELENGTHS[other][0] - WAVELENGTHS[band][0]))]
