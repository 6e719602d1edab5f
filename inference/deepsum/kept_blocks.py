# SPDX-License-Identifier: Apache-2.0
"""What the network has made of blocks, kept on the disk until the product is there.

An interrupted run goes on with the blocks that it lacks. Files are sealed as those of regions are: what is damaged is
made again.

    kept = KeptBlocks(journal.folder)
    block = kept.of((window, row, column), lambda: network.run(frames, masks))
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chain.serving.journal import read_sealed, sealed, write_whole


class KeptBlocks:
    """Blocks in the folder of a journal, which removes them in the end.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def of(self, place: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return a block: as it was kept, or made and kept.

        Args:
            place: numbers that tell it from others.
            make: makes it.

        Raises:
            OSError: the disk refuses.
        """
        file = self._folder / f"block_{'_'.join(map(str, place))}.npy"
        kept = read_sealed(file) if file.exists() else None
        if kept is not None:
            return np.load(io.BytesIO(kept))
        stream, block = io.BytesIO(), make()
        np.save(stream, block)
        write_whole(file, sealed(stream.getvalue()))
        return block
