# SPDX-License-Identifier: Apache-2.0
"""Images of several dates made into frames for DeepSUM: on one grid, rescaled, without gaps.

The clearest image is the reference, and the others are brought to its grid (bicubic; masks by the nearest pixel). The
mean and deviation of all clear pixels of all images are brought to those of the model's data, and back in the end.
Missing pixels are masked, and filled from those around them, so that interpolation sees no step. Images are
enlarged and registered as those of the challenge are (`datasets.deepsum.preparation`), and left out where they lie too
far from the reference.

    stack = make_stack(dates, network.moments)
    stack.frames, stack.normalization.to_numbers(image)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chain.raster.blocks import fill_missing
from chain.raster.grids import Grid
from datasets.deepsum.preparation import FARTHEST, FRAMES, Frames, descending, enlarge, enlarge_mask, translation
from inference.deepsum.dates import Date
from inference.deepsum.normalization import Moments, Normalization, chosen
from inference.deepsum.one_series import check_one_series, tell_sizes
from inference.deepsum.warping import warped

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

    @property
    def reason(self) -> str | None:
        """Why it is left out; None where it is not."""
        if self.used:
            return None
        return f"displaced by {self.shift} fine pixels" if self.shift else "no clear pixel"


@dataclass(frozen=True)
class Stack:
    """Images of several dates, ready for the network."""

    frames: Frames
    """The reference first, in the numbers of the model's data."""
    grid: Grid
    """The reference's grid."""
    dates: tuple[DateOutcome, ...]
    """What became of each, the reference first, then the clearest first."""
    moments: Moments
    """Those of all clear pixels."""
    normalization: Normalization
    """What brought them to those of the model's data."""


def make_stack(dates: Sequence[Date], data: Moments, as_they_are: bool = False, repeat: bool = False) -> Stack:
    """Make frames of images.

    Args:
        dates: the images.
        data: mean and deviation of the model's data.
        as_they_are: keep numbers, which are the model's already.
        repeat: allow fewer than nine frames, which are to be repeated.

    Raises:
        ValueError: less than nine can be used, they are not one series, or all clear pixels are the same.
    """
    if len(dates) < FRAMES and not repeat:
        raise ValueError(
            f"--input: expected at least {FRAMES} images, got {len(dates)}; --repeat repeats them until there are nine"
        )
    if not dates:
        raise ValueError("--input: expected images, got none")
    check_one_series(dates, repeat)
    reference = dates[int(descending([round(date.clearance * STEPS) for date in dates])[0])]
    tell_sizes(dates, reference)
    ordered = [reference, *(date for date in dates if date is not reference)]
    images = np.stack([warped(date.values, date.grid, reference.grid, "cubic", np.nan) for date in ordered])
    clear = np.stack(
        [warped(date.clear.astype(np.float32), date.grid, reference.grid, "near", 0.0) != 0 for date in ordered]
    )
    clear &= np.isfinite(images)
    shares = clear.mean(axis=(1, 2))
    moments = Moments.of(images[clear])
    if moments is None:
        raise ValueError(f"--input: expected clear pixels, got none in {len(dates)} images")
    if not moments.deviation > 0:
        raise ValueError(f"--input: expected clear pixels that differ, got {moments.mean:g} in all of them")
    normalization = chosen(moments, data, as_they_are, reference.name)
    fine = {
        number: enlarge(filled(normalization.to_model(image))) for number, image in enumerate(images) if shares[number]
    }
    shifts = {number: translation(fine[0], image) for number, image in fine.items()}
    used = [number for number, shift in shifts.items() if max(map(abs, shift)) <= FARTHEST]
    uses = [DateOutcome(date.name, float(shares[i]), shifts.get(i), i in used) for i, date in enumerate(ordered)]
    if len(used) < FRAMES and not repeat:
        raise ValueError(_too_few(uses))
    frames = Frames(
        np.stack([fine[number] for number in used]),
        np.stack([enlarge_mask(clear[number]) for number in used]),
        np.array([shifts[number] for number in used]),
    )
    by_clearance = (uses[0], *sorted(uses[1:], key=lambda use: -use.clearance))
    return Stack(frames, reference.grid, by_clearance, moments, normalization)


def _too_few(uses: Sequence[DateOutcome]) -> str:
    """Return the message that too few images can be used, and why."""
    cloudy, far = sum(use.shift is None for use in uses), sum(bool(use.shift) and not use.used for use in uses)
    return (
        f"--input: expected at least {FRAMES} images that can be used, got {len(uses) - cloudy - far} of {len(uses)}: "
        f"{cloudy} without clear pixels, {far} displaced by more than {FARTHEST} fine pixels; --repeat repeats them "
        "until there are nine"
    )


def filled(image: np.ndarray) -> np.ndarray:
    """Return an image (rows, columns) whose missing pixels, NaN, are filled from those around them, float32."""
    image = image.astype(np.float32)
    return fill_missing(image[..., np.newaxis], np.isfinite(image)[..., np.newaxis], REACH)[..., 0]
