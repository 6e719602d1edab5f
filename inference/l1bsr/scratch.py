# SPDX-License-Identifier: Apache-2.0
"""Arrays on the disk, for what memory cannot hold.

They have no name there: they are gone when nobody uses them any more, however the process ends.

    scratch = Scratch(Path("folder"))
    features = scratch.empty((rows, columns, 64), np.float32)
"""

import math
import mmap
import os
import tempfile
import weakref
from pathlib import Path

import numpy as np


class Scratch:
    """Makes arrays on the disk.

    Args:
        folder: a folder on it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return an array of zeros, whose room on the disk is taken.

        Raises:
            OSError: the disk refuses.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise OSError(
                f"--output: expected {size / 1e9:.3f} GB more on its disk, for the time being, got {self._folder} "
                f"({error.strerror})"
            ) from error
        self._mapped.add(mapped)
        return np.frombuffer(mapped, dtype).reshape(shape)

    def release(self) -> None:
        """Let go of the memory in which parts of the arrays are; these stay as they are."""
        for mapped in list(self._mapped):
            mapped.madvise(mmap.MADV_DONTNEED)
