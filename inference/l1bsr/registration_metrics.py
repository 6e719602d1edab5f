# SPDX-License-Identifier: Apache-2.0
"""How bands were moved, and how much better they then agree with the green one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from osgeo import gdal

from inference.l1bsr.counts import Counts
from models.l1bsr import BANDS, GREEN, OTHERS

BORDER = 10
"""Pixels along an image's border that are left out, since what should be there may lie beyond it."""
ROWS = 512


class _Correlation:
    """Pearson's correlation of pairs of values, which are given part by part."""

    def __init__(self) -> None:
        self._sums = np.zeros(5)
        self._number = 0
        self._first: np.ndarray | None = None

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        """Add pairs."""
        if not one.size:
            return
        pairs = np.stack([one, other]).astype(np.float64)
        if self._first is None:
            self._first = pairs.mean(axis=1, keepdims=True)  # sums of what is about 0 are exact enough
        x, y = pairs - self._first
        self._sums += (x.sum(), y.sum(), x @ x, y @ y, x @ y)
        self._number += x.size

    @property
    def value(self) -> float | None:
        """The correlation, None where it is not defined."""
        if not self._number:
            return None
        x, y, xx, yy, xy = self._sums / self._number
        variances = (xx - x * x) * (yy - y * y)
        return float((xy - x * y) / variances**0.5) if variances > 0 else None


def registration_metrics(counts: Counts, registered: Path, flow: Path) -> dict[str, dict[str, float | None]]:
    """Measure a registration.

    Args:
        counts: the image.
        registered: the registered image.
        flow: its flow, as `inference.l1bsr` writes it.

    Returns:
        For each band but the green one: the medians of the flow over valid pixels, `dx` and `dy`, in pixels; and the
        correlation with the green band, `correlation_before` and `correlation_after`, over valid pixels that are 10 or
        more from the border, None where there are none.
    """
    image, flows = gdal.Open(str(registered)), gdal.Open(str(flow))
    metrics = {}
    for number, index in enumerate(OTHERS):
        dx, dy = (_median(flows.GetRasterBand(2 * number + axis)) for axis in (1, 2))
        before, after = _Correlation(), _Correlation()
        for rows, columns in _inner_rows(counts.present.shape):
            there = counts.present[rows, columns]
            pixels = counts.pixels[rows, columns][there]
            moved = image.GetRasterBand(index + 1).ReadAsArray(
                columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
            )
            before.add(pixels[:, GREEN], pixels[:, index])
            after.add(pixels[:, GREEN], moved[there])
        metrics[BANDS[index]] = {
            "dx": dx,
            "dy": dy,
            "correlation_before": before.value,
            "correlation_after": after.value,
        }
    return metrics


def in_words(band: str, metrics: dict[str, float | None]) -> str:
    """Return what was measured of a band as a line."""
    before, after = (
        "undefined" if metrics[f"correlation_{when}"] is None else f"{metrics[f'correlation_{when}']:.4f}"
        for when in ("before", "after")
    )
    return (
        f"{band}: median flow {metrics['dx']:+.3f}, {metrics['dy']:+.3f} pixels (x, y); "
        f"correlation with {BANDS[GREEN]} {before} before, {after} after"
    )


def _median(band: gdal.Band) -> float:
    """Return the median of the values of a band that are not missing."""
    values = band.ReadAsArray()
    values = values[np.isfinite(values)]
    return float(np.median(values, overwrite_input=True))


def _inner_rows(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of the inner part of an image, strip by strip."""
    bottom, right = (size - BORDER for size in shape)
    if right > BORDER:
        for top in range(BORDER, bottom, ROWS):
            yield slice(top, min(top + ROWS, bottom)), slice(BORDER, right)
