# SPDX-License-Identifier: Apache-2.0
"""Splitting patches into training, validation and test sets by blocks of ground.

Neighbouring patches look alike: if they were split one by one, a network would see its test set during training.
Here, whole blocks of neighbouring patches go to one set, and a patch that overlaps or touches a patch of a set with
priority (test, then validation, then training) is dropped. Many splits, with blocks of several sizes, are drawn from
the seed. The best one loses few patches, comes close to the requested proportions, and spreads each set over several
blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chain.raster.mask import grow

SETS = ("train", "valid", "test")
DROPPED = -1
TRIALS = 60
"""Splits drawn for each block size; fewer for images with more than `TRIED_POSITIONS` positions."""
TRIED_POSITIONS = 20_000
SHARES = (0.7, 0.85, 1.0, 1.15)
"""Factors tried on the sizes of the held-out sets, because dropping patches changes the proportions."""


@dataclass(frozen=True)
class Deal:
    """A split of patches."""

    groups: np.ndarray
    """(n,) index into `SETS` of each patch, or `DROPPED`."""
    block: int
    """Side of the blocks, in positions of the patch grid."""
    counts: tuple[int, int, int]
    """Number of patches in each set."""
    dropped: int
    """Number of patches dropped at the borders between sets."""
    proportions: tuple[float, ...]
    """The requested proportions."""


def deal(starts: np.ndarray, size: int, step: int, proportions: Sequence[float], seed: int) -> Deal:
    """Split patches into the three sets.

    Args:
        starts: (n, 2) first column and row of each patch, on a grid of step `step`, in pixels.
        size: side of the patches, in pixels.
        step: distance between patches, in pixels.
        proportions: of `SETS`; a set with proportion 0 stays empty.
        seed: random seed.

    Raises:
        ValueError: there are too few patches to give one to each set.
    """
    shares = np.asarray(proportions, float) / sum(proportions)
    positions = (starts - starts.min(axis=0)) // step
    present = np.zeros(positions.max(axis=0)[::-1] + 1, bool)
    present[positions[:, 1], positions[:, 0]] = True
    reach = size // step
    rng = np.random.default_rng(seed)
    trials = max(2, int(TRIALS * min(1.0, TRIED_POSITIONS / present.size)))
    best, best_score, best_block = None, np.inf, 0
    for block in _block_sizes(present.shape):
        for trial in range(trials):
            groups = _draw(present, block, shares * SHARES[trial % len(SHARES)], rng)
            groups = _separate(groups, reach)
            score = _score(groups, present, shares, block)
            if score < best_score:
                best, best_score, best_block = groups, score, block
    if best is None:
        shares_text = " ".join(f"{share:g}" for share in proportions)
        raise ValueError(
            f"--split: expected enough patches for sets {shares_text} that do not touch, got {len(starts)} "
            f"patches of {size} pixels: use smaller patches, a larger image, or a split without one of the sets"
        )
    dealt = best[positions[:, 1], positions[:, 0]]
    train, valid, test = (int((dealt == group).sum()) for group in range(len(SETS)))
    return Deal(dealt, best_block, (train, valid, test), int((dealt == DROPPED).sum()), tuple(proportions))


def _block_sizes(shape: tuple[int, ...]) -> list[int]:
    """Return the block sides to try, in positions: from 1 to half of the longest side, each a third larger."""
    sizes, side = {1}, 1.0
    while side <= max(shape) / 2:
        sizes.add(round(side))
        side *= 4 / 3
    return sorted(sizes)


def _draw(present: np.ndarray, block: int, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Assign whole blocks, in random order and from a random origin, to test, then validation, then training."""
    origin = rng.integers(0, block, 2)
    rows, columns = np.indices(present.shape)
    across = (present.shape[1] + 2 * block) // block
    blocks = (rows + origin[0]) // block * across + (columns + origin[1]) // block
    counts = np.bincount(blocks[present], minlength=blocks.max() + 1)
    order = rng.permutation(np.flatnonzero(counts))
    dealt = np.cumsum(counts[order]) - counts[order] / 2
    total = counts.sum()
    test, valid = shares[2] * total, (shares[2] + shares[1]) * total
    of_block = np.zeros(len(counts), int)
    of_block[order] = np.where(dealt < test, 2, np.where(dealt < valid, 1, 0))
    return np.where(present, of_block[blocks], DROPPED)


def _separate(groups: np.ndarray, reach: int) -> np.ndarray:
    """Drop the patches that overlap or touch a patch of a set with priority."""
    test = groups == 2
    valid = (groups == 1) & ~grow(test, reach)
    train = (groups == 0) & ~grow(test | valid, reach)
    return np.where(test, 2, np.where(valid, 1, np.where(train, 0, DROPPED)))


def _score(groups: np.ndarray, present: np.ndarray, shares: np.ndarray, block: int) -> float:
    """Return the penalty of a split, infinite if a set that should have patches has none."""
    counts = np.array([(groups == group).sum() for group in range(len(SETS))])
    if np.any((counts == 0) & (shares > 0)):
        return np.inf
    lost = 1.0 - counts.sum() / present.sum()
    deviation = np.abs(counts / counts.sum() - shares).max()
    smallest = counts[(shares > 0) & (np.arange(len(SETS)) > 0)]
    blocks = max(smallest.min() / block**2, 0.1) if len(smallest) else np.inf
    return lost + 2.0 * deviation + 0.2 / blocks
