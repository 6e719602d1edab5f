# SPDX-License-Identifier: Apache-2.0
"""From the frames of a place to one image: windows, each in one piece or in blocks, and their mean.

DeepSUM normalises features by their statistics over what it sees, so what it makes of a block differs from what it
makes of the whole, by a smooth little all over the block. Blocks are therefore as large as they can be, each is made
with `margin` pixels around it, of which it is cropped, and in these margins it is compared with what the blocks before
it have made of the same pixels.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chain.runtime.progress import LOG, SILENT, Progress
from datasets.deepsum.kelvins import SCALE
from datasets.deepsum.preparation import Frames
from inference.deepsum.filling import filled
from inference.deepsum.network import MEMORY_SHARE, DeepSumNetwork
from inference.deepsum.options import Options
from inference.deepsum.windows import mean_of_windows, windows

MARGIN = 24
"""Fine pixels around a block: more than convolutions and filters see."""
LEAST_BLOCK = 32
"""Least side of a block, in pixels of the coarse grid."""


@dataclass(frozen=True)
class Difference:
    """How blocks differ where they overlap, in the unit of the image."""

    largest: float
    """Largest absolute difference."""
    rms: float
    """Root of the mean squared difference."""


@dataclass(frozen=True)
class Result:
    """An image, and how it was made."""

    image: np.ndarray
    """Digital numbers, float32 (rows, columns), on the fine grid of the reference."""
    clear: np.ndarray
    """Whether any frame of the first window, whose masks were moved, was clear there, (rows, columns)."""
    windows: int
    """Number of windows that it is the mean of."""
    block: int
    """Side of blocks, in coarse pixels; 0 for the whole image."""
    difference: Difference | None
    """How blocks differ."""

    def tell(self, scale: float = 1.0) -> None:
        """Tell how blocks differ, if there are any, in numbers by `scale` smaller."""
        if self.difference:
            largest, rms = (value / scale for value in (self.difference.largest, self.difference.rms))
            LOG.info(
                "blocks of %d pixels differ by %.3g at most where they overlap, %.3g RMS", self.block, largest, rms
            )


Keep = Callable[[tuple[int, ...], Callable[[], np.ndarray]], np.ndarray]
"""Returns what the network makes of a block, by its window, row and column: what was kept of it, or what it makes."""


def fused(
    frames: Frames,
    network: DeepSumNetwork,
    options: Options,
    fill: bool = False,
    progress: Progress = SILENT,
    block: int | None = None,
    keep: Keep = lambda place, make: make(),
) -> Result:
    """Make one image of frames.

    Args:
        frames: those that can be used, in the digital numbers of the network's data, not registered.
        network: the network.
        options: how.
        fill: fill concealed pixels before the network sees them.
        progress: where progress is reported.
        block: side of blocks, in coarse pixels, 0 for the whole image; as `block_size` returns it by default.
        keep: keeps what the network makes of blocks, for whoever goes on with an interrupted work.

    Raises:
        ValueError: there are less than nine frames, no clear pixel, or blocks do not fit into memory.
        RuntimeError: OTB or TensorFlow refuses.
        chain.runtime.progress.Cancelled: the work is to stop.
    """
    chosen = windows(frames, options.windows, options.original_windows)
    if block is None:
        block = block_size(frames, network, options.block_size)
    images, differences = [], []
    for number, window in enumerate(chosen):
        nine = filled(window) if fill else window
        masks = nine.registered_masks() if network.registered else nine.masks
        size = SCALE * block or max(masks[0].shape)
        part = progress.part(number / len(chosen), (number + 1) / len(chosen))
        image, difference = run_by_blocks(network.run, nine.images, masks, size, MARGIN, part, _of_window(keep, number))
        images.append(image)
        differences += [difference] if difference else []
    image, used = mean_of_windows(images, network.moments.mean, network.arguments["target_deviation"])
    worst = max(differences, key=lambda difference: difference.largest, default=None)
    return Result(image, chosen[0].registered_masks().any(axis=0), used, block, worst)


def _of_window(keep: Keep, window: int) -> Keep:
    """Return what keeps the blocks of one window."""
    return lambda place, make: keep((window, *place), make)


def block_size(frames: Frames, network: DeepSumNetwork, asked: int | None) -> int:
    """Return the side of blocks in coarse pixels; 0 for the whole image.

    Args:
        frames: what is to be made one image.
        network: the network.
        asked: the side that is asked for; None for what memory is enough for.

    Raises:
        ValueError: memory is not enough for blocks that can be used.
    """
    rows, columns = frames.masks[0].shape
    if asked:
        return asked if SCALE * asked < max(rows, columns) else 0
    if fits(0, frames, network):
        return 0
    size = (network.largest_block() - 2 * MARGIN) // SCALE
    if size < LEAST_BLOCK:
        raise ValueError(
            f"memory: expected enough for blocks of {LEAST_BLOCK} pixels, got enough for {max(size, 0)}; --block-size "
            "sets their side"
        )
    return size


def fits(block: int, frames: Frames, network: DeepSumNetwork, share: float = MEMORY_SHARE) -> bool:
    """Return whether a share of the available memory is enough for blocks of a side, in coarse pixels, 0 for all."""
    rows, columns = frames.masks[0].shape
    pixels = (SCALE * block + 2 * MARGIN) ** 2 if block else rows * columns
    return pixels <= network.largest_block(share) ** 2


def run_by_blocks(
    run: Callable[[np.ndarray, np.ndarray], np.ndarray],
    frames: np.ndarray,
    masks: np.ndarray,
    size: int,
    margin: int,
    progress: Progress = SILENT,
    keep: Keep = lambda place, make: make(),
) -> tuple[np.ndarray, Difference | None]:
    """Run a network on an image, block by block.

    Args:
        run: makes an image (rows, columns) of frames and masks of a part.
        frames: (frames, rows, columns).
        masks: of the same shape.
        size: rows and columns of a block, without its margin.
        margin: pixels around it that are made too, where there are any.
        progress: where progress is reported.
        keep: keeps what is made of blocks.

    Returns:
        (rows, columns), float32; and how blocks differ, `None` for a single one.
    """
    rows, columns = frames.shape[1:]
    result, made = np.empty((rows, columns), np.float32), np.zeros((rows, columns), bool)
    largest, squares, count = 0.0, 0.0, 0
    corners = [(row, column) for row in range(0, rows, size) for column in range(0, columns, size)]
    for number, (row, column) in enumerate(corners):
        progress(number / len(corners), "network")
        top, left = max(row - margin, 0), max(column - margin, 0)
        place = np.s_[top : row + size + margin, left : column + size + margin]
        of_all = (slice(None), *place)
        block = keep((row, column), functools.partial(run, frames[of_all], masks[of_all]))
        before = made[place]
        off = np.abs(block[before] - result[place][before], dtype=np.float64)
        if off.size:
            largest, squares, count = max(largest, off.max()), squares + np.square(off).sum(), count + off.size
        own = np.s_[row : row + size, column : column + size]
        result[own] = block[row - top :, column - left :][:size, :size]
        made[own] = True
    return result, Difference(float(largest), float(np.sqrt(squares / count))) if count else None
