# SPDX-License-Identifier: Apache-2.0
"""What is said of commands: time, memory of one and of all processes, disk, failures."""

import sys

import pytest

from benchmarks.measure import in_turn, measure

HOLD = "import time; held = bytearray(100 * 2**20); time.sleep(1.6)"


def test_memory_of_processes_that_run_together_is_added(tmp_path):
    run = measure([[sys.executable, "-c", HOLD]] * 2, tmp_path, together=True)
    assert run.peak_memory > 100 * 2**20
    assert 200 * 2**20 < run.tree_memory < 300 * 2**20
    assert run.seconds > 1.6


def test_disk_is_the_largest_size(tmp_path):
    script = (
        "import pathlib, time; p = pathlib.Path('{0}/file'); p.write_bytes(bytes(10**6)); time.sleep(1); p.unlink()"
    )
    run = measure([[sys.executable, "-c", script.format(tmp_path)]], tmp_path)
    assert 10**6 <= run.disk < 1.1 * 10**6


def test_a_failure_says_what_was_printed(tmp_path):
    with pytest.raises(RuntimeError, match="exit status 3\nbroken"):
        measure([[sys.executable, "-c", "print('broken'); raise SystemExit(3)"]], tmp_path)


def test_ways_are_run_in_turn():
    order = []
    results = in_turn({"a": lambda n: order.append(f"a{n}") or n, "b": lambda n: order.append(f"b{n}") or -n}, 2)
    assert order == ["a0", "b0", "a1", "b1"]
    assert results == {"a": [0, 1], "b": [0, -1]}
