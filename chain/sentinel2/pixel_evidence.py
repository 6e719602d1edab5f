# SPDX-License-Identifier: Apache-2.0
"""What the pixels of an image tell of the offset of its digital numbers (DN).

Atmospheric correction leaves hardly any reflectance below -0.05, and none below -0.02 over large areas. So many DN
far below 1000, in several bands, prove that there is no offset of 1000. Conversely the darkest parts of an image
(vegetation and water in the visible, water and shadows in the short-wave infrared) lie far below 1000 without an
offset, and never with one: where no band is as dark as that, an offset is likely.

Pixels near others without data are not looked at: where an image was resampled before its nodata was declared, they
are mixtures with the fill, and darker than any ground. Neither are pixels that are equal in all bands, which are fill.
How far mixtures reach is not known, as an image can have been coarser before: that there is no offset is certain only
if the half of the pixels that is farthest from missing ones and from borders shows it too.

Bands coarser than the image's pixels are averaged over native ones: cubic and Lanczos interpolation leaves pixels
beside edges that are darker than any ground. What it can take away from these averages grows with the band's contrast.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from osgeo import gdal
from scipy.ndimage import distance_transform_edt, uniform_filter

from chain.raster.mask import grow
from chain.sentinel2.bands import BANDS, FINEST
from chain.sentinel2.sampling import sampled_parts

IMPOSSIBLE_WITH_OFFSET = ((500, 0.01), (800, 0.1))
"""Digital numbers, and the share of a band's pixels below them from which the band carries no offset of 1000."""
DARK_BANDS = ("B02", "B03", "B04", "B05", "B10", "B11", "B12")
"""Bands in which most images have dark pixels; B01 of L1C has none, for the air's own light."""
FLOOR = 950
"""Digital number below which hardly any pixel lies in an image with an offset of 1000, noise included."""
FLOOR_OF_COARSE = 800
"""The same of bands coarser than 10 m beside those of 10 m: in a stack, Lanczos and cubic overshoot beside edges."""
DARK_WITH_OFFSET = 1600
"""Digital number below which the darkest pixels of most bands lie in an image with an offset of 1000."""
MIDDLE_WITH_OFFSET = 2800
"""Digital number below which half of the pixels of most such bands lie in an image with an offset of 1000."""
DARKEST, DARKEST_OF_COARSE = 0.5, 5.0
"""Percentile that stands for the darkest pixels of a band, and of one that is coarser than its pixels: overshooting
darkens some of these."""
OVERSHOOT = 0.2
"""Share of a band's contrast by which Lanczos and cubic interpolation can darken these pixels."""
MARGIN = 3
"""Native pixels of a band around one without data that are not looked at: the reach of Lanczos' kernel."""
LEAST_PIXELS = 200
"""Fewer pixels of a band tell nothing."""


@dataclass(frozen=True)
class Evidence:
    """What pixels tell of the offset."""

    offset: int | None = None
    """0: there is none, for sure. -1000: there is likely one of 1000. None: they tell nothing."""
    text: str = ""
    """What this rests on, or why they tell nothing."""
    certain: bool = False
    """Whether pixels far from missing ones, which fill has no part in, show that there is none."""
    shown: float = 0.0
    """Share of the bands of `DARK_BANDS` whose pixels lie where an offset of 1000 puts those of most images."""


def evidence_of(names: Mapping[str, str]) -> Evidence:
    """Look at the pixels of an image.

    Args:
        names: for each band, a raster of one band, of digital numbers.
    """
    samples = samples_of(names)
    darkest, middle, ground, far = {}, {}, {}, 0
    disproved: dict[str, str] = {}
    for band, sample in samples.items():
        if sample.values.size < LEAST_PIXELS:
            continue
        lowest = DARKEST_OF_COARSE if sample.is_finer else DARKEST
        darkest[band], middle[band] = (float(value) for value in np.percentile(sample.values, (lowest, 50)))
        ground[band] = darkest[band]
        if sample.is_finer:
            ground[band] += OVERSHOOT * (float(np.percentile(sample.values, 100 - lowest)) - darkest[band])
        shares = _shares(sample.values)
        if shares:
            disproved[band] = f"{band} {shares[0]}"
        far += bool(shares and _shares(sample.values[sample.far]))
    needed = 1 if len(darkest) == 1 else max(2, len(darkest) // 4)
    if disproved and len(disproved) >= needed:
        text = f"pixels that no offset of 1000 allows: {', '.join([*disproved.values()][:4])}, away from missing ones"
        return Evidence(0, text, certain=far >= needed)
    dark = {band: value for band, value in darkest.items() if band in DARK_BANDS}
    if all(samples[band].is_finer for band in disproved) and dark and _is_bright(ground):
        shown = sum(dark[band] < DARK_WITH_OFFSET and middle[band] < MIDDLE_WITH_OFFSET for band in dark) / len(dark)
        listed = ", ".join(f"{band} {value:.0f}" for band, value in sorted(dark.items(), key=lambda item: item[1])[:4])
        text = f"no band has darker pixels than an offset of 1000 allows: {listed} at their darkest"
        return Evidence(-1000, text, shown=shown)
    if not darkest:
        return Evidence(text="too few pixels")
    return Evidence(
        text=f"dark pixels in too few bands: {', '.join(disproved.values())}" if disproved else "few dark pixels"
    )


def _is_bright(darkest: Mapping[str, float]) -> bool:
    """Return whether no band has darker pixels than an offset of 1000 allows."""
    finest = [value for band, value in darkest.items() if BANDS[band] == FINEST] or list(darkest.values())
    return min(finest) >= FLOOR and min(darkest.values()) >= FLOOR_OF_COARSE


def _shares(values: np.ndarray) -> list[str]:
    """Return in words which parts of a band's numbers are lower than an offset allows."""
    parts = [(number, float(np.mean(values < number)), share) for number, share in IMPOSSIBLE_WITH_OFFSET]
    return [f"{100 * part:.1f} % below {number}" for number, part, share in parts if part > share]


@dataclass(frozen=True)
class Sample:
    """Some valid pixels of a band, away from missing ones."""

    values: np.ndarray
    """Their numbers, (count,)."""
    far: np.ndarray
    """Whether each is in the half that is farthest from missing ones and borders, (count,)."""
    is_finer: bool
    """Whether the raster's pixels are finer than the band's native ones."""


def samples_of(names: Mapping[str, str]) -> dict[str, Sample]:
    """Return valid pixels of each band, away from missing ones; none where it cannot be read."""
    datasets = {band: gdal.Open(name) for band, name in names.items()}
    by_shape: dict[tuple[int, int], list[str]] = {}
    for band, dataset in datasets.items():
        by_shape.setdefault((dataset.RasterXSize, dataset.RasterYSize), []).append(band)
    found: dict[str, Sample] = {}
    for bands in by_shape.values():
        found.update(_clear({band: sampled_parts(datasets[band]) for band in bands}))
    return found


def _clear(bands: Mapping[str, list[tuple[np.ndarray, float]]]) -> dict[str, Sample]:
    """Return the pixels of bands of one shape that are valid in all and away from those that are not."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {band: [] for band in bands}
    finer = dict.fromkeys(bands, False)
    for parts in zip(*bands.values()):
        arrays, spacing = np.stack([array for array, _ in parts]), parts[0][1]
        missing = np.isnan(arrays).any(axis=0)
        if len(arrays) > 2:
            missing |= (arrays == arrays[0]).all(axis=0)
        away = distance_transform_edt(np.pad(~missing, 1))[1:-1, 1:-1]
        for band, array in zip(bands, arrays):
            ratio = max(1, round(BANDS[band] / spacing))
            reach, finer[band] = MARGIN * ratio, ratio > 1
            looked = ~grow(missing, reach)
            border = [min(reach, size // 8) for size in looked.shape]
            looked[: border[0]] = looked[looked.shape[0] - border[0] :] = False
            looked[:, : border[1]] = looked[:, looked.shape[1] - border[1] :] = False
            values = uniform_filter(np.nan_to_num(array), ratio)[looked]
            found[band].append((values, away[looked] >= np.median(away[looked]) if values.size else values > 0))
    return {band: _joined(parts, finer[band]) for band, parts in found.items()}


def _joined(parts: list[tuple[np.ndarray, np.ndarray]], is_finer: bool) -> Sample:
    """Return the pixels of several parts of a band."""
    values, far = (np.concatenate(each) for each in zip(*parts)) if parts else (np.empty(0), np.empty(0, bool))
    return Sample(values, far, is_finer)
