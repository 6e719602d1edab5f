# SPDX-License-Identifier: Apache-2.0
"""Grouping of patches into few image reads, so that the chain behind an image is not run for each patch.

A read is the rectangle around some patches. All patches start as one group. A group whose rectangle is too large for
memory, or mostly empty, is divided in two, first into horizontal bands (images are stored and filtered by rows), then,
once a band is a few patches high, vertically. The result is strips of neighbouring patches, and single patches where
they are sparse.

    python -c "from otbtf_applications.read_plan import plan_reads; print(plan_reads([[0, 0], [8, 0]], (8, 8),
    4))"
"""

from dataclasses import dataclass

import numpy as np

MAX_BYTES = 64 * 2**20
"""Largest size of a read, in bytes of float32 pixels."""

MAX_WASTE = 4
"""Largest area of a read, as a multiple of the area of its patches."""

_BAND_HEIGHT = 4
"""Bands up to this many patches high are divided vertically."""


@dataclass(frozen=True)
class Read:
    """A rectangle of an image and the patches inside it."""

    region: tuple[int, int, int, int]
    """First column, first row, width and height, in pixels."""
    patches: np.ndarray
    """Indices of the patches in the region."""


def plan_reads(
    starts: np.ndarray,
    size: tuple[int, int],
    bands: int,
    max_bytes: int = MAX_BYTES,
    max_waste: float = MAX_WASTE,
) -> list[Read]:
    """Plan the reads that cover every patch once.

    Args:
        starts: (patches, 2) first column and first row of each patch, in pixels.
        size: Width and height of the patches, in pixels.
        bands: Number of float32 bands read.
        max_bytes: Largest size of a read, in bytes; a single patch may exceed it.
        max_waste: Largest area of a read, as a multiple of the area of its patches.

    Returns:
        The reads, from top to bottom.
    """
    starts = np.asarray(starts, dtype=np.int64).reshape(-1, 2)
    patch = np.array(size, dtype=np.int64)
    pending = [np.arange(len(starts))] if len(starts) else []
    reads = []
    while pending:
        group = pending.pop()
        first, last = starts[group].min(axis=0), starts[group].max(axis=0)
        extent = last - first + patch
        area = int(extent.prod())
        fits = area * bands * 4 <= max_bytes and area <= max_waste * len(group) * int(patch.prod())
        if fits or np.array_equal(first, last):
            reads.append(Read((*first.tolist(), *extent.tolist()), group))
            continue
        axis = 1 if extent[1] > _BAND_HEIGHT * patch[1] or first[0] == last[0] else 0
        positions = starts[group, axis]
        middle = np.partition(positions, len(positions) // 2)[len(positions) // 2]
        before = positions < middle if middle > positions.min() else positions <= middle
        pending += [group[~before], group[before]]
    return reads
