# SPDX-License-Identifier: Apache-2.0
"""How two neighbouring detectors of Sentinel-2 see the same ground, at level L1B, with their true displacements.

Each band of each detector samples the ground every 10 m, at its own positions: the band's shift against green, the
detector's shift, and slow waves that stand for parallax and attitude. Only the sensor blurs, so images are as aliased
as real ones. Every pixel of images and truth samples the same surface: the ground at 5 m with the sensor's sharpness,
interpolated by a spline of degree 5. Compared with the landscape seen at the same positions, this interpolation errs by
less than 0.2 counts (root mean square); noise is 0.7 to 2.

The truth holds the same ground sharper too, at the same positions: as a sensor with pixels of 5 m would see it, whose
transfer at its own Nyquist frequency is the band's. Images that are taken for landscapes of 5 m are what such a sensor
saw: they are left as they are, with their noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from simulate.landscape import generate
from simulate.sensors import SENTINEL2, ImageGrid, add_noise, digital_numbers, discrete_deviation, sample
from simulate.windows import cut_window

BANDS = ("B02", "B03", "B04", "B08")
GREEN = BANDS.index("B03")
DETECTORS = ("left", "right")
MTF = tuple(SENTINEL2[name].mtf for name in BANDS)
"""Modulation transfer of each band at the Nyquist frequency of 10 m."""
FINE_GSD = 5.0
GSD = 10.0
LANDSCAPE_GSD = 2.5
"""Side of a landscape's pixel, in metres: parcels are larger than in `simulate.scenes`, and generated faster."""
MARGIN = 12
"""Ground around the images, in pixels of 10 m: more than the reach of displacements and spline."""
DETECTOR_SHIFT, BAND_SHIFT = 6.0, 2.0
"""Largest shifts between the detectors, and from green to another band, in pixels of 10 m."""
WAVES, AMPLITUDE, SHORTEST, LONGEST = 3, 0.1, 150.0, 600.0
"""Number of waves per band, their largest amplitude, and their range of lengths, in pixels of 10 m."""
DEGREE = 5
ITERATIONS = 6
"""Iterations to determine a flow; each reduces the error at least 70 times."""


class Radiometry(NamedTuple):
    """Conversion of a band from reflectance to counts."""

    offset: float
    """Counts of black ground below the atmosphere."""
    gain: float
    """Counts per unit of reflectance."""
    reference: float
    """Counts at which the band has its signal-to-noise ratio."""


COUNTS = {
    "B02": Radiometry(138.0, 1500.0, 110.0),
    "B03": Radiometry(100.0, 1400.0, 140.0),
    "B04": Radiometry(52.0, 1300.0, 110.0),
    "B08": Radiometry(40.0, 1350.0, 250.0),
}
"""Chosen so that counts and noise resemble real L1B images over land in summer."""


class Ground(NamedTuple):
    """Ground at 5 m, counts, float32 (rows, columns, 4)."""

    seen: np.ndarray
    """With the sharpness of the sensor, whose pixels are of 10 m."""
    sharp: np.ndarray
    """With that of a sensor with pixels of 5 m."""


@dataclass(frozen=True)
class Motion:
    """Ground positions of a band's pixels: pixel p sees p + shift + waves(p), all as (x, y) in pixels of 10 m."""

    shift: np.ndarray
    """(2,)."""
    amplitudes: np.ndarray
    """(waves, 2)."""
    frequencies: np.ndarray
    """(waves, 2), of x and y, in radians per pixel."""
    phases: np.ndarray
    """(waves, 2), of the displacements along x and y, in radians."""

    def offset(self, positions: np.ndarray) -> np.ndarray:
        """Displacement at positions (..., 2), of the same shape."""
        result = np.empty_like(positions)
        angles = [positions @ frequency for frequency in self.frequencies]
        for axis in (0, 1):
            result[..., axis] = self.shift[axis]
            for angle, amplitude, phase in zip(angles, self.amplitudes[:, axis], self.phases[:, axis]):
                result[..., axis] += amplitude * np.sin(angle + phase)
        return result


@dataclass(frozen=True)
class Pair:
    """Two detectors' images of the same ground."""

    left: np.ndarray
    """Counts (rows, columns, 4): uint16, or float32 without noise."""
    right: np.ndarray
    """The same from the other detector."""
    truth: dict[str, np.ndarray]
    """float32 arrays, listed in `simulate.detector_pairs`."""


def draw_motions(rng: np.random.Generator) -> dict[str, list[Motion]]:
    """Draws the motions of both detectors' bands, by detector."""
    between = _in_disc(rng, DETECTOR_SHIFT)
    return {
        detector: [_draw_motion(rng, side * between / 2.0, band == GREEN) for band in range(len(BANDS))]
        for detector, side in zip(DETECTORS, (-1.0, 1.0))
    }


def _draw_motion(rng: np.random.Generator, of_detector: np.ndarray, is_green: bool) -> Motion:
    shift = of_detector if is_green else of_detector + _in_disc(rng, BAND_SHIFT)
    amplitudes = rng.uniform(-AMPLITUDE, AMPLITUDE, (WAVES, 2))
    angles, lengths = rng.uniform(0.0, np.pi, WAVES), rng.uniform(SHORTEST, LONGEST, WAVES)
    frequencies = 2.0 * np.pi / lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Motion(shift, amplitudes, frequencies, rng.uniform(0.0, 2.0 * np.pi, (WAVES, 2)))


def _in_disc(rng: np.random.Generator, radius: float) -> np.ndarray:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return radius * np.sqrt(rng.uniform()) * np.array([np.cos(angle), np.sin(angle)])


def find_flow(origin: Motion, target: Motion, positions: np.ndarray) -> np.ndarray:
    """Determines the flow from one band to another.

    Args:
        origin: motion of the band on whose grid the flow is defined.
        target: motion of the band that the flow points into.
        positions: pixels of the origin, (..., 2).

    Returns:
        The flow f, (..., 2): the target's pixel p + f sees the ground that the origin's pixel p sees.
    """
    seen = origin.offset(positions)
    flow = seen - target.offset(positions)
    for _ in range(ITERATIONS):
        flow = seen - target.offset(positions + flow)
    return flow


def ground_shape(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns, in pixels of 5 m, of the ground that a pair of this size needs."""
    return 2 * (rows + 2 * MARGIN), 2 * (columns + 2 * MARGIN)


def render_ground(rows: int, columns: int, seed: int, mtf: Sequence[float] = MTF) -> Ground:
    """Generates a landscape and samples it at 5 m.

    Args:
        rows: rows of the 10 m images of this ground.
        columns: their columns.
        seed: the same seed and size give the same landscape.
        mtf: the sensor's modulation transfer at the Nyquist frequency of 10 m, of each band.

    Returns:
        Ground of `ground_shape(rows, columns)`.
    """
    factor = round(FINE_GSD / LANDSCAPE_GSD)
    height, width = (factor * length for length in ground_shape(rows, columns))
    landscape = generate((height, width), seed)
    seen, sharp = [], []
    for name, transfer in zip(BANDS, mtf):
        reflectance = landscape.reflectance(SENTINEL2[name].interval)
        offset, gain, _ = COUNTS[name]
        seen.append(offset + gain * _blur(reflectance, transfer, GSD, LANDSCAPE_GSD))
        sharp.append(offset + gain * _blur(reflectance, SENTINEL2[name].mtf, FINE_GSD, LANDSCAPE_GSD))
    return Ground(np.stack(seen, axis=-1), np.stack(sharp, axis=-1))


def cut_ground(
    image: np.ndarray, rows: int, columns: int, rng: np.random.Generator, mtf: Sequence[float] = MTF
) -> Ground:
    """Cuts a random window out of an image: as it is, and blurred like the sensor.

    Args:
        image: counts (rows, columns, 4) at 5 m; 0 is a missing pixel.
        rows: rows of the 10 m images of this ground.
        columns: their columns.
        rng: source of randomness.
        mtf: the sensor's modulation transfer at the Nyquist frequency of 10 m, of each band.

    Returns:
        Ground of `ground_shape(rows, columns)`.

    Raises:
        ValueError: the image is too small, or no window without missing pixels is found.
    """
    height, width = ground_shape(rows, columns)
    window = cut_window(image, (height, width), f"pairs of {rows} x {columns}", rng)
    seen = [_blur(window[..., band], transfer, GSD, FINE_GSD) for band, transfer in enumerate(mtf)]
    return Ground(np.stack(seen, axis=-1), window)


def _blur(image: np.ndarray, mtf: float, step: float, gsd: float) -> np.ndarray:
    """Samples an image of `gsd` metres at 5 m, with the sharpness of pixels of `step` metres."""
    rows, columns = (round(size * gsd / FINE_GSD) for size in image.shape)
    grid = ImageGrid(0.0, 0.0, rows, columns, FINE_GSD)
    return sample(image, discrete_deviation(mtf, step, gsd), grid, gsd)


def see(ground: Ground, motions: dict[str, list[Motion]], rng: np.random.Generator | None = None) -> Pair:
    """Observes the ground with both detectors.

    Args:
        ground: of the size given by `ground_shape`.
        motions: motions of each detector's bands.
        rng: source of the noise; without it, images have no noise and are not rounded.
    """
    rows, columns = (length // 2 - 2 * MARGIN for length in ground.seen.shape[:2])
    coefficients, sharp = (
        [ndimage.spline_filter(image[..., band].astype(np.float64), DEGREE) for band in range(len(BANDS))]
        for image in ground
    )
    pixels, halves = _positions(rows, columns, 1.0), _positions(2 * rows, 2 * columns, 0.5)
    images, truth = {}, {}
    for detector in DETECTORS:
        own = motions[detector]
        images[detector] = np.stack(
            [_count(_sample(coefficients[band], own[band], pixels), name, rng) for band, name in enumerate(BANDS)],
            axis=-1,
        )
        fine, sharper = (
            np.stack([_sample(band, own[GREEN], halves) for band in bands], axis=-1).astype(np.float32)
            for bands in (coefficients, sharp)
        )
        flows = [find_flow(own[GREEN], motion, pixels) for motion in own]
        truth[f"flow_{detector}"] = np.stack(flows, axis=2).astype(np.float32)
        truth[f"hr_{detector}"] = fine
        truth[f"sharp_{detector}"] = sharper
        truth[f"registered_{detector}"] = np.ascontiguousarray(fine[::2, ::2])
    green = [motions[detector][GREEN] for detector in DETECTORS]
    truth["cross"] = find_flow(*green, pixels).astype(np.float32)
    return Pair(*(images[detector] for detector in DETECTORS), truth)


def _positions(rows: int, columns: int, step: float) -> np.ndarray:
    """Positions (rows, columns, 2) of a grid with a pixel distance of `step`."""
    y, x = np.indices((rows, columns)) * step
    return np.stack([x, y], axis=-1)


def _sample(coefficients: np.ndarray, motion: Motion, positions: np.ndarray) -> np.ndarray:
    """Samples of a band with a motion at positions."""
    places = 2.0 * (positions + motion.offset(positions) + MARGIN)
    return ndimage.map_coordinates(
        coefficients, [places[..., 1], places[..., 0]], order=DEGREE, mode="mirror", prefilter=False
    )


def _count(counts: np.ndarray, name: str, rng: np.random.Generator | None) -> np.ndarray:
    """Adds a band's noise and rounds, if there is a source of noise."""
    if rng is None:
        return counts.astype(np.float32)
    return digital_numbers(add_noise(counts, replace(SENTINEL2[name], reference=COUNTS[name].reference), rng), 0, 1.0)


def simulate_pair(
    rows: int,
    columns: int,
    seed: int,
    number: int,
    landscape: np.ndarray | None = None,
    mtf_range: tuple[float, float] | None = None,
) -> Pair:
    """Simulates a pair.

    Args:
        rows: rows of the images.
        columns: columns of the images.
        seed: seed of the whole set.
        number: the pair's number.
        landscape: image to observe, counts (rows, columns, 4) at 5 m; by default a landscape is generated.
        mtf_range: range from which the modulation transfer of each band is drawn; by default it is `MTF`.

    Raises:
        ValueError: as for `cut_ground`.
    """
    rng = np.random.default_rng((seed, number))
    mtf = tuple(rng.uniform(*mtf_range, len(BANDS))) if mtf_range else MTF
    if landscape is None:
        ground = render_ground(rows, columns, int(rng.integers(2**63)), mtf)
    else:
        ground = cut_ground(landscape, rows, columns, rng, mtf)
    return see(ground, draw_motions(rng), rng)
