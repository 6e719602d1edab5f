# SPDX-License-Identifier: Apache-2.0
"""Images of several dates as the frames that DeepSUM takes: on one grid, in its numbers, without gaps.

The clearest image is the reference, and the others are brought to its grid (bicubic; masks by the nearest pixel). With
mean m and deviation s of all clear pixels of all images, numbers become x' = (x - m) / s * deviation + mean, those of
the model's data, and are turned back in the end: the product does not depend on the images' unit. Missing pixels are
concealed, and filled from those around them, so that the enlargement sees no cliff. Images are enlarged and registered
as those of the challenge are (`datasets.deepsum.preparation`), and left out where they lie too far from the reference.

    stack = make_stack(dates, mean=7754.66, deviation=2316.34)
    stack.frames, stack.to_numbers(image)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chain.raster.blocks import fill_missing
from chain.raster.grids import Grid
from datasets.deepsum.preparation import FARTHEST, FRAMES, Frames, descending, enlarge, enlarge_mask, translation
from inference.deepsum.dates import Date, same_grid, warped

REACH = 8
"""Distance up to which missing pixels are filled from those around them; others become the mean of all."""
STEPS = 10**9
"""Steps of clear shares that count as different."""


@dataclass(frozen=True)
class DateOutcome:
    """What became of a date."""

    name: str
    """Its name."""
    clearance: float
    """Share of the reference's grid that is clear in it."""
    shift: tuple[int, int] | None
    """Rows and columns, of the fine grid, by which it is moved onto the reference; None where it was not looked for."""
    used: bool
    """Whether it is a frame."""


@dataclass(frozen=True)
class Stack:
    """Images of several dates, ready for the network."""

    frames: Frames
    """The reference first, in the numbers of the model's data."""
    grid: Grid
    """The reference's grid."""
    dates: tuple[DateOutcome, ...]
    """What became of each, the reference first, then the clearest first."""
    centre: float
    """Number m that became the mean."""
    scale: float
    """By what numbers, less m, were multiplied."""
    mean: float
    """What m became."""

    def to_numbers(self, image: np.ndarray) -> np.ndarray:
        """Turn an image of the model's numbers into one of the input's, float32."""
        return ((np.asarray(image, np.float64) - self.mean) / self.scale + self.centre).astype(np.float32)


def make_stack(dates: Sequence[Date], mean: float, deviation: float, as_they_are: bool = False) -> Stack:
    """Make frames of images.

    Args:
        dates: the images.
        mean: mean of the model's data.
        deviation: its standard deviation.
        as_they_are: keep numbers, which are the model's already.

    Raises:
        ValueError: less than nine can be used, they do not lie on one map, or all clear pixels are the same.
    """
    _check_places(dates)
    reference = dates[int(descending([round(date.clearance * STEPS) for date in dates])[0])]
    ordered = [reference, *(date for date in dates if date is not reference)]
    images = np.stack([warped(date.values, date.grid, reference.grid, "cubic", np.nan) for date in ordered])
    clear = np.stack(
        [warped(date.clear.astype(np.float32), date.grid, reference.grid, "near", 0.0) != 0 for date in ordered]
    )
    clear &= np.isfinite(images)
    shares = clear.mean(axis=(1, 2))
    numbers = images[clear].astype(np.float64)
    if not numbers.size:
        raise ValueError(f"--input: clear pixels are wanted. Received: none in {len(dates)} images")
    centre, spread = float(numbers.mean()), float(numbers.std())
    if not spread > 0:
        raise ValueError(f"--input: clear pixels that differ are wanted. Received: {centre:g} in all of them")
    scale, mean = (1.0, centre) if as_they_are else (deviation / spread, mean)
    fine = {
        number: enlarge(_whole((image - centre) * scale + mean))
        for number, image in enumerate(images.astype(np.float64))
        if shares[number]
    }
    shifts = {number: translation(fine[0], image) for number, image in fine.items()}
    used = [number for number, shift in shifts.items() if max(map(abs, shift)) <= FARTHEST]
    uses = [DateOutcome(date.name, float(shares[i]), shifts.get(i), i in used) for i, date in enumerate(ordered)]
    if len(used) < FRAMES:
        raise ValueError(f"--input: at least {FRAMES} images {_wanted(uses)}")
    frames = Frames(
        np.stack([fine[number] for number in used]),
        np.stack([enlarge_mask(clear[number]) for number in used]),
        np.array([shifts[number] for number in used]),
    )
    return Stack(
        frames, reference.grid, (uses[0], *sorted(uses[1:], key=lambda use: -use.clearance)), centre, scale, mean
    )


def _wanted(uses: Sequence[DateOutcome]) -> str:
    """Say which images can be used, and how many of those received cannot."""
    cloudy, far = sum(use.shift is None for use in uses), sum(bool(use.shift) and not use.used for use in uses)
    return (
        f"with clear pixels, not displaced by more than {FARTHEST} fine pixels, are wanted. "
        f"Received: {len(uses)}, {cloudy} without clear pixels, {far} displaced by more"
    )


def _check_places(dates: Sequence[Date]) -> None:
    """Refuse images that cannot lie on one grid, or are too few.

    Raises:
        ValueError: so it is.
    """
    if len(dates) < FRAMES:
        raise ValueError(f"--input: at least {FRAMES} images are wanted. Received: {len(dates)}")
    for date in dates[1:]:
        if date.placed != dates[0].placed or bool(date.grid.projection) != bool(dates[0].grid.projection):
            raise ValueError(
                f"--input: images that all have a georeference, or none, are wanted. "
                f"Received: {dates[0].name} and {date.name}"
            )
        if not date.placed and not same_grid(date.grid, dates[0].grid):
            sizes = [f"{grid.rows} x {grid.columns}" for grid in (dates[0].grid, date.grid)]
            raise ValueError(
                f"--input: images of one size, where they have no georeference, are wanted. "
                f"Received: {sizes[0]} of {dates[0].name}, {sizes[1]} of {date.name}"
            )


def _whole(image: np.ndarray) -> np.ndarray:
    """Return an image whose missing pixels are filled, float32."""
    image = image.astype(np.float32)
    return fill_missing(image[..., np.newaxis], np.isfinite(image)[..., np.newaxis], REACH)[..., 0]
