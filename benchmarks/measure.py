# SPDX-License-Identifier: Apache-2.0
"""Wall time, peak memory and disk of a command, measured from outside the process."""

import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """What a command cost."""

    seconds: float
    """Wall time, in seconds."""
    peak_memory: int
    """Largest resident set of any one process of the command, in bytes."""
    disk: int
    """Largest size that the watched folder had while the command ran, in bytes."""


def folder_size(folder: Path) -> int:
    """Sum of the sizes of all files below a folder, in bytes; files that vanish meanwhile count as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


class DiskWatch(threading.Thread):
    """Samples the size of a folder until it is stopped, and keeps the largest."""

    def __init__(self, folder: Path, period: float = 0.2):
        super().__init__(daemon=True)
        self.folder = folder
        self.period = period
        self.largest = 0
        self._stopped = threading.Event()

    def run(self):
        """Sample until stopped."""
        while not self._stopped.wait(self.period):
            self.largest = max(self.largest, folder_size(self.folder))

    def stop(self) -> int:
        """Stop; return the largest size seen, the last included, in bytes."""
        self._stopped.set()
        self.join()
        return max(self.largest, folder_size(self.folder))


def measure(commands: list[list[str]], folder: Path, environment: dict[str, str] | None = None) -> Measurement:
    """Run commands one after the other and measure them as a whole.

    Args:
        commands: the commands, each a list of words.
        folder: the folder in which they write; its size is watched.
        environment: variables added to this process's own.

    Raises:
        RuntimeError: a command failed; the message ends with what it printed last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    watch = DiskWatch(folder)
    watch.start()
    peak, start = 0, time.monotonic()
    log = folder / "commands.log"
    for command in commands:
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        peak = max(peak, usage.ru_maxrss * 1024)
        if process.returncode:
            watch.stop()
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}\n{tail}")
    seconds = time.monotonic() - start
    return Measurement(seconds, peak, watch.stop())


def machine() -> str:
    """One line on the machine and the versions that the numbers belong to."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = subprocess.run(
        [sys.executable, "-c", "import tensorflow, keras; print(tensorflow.__version__, keras.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; Python {platform.python_version()}, "
        f"TensorFlow {version[-2]}, Keras {version[-1]}"
    )
