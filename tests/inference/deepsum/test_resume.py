# SPDX-License-Identifier: Apache-2.0
"""`inference.deepsum` on images of several dates goes on with the blocks that an interrupted run has kept."""

import numpy as np
import pytest
from osgeo import gdal

from inference.deepsum import Options, network, super_resolution, super_resolve
from inference.deepsum.kept_blocks import KeptBlocks

pytestmark = pytest.mark.keras
WINDOWS, BLOCKS = 2, 4
"""Of a scene of 24 pixels in blocks of 20."""
DEPTH = 2
"""Features of the tiny model."""


class Interrupted(Exception):
    """What ends a run."""


@pytest.fixture
def make(stack, model_dir, tmp_path, monkeypatch):
    """Return a function that makes a product, and returns for how many blocks the network has run."""
    images, masks = stack()
    run = network.DeepSumNetwork.run

    def product_of(name, blocks=None, **options):
        count = 0

        def counted(self, *arrays):
            nonlocal count
            if count == blocks:
                raise Interrupted
            count += 1
            return run(self, *arrays)

        monkeypatch.setattr(network.DeepSumNetwork, "run", counted)
        options = {"block_size": 20, **options}
        try:
            super_resolve(images, tmp_path / name, Options(clear_masks=masks, model_dir=str(model_dir), **options))
        except Interrupted:
            assert blocks is not None and not (tmp_path / name).exists()
        return count

    return product_of


def pixels(path):
    return gdal.Open(str(path)).ReadAsArray()


def read_place(file):
    """Return the numbers in the name of a block's file."""
    return tuple(map(int, file.stem.split("_")[1:]))


def test_the_same_command_goes_on_with_the_blocks_that_are_missing(make, tmp_path):
    assert make("whole.tif") == WINDOWS * BLOCKS
    assert make("sr.tif", blocks=5) == 5
    assert make("sr.tif") == WINDOWS * BLOCKS - 5
    assert (tmp_path / "sr.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert not (tmp_path / "sr.tif.parts").exists()


def test_a_damaged_block_is_made_again(make, tmp_path, caplog):
    make("whole.tif")
    make("sr.tif", blocks=5)
    file = tmp_path / "sr.tif.parts" / "block_0_60_0.npy"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert make("sr.tif") == WINDOWS * BLOCKS - 4
    assert f"{file}: damaged" in caplog.text
    np.testing.assert_array_equal(pixels(tmp_path / "sr.tif"), pixels(tmp_path / "whole.tif"))


def test_other_options_are_refused_and_restart_begins_anew(make, tmp_path):
    make("sr.tif", blocks=5)
    with pytest.raises(FileExistsError, match="was begun with other options; --restart begins anew"):
        make("sr.tif", fill="network")
    assert make("sr.tif", fill="network", restart=True) == WINDOWS * BLOCKS


def test_blocks_stay_as_large_as_they_were_when_memory_is_another(make, tmp_path, monkeypatch):
    """What is made of blocks depends on their size; only where memory is not enough for them all is made anew."""

    def begin(side, blocks):
        """Run with memory for blocks of a side, with their margins; return the sizes of all blocks kept since."""
        pixel = network.BYTES_PER_FEATURE * DEPTH + network.BYTES_PER_PIXEL
        monkeypatch.setattr(network, "available_memory", lambda: int(pixel * (side + 0.5) ** 2 / network.MEMORY_SHARE))
        make("sr.tif", blocks=blocks, block_size=None)
        files = (tmp_path / "sr.tif.parts").glob("block_*")
        return sorted(KeptBlocks(file.parent).of(read_place(file), pytest.fail).shape for file in files)

    monkeypatch.setattr(super_resolution, "LEAST_BLOCK", 1)
    first, second = (24 + 21, 24 + 21), (24 + 21, 21 + 21 + 24)
    assert begin(70, blocks=1) == [first]
    assert begin(63, blocks=1) == [first, second]
    assert begin(71, blocks=0) == [first, second]
    assert begin(54, blocks=1) == [(24 + 6, 24 + 6)]
