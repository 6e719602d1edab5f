# SPDX-License-Identifier: Apache-2.0
"""Arrays on the disk: what they hold, and that nothing stays of them."""

import gc
import os
import shutil

import numpy as np
import pytest

from inference.l1bsr.scratch import Scratch


def test_arrays_hold_what_is_written_and_leave_nothing(tmp_path):
    scratch = Scratch(tmp_path)
    one, other = scratch.empty((30, 20, 4), np.float32), scratch.empty((7,), np.bool_)
    assert not one.any() and not other.any() and one.dtype == np.float32 and other.dtype == np.bool_
    values = np.random.default_rng(0).normal(size=one.shape).astype(np.float32)
    one[:] = values
    other[3] = True
    scratch.release()
    np.testing.assert_array_equal(one, values)
    assert np.flatnonzero(other).tolist() == [3]
    assert not list(tmp_path.iterdir())


def resident():
    """Return how many bytes of files are in this process's memory."""
    with open("/proc/self/status") as status:
        return 1024 * sum(int(line.split()[1]) for line in status if line.startswith(("RssFile", "RssShmem")))


def test_memory_is_given_back(tmp_path):
    scratch, size = Scratch(tmp_path), 64 * 2**20
    before = resident()
    array = scratch.empty((size // 4,), np.float32)
    array[:] = 1
    assert resident() - before > 0.9 * size
    scratch.release()
    assert resident() - before < 0.1 * size
    assert array[-1] == 1


def test_the_disk_is_free_again_when_an_array_is_not_used_any_more(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    array = Scratch(tmp_path).empty((2**28,), np.uint8)
    assert free - shutil.disk_usage(tmp_path).free > 2**27
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
    assert sum(str(tmp_path) in name for name in held) == 1
    del array
    gc.collect()
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
    assert not any(str(tmp_path) in name for name in held)


def _is_link(descriptor):
    return os.path.islink(f"/proc/self/fd/{descriptor}")


def test_a_disk_that_is_too_small_is_told_of_in_one_line(tmp_path):
    size = 10 * shutil.disk_usage(tmp_path).total
    with pytest.raises(OSError, match="^--output: expected .* GB more on its disk, .*, got ") as error:
        Scratch(tmp_path).empty((size,), np.uint8)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
