# SPDX-License-Identifier: Apache-2.0
"""Going through numbered cases in another process, which may hang or crash, and keeping what came of each."""

import json
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

DEADLINE = 120.0
"""Seconds in which a case has to end."""


class Log:
    """What came of cases: lines of JSON, appended, so that a soak goes on where it was."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.results = [json.loads(line) for line in lines if line.endswith("}")]

    def add(self, result: dict) -> None:
        """Keep a result."""
        self.results.append(result)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")

    def count(self) -> Counter:
        """Return how often each outcome came, by what it is of: (of, outcome)."""
        return Counter((result["of"], result["outcome"]) for result in self.results)


def run_cases(log: Log, folder: Path, last: int, until: float, deadline: float = DEADLINE) -> None:
    """Run the cases that are not done, up to a number or a moment of `time.monotonic`.

    Args:
        log: what came of those that are done.
        folder: where files are made.
        last: number of cases.
        until: when to stop.
        deadline: seconds in which a case has to end.
    """
    following = 1 + max((result["case"] for result in log.results), default=-1)
    while following < last and time.monotonic() < until:
        following = _run_some(log, folder, following, last, until, deadline)


def _run_some(log: Log, folder: Path, first: int, last: int, until: float, deadline: float) -> int:
    """Run cases in one process, until one of them ends it; return the number of the next case."""
    command = [sys.executable, "-m", "benchmarks.soak.cases", str(first), str(last), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        following, begun = first, False
        for line in _lines(process, deadline):
            told = json.loads(line)
            begun = "begun" in told
            if not begun:
                log.add(told)
                following = told["case"] + 1
                if time.monotonic() > until:
                    process.kill()
                    return following
        is_over = process.poll() is not None or following >= last
        process.kill()
        status = process.wait()
    if following >= last:
        return following
    if not begun and following == first:
        raise RuntimeError(f"cases: expected a process that begins, got status {status}")
    what = "crash" if is_over else "hang"
    log.add({"case": following, "of": _name(following), "outcome": what, "said": f"status {status}"})
    return following + 1


def _name(number: int) -> str:
    """Return what a case is of."""
    from benchmarks.soak.cases import NAMES

    return NAMES[number % len(NAMES)]


def _lines(process: subprocess.Popen, deadline: float) -> Iterator[bytes]:
    """Yield what a process writes, line by line, until it ends or says nothing for too long."""
    rest = b""
    while select.select([process.stdout], [], [], deadline)[0]:
        content = process.stdout.read1(1 << 16)
        if not content:
            process.wait()
            return
        *lines, rest = (rest + content).split(b"\n")
        yield from lines
