# SPDX-License-Identifier: Apache-2.0
"""Training samples of DeepSUM: patches of prepared PROBA-V scenes, with the nine frames the network takes.

As the authors made them (Molini et al. 2020, doi:10.1109/TGRS.2019.2959248). Scenes are shuffled by a fixed seed, 70 %
are for training. An epoch is five chunks; in each, every scene gives up to 20 patches of 96 x 96 fine pixels at random
places where at least nine frames are clear enough, and the truth. Nothing is flipped or rotated.

Scenes are given one by one, and one is held at a time: over all chunks they are read and prepared as often as there
are chunks, unless the caller keeps them.

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

from datasets.deepsum.preparation import FRAMES, SCALE, Frames, best_frames, prepare
from datasets.windows import window_counts

TRAINING_SHARE = 0.7
PATCH_SIZE = 96
"""Side of a patch, in fine pixels."""
PATCHES = 20
"""Number of patches of a scene and chunk."""
TRIALS = 100_000
"""Number of places tried for the patches of a scene and chunk."""
CLEAR = 0.70
"""Share of a frame's patch that is clear at least, in `FRAMES` frames."""
HR_CLEAR = 0.85
"""Share of the truth's patch that is clear at least."""


@dataclass(frozen=True)
class Sample:
    """Frames and their truth: of a whole scene, or a patch of it."""

    frames: Frames
    """The frames; nine, the reference first, if the sample is for the network."""
    hr: np.ndarray
    """Digital numbers (rows, columns), on the fine grid."""
    clear: np.ndarray
    """Whether a pixel of the truth is not concealed, of the same shape."""

    def best(self) -> "Sample":
        """Return the sample with the nine frames that the network takes."""
        return Sample(self.frames.take(best_frames(self.frames.masks)), self.hr, self.clear)

    def part(self, row: int, column: int, size: int) -> "Sample":
        """Return a square part, from a row and a column on."""
        place = np.s_[row : row + size, column : column + size]
        return Sample(self.frames.part(row, column, size), self.hr[place], self.clear[place])


def split(names: Sequence[str], share: float = TRAINING_SHARE) -> tuple[list[str], list[str]]:
    """Split the scenes of a band's `train` folder as the authors did.

    Args:
        names: names of all of them, as `imgset0594`.
        share: part of them that is for training.

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
        clear: whether a pixel of the truth is not concealed, of the same shape.

    Returns:
        All frames that can be used; `None` for a scene that the authors leave out.

    Raises:
        ValueError: shapes are not those above.
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
    """Cut patches of a scene at random, each with the nine frames that are best there.

    Args:
        sample: the scene.
        stream: random numbers, the same for all scenes of all chunks.
        size: side of a patch, in fine pixels.
        count: number of patches at most.
        trials: number of places tried at most.

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
        clear: the same of the truth, (rows, columns).
        stream: random numbers: two for each place that is tried, the row first.
        size: side of a patch, in fine pixels.
        count: number of patches at most.
        trials: number of places tried at most.

    Raises:
        ValueError: the masks are no larger than a patch.
    """
    return draw_corners(suitable_corners(masks, clear, size), stream, count, trials)


def suitable_corners(masks: np.ndarray, clear: np.ndarray, size: int = PATCH_SIZE) -> np.ndarray:
    """Find where a patch is clear enough.

    Args:
        masks: whether a pixel is clear, (frames, rows, columns), on the fine grid, not registered.
        clear: the same of the truth, (rows, columns).
        size: side of a patch, in fine pixels.

    Returns:
        Whether a patch may begin there, bool (rows - size, columns - size): all places that may be drawn.

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
    """Draw places of patches, as `corners` does, from what `suitable_corners` has found."""
    rows, columns = suitable.shape
    found: list[tuple[int, int]] = []
    for _ in range(trials):
        if len(found) == count:
            break
        place = stream.randint(0, rows - 1), stream.randint(0, columns - 1)
        if suitable[place]:
            found.append(place)
    return found
