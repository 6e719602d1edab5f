# SPDX-License-Identifier: Apache-2.0
"""How PROBA-V sees a place for a month, as in ESA's super-resolution challenge, with the truth.

An instrument of 300 m sees the same ground 9 to 20 times, each time from a little elsewhere: by up to 2.5 pixels of
100 m, so that its samples, which are aliased, fall between those of the other times. Calibration drifts, the ground
changes slowly, clouds hide it and cast shadows, and the masks miss their thin edges. A few images hold corrupt values.
Another instrument of 100 m sees the ground once.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulate.clouds import GSD as CLOUDS_GSD
from simulate.clouds import Clouds, clouds, veil
from simulate.illumination import Sun
from simulate.landscape import generate
from simulate.noise import fractal_noise
from simulate.sensors import Band, ImageGrid, add_noise, discrete_deviation, sample
from simulate.windows import cut_window

SCALE = 3
GSD, FINE_GSD = 300.0, 100.0
LANDSCAPE_GSD = 50.0
"""Side of a landscape's pixel, in metres: parcels are 1 to 9 km wide, roads and rivers thin."""
MARGIN = 12
"""Ground around the images, in pixels of 100 m: more than the reach of displacements and blur."""
FEWEST, MOST = 9, 20
"""Smallest and largest number of images per scene."""
LARGEST_SHIFT = 2.5
"""Largest displacement along rows and columns, in pixels of 100 m."""
DAYS = 30.0
GAIN, OFFSET = 0.03, 60.0
"""Largest drift of the calibration: relative, and in digital numbers."""
CHANGE = 0.02
"""Standard deviation of the ground's relative change within a month."""
LARGEST_NUMBER = 2**14 - 1
REFLECTANCES = 0.002, 0.9
"""Darkest and brightest ground."""
CORRUPT_SHARE = 0.03
"""Share of images with corrupt values, in scenes with more than `SPARE` images."""
SPARE = 11
CORRUPT_NUMBERS = 60001, 65536
"""Range of corrupt values."""
CLEAR_SHARE, CLOUDY_SCENES = 0.5, 0.1
"""Share of images without clouds, and share of scenes in which every image has clouds."""
CLOUD_COVER = 0.25
LEAST_CLEAR, HR_LEAST_CLEAR = 0.60, 0.75
"""Clear shares of LR and HR images that the challenge guarantees."""
HR_CLEAR_SHARE, HR_CLOUD_COVER = 0.6, 0.15
DETECTED_CLOUD, DETECTED_SHADE = 0.04, 0.2
"""Opacity and shade above which the masks mark a pixel."""


class Instrument(NamedTuple):
    """Spectral, radiometric and spatial response of a band."""

    interval: tuple[float, float]
    """Wavelengths, in nm."""
    offset: float
    """Digital number of black ground below the atmosphere."""
    gain: float
    """Digital numbers per unit of reflectance."""
    means: tuple[float, float]
    """Range of the scenes' mean reflectances."""
    deviations: tuple[float, float]
    """Range of the deviations of reflectance within a scene."""
    mtf: float = 0.3
    """Modulation transfer of the images of 300 m at their Nyquist frequency."""
    fine_mtf: float = 0.2
    """The same of the image of 100 m."""
    snr: float = 150.0
    """Signal-to-noise ratio at `reference`."""
    reference: float = 0.28
    """Reflectance at which `snr` is given."""


INSTRUMENTS = {
    "NIR": Instrument((777.0, 893.0), 400.0, 26000.0, (0.17, 0.37), (0.05, 0.10)),
    "RED": Instrument((610.0, 690.0), 1100.0, 42000.0, (0.03, 0.15), (0.02, 0.06), reference=0.09),
}
"""PROBA-V's bands, chosen so that digital numbers resemble those of the challenge."""


@dataclass(frozen=True)
class Scene:
    """Images of a place, and their truth."""

    lr: np.ndarray
    """Digital numbers, uint16 (images, rows, columns)."""
    qm: np.ndarray
    """Whether a pixel is clear, of the same shape."""
    hr: np.ndarray
    """Digital numbers, uint16 (rows x 3, columns x 3)."""
    sm: np.ndarray
    """Whether a pixel of `hr` is clear."""
    truth: dict
    """Content of `truth.json`, described in `simulate.probav_scenes`."""


def ground_shape(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns, in pixels of the landscape, of the ground that 300 m images of this size need."""
    factor = round(FINE_GSD / LANDSCAPE_GSD)
    return factor * (SCALE * rows + 2 * MARGIN), factor * (SCALE * columns + 2 * MARGIN)


def see(ground: np.ndarray, displacement: tuple[float, float], mtf: float, gsd: float = GSD) -> np.ndarray:
    """Samples the ground, without noise.

    Args:
        ground: any quantity on the landscape's grid, float32, of a size given by `ground_shape`.
        displacement: rows and columns of 100 m by which the content is displaced in the image.
        mtf: modulation transfer at the image's Nyquist frequency.
        gsd: side of the image's pixels, in metres.

    Returns:
        float32, rows and columns of `gsd`.
    """
    rows, columns = (round((length * LANDSCAPE_GSD - 2 * MARGIN * FINE_GSD) / gsd) for length in ground.shape)
    top, left = ((MARGIN - step) * FINE_GSD for step in displacement)
    deviation = discrete_deviation(mtf, gsd, LANDSCAPE_GSD)
    return sample(ground, deviation, ImageGrid(left, top, rows, columns, gsd), LANDSCAPE_GSD)


def draw_ground(image: np.ndarray, band: str, rng: np.random.Generator) -> np.ndarray:
    """Makes the ground of a scene from an image in any linear unit, with random mean and contrast.

    Scenes of the challenge vary more between than within each other: most have less contrast than a nearby landscape.

    Args:
        image: on the landscape's grid.
        band: `NIR` or `RED`.
        rng: source of randomness.

    Returns:
        Reflectance, float32, of the same shape.
    """
    mean, deviation = (rng.uniform(*limits) for limits in (INSTRUMENTS[band].means, INSTRUMENTS[band].deviations))
    contrast = deviation / max(float(image.std()), 1e-9)
    return np.clip(mean + contrast * (image - image.mean()), *REFLECTANCES).astype(np.float32)


def simulate_scene(ground: np.ndarray, band: str, rng: np.random.Generator) -> Scene:
    """Simulates a scene.

    Args:
        ground: reflectance on the landscape's grid, float32, of a size given by `ground_shape`.
        band: `NIR` or `RED`.
        rng: source of randomness.
    """
    instrument = INSTRUMENTS[band]
    change = CHANGE / DAYS * fractal_noise(ground.shape, 160.0, 8.0, rng, 0.7)
    truth_day = float(rng.uniform(0.0, DAYS))
    count = int(rng.integers(FEWEST, MOST + 1))
    is_cloudy = rng.uniform() < CLOUDY_SCENES
    images, masks, frames = [], [], []
    for _ in range(count):
        day, displacement = float(rng.uniform(0.0, DAYS)), rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2).tolist()
        has_clouds = rng.uniform() >= CLEAR_SHARE or is_cloudy
        cover = float(rng.uniform(0.1 if is_cloudy else 0.0, CLOUD_COVER)) if has_clouds else 0.0
        changed = ground * (1.0 + np.float32(day - truth_day) * change)
        image, mask, frame = _take(changed, instrument, displacement, cover, GSD, LEAST_CLEAR, rng)
        frame["corrupt"] = bool(count > SPARE and rng.uniform() < CORRUPT_SHARE)
        if frame["corrupt"]:
            _corrupt(image, rng)
        images.append(image)
        masks.append(mask)
        frames.append({"displacement": displacement, "day": day, **frame})
    cover = 0.0 if rng.uniform() < HR_CLEAR_SHARE else float(rng.uniform(0.0, HR_CLOUD_COVER))
    hr, sm, own = _take(ground, instrument, (0.0, 0.0), cover, FINE_GSD, HR_LEAST_CLEAR, rng)
    truth = {"band": band, "hr": {"day": truth_day, **own}, "images": frames}
    return Scene(np.stack(images), np.stack(masks), hr, sm, truth)


def _take(
    ground: np.ndarray,
    instrument: Instrument,
    displacement: tuple[float, float],
    cover: float,
    gsd: float,
    least_clear: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Takes an image whose mask is clear on at least `least_clear`; returns both, with calibration and clouds."""
    mtf = instrument.mtf if gsd == GSD else instrument.fine_mtf
    while True:
        sky = _sky(ground.shape, cover, rng)
        opacity, shade = (see(layer, displacement, mtf, gsd) for layer in sky)
        mask = (opacity < DETECTED_CLOUD) & (shade < DETECTED_SHADE)
        if mask.mean() >= least_clear:
            break
        cover *= 0.7
    wavelength = sum(instrument.interval) / 2.0
    seen = see(veil(ground, sky, wavelength, CLOUDS_GSD) if cover else ground, displacement, mtf, gsd)
    band = Band("", instrument.interval, gsd, mtf, instrument.snr, instrument.reference)
    gain, offset = float(rng.uniform(1.0 - GAIN, 1.0 + GAIN)), float(rng.uniform(-OFFSET, OFFSET))
    counts = gain * (instrument.offset + instrument.gain * add_noise(seen, band, rng)) + offset
    image = np.clip(np.rint(counts), 0, LARGEST_NUMBER).astype(np.uint16)
    return image, mask, {"gain": gain, "offset": offset, "cloud_cover": cover}


def _sky(shape: tuple[int, int], cover: float, rng: np.random.Generator) -> Clouds:
    """Makes clouds over the ground, on the landscape's grid."""
    return clouds(shape, cover, (slice(None), slice(None)), Sun(), rng)


def _corrupt(image: np.ndarray, rng: np.random.Generator) -> None:
    """Writes corrupt values into part of a row of an image."""
    row, start = (int(rng.integers(length)) for length in image.shape)
    part = image[row, start : start + int(rng.integers(1, image.shape[1]))]
    part[:] = rng.integers(*CORRUPT_NUMBERS, part.shape)


def cut_ground(image: np.ndarray, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts a random window out of an image.

    Args:
        image: any linear unit, on the landscape's grid; 0 is a missing pixel.
        rows: rows of the 300 m images of this ground.
        columns: their columns.
        rng: source of randomness.

    Returns:
        float32 of `ground_shape(rows, columns)`.

    Raises:
        ValueError: the image is too small, or no window without missing pixels is found.
    """
    shape = ground_shape(rows, columns)
    return cut_window(image, shape, f"images of {rows} x {columns}", rng)


def make_scene(
    band: str, rows: int, columns: int, seed: int, number: int, is_test: bool = False, landscape=None
) -> Scene:
    """Makes a scene of a set.

    Args:
        band: `NIR` or `RED`.
        rows: rows of the images of 300 m.
        columns: their columns.
        seed: seed of the whole set.
        number: the scene's number among those for training, or for the test.
        is_test: whether it is for the test.
        landscape: image to observe, as for `cut_ground`; by default a landscape is generated.

    Raises:
        ValueError: as for `cut_ground`.
    """
    rng = np.random.default_rng((seed, int(is_test), number))
    if landscape is None:
        made = generate(ground_shape(rows, columns), int(rng.integers(2**63)))
        image = made.reflectance(INSTRUMENTS[band].interval)
    else:
        image = cut_ground(landscape, rows, columns, rng)
    return simulate_scene(draw_ground(image, band, rng), band, rng)
