# SPDX-License-Identifier: Apache-2.0
"""Reading, computing and writing at once: one region is computed while the next is read and the last one written.

Each stage has its own region, and no stage works on two:

    for region in run_pipeline(journal.remaining(), read, compute, write):
        print(region)
"""

import mmap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError, as_completed
from typing import TypeVar

from chain.raster.grids import Region

IN_FLIGHT = 3
"""Regions that are worked on at once: one is read, one is computed, one is written."""
PATIENCE = 1.0
"""Seconds after which it is looked whether a thread was lost."""
LEAST_MEMORY = 1 << 26
"""Bytes that have to be free when threads are begun: Python waits for good for one that ends for want of them."""

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
        OSError: There is too little memory for threads.
        MemoryError: A thread was lost, as there was no memory to tell of its exception.
    """
    reading, computing, stopped = threading.Lock(), threading.Lock(), threading.Event()
    under_way: set[Region] = set()

    def make(region: Region) -> bool:
        """Make a region; return whether it is written, which it is not after another one's failure."""
        try:
            under_way.add(region)
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
        finally:
            under_way.discard(region)
        return True

    mmap.mmap(-1, LEAST_MEMORY).close()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        with reading:  # until all threads have begun, none takes memory
            futures = {pool.submit(make, region): region for region in regions}
        try:
            for future in _completed(futures, under_way):
                if future.result():
                    yield futures[future]
        finally:
            stopped.set()
            for future in futures:
                future.cancel()


def _completed(futures: Mapping[Future, Region], under_way: Set[Region]) -> Iterator[Future]:
    """Yield futures as they complete, given the regions on which threads work.

    Raises:
        MemoryError: One never will: no thread works on it any more.
    """
    pending, idle = set(futures), set[Future]()
    while pending:
        try:
            for future in as_completed(pending, PATIENCE):
                pending.remove(future)
                yield future
        except TimeoutError:
            before = idle
            idle = {future for future in pending if future.running() and futures[future] not in under_way}
            if before & idle:
                raise MemoryError("a thread was lost") from None
