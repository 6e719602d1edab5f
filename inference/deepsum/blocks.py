# SPDX-License-Identifier: Apache-2.0
"""Large images in blocks that overlap, for a network that wants more memory than there is.

DeepSUM normalises features by their statistics over what it sees, so what it makes of a block differs from what it
makes of the whole, by a smooth little all over the block. Blocks are therefore as large as they can be, each is made
with `margin` pixels around it, of which it is cropped, and in these margins it is compared with what the blocks before
it have made of the same pixels.

    image, difference = run_by_blocks(run, frames, masks, block_size, margin)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """How blocks differ where they overlap, in the unit of the image."""

    largest: float
    """Largest absolute difference."""
    rms: float
    """Root of the mean squared difference."""


def run_by_blocks(
    run: Callable[[np.ndarray, np.ndarray], np.ndarray],
    frames: np.ndarray,
    masks: np.ndarray,
    size: int,
    margin: int,
) -> tuple[np.ndarray, Difference | None]:
    """Run a network on an image, block by block.

    Args:
        run: makes an image (rows, columns) of frames and masks of a part.
        frames: (frames, rows, columns).
        masks: of the same shape.
        size: rows and columns of a block, without its margin.
        margin: pixels around it that are made too, where there are any.

    Returns:
        (rows, columns), float32; and how blocks differ, `None` for a single one.
    """
    rows, columns = frames.shape[1:]
    result, made = np.empty((rows, columns), np.float32), np.zeros((rows, columns), bool)
    largest, squares, count = 0.0, 0.0, 0
    for row in range(0, rows, size):
        for column in range(0, columns, size):
            top, left = max(row - margin, 0), max(column - margin, 0)
            place = np.s_[top : row + size + margin, left : column + size + margin]
            block = run(frames[:, *place], masks[:, *place])
            before = made[place]
            off = np.abs(block[before] - result[place][before], dtype=np.float64)
            if off.size:
                largest, squares, count = max(largest, off.max()), squares + np.square(off).sum(), count + off.size
            own = np.s_[row : row + size, column : column + size]
            result[own] = block[row - top :, column - left :][:size, :size]
            made[own] = True
    return result, Difference(float(largest), float(np.sqrt(squares / count))) if count else None
