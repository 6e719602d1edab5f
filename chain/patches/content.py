# SPDX-License-Identifier: Apache-2.0
"""Whether XS and PAN show one place: bands that differ from each other, and PAN that is like them."""

import itertools
from collections.abc import Sequence

import numpy as np
from osgeo import gdal, osr

from chain.raster import grids
from chain.raster.footprint import Footprint
from chain.runtime.progress import LOG

SIDE, PLACES = 160, 9
"""Side, in pixels of XS, and number of the windows that are looked at."""
FEWEST = 256
"""Pixels of XS, at least, that tell anything."""
VARIED = 0.02
"""Deviation of PAN, over its mean, from which it shows something, at least."""
LIKE = 0.4
"""Correlation of PAN with the visible bands, at least: above 0.8 in real bundles, below 0.31 where PAN is turned."""
GSD, OTHER_GSD = 6.0, 0.1
"""Pixels of Spot's XS, in metres, and the part of them by which others may differ."""


def check_content(xs: str, pan: str, bands: Sequence[str], nodata: float | None) -> None:
    """Refuse bands of XS that are the same, or of one number, and a PAN that shows something else.

    Args:
        xs: the multispectral image.
        pan: the panchromatic one.
        bands: names of the bands of XS, in its order.
        nodata: digital number of missing pixels, or None.

    Raises:
        ValueError: there are such bands, or PAN is like that.
    """
    pixels, fine = _samples(xs, pan, nodata)
    if len(fine) < FEWEST:
        return
    for band, values in zip(bands, pixels):
        if np.ptp(values) == 0:
            raise ValueError(f"--xs: expected bands that vary, got {values[0]:g} in all of {band} in {xs}")
    for (one, first), (other, second) in itertools.combinations(zip(bands, pixels), 2):
        if np.array_equal(first, second):
            raise ValueError(f"--xs: expected bands that differ, got the same pixels in {one} and {other} of {xs}")
    if np.ptp(fine) == 0:
        raise ValueError(f"--pan: expected an image that varies, got {fine[0]:g} in all of {pan}")
    visible = pixels[[index for index, band in enumerate(bands) if band != "B08"]].mean(axis=0)
    like = float(np.corrcoef(visible, fine)[0, 1])
    if like < LIKE and fine.std() > VARIED * abs(fine.mean()):
        raise ValueError(
            f"--pan: expected the place and the moment of --xs, got a correlation of {like:.2f} with its visible bands "
            f"in {pan}"
        )


def tell_size(footprint: Footprint) -> None:
    """Warn of an XS whose pixels are not Spot's, for which the model is made that is trained on the patches."""
    crs = osr.SpatialReference(footprint.projection)
    size = float(footprint.spacing[0]) * (crs.GetLinearUnits() if crs.IsProjected() else np.nan)
    if abs(size / GSD - 1) > OTHER_GSD:
        LOG.warning("pixels of %g m in --xs: train.spot7's model is made for %g m, as Spot has them", size, GSD)


def _samples(xs: str, pan: str, nodata: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return valid pixels of XS, (bands, count), and the means of PAN over them, (count,), float64."""
    coarse = gdal.Open(xs)
    left, dx, _, top, _, dy = coarse.GetGeoTransform()
    pixels, fine = [], []
    for place in grids.spread((coarse.RasterXSize, coarse.RasterYSize), SIDE, PLACES):
        corner = left + place.x * dx, top + place.y * dy
        bounds = corner[0], corner[1] + place.rows * dy, corner[0] + place.columns * dx, corner[1]
        averaged = gdal.Warp(
            "",
            pan,
            format="MEM",
            outputBounds=bounds,
            width=place.columns,
            height=place.rows,
            dstSRS=coarse.GetProjection(),
            resampleAlg="average",
            srcNodata=nodata,
            dstNodata=np.nan,
            outputType=gdal.GDT_Float64,
        ).ReadAsArray()
        values = coarse.ReadAsArray(place.x, place.y, place.columns, place.rows).astype(np.float64)
        there = np.isfinite(averaged) & np.isfinite(values).all(axis=0)
        if nodata is not None:
            there &= (values != nodata).any(axis=0)
        pixels.append(values[:, there])
        fine.append(averaged[there])
    return np.concatenate(pixels, axis=1), np.concatenate(fine)
