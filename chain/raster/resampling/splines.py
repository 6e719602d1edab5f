# SPDX-License-Identifier: Apache-2.0
"""Whether an image that a cubic spline explains was made by GDAL's, which smooths, or by another interpolation."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion

from chain.raster.resampling.integers import SURE, Integers, integers, spline_values
from chain.raster.resampling.interpolation import METHODS, SIDES, SPLINE, Resampling
from chain.raster.resampling.treatments import Fitted

DISTINCT = 4
"""Least ratio by which smooth images of other kinds are no splines."""
ROUGH = 10.0
"""Least standard deviation of mixed differences of native pixels, in those of their errors, of images that are not so
smooth that they can have been made in many ways."""


def is_smoothing(fits: Sequence[Fitted], ratio: int, found: Resampling, whole: Integers) -> bool:
    """Return whether it is sure that native pixels were a spline's coefficients, as GDAL takes them.

    A spline through the native pixels (SciPy, scikit-image) gives the same images; which of both gives whole numbers
    tells. By 2, nearly any smooth image is a spline to rounding, and its coefficients too ill known to tell. Then the
    sides of an image that was not cut do: GDAL alone leaves out what is missing beyond them.

    Args:
        fits: fits of parts of the image, or of all of it, as if by the smoothing spline.
        ratio: fine pixels along a native one.
        found: how the image was made then, with its borders.
        whole: how near to whole numbers the native pixels are then.
    """
    values = integers([spline_values(each, ratio) for each in fits], ratio, found)
    if ratio >= DISTINCT and values.score < -SURE < whole.score:
        return True
    if values.score < -SURE and _is_whole(found) and min(map(_roughness, fits), default=0.0) > ROUGH:
        return True
    return whole.score > SURE and values.score < whole.score - SURE


def _is_whole(found: Resampling) -> bool:
    """Return whether GDAL's rule for its cubic spline, and no other, explains all sides of an image."""
    rules = {getattr(found, side) for side in SIDES}
    return rules == {METHODS[SPLINE].borders[0]} and not any((*found.phase, *found.hidden, *found.trimmed))


def _roughness(fitted: Fitted) -> float:
    """Return the standard deviation of native pixels' mixed differences, relative to that of their errors."""
    mixed = np.diff(np.diff(fitted.native, axis=0), axis=1)
    told = binary_erosion(fitted.valid, np.ones((2, 2)))[1:, 1:]
    spread = float(np.median(fitted.spread[fitted.valid])) if fitted.valid.any() else np.inf
    return float(np.std(mixed[told])) / spread if told.any() else 0.0
