# SPDX-License-Identifier: Apache-2.0
"""Spot-7 and Sentinel-2 as instruments: bands, sharpness, sampling, noise, digital numbers.

A band samples the landscape through a separable Gaussian point spread function, known by its modulation
transfer function (MTF) at the band's own Nyquist frequency, exactly at the centres of the band's pixels,
whatever the phase between its grid and the landscape's. Noise follows the signal-to-noise ratio at a
reference reflectance: a constant part and a part that grows with the signal.

Wavelengths, ground sampling distances and signal-to-noise ratios are those of the Sentinel-2 mission
requirements and of the Spot-6/7 user guide, rounded; the MTF are typical of the in-flight measurements that
the missions publish (0.15-0.3 at Nyquist for Sentinel-2's 10 and 20 m bands).
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from simulate.landscape import Landscape

REACH = 5.0
"""Radius at which point spread functions are cut, in standard deviations."""


@dataclass(frozen=True)
class Band:
    """A spectral band of an instrument."""

    name: str
    """As the mission names it."""
    interval: tuple[float, float]
    """Shortest and longest wavelength, in nm."""
    gsd: float
    """Ground sampling distance, in metres."""
    mtf: float
    """Modulation transfer at the Nyquist frequency, 1 / (2 gsd)."""
    snr: float
    """Signal-to-noise ratio at `reference`."""
    reference: float = 0.12
    """Reflectance at which `snr` is given."""


def _bands(*bands: tuple) -> dict[str, Band]:
    return {values[0]: Band(*values) for values in bands}


SENTINEL2 = _bands(
    ("B01", (433, 453), 60.0, 0.30, 129.0),
    ("B02", (460, 524), 10.0, 0.25, 154.0),
    ("B03", (542, 578), 10.0, 0.25, 168.0),
    ("B04", (649, 680), 10.0, 0.22, 142.0),
    ("B05", (697, 712), 20.0, 0.28, 117.0),
    ("B06", (733, 748), 20.0, 0.27, 89.0),
    ("B07", (773, 793), 20.0, 0.26, 105.0),
    ("B08", (780, 886), 10.0, 0.22, 172.0),
    ("B8A", (854, 875), 20.0, 0.25, 72.0),
    ("B09", (935, 955), 60.0, 0.28, 114.0),
    ("B10", (1360, 1390), 60.0, 0.28, 50.0),
    ("B11", (1568, 1659), 20.0, 0.20, 100.0),
    ("B12", (2115, 2290), 20.0, 0.22, 100.0),
)
"""Sentinel-2's bands (MSI). B10 sees the surface here: there is no atmosphere."""

SPOT7 = _bands(
    ("R", (625, 695), 6.0, 0.30, 160.0),
    ("G", (530, 590), 6.0, 0.30, 160.0),
    ("B", (455, 525), 6.0, 0.30, 140.0),
    ("NIR", (760, 890), 6.0, 0.30, 160.0),
)
"""Spot-7's multispectral bands, in the order of its products."""

SPOT7_PAN = Band("PAN", (450, 745), 1.5, 0.15, 130.0)
"""Spot-7's panchromatic band."""


@dataclass(frozen=True)
class ImageGrid:
    """Where an image's pixels lie on the landscape."""

    left: float
    """Metres from the landscape's left edge to the image's."""
    top: float
    """Metres from the landscape's top edge to the image's."""
    rows: int
    """Number of rows."""
    columns: int
    """Number of columns."""
    gsd: float
    """Side of a pixel, in metres."""

    def resampled(self, gsd: float) -> "ImageGrid":
        """The same ground in pixels of another size, which must divide it exactly.

        Raises:
            ValueError: the ground is not a whole number of such pixels.
        """
        rows, columns = self.rows * self.gsd / gsd, self.columns * self.gsd / gsd
        if rows != int(rows) or columns != int(columns):
            ground = f"{self.rows * self.gsd:g} x {self.columns * self.gsd:g} m"
            raise ValueError(f"gsd: expected a divisor of {ground}, got {gsd}")
        return ImageGrid(self.left, self.top, int(rows), int(columns), gsd)


def psf_deviation(mtf: float, gsd: float) -> float:
    """Standard deviation of the Gaussian whose transfer at 1 / (2 gsd) is `mtf`, in the unit of `gsd`."""
    return gsd * float(np.sqrt(-2.0 * np.log(mtf))) / np.pi


def psf_weights(deviation: float, size: int, gsd: float, start: float, count: int, step: float) -> sparse.csr_matrix:
    """Weights of one axis of the landscape in each pixel of an image.

    Args:
        deviation: standard deviation of the point spread function, in metres.
        size: number of landscape pixels.
        gsd: side of a landscape pixel, in metres.
        start: edge of the image's first pixel, in metres from the landscape's edge.
        count: number of pixels of the image.
        step: side of a pixel of the image, in metres.

    Returns:
        Sparse matrix (count, size), float32, whose rows sum to 1. Beyond its edges the landscape is mirrored.
    """
    reach = int(np.ceil(REACH * deviation / gsd)) + 1
    centres = (start + (np.arange(count) + 0.5) * step) / gsd - 0.5
    taps = np.floor(centres).astype(int)[:, None] + np.arange(-reach, reach + 1)[None]
    weights = np.exp(-0.5 * ((taps - centres[:, None]) * gsd / deviation) ** 2)
    weights /= weights.sum(1, keepdims=True)
    period = np.mod(taps, 2 * size)
    mirrored = np.where(period < size, period, 2 * size - 1 - period)
    rows = np.repeat(np.arange(count), taps.shape[1])
    matrix = sparse.coo_matrix((weights.ravel(), (rows, mirrored.ravel())), shape=(count, size))
    return matrix.tocsr().astype(np.float32)


def discrete_deviation(mtf: float, step: float, gsd: float) -> float:
    """Standard deviation whose *sampled* kernel transfers exactly `mtf` at 1 / (2 step).

    It is `psf_deviation` for pixels much larger than the landscape's. For pixels as small as the landscape's
    own, the sampled Gaussian transfers more than the continuous one, which is made up for here.

    Args:
        mtf: modulation transfer at the image's Nyquist frequency.
        step: side of an image pixel, in metres.
        gsd: side of a landscape pixel, in metres.
    """

    def excess(deviation: float) -> float:
        taps = np.arange(-64, 65) * gsd
        weights = np.exp(-0.5 * (taps / deviation) ** 2)
        return float((weights * np.cos(np.pi * taps / step)).sum() / weights.sum()) - mtf

    guess = psf_deviation(mtf, step)
    return float(optimize.brentq(excess, 0.5 * guess, 2.0 * guess))


def observe(image: np.ndarray, band: Band, grid: ImageGrid, gsd: float, mtf: float | None = None) -> np.ndarray:
    """What a band sees, without noise.

    Args:
        image: reflectance in the band at the landscape's resolution, float32.
        band: the band; only its MTF is used.
        grid: where to sample; its pixel size is the sampling distance.
        gsd: side of a pixel of `image`, in metres.
        mtf: modulation transfer at the grid's Nyquist frequency, instead of the band's.

    Returns:
        float32 array of reflectance, (rows, columns) of the grid.
    """
    return sample(image, discrete_deviation(band.mtf if mtf is None else mtf, grid.gsd, gsd), grid, gsd)


def sample(image: np.ndarray, deviation: float, grid: ImageGrid, gsd: float) -> np.ndarray:
    """Samples an image through a Gaussian point spread function.

    Args:
        image: (rows, columns), float32.
        deviation: standard deviation of the point spread function, in metres.
        grid: where to sample.
        gsd: side of a pixel of `image`, in metres.

    Returns:
        float32 array, (rows, columns) of the grid.
    """
    down = psf_weights(deviation, image.shape[0], gsd, grid.top, grid.rows, grid.gsd)
    across = psf_weights(deviation, image.shape[1], gsd, grid.left, grid.columns, grid.gsd)
    return np.ascontiguousarray((across @ (down @ image).T).T)


def add_noise(reflectance: np.ndarray, band: Band, rng: np.random.Generator) -> np.ndarray:
    """Adds the band's noise.

    At `band.reference`, a third of its variance is constant and the rest follows the number of photons.

    Args:
        reflectance: float32 array.
        band: gives the signal-to-noise ratio.
        rng: source of randomness.
    """
    relative = np.clip(reflectance, 0.0, None) / band.reference
    deviation = band.reference / band.snr * np.sqrt(1.0 / 3.0 + 2.0 / 3.0 * relative)
    return reflectance + deviation * rng.standard_normal(reflectance.shape, dtype=np.float32)


def digital_numbers(reflectance: np.ndarray, offset: int = 0, quantification: float = 1e4) -> np.ndarray:
    """Quantises reflectance to 16 bits: rounded, and clipped to 1-65535 since 0 means no data.

    Args:
        reflectance: any array.
        offset: added to the digital numbers (1000 for Sentinel-2 from baseline 04.00 on).
        quantification: digital numbers per unit of reflectance.

    Returns:
        uint16 array.
    """
    return np.clip(np.rint(reflectance * quantification) + offset, 1, 65535).astype(np.uint16)


def spot7(landscape: Landscape, grid: ImageGrid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Takes a Spot-7 image.

    Args:
        landscape: the ground.
        grid: the panchromatic grid (1.5 m); the multispectral one has the same upper left corner.
        rng: source of randomness.

    Returns:
        Multispectral (4, rows / 4, columns / 4) and panchromatic (rows, columns) reflectances, float32.
    """
    coarse = grid.resampled(SPOT7["R"].gsd)
    images = []
    for band, sampling in (*((band, coarse) for band in SPOT7.values()), (SPOT7_PAN, grid)):
        seen = observe(landscape.reflectance(band.interval), band, sampling, landscape.gsd)
        images.append(add_noise(seen, band, rng))
    return np.stack(images[:-1]), images[-1]


def truth(landscape: Landscape, grids: list[ImageGrid]) -> list[np.ndarray]:
    """Spot-7's multispectral bands as its panchromatic optics would see them, without noise.

    Args:
        landscape: the ground.
        grids: the areas, at 1.5 m.

    Returns:
        Reflectance of each area, (4, rows, columns), float32.
    """
    areas = [np.empty((len(SPOT7), grid.rows, grid.columns), np.float32) for grid in grids]
    for number, band in enumerate(SPOT7.values()):
        ground = landscape.reflectance(band.interval)
        for area, grid in zip(areas, grids, strict=True):
            area[number] = observe(ground, band, grid, landscape.gsd, SPOT7_PAN.mtf)
    return areas


def sentinel2(landscape: Landscape, grid: ImageGrid) -> dict[str, np.ndarray]:
    """What Sentinel-2's L2A bands see of the ground, without clouds or noise.

    Args:
        landscape: the ground.
        grid: the 10 m grid; its size must be a multiple of 60 m.

    Returns:
        Reflectance (float32) by band, each at its own sampling distance; no B10, as in L2A products.
    """
    return {
        name: observe(landscape.reflectance(band.interval), band, grid.resampled(band.gsd), landscape.gsd)
        for name, band in SENTINEL2.items()
        if name != "B10"
    }
