# SPDX-License-Identifier: Apache-2.0
"""Memory that is given back: large arrays come and go for hours, of sizes that differ."""

import ctypes

M_MMAP_THRESHOLD = -3
"""Parameter of glibc's `mallopt`."""
LARGE = 2**20
"""Size in bytes from which on a block of memory is given back to the system at once when it is freed."""


def give_back_large_blocks() -> None:
    """Keep the C library from holding on to freed arrays: glibc does, up to 32 MiB each, in every thread's own heap.

    Other C libraries have no such setting, nor need of it.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
