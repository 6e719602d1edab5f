# SPDX-License-Identifier: Apache-2.0
"""How much memory there is for a process, on the machine and within the limits of its container.

if needed > available_memory(): ...
"""

import re
from pathlib import Path

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY_UNITS = {"": 1, "k": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Files that tell the limit of a container and what it uses, of the second and of the first kind of control groups."""


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that can be used without swapping, in bytes.

    Args:
        proc: folder of the kernel's files.
        cgroup: folder of the control group's files.
    """
    found = re.search(r"^MemAvailable: *(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    least = int(found[1]) * 1024
    for limit, used in CGROUPS:
        try:
            least = min(least, int((cgroup / limit).read_text()) - int((cgroup / used).read_text()))
        except (OSError, ValueError):  # there is no such file, or it says `max`
            continue
    return max(least, 0)


def bytes_of(size: str) -> int:
    """Return a size such as `3GB` or `3000 MiB` in bytes."""
    number, unit, binary = re.fullmatch(r"([\d.]+) ?([kMGT]?)(i?)B", size).groups()
    return int(float(number) * (BINARY_UNITS if binary else UNITS)[unit])
