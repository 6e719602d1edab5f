# SPDX-License-Identifier: Apache-2.0
"""Sliding windows: which nine frames DeepSUM sees at once, and the mean of what it makes of several nines.

Frames are ordered by their clear share, the clearest first. Those that are clear enough are kept: more than 90 %, or
less, in steps of 5 %, until nine are. Each nine in a row, from the clearest on, are a window, whose reference is its
first frame; what the network makes of later windows is laid onto what it makes of the first, and averaged. (Molini et
al. 2020, doi:10.1109/TGRS.2019.2959248, and the authors' program.)

The program by which the authors' scores were made moves masks by wrong shifts: the list of shifts is not brought into
the order of the frames, each window takes shifts from the list's beginning, and all are shifts onto the scene's
reference, not the window's. That is done where `original` is asked for; otherwise shifts are those of their frames,
onto the window's reference. Among equally clear frames, the original order is that of NumPy 1.16 (`descending`), which
may make another frame the first; here it is the order in which they come, the scene's reference first.

    for nine in windows(frames, 2):
        ...
"""

from collections.abc import Sequence

import numpy as np

from chain.runtime.progress import LOG
from datasets.deepsum.preparation import FARTHEST, FRAMES, Frames, descending, roll, translation

CLEAR = 0.9
"""Share of a frame that is clear, above which it is kept."""
STEP = 0.05
"""By how much less is asked for where fewer than `FRAMES` frames are kept."""


def windows(frames: Frames, count: int, original: bool = False) -> list[Frames]:
    """Choose the nines of frames that the network sees.

    Args:
        frames: those of a scene that can be used, not registered, the scene's reference first.
        count: number of windows at most.
        original: move masks as the authors' program does.

    Returns:
        Nine frames each, the window's reference first. Their shifts are those by which their masks are moved.

    Raises:
        ValueError: there are less than nine frames, or no pixel of them is clear.
    """
    if len(frames) < FRAMES:
        raise ValueError(f"frames: expected at least {FRAMES}, got {len(frames)}")
    sums = frames.masks.sum(axis=(1, 2))
    if not sums.any():
        raise ValueError("frames: expected clear pixels, got none, all is concealed")
    order = descending(sums) if original else _by_clearance(frames)
    kept = _clear_enough(sums[order] / frames.masks[0].size)
    ordered = frames.take(order[kept])
    numbers = range(min(count, len(kept) - FRAMES + 1))
    if original:
        moved = Frames(ordered.images, ordered.masks, frames.shifts[kept])
        return [Frames(*_nine(moved, number), moved.shifts[:FRAMES]) for number in numbers]
    return [
        Frames(*_nine(ordered, number), ordered.shifts[number : number + FRAMES] - ordered.shifts[number])
        for number in numbers
    ]


def repeated(frames: Frames) -> Frames:
    """Return nine frames at least: where there are fewer, they are repeated, the clearest first."""
    missing = FRAMES - len(frames)
    if missing <= 0:
        return frames
    LOG.warning("frames: %d, repeated to fill %d; this adds no detail", len(frames), FRAMES)
    order = _by_clearance(frames)
    return frames.take([*range(len(frames)), *(order[number % len(order)] for number in range(missing))])


def _by_clearance(frames: Frames) -> np.ndarray:
    """Return the indices of frames, the clearest first; equal ones in the order in which they come."""
    return np.argsort(-frames.masks.sum(axis=(1, 2)), kind="stable")


def _clear_enough(shares: np.ndarray) -> np.ndarray:
    """Return the indices of the frames that are kept, given the share of each that is clear."""
    threshold = CLEAR
    while (shares > threshold).sum() < FRAMES:
        threshold -= STEP
    return np.flatnonzero(shares > threshold)


def _nine(frames: Frames, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and masks of nine frames in a row."""
    return frames.images[first : first + FRAMES], frames.masks[first : first + FRAMES]


def mean_of_windows(images: Sequence[np.ndarray], mean: float, deviation: float) -> tuple[np.ndarray, int]:
    """Average what was made of several windows, laid onto that of the first.

    Args:
        images: (rows, columns), digital numbers, the first window's first.
        mean: what is subtracted from them before they are compared, as in the network.
        deviation: by what they are divided then.

    Returns:
        The mean, float32, computed in float64, of all that need not be moved by more than `FARTHEST` pixels; and how
        many these are.
    """
    standardised = [((image - mean) / deviation).astype(np.float32) for image in images]
    total, used = standardised[0].astype(np.float64), 1
    for image in standardised[1:]:
        shift = translation(standardised[0], image)
        if max(map(abs, shift)) <= FARTHEST:
            total += roll(image, shift)
            used += 1
    return (total / used * deviation + mean).astype(np.float32), used
