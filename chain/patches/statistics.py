# SPDX-License-Identifier: Apache-2.0
"""Statistics of LR/HR patch pairs, their correlation and alignment, and a contact sheet."""

from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.writing import write_picture

BLURS = (0, 0.5, 1, 1.5, 2, 3)
"""Radii, in LR pixels, of the box means that make HR as soft as LR."""
MEASURED_PIXELS = 24 * 32 * 32
"""Number of LR pixels used to measure the alignment."""
CLEARLY = 0.02
"""By how much more a band correlates with another one than with its own, at least, where the two are interchanged."""
OTHER_UNIT = 2.0
"""Ratio of all bands' means from which HR and LR are in different units."""
SHOWN = 16
"""Number of pairs drawn."""
GAP = 8
"""White pixels between pairs on the contact sheet."""
COLUMNS = 4
"""Pairs in a row of the contact sheet."""
REACH = 6
"""Largest shift of HR that is tried, in HR pixels."""


class Statistics:
    """Statistics of the bands of pairs, accumulated batch by batch."""

    def __init__(self, bands: int):
        self.pixels = {"lr": 0, "hr": 0}
        self._sums = {side: np.zeros((2, bands)) for side in ("lr", "hr")}
        self._extremes = {side: np.array([[np.inf] * bands, [-np.inf] * bands]) for side in ("lr", "hr")}
        self._cross = np.zeros((5, bands, bands))

    def add(self, lr: np.ndarray, hr: np.ndarray) -> None:
        """Add LR (n, size, size, bands) and HR (n, scale * size, scale * size, bands) patches."""
        scale = hr.shape[1] // lr.shape[1]
        for side, patches in (("lr", lr), ("hr", hr)):
            self.pixels[side] += patches[..., 0].size
            low, high = self._extremes[side]
            for band in range(patches.shape[-1]):
                values = patches[..., band].ravel()
                low[band], high[band] = min(low[band], values.min()), max(high[band], values.max())
                values = values.astype(np.float64)
                self._sums[side][:, band] += values.sum(), values @ values
        fine = [averaged(hr[..., band : band + 1], scale).ravel() for band in range(hr.shape[-1])]
        for band in range(lr.shape[-1]):
            x = lr[..., band].ravel().astype(np.float64)
            for other, y in enumerate(fine):
                self._cross[:, band, other] += x.sum(), y.sum(), x @ x, y @ y, x @ y

    def report(self, names: list[str]) -> dict:
        """Return mean, standard deviation, minimum and maximum of each band, and the correlation of LR and HR."""
        report: dict = {}
        for side, pixels in self.pixels.items():
            mean, square = self._sums[side] / pixels
            deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
            columns = zip(names, mean, deviation, *self._extremes[side])
            report[side] = {
                name: dict(zip(("mean", "std", "min", "max"), (round(float(value), 2) for value in values)))
                for name, *values in columns
            }
        report["correlation"] = {
            name: None if np.isnan(value) else round(float(value), 4)
            for name, value in zip(names, np.diag(self.correlations()))
        }
        return report

    def correlations(self) -> np.ndarray:
        """Return the correlation of each band of LR, in rows, with each of HR, in columns; NaN where one is uniform."""
        x, y, xx, yy, xy = self._cross / self.pixels["lr"]
        spread = np.sqrt(np.maximum((xx - x * x) * (yy - y * y), 0.0))
        return np.divide(xy - x * y, spread, out=np.full(spread.shape, np.nan), where=spread > 0)

    def interchanged(self) -> list[tuple[int, int]]:
        """Return pairs of bands that seem to be interchanged in HR: each in LR is more like the other one."""
        found = self.correlations()
        gain = found - np.diag(found)[:, np.newaxis]
        return [(i, j) for i in range(len(gain)) for j in range(i) if min(gain[i, j], gain[j, i]) > CLEARLY]

    def other_unit(self) -> float | None:
        """Return by what HR's means exceed LR's, or fall below, where that is so of all bands; else None."""
        lr, hr = (self._sums[side][0] / self.pixels[side] for side in ("lr", "hr"))
        ratios = hr / np.maximum(lr, 1)
        if ratios.min() > OTHER_UNIT or ratios.max() < 1 / OTHER_UNIT:
            return float(np.median(ratios))
        return None


def averaged(hr: np.ndarray, scale: int) -> np.ndarray:
    """Average HR patches (n, height, width, bands) over LR pixels."""
    parts = [hr[:, row::scale, column::scale].astype(np.float64) for row in range(scale) for column in range(scale)]
    return sum(parts[1:], start=parts[0]) / scale**2


def alignment(lr: np.ndarray, hr: np.ndarray) -> dict:
    """Measure the shift of HR content against LR content.

    HR is blurred, shifted by whole HR pixels, averaged over LR pixels, and correlated with LR. The result is the blur
    and the shift with the highest correlation. Without the blur, which makes HR as soft as LR, the peak would be flat
    and its position random. The sums of the bands are compared. Shifts of up to `REACH` HR pixels are tried, and of at
    most a quarter of a patch.

    Args:
        lr: LR patches (n, size, size, bands).
        hr: HR patches (n, scale * size, scale * size, bands).

    Returns:
        `shift_x`, `shift_y` (in HR pixels, positive where HR content is to the right of and below LR content), `blur`
        (radius, in HR pixels, of a box mean that is applied twice), the `correlation`, and `correlation_unshifted` with
        the same blur.
    """
    scale = hr.shape[1] // lr.shape[1]
    border = min(-(-REACH // scale), lr.shape[1] // 4)
    reach = min(REACH, border * scale)
    kept = slice(border, lr.shape[1] - border)
    inner = lr[:, kept, kept].sum(axis=-1, dtype=np.float64)
    fine = hr.sum(axis=-1, dtype=np.float64)
    size = inner.shape[1] * scale
    scores = {}
    for blur in sorted({int(radius * scale) for radius in BLURS}):
        means = _box_mean(_box_mean(_box_mean(fine, blur, blur), blur, blur), 0, scale - 1)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                y, x = border * scale + dy, border * scale + dx
                scores[blur, dx, dy] = _correlation(inner, means[:, y : y + size : scale, x : x + size : scale])
    (blur, dx, dy), best = max(scores.items(), key=lambda score: score[1])
    return {
        "shift_x": dx,
        "shift_y": dy,
        "blur": blur,
        "correlation": round(best, 4),
        "correlation_unshifted": round(scores[blur, 0, 0], 4),
        "patches": len(lr),
    }


def _box_mean(array: np.ndarray, before: int, after: int) -> np.ndarray:
    """Average (n, height, width) over windows from `before` pixels before each pixel to `after` pixels after it."""
    for axis in (1, 2):
        length, window = array.shape[axis], before + after + 1
        padding = [(before + 1, after) if side == axis else (0, 0) for side in range(3)]
        sums = np.cumsum(np.pad(array, padding, mode="edge"), axis=axis)
        upper, lower = (np.take(sums, np.arange(first, first + length), axis) for first in (window, 0))
        array = (upper - lower) / window
    return array


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two arrays, 0 if one is uniform."""
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / spread) if spread else 0.0


def inspect(folder: Path, name: str, count: int) -> dict:
    """Return the alignment of some pairs of a set, and draw them on `contact_sheet.png`.

    Args:
        folder: folder of the patch images, `<name>_lr.tif` and `<name>_hr.tif`.
        name: name of the set.
        count: number of its pairs.
    """
    size = gdal.Open(str(folder / f"{name}_lr.tif")).RasterXSize
    ranks = np.linspace(0, count - 1, min(count, max(SHOWN, MEASURED_PIXELS // size**2))).astype(int)
    lr, hr = (read_patches(folder / f"{name}_{side}.tif", ranks) for side in ("lr", "hr"))
    shown = np.linspace(0, len(ranks) - 1, min(len(ranks), SHOWN)).astype(int)
    contact_sheet(folder / "contact_sheet.png", lr[shown], hr[shown])
    return alignment(lr, hr)


def read_patches(path: Path, ranks: np.ndarray) -> np.ndarray:
    """Read patches (n, size, size, bands) of an image of patches."""
    dataset = gdal.Open(str(path))
    size = dataset.RasterXSize
    patches = [dataset.ReadAsArray(0, int(rank) * size, size, size) for rank in ranks]
    return np.moveaxis(np.stack(patches), 1, -1)


def contact_sheet(path: Path, lr: np.ndarray, hr: np.ndarray) -> None:
    """Draw pairs, LR on the left and HR on the right, in natural colours, with each patch stretched separately.

    Args:
        path: PNG file to write.
        lr: LR patches (n, size, size, bands), with red, green and blue first.
        hr: HR patches, likewise.
    """
    scale, side = hr.shape[1] // lr.shape[1], hr.shape[1]
    rows = -(-len(lr) // COLUMNS)
    sheet = np.ones((rows * (side + GAP) + GAP, COLUMNS * (2 * side + 2 * GAP) + GAP, 3))
    for pair, (coarse, fine) in enumerate(zip(lr, hr)):
        top = GAP + pair // COLUMNS * (side + GAP)
        left = GAP + pair % COLUMNS * (2 * side + 2 * GAP)
        coarse, fine = (_stretched(image[..., :3]) for image in (coarse, fine))
        sheet[top : top + side, left : left + side] = coarse.repeat(scale, axis=0).repeat(scale, axis=1)
        sheet[top : top + side, left + side + 2 : left + 2 * side + 2] = fine
    picture = gdal.GetDriverByName("MEM").Create("", sheet.shape[1], sheet.shape[0], 3)
    picture.WriteArray(np.moveaxis(np.rint(255 * sheet).astype(np.uint8), -1, 0))
    write_picture(path, "PNG", picture)


def _stretched(image: np.ndarray) -> np.ndarray:
    """Stretch an image to 0 to 1, between its 2nd and 98th percentiles."""
    low, high = np.percentile(image, (2, 98))
    return np.clip((image - low) / max(high - low, 1.0), 0.0, 1.0)
