# SPDX-License-Identifier: Apache-2.0
"""What a process may use of the machine: threads and memory.

How many threads a process computes with is the same for TensorFlow, OpenVINO, OTB and GDAL, so that they do not fight.
Libraries read their number when they are loaded: it has to be set before.

    limit_threads(2)
    if needed > available_memory(): ...
"""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

THREADS = "SR_THREADS"
"""Environment variable of the number, for the parts of this project."""
VARIABLES = (
    THREADS,
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "GDAL_NUM_THREADS",
)
TENSORFLOW_KEEPS = "TF_CPU_ALLOCATOR_USE_BFC"
"""Environment variable of TensorFlow's own allocator, which it uses with oneDNN anyway: on CPUs with AVX-512. On others
a product takes some 8 % less time with it."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""
LARGE = 32 * 2**20
"""Size in bytes from which on a block of memory is given back to the system at once when it is freed."""
KEPT = 256 * 2**20
"""Bytes of freed smaller blocks that are kept for others. Pages given back and taken anew cost a tenth of a run."""
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY_UNITS = {"": 1, "k": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Files that tell the limit of a container and what it uses, of the second and of the first kind of control groups."""


def limit_threads(number: int | None = None) -> None:
    """Set how many threads libraries use that are loaded from now on.

    Args:
        number: The number; by default that of the cores this process may run on. Variables that the user has set are
            then left alone.
    """
    for name in VARIABLES:
        if number is not None or name not in os.environ:
            os.environ[name] = str(number or len(os.sched_getaffinity(0)))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def threads() -> int:
    """Return the number of threads."""
    return int(os.environ.get(THREADS) or len(os.sched_getaffinity(0)))


def reuse_freed_memory() -> None:
    """Have TensorFlow and the C library keep what tiles free for the next ones.

    Without oneDNN, TensorFlow takes arrays from the C library, which gives large ones back to the system at once; its
    own allocator has to be asked for before the first network is run. The C library keeps smaller arrays; glibc's own
    limits move with what a process does, and other libraries have no such setting.
    """
    os.environ.setdefault(TENSORFLOW_KEEPS, "true")
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let OpenBLAS compute with one thread for a while.

    Its threads wait for each other without pause: on a busy machine, a factorisation takes a hundred times as long as
    with one. Other BLAS libraries are left as they are.
    """
    before = []
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    for name in sorted({line.split()[-1] for line in lines if "openblas" in line and "/" in line}):
        library = ctypes.CDLL(name)
        for suffix in ("", "64_"):
            if hasattr(library, f"openblas_set_num_threads{suffix}"):
                number = getattr(library, f"openblas_get_num_threads{suffix}")()
                before.append((getattr(library, f"openblas_set_num_threads{suffix}"), number))
    try:
        for change, _ in before:
            change(1)
        yield
    finally:
        for change, number in before:
            change(number)


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that can be used without swapping, in bytes.

    Args:
        proc: folder of the kernel's files.
        cgroup: folder of the control group's files.
    """
    found = re.search(r"^MemAvailable: *(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    if not found:
        raise OSError(f"{proc}/meminfo: expected MemAvailable, got none")
    least = int(found[1]) * 1024
    for limit, used in CGROUPS:
        try:
            least = min(least, int((cgroup / limit).read_text()) - int((cgroup / used).read_text()))
        except (OSError, ValueError):  # there is no such file, or it says `max`
            continue
    return max(least, 0)


def bytes_of(size: str) -> int:
    """Return a size such as `3GB` or `3000 MiB` in bytes.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)(i?)B", size)
    if not found:
        raise ValueError(f"expected a size such as 3GB or 3000MiB, got {size!r}")
    number, unit, binary = found.groups()
    return int(float(number) * (BINARY_UNITS if binary else UNITS)[unit])


def prepare_process(number: int | None = None) -> None:
    """Load OTB, before TensorFlow, whose copy of SQLite would hide GDAL's, with memory and threads set.

    Args:
        number: Number of threads, as for `limit_threads`.
    """
    reuse_freed_memory()
    limit_threads(number)
    import otbApplication  # noqa: F401
