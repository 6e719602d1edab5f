# SPDX-License-Identifier: Apache-2.0
"""Wall time, peak memory and disk use of a command, measured from outside the process, and alternating runs."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Instructions of processors that networks gain by, as Linux names them."""
PACKAGES = ("numpy", "scikit-image", "tensorflow", "tensorflow-cpu", "keras", "openvino", "torch", "distributed")
"""Packages whose versions belong to the numbers."""


@dataclass(frozen=True)
class Measurement:
    """Resources used by a command."""

    seconds: float
    """Wall time, in seconds."""
    peak_memory: int
    """Largest resident set of any one process of the command, in bytes; that of the measuring process is its least."""
    disk: int
    """Largest size that the watched folder had while the command ran, in bytes."""
    tree_memory: int
    """Largest sum of the memory of all processes of the command, pages that several share counted once, in bytes."""
    others: float
    """Cores that other processes kept busy meanwhile, on average."""


class Watch(threading.Thread):
    """Samples a size until it is stopped, and keeps the largest.

    Args:
        sample: returns the size, in bytes.
        period: time between samples, in seconds.
    """

    def __init__(self, sample: Callable[[], int], period: float = 0.2):
        super().__init__(daemon=True)
        self.sample = sample
        self.period = period
        self.largest = 0
        self._stopped = threading.Event()

    def run(self):
        """Sample until stopped."""
        while not self._stopped.wait(self.period):
            self.largest = max(self.largest, self.sample())

    def stop(self) -> int:
        """Stop; return the largest size seen, the last included, in bytes."""
        self._stopped.set()
        self.join()
        return max(self.largest, self.sample())


def folder_size(folder: Path) -> int:
    """Sum of the sizes of all files below a folder, in bytes; files that disappear meanwhile count as empty."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def processes_below(parent: int) -> set[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = set(), [parent]
    while waiting:
        process = waiting.pop()
        found.add(process)
        waiting += children.get(process, [])
    return found


def memory_below(parent: int) -> int:
    """Return the memory of a process and all its descendants, in bytes; shared pages count once."""
    total = 0
    for process in processes_below(parent):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def busy_seconds() -> float:
    """Return the total busy time of all cores since the machine started, in seconds."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def measure(
    commands: list[list[str]], folder: Path, environment: dict[str, str] | None = None, together: bool = False
) -> Measurement:
    """Run commands and measure them as a whole.

    Args:
        commands: the commands, each a list of words.
        folder: the folder in which they write; its size is watched.
        environment: variables added to this process's own.
        together: run them all at once, instead of one after the other.

    Raises:
        RuntimeError: a command failed; the message ends with its last output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    disk = Watch(lambda: folder_size(folder))
    disk.start()
    peak, tree, used, busy, start = 0, 0, 0.0, busy_seconds(), time.monotonic()
    for batch in [commands] if together else [[command] for command in commands]:
        logs = [folder / f"command{number}.log" for number in range(len(batch))]
        processes = [_started(command, log, environment) for command, log in zip(batch, logs)]
        memory = Watch(lambda running=tuple(p.pid for p in processes): sum(map(memory_below, running)), period=1.0)
        memory.start()
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak, used = max(peak, usage.ru_maxrss * 1024), used + usage.ru_utime + usage.ru_stime
        tree = max(tree, memory.stop())
        for process, log in zip(processes, logs):
            if process.returncode:
                disk.stop()
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(process.args)}: exit status {process.returncode}\n{tail}")
    seconds = time.monotonic() - start
    others = max(busy_seconds() - busy - used, 0) / seconds
    return Measurement(seconds, peak, disk.stop(), tree, others)


def _started(command: list[str], log: Path, environment: dict[str, str] | None) -> subprocess.Popen:
    """Start a command whose output is added to a log."""
    with open(log, "ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )


def measure_alone(command: list[str], folder: Path) -> tuple[Measurement, int]:
    """Run a command in a new, temporary folder; return its cost, and the size of its files, in bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    run = measure([command], folder)
    left = folder_size(folder)
    shutil.rmtree(folder)
    return run, left


def in_turn(ways: Mapping[str, Callable[[int], Result]], repetitions: int) -> dict[str, list[Result]]:
    """Run ways alternately, A, B, A, B, so that other load on the machine affects all of them.

    Args:
        ways: by name, a function that runs the way, given the number of the repetition.
        repetitions: number of runs of each.

    Returns:
        For each name, the results of its runs.
    """
    results: dict[str, list[Result]] = {name: [] for name in ways}
    for repetition in range(repetitions):
        for name, way in ways.items():
            results[name].append(way(repetition))
    return results


def median_seconds(runs: Sequence[Measurement]) -> float:
    """Return the median wall time of runs, in seconds."""
    return statistics.median(run.seconds for run in runs)


def busiest(runs: Sequence[Measurement]) -> str:
    """Return a sentence on other load of the machine during runs."""
    return f"Other processes kept {max(run.others for run in runs):.2f} cores busy at most, on average over a run."


def installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def machine() -> str:
    """Return one line on the machine and the versions of the software."""
    with open("/proc/cpuinfo") as cpuinfo:
        lines = dict(line.split(":", 1) for line in cpuinfo if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    instructions = [name for name in INSTRUCTIONS if name in facts.get("flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return (
        f"{facts.get('model name', '?')}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB "
        f"({', '.join(instructions)}); {', '.join(versions)}"
    )
