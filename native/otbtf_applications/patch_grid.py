# SPDX-License-Identifier: Apache-2.0
"""The positions of PatchesSelection's patches, and the output of each.

Everything is plain arithmetic on pixel positions, counted from the first pixel of the image, and follows OTBTF 4.3.1
including its peculiarities: odd patches leave out the first row and column unless the step is 1, and even patches are
located by the lower-left corner of the pixel at half their size.

    python -c "from otbtf_applications.patch_grid import candidates; print(candidates(60, psize=8, step=8))"
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from otbtf_applications.libstdcpp_shuffle import shuffled

_GAP_WORTH_SKIPPING = 256
"""Smallest gap between two boxes, in rows or columns, at which they are read separately."""


def candidates(length: int, psize: int, step: int, offset: int = 0) -> np.ndarray:
    """Return the centre pixels of the candidate patches along one dimension.

    Args:
        length: Size of the image, in pixels.
        psize: Size of the patches, in pixels.
        step: Distance between the centres, in pixels.
        offset: Shift of the grid, in pixels, taken modulo the step with the sign of the offset, as in C++: a negative
            offset that is not a multiple of the step leaves at most the very first pixel as a candidate.

    Returns:
        Increasing int64 pixel positions.
    """
    radius = psize // 2
    pixels = np.arange(radius, length - radius, dtype=np.int64)
    return pixels[np.fmod(pixels - (radius + 1), step) == math.fmod(offset, step)]


def chessboard_groups(column_ranks: np.ndarray, row_ranks: np.ndarray) -> np.ndarray:
    """Return 0 or 1 for each patch, from its rank among the columns and among the rows of the grid."""
    return (column_ranks + row_ranks) % 2


def split_groups(count: int, proportions: Sequence[float], maximum: int | None = None) -> np.ndarray:
    """Assign samples to groups in given proportions: each goes to the group that lags behind most.

    Args:
        count: Number of samples.
        proportions: Weight of each group, in any unit. A group of weight zero gets no samples.
        maximum: If given, this many samples are assigned, their groups are shuffled (identically on every run), and
            the first ones are kept. This is OTBTF's random split, where it is the number of nodes of the grid.

    Returns:
        int64 group of each sample, -1 if all weights are zero. Ties go to the first group.
    """
    total = sum(proportions)
    if not total:
        return np.full(count, -1, dtype=np.int64)
    served = [0.0 if proportion else math.inf for proportion in proportions]
    groups = []
    for _ in range(count if maximum is None else maximum):
        group = served.index(min(served))
        served[group] += total / proportions[group]
        groups.append(group)
    if maximum is not None:
        groups = shuffled(groups)[:count]
    return np.array(groups, dtype=np.int64)


def balanced_groups(histograms: np.ndarray, count: int, outputs: int) -> np.ndarray:
    """Choose patches so that the classes are as balanced as possible in each output.

    The outputs take turns. Each selects its rarest class so far among those still available, and takes the patch with
    the largest share of that class (the first in case of a tie).

    Args:
        histograms: (patches, classes) number of pixels of each class in each patch.
        count: Number of patches to choose, over all outputs.
        outputs: Number of outputs.

    Returns:
        int64 output of each patch, -1 for patches that are not chosen.
    """
    groups = np.full(len(histograms), -1, dtype=np.int64)
    order = np.argsort(-histograms, axis=0, kind="stable").T
    queues = [iter(ranked[histograms[ranked, label] > 0]) for label, ranked in enumerate(order)]
    collected = np.zeros((outputs, histograms.shape[1]))
    available = set(range(histograms.shape[1]))
    for turn in range(count):
        output = turn % outputs
        chosen = None
        while available and chosen is None:
            label = min(available, key=lambda label: (collected[output, label], label))
            chosen = next((row for row in queues[label] if groups[row] < 0), None)
            if chosen is None:
                available.discard(label)
        if chosen is None:
            break
        groups[chosen] = output
        collected[output] += histograms[chosen]
    return groups


def box_any(flags: np.ndarray, columns: np.ndarray, rows: np.ndarray, radius: int) -> np.ndarray:
    """Return whether a box around each intersection of columns and rows contains a flag.

    Args:
        flags: (height, width) bool; the boxes must lie inside.
        columns: Increasing positions of the centres.
        rows: Increasing positions of the centres.
        radius: The boxes are 2 * radius + 1 pixels wide.

    Returns:
        (len(rows), len(columns)) bool.
    """
    return box_sums(flags, columns - radius, rows - radius, 2 * radius + 1) > 0


def box_sums(values: np.ndarray, columns: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Return the (len(rows), len(columns)) int64 sums over the square boxes that start at these positions."""
    summed = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(values, axis=0, dtype=np.int64), axis=1, out=summed[1:, 1:])
    lower, upper = summed[rows + size], summed[rows]
    return lower[:, columns + size] - lower[:, columns] - upper[:, columns + size] + upper[:, columns]


def reading_blocks(
    columns: np.ndarray, rows: np.ndarray, radius: int, max_pixels: int
) -> Iterator[tuple[slice, slice]]:
    """Divide the grid of candidates into blocks that are small enough to be read at once.

    Blocks are as wide as the grid and as high as possible, or one row high and as wide as possible. A gap between two
    neighbours is not read if it is large enough to justify another request.

    Args:
        columns: Increasing positions of the centres.
        rows: Increasing positions of the centres.
        radius: A block is read with this many pixels around its outermost centres.
        max_pixels: Largest number of pixels per block; a single candidate may exceed it.

    Yields:
        Ranges of indices (of columns, of rows) of each block, in row order.
    """
    margin = 2 * radius + 1
    width = int(columns[-1] - columns[0]) + margin if len(columns) else 0
    for row_range in _runs(rows, margin, lambda height: height * width <= max_pixels):
        height = int(rows[row_range.stop - 1] - rows[row_range.start]) + margin
        for column_range in _runs(columns, margin, lambda width, height=height: height * width <= max_pixels):
            yield column_range, row_range


def _runs(positions: np.ndarray, margin: int, fits: Callable[[int], bool]) -> Iterator[slice]:
    """Divide increasing positions where neighbours are far apart, or where the limit is reached."""
    start = 0
    for end in range(1, len(positions) + 1):
        if (
            end == len(positions)
            or positions[end] - positions[end - 1] > margin + _GAP_WORTH_SKIPPING
            or not fits(int(positions[end] - positions[start]) + margin)
        ):
            yield slice(start, end)
            start = end


def sample_count(proportion: float, total: int) -> int:
    """Return the number of candidates that a proportion corresponds to, rounded to the nearest."""
    return min(total, max(0, math.floor(proportion * total + 0.5)))
