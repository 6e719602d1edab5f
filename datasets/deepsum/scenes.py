# SPDX-License-Identifier: Apache-2.0
"""Training samples of DeepSUM: patches of prepared PROBA-V scenes, with nine frames for the network.

They follow the authors (Molini et al. 2020, doi:10.1109/TGRS.2019.2959248). Scenes are shuffled with a fixed seed, and
70 % are for training. An epoch consists of five chunks; in each, every scene contributes up to 20 patches of 96 x 96
fine pixels at random positions where the truth and at least nine frames are clear enough. There are no flips or
rotations.

Scenes are processed one at a time, so that only one is in memory: they are read and prepared once per chunk unless the
caller keeps them.

    training, validation = split([scene.name for scene in scenes])
    stream = random.Random(4)
    for scene in scenes:
        prepared = prepare_sample(*scene.read())
        for patch in patches(prepared, stream):
            …
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.deepsum.kelvins import SCALE
from datasets.deepsum.preparation import FRAMES, Frames, best_frames, prepare
from datasets.windows import window_counts

TRAINING_SHARE = 0.7
PATCH_SIZE = 96
"""Side of a patch, in fine pixels."""
PATCHES = 20
"""Number of patches per scene and chunk."""
TRIALS = 100_000
"""Number of positions tried per scene and chunk."""
CLEAR = 0.70
"""Smallest clear share of the patch, in at least `FRAMES` frames."""
HR_CLEAR = 0.85
"""Smallest clear share of the patch in the truth."""


@dataclass(frozen=True)
class Sample:
    """Frames and their truth, of a whole scene or a patch."""

    frames: Frames
    """The frames: nine, with the reference first, in a sample for the network."""
    hr: np.ndarray
    """Digital numbers (rows, columns), on the fine grid."""
    clear: np.ndarray
    """Whether a pixel of the truth is clear, of the same shape."""

    def best(self) -> "Sample":
        """Return the sample with the nine frames for the network."""
        return Sample(self.frames.take(best_frames(self.frames.masks)), self.hr, self.clear)

    def part(self, row: int, column: int, size: int) -> "Sample":
        """Return a square part, starting at a row and a column."""
        place = np.s_[row : row + size, column : column + size]
        return Sample(self.frames.part(row, column, size), self.hr[place], self.clear[place])


def split(names: Sequence[str], share: float = TRAINING_SHARE) -> tuple[list[str], list[str]]:
    """Split the scenes of a band's `train` folder as the authors did.

    Args:
        names: names of all scenes, such as `imgset0594`.
        share: share of the scenes for training.

    Returns:
        Names for training and for validation, in the authors' order.
    """
    ordered = np.array(sorted(names))
    np.random.RandomState(1).shuffle(ordered)
    training = int(share * len(ordered))
    return ordered[:training].tolist(), ordered[training:].tolist()


def prepare_sample(lr: np.ndarray, qm: np.ndarray, hr: np.ndarray, clear: np.ndarray) -> Sample | None:
    """Prepare a scene with its truth.

    Args:
        lr: digital numbers (frames, rows, columns), on the coarse grid.
        qm: whether a pixel is clear, of the same shape.
        hr: truth (rows x 3, columns x 3), digital numbers.
        clear: whether a pixel of the truth is clear, of the same shape.

    Returns:
        All usable frames; `None` for a scene that the authors leave out.

    Raises:
        ValueError: the shapes are not as above.
    """
    fine = tuple(SCALE * length for length in lr.shape[1:])
    for name, array in (("hr", hr), ("clear", clear)):
        if array.shape != fine:
            raise ValueError(f"{name}: expected shape {fine}, got {array.shape}")
    frames = prepare(lr, qm)
    return None if frames is None else Sample(frames, hr, np.asarray(clear, bool))


def patches(
    sample: Sample, stream: random.Random, size: int = PATCH_SIZE, count: int = PATCHES, trials: int = TRIALS
) -> Iterator[Sample]:
    """Cut random patches from a scene, each with the nine best frames there.

    Args:
        sample: the scene.
        stream: random numbers, one stream for all scenes of all chunks.
        size: side of a patch, in fine pixels.
        count: largest number of patches.
        trials: largest number of positions tried.

    Raises:
        ValueError: the scene is no larger than a patch.
    """
    for row, column in corners(sample.frames.masks, sample.clear, stream, size, count, trials):
        yield sample.part(row, column, size).best()


def corners(
    masks: np.ndarray,
    clear: np.ndarray,
    stream: random.Random,
    size: int = PATCH_SIZE,
    count: int = PATCHES,
    trials: int = TRIALS,
) -> list[tuple[int, int]]:
    """Draw the first rows and columns of patches that are clear enough. The last row and column are never drawn.

    Args:
        masks: whether a pixel is clear, (frames, rows, columns), on the fine grid, not registered.
        clear: whether a pixel of the truth is clear, (rows, columns).
        stream: random numbers: two per position tried, the row first.
        size: side of a patch, in fine pixels.
        count: largest number of patches.
        trials: largest number of positions tried.

    Raises:
        ValueError: the masks are no larger than a patch.
    """
    return draw_corners(suitable_corners(masks, clear, size), stream, count, trials)


def suitable_corners(masks: np.ndarray, clear: np.ndarray, size: int = PATCH_SIZE) -> np.ndarray:
    """Return where patches are clear enough.

    Args:
        masks: whether a pixel is clear, (frames, rows, columns), on the fine grid, not registered.
        clear: whether a pixel of the truth is clear, (rows, columns).
        size: side of a patch, in fine pixels.

    Returns:
        Whether a patch may begin at a position, bool (rows - size, columns - size).

    Raises:
        ValueError: the masks are no larger than a patch.
    """
    if min(clear.shape) <= size:
        raise ValueError(f"size: expected fewer than {min(clear.shape)} pixels, got {size}")
    area = size * size
    frames = sum((window_counts(mask, size) > CLEAR * area).astype(np.int64) for mask in masks)
    return ((frames >= FRAMES) & (window_counts(clear, size) > HR_CLEAR * area))[:-1, :-1]


def draw_corners(
    suitable: np.ndarray, stream: random.Random, count: int = PATCHES, trials: int = TRIALS
) -> list[tuple[int, int]]:
    """Draw positions of patches, like `corners`, from the result of `suitable_corners`."""
    rows, columns = suitable.shape
    found: list[tuple[int, int]] = []
    for _ in range(trials):
        if len(found) == count:
            break
        place = stream.randint(0, rows - 1), stream.randint(0, columns - 1)
        if suitable[place]:
            found.append(place)
    return found
