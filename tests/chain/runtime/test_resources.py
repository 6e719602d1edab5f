# SPDX-License-Identifier: Apache-2.0
"""Memory of a machine, and of a container on it."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from chain.runtime.resources import available_memory, bytes_of, one_blas_thread


@pytest.fixture
def system(tmp_path):
    """Folders of a machine of which 6 000 000 kB are free, and of its control group."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable:    6000000 kB\nSwapFree: 9 kB\n")
    (tmp_path / "memory").mkdir()
    return tmp_path / "proc", tmp_path


def test_this_machine_has_some():
    assert 10**8 < available_memory() < 10**14


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 6_144_000_000),
        ({"memory.max": "max\n", "memory.current": "5\n"}, 6_144_000_000),
        ({"memory.max": "3000000000\n", "memory.current": "1000000000\n"}, 2_000_000_000),
        ({"memory.max": "3000", "memory.current": "4000"}, 0),
        ({"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "7"}, 6_144_000_000),
        ({"memory/memory.limit_in_bytes": "2000", "memory/memory.usage_in_bytes": "500"}, 1500),
    ],
)
def test_the_least_limit_counts(system, files, expected):
    for name, content in files.items():
        (system[1] / name).write_text(content)
    assert available_memory(*system) == expected


@pytest.mark.parametrize(
    "text, expected", [("3GB", 3e9), ("1.5 GB", 1.5e9), ("2GiB", 2**31), ("500MiB", 500 * 2**20), ("7kB", 7000)]
)
def test_sizes(text, expected):
    assert bytes_of(text) == expected


def test_openblas_computes_with_one_thread_for_a_while():
    np.linalg.inv(np.eye(3))
    with open("/proc/self/maps") as maps:
        names = {line.split()[-1] for line in maps if "openblas64" in line}
    if not names:
        pytest.skip("NumPy does not use OpenBLAS here")
    library = ctypes.CDLL(names.pop())
    before = library.openblas_get_num_threads64_()
    library.openblas_set_num_threads64_(2)
    with one_blas_thread():
        assert library.openblas_get_num_threads64_() == 1
    assert library.openblas_get_num_threads64_() == 2
    library.openblas_set_num_threads64_(before)


RUNS = """
import resource
from chain.runtime.resources import prepare_process
prepare_process(1)
import tensorflow as tf
run = tf.function(lambda x: tf.reduce_sum(tf.square(tf.nn.relu(x - 1.0)[:, ::-1]) * 2.0))
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run(tf.fill((2048, 4096), 2.0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
def test_networks_take_no_new_pages_from_run_to_run():
    """Each array is of 32 MiB, 8,192 pages."""
    words = [sys.executable, "-c", RUNS]
    without_onednn = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(words, env=without_onednn, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 1000
