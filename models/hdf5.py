# SPDX-License-Identifier: Apache-2.0
"""Whether an HDF5 file can be read in finite time and memory: some damaged ones never end, and cannot be interrupted.

So another process reads all of a file first, within limits, once for each state of the file.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path

SECONDS = 60
"""In which a file has to be read."""
LARGEST = 4 << 30
"""Bytes of all arrays of a file, at most."""

READING = f"""
import json, resource, sys
sys.path[:] = json.loads(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
resource.setrlimit(resource.RLIMIT_AS, ({3 * LARGEST}, {3 * LARGEST}))
import h5py
left = {LARGEST}
def read(_, item):
    global left
    list(item.attrs.items())
    if isinstance(item, h5py.Dataset):
        left -= item.size * item.dtype.itemsize
        if left < 0:
            raise ValueError("arrays of more than {LARGEST >> 30} GiB")
        item[()]
try:
    with h5py.File(sys.argv[1], "r") as file:
        read("", file)
        file.visititems(read)
except Exception as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
"""What the other process runs."""


def check_hdf5(path: str | Path) -> None:
    """Refuse a file that is no HDF5, or whose reading does not end, or takes too much memory.

    Args:
        path: the file.

    Raises:
        ValueError: it is one.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise ValueError(f"weights: expected a readable HDF5 file, got {path} ({error.strerror})") from None
    _check(str(path), (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


@functools.lru_cache(1024)
def _check(path: str, _: tuple[int, ...]) -> None:
    """Check a file, once for each state of it."""
    command = [sys.executable, "-I", "-c", READING, path, json.dumps(sys.path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"weights: expected an HDF5 file that can be read within {SECONDS} s, got {path}: it is damaged"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ends the reading process, status {done.returncode}"]
        raise ValueError(f"weights: expected a readable HDF5 file, got {path} ({lines[-1]})")
