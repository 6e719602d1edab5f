# SPDX-License-Identifier: Apache-2.0
"""What a report measures of a product: no truth is known, the input is all there is to hold it against.

For each band, over the windows that are read:

* consistency: the product made as coarse as the input by Wald's protocol (`models.degradation`, with which networks are
  consistent), minus the input; its root mean square, its mean (the shift of the level), and the first as a share of
  the input's mean. Bands that the product lays onto others are not compared;
* sharpness: the mean absolute difference of neighbouring pixels, divided by that of the bicubic interpolation of the
  input; 1 means that no detail was added;
* range: the shares of pixels at the ends of what 16 bits hold, and beyond the input's range by more than `OVERSHOOT`;
* histograms of the input and of the product, each with an area of 1.

Of all bands: the spectral angle between the input and the product made as coarse, both averaged over the largest of
the input's pixels; and the medians of ratios of bands that see nearly the same (`NEIGHBOURS`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from chain.raster.spectral_angle import spectral_angles
from chain.serving.report.resampling import averaged
from chain.serving.report.subject import Pair, Subject

BINS = 60
"""Bars of a histogram."""
SHOWN = (0.1, 99.9)
"""Percentiles between which histograms lie."""
OVERSHOOT = 0.25
"""Share of the input's range by which a product may leave it."""
FULL = 65535
"""Largest number of 16 bits."""
NEIGHBOURS = (("B8A", "B08"), ("B07", "B8A"), ("B07", "B08"))
"""Bands of Sentinel-2 whose wavelengths are near each other: on 12 scenes, L1C and L2A, medians of their ratios were
0.88 to 1.18."""


@dataclass
class BandNumbers:
    """What is measured of a band, window after window."""

    name: str
    """The band."""
    spacing: float
    """Size of the input's pixels, in units of the map; NaN where there is no input."""
    edges: np.ndarray
    """Edges of the histograms' bars."""
    moved: bool = False
    """Whether the product lays it onto another band: it is not compared with the input's pixels below it."""
    pixels: int = 0
    """Valid pixels of the product."""
    at_ends: int = 0
    """Those that are 1 or 65535 of 16 bits."""
    lowest: float = np.inf
    """Least number of the product."""
    highest: float = -np.inf
    """Largest number of the product."""
    beyond: int = 0
    """Those that are beyond the range of the input in their window by more than `OVERSHOOT` of it."""
    made_bars: np.ndarray = field(default_factory=lambda: np.zeros(BINS))
    """Histogram of the product: numbers of pixels."""
    native_bars: np.ndarray = field(default_factory=lambda: np.zeros(BINS))
    """Histogram of the input."""
    compared: int = 0
    """Pixels of the input that the product was compared with."""
    differences: float = 0.0
    """Sum of the differences from them."""
    squares: float = 0.0
    """Sum of their squares."""
    total: float = 0.0
    """Sum of the input's pixels."""
    steps: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """Sums of absolute differences of neighbours, of the product and of the interpolated input."""

    def add_made(self, made: np.ndarray, is_integer: bool) -> None:
        """Add a window of the product."""
        values = made[np.isfinite(made)]
        if not values.size:
            return
        self.pixels += values.size
        if is_integer:
            self.at_ends += int(np.count_nonzero((values <= 1) | (values >= FULL)))
        self.lowest, self.highest = min(self.lowest, float(values.min())), max(self.highest, float(values.max()))
        self.made_bars += np.histogram(values, self.edges)[0]

    def add_pair(self, pair: Pair) -> None:
        """Add a window of which the input is known."""
        native = pair.native[np.isfinite(pair.native)]
        if native.size:
            low, high = float(native.min()), float(native.max())
            margin = OVERSHOOT * (high - low)
            self.beyond += int(np.count_nonzero((pair.made < low - margin) | (pair.made > high + margin)))
            self.native_bars += np.histogram(native, self.edges)[0]
        if native.size and not self.moved:
            off = (pair.degraded - pair.native).astype(np.float64)
            known = np.isfinite(off)
            self.compared += int(known.sum())
            self.differences += float(off[known].sum())
            self.squares += float(np.square(off[known]).sum())
            self.total += float(pair.native[known].sum(dtype=np.float64))
        both = np.isfinite(pair.made) & np.isfinite(pair.bicubic)
        for axis in (0, 1):
            near = np.logical_and(*_neighbours(both, axis))
            for index, image in enumerate((pair.made, pair.bicubic)):
                one, other = _neighbours(image, axis)
                self.steps[index] += np.abs(other - one, dtype=np.float64)[near].sum()

    @property
    def consistency(self) -> float:
        """Root mean square of the differences from the input; NaN where nothing was compared."""
        return float(np.sqrt(self.squares / self.compared)) if self.compared else np.nan

    @property
    def shift(self) -> float:
        """Mean of the differences from the input."""
        return self.differences / self.compared if self.compared else np.nan

    @property
    def mean(self) -> float:
        """Mean of the input, where it was compared."""
        return self.total / self.compared if self.compared else np.nan

    @property
    def relative(self) -> float:
        """Consistency as a share of the input's mean."""
        return self.consistency / self.mean if self.compared and self.mean else np.nan

    @property
    def sharpness(self) -> float:
        """Differences of neighbours, as a ratio to those of the interpolated input; NaN where that is flat."""
        return float(self.steps[0] / self.steps[1]) if self.steps[1] else np.nan


def _neighbours(image: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image without its last, and without its first line along an axis."""
    return (image[:-1], image[1:]) if axis == 0 else (image[:, :-1], image[:, 1:])


@dataclass(frozen=True)
class Numbers:
    """What is measured of a product."""

    bands: Mapping[str, BandNumbers]
    """Of each band."""
    angles: np.ndarray
    """Spectral angles in degrees; none where fewer than two bands have an input."""
    angle_spacing: float
    """Size of the pixels whose spectra are compared."""
    ratios: Mapping[tuple[str, str], float]
    """Medians of the ratios of bands that see nearly the same."""


class Measurement:
    """Takes the numbers of a product window by window.

    Args:
        subject: the product.
    """

    def __init__(self, subject: Subject):
        self._subject = subject
        self._integer = subject.dataset.GetRasterBand(1).DataType == 2  # gdal.GDT_UInt16
        spacings = {name: grid.dx for name, grid in subject.native_grids.items()} if subject.natives else {}
        self._bands = {
            name: BandNumbers(name, spacings.get(name, np.nan), _edges(subject.preview(name)), name in subject.moved)
            for name in subject.bands
        }
        still = [name for name in spacings if name not in subject.moved]
        self._coarsest = max(still, key=lambda name: spacings[name]) if len(still) > 1 else None
        self._angles: list[np.ndarray] = []
        self._ratios: dict[tuple[str, str], list[np.ndarray]] = {}

    def add(self, made: Mapping[str, np.ndarray], pairs: Mapping[str, Pair]) -> None:
        """Add a window: the bands of the product, and those of them of which the input is known."""
        for name, pixels in made.items():
            self._bands[name].add_made(pixels, self._integer)
        for name, pair in pairs.items():
            self._bands[name].add_pair(pair)
        if self._coarsest:
            still = {name: pair for name, pair in pairs.items() if not self._bands[name].moved}
            self._angles.append(_angles(still, self._coarsest))
        if self._subject.is_reflectance:
            for one, other in NEIGHBOURS:
                if {one, other} <= set(made):
                    ratio = made[one][::8, ::8] / made[other][::8, ::8]
                    self._ratios.setdefault((one, other), []).append(ratio[np.isfinite(ratio)])

    @property
    def numbers(self) -> Numbers:
        """What was measured."""
        angles = np.concatenate(self._angles) if self._angles else np.array([])
        ratios = {
            pair: float(np.median(values)) for pair, found in self._ratios.items()
            if (values := np.concatenate(found)).size
        }  # fmt: skip
        spacing = self._bands[self._coarsest].spacing if self._coarsest else np.nan
        return Numbers(self._bands, angles, spacing, ratios)


def _angles(pairs: Mapping[str, Pair], coarsest: str) -> np.ndarray:
    """Return the angles between the spectra of the input and of the product in a window, on its coarsest grid."""
    place = pairs[coarsest].place
    if not (place.rows and place.columns):
        return np.array([])
    shown = [pair for pair in pairs.values() if pair.native.size]
    given = np.stack([averaged(pair.native, pair.place, place) for pair in shown], axis=-1)
    made = np.stack([averaged(pair.degraded, pair.place, place) for pair in shown], axis=-1)
    known = np.isfinite(given).all(axis=-1) & np.isfinite(made).all(axis=-1)
    return spectral_angles(given[known].astype(np.float64), made[known].astype(np.float64))


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of the bars of a histogram of values."""
    valid = values[np.isfinite(values)]
    low, high = np.percentile(valid, SHOWN) if valid.size else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)
