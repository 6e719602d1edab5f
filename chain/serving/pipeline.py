# SPDX-License-Identifier: Apache-2.0
"""Reading, computing and writing at once: one region is computed while the next is read and the last one written.

Each stage has its own region, and no stage works on two:

    for region in run_pipeline(journal.remaining(), read, compute, write):
        print(region)
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from chain.raster.grids import Region

IN_FLIGHT = 3
"""Regions that are worked on at once: one is read, one is computed, one is written."""

Blocks = TypeVar("Blocks")
Made = TypeVar("Made")


def run_pipeline(
    regions: Sequence[Region],
    read: Callable[[Region], Blocks],
    compute: Callable[[Region, Blocks], Made],
    write: Callable[[Region, Made], None],
) -> Iterator[Region]:
    """Make regions: while one is computed, the next one is read and the one before is written.

    Args:
        regions: The regions, in the order in which they are begun.
        read: Reads what a region needs; never called twice at a time.
        compute: Computes a region; never called twice at a time.
        write: Writes a region.

    Yields:
        Each region that is written, as soon as it is.

    Raises:
        Exception: The first one that one of them raised; regions under way are given up.
    """
    reading, computing, stopped = threading.Lock(), threading.Lock(), threading.Event()

    def make(region: Region) -> bool:
        """Make a region; return whether it is written, which it is not after another one's failure."""
        try:
            with reading:
                if stopped.is_set():
                    return False
                blocks = read(region)
            with computing:
                if stopped.is_set():
                    return False
                made = compute(region, blocks)
            del blocks
            if stopped.is_set():
                return False
            write(region, made)
        except BaseException:
            stopped.set()
            raise
        return True

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        futures = {pool.submit(make, region): region for region in regions}
        try:
            for future in as_completed(futures):
                if future.result():
                    yield futures[future]
        finally:
            stopped.set()
            for future in futures:
                future.cancel()
