# SPDX-License-Identifier: Apache-2.0
"""What happens to programs while they run: one function for each fault, one outcome for each time.

Whatever happens, the same command without the fault makes the product that an undisturbed run makes.
"""

import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from unittest import mock

from benchmarks.soak.programs import Program, begin, end, kill
from simulate.faults import Fault
from simulate.planetary_computer import LocalPlanetaryComputer

PATIENCE = 900.0
"""Seconds in which a program of a small input has to end."""
NOBODY = 65534


class Wrong(Exception):
    """Something that must not happen."""


@dataclass
class Bench:
    """A program, its input, and the product that it makes if nothing happens."""

    program: Program
    folder: Path

    @property
    def output(self) -> Path:
        """What it makes."""
        return self.folder / "made" / self.program.made

    @property
    def said(self) -> Path:
        """File of what it says."""
        return self.folder / "said.txt"

    def start(self, before: Callable[[], None] | None = None) -> int:
        """Start the program; return the number of its process."""
        import importlib

        words = self.program.words(self.folder / "input", self.output)
        environment = self.server.environment() if self.program.served else {}

        def act() -> int:
            os.environ.update(environment)
            return importlib.import_module(self.program.module).main(words)

        return begin(act, self.said, before)

    @cached_property
    def server(self) -> LocalPlanetaryComputer:
        """What serves its input."""
        return LocalPlanetaryComputer([], self.folder / "input" / str(self.program.served)).start()

    def clean(self) -> None:
        """Forget what was made, and what was said."""
        shutil.rmtree(self.folder / "made", ignore_errors=True)
        (self.folder / "made").mkdir(parents=True)
        self.said.unlink(missing_ok=True)

    @cached_property
    def expected(self) -> tuple[str, float]:
        """What it makes if nothing happens, as a digest, and the seconds that it takes."""
        shutil.rmtree(self.folder / "input", ignore_errors=True)
        (self.folder / "input").mkdir(parents=True)

        def prepare() -> int:
            self.program.prepare(self.folder / "input")
            return 0

        if end(begin(prepare, self.said), PATIENCE) != 0:
            raise Wrong(f"the input cannot be made: {self.last_words()}")
        self.clean()
        start = time.monotonic()
        self.finish()
        return self.program.digest(self.output), time.monotonic() - start

    @cached_property
    def other(self) -> str:
        """What it makes of the input that replaces its own, as a digest."""
        self.clean()
        with replaced(self.input):
            self.finish()
        made = self.program.digest(self.output)
        self.clean()
        return made

    @property
    def input(self) -> Path:
        """One of the files that it reads."""
        return sorted((self.folder / "input").glob("*.tif"))[0]

    def finish(self) -> None:
        """Run the program undisturbed, to its end.

        Raises:
            Wrong: it fails.
        """
        status = end(self.start(), PATIENCE)
        if status != 0:
            raise Wrong(f"the same command ends with {status}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last line of what was said."""
        lines = self.said.read_text(errors="replace").strip().splitlines() if self.said.exists() else []
        return lines[-1][:300] if lines else ""

    def check(self) -> None:
        """Hold what was made against what is expected.

        Raises:
            Wrong: it is something else.
        """
        if self.program.digest(self.output) != self.expected[0]:
            raise Wrong("other pixels")


@contextmanager
def replaced(file: Path) -> Iterator[None]:
    """Let a file have other pixels for a while, and the same size and time."""
    content, status = file.read_bytes(), file.stat()
    times = status.st_atime_ns, status.st_mtime_ns
    file.write_bytes(content[:-2000] + bytes(2000))
    os.utime(file, ns=times)
    try:
        yield
    finally:
        file.write_bytes(content)
        os.utime(file, ns=times)


def killed(bench: Bench, draw: random.Random) -> str:
    """Kill the program, once or twice, at any moment."""
    seconds, kills = bench.expected[1], draw.choice((1, 1, 2))
    for _ in range(kills):
        number, moment = bench.start(), time.monotonic() + draw.uniform(0.0, 1.1) * seconds
        while time.monotonic() < moment and not os.waitpid(number, os.WNOHANG)[0]:
            time.sleep(0.01)
        else:
            if time.monotonic() >= moment:
                kill(number)
    return f"killed up to {kills} times"


def _limited(bench: Bench, kind: int, limit: int) -> str:
    """Run the program within a limit of the system; it may fail, and then leaves no product."""
    status = end(bench.start(lambda: resource.setrlimit(kind, (limit, limit))), PATIENCE)
    if status is None:
        raise Wrong(f"it hangs: {bench.last_words()}")
    if status != 0 and bench.output.exists() and bench.output.is_file():
        raise Wrong(f"status {status}, and a product: {bench.last_words()}")
    if status == 0:
        bench.check()
    return f"status {status}: {bench.last_words()}"


def disk_full(bench: Bench, draw: random.Random) -> str:
    """Let no file grow beyond some size."""
    return _limited(bench, resource.RLIMIT_FSIZE, draw.randrange(1 << 9, 1 << 18))


def little_memory(bench: Bench, draw: random.Random) -> str:
    """Give less memory than is needed, or little more."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return _limited(bench, resource.RLIMIT_AS, taken + draw.randrange(1 << 24, 1 << 29))


def read_only(bench: Bench, _: random.Random) -> str:
    """Run as somebody who cannot write there."""
    if os.getuid():
        (bench.folder / "made").chmod(0o555)
        before = None
    else:
        before = partial(os.setuid, NOBODY)
    try:
        status = end(bench.start(before), PATIENCE)
    finally:
        (bench.folder / "made").chmod(0o755)
    if status in (0, None):
        raise Wrong(f"status {status} where nothing can be written")
    return f"status {status}: {bench.last_words()}"


def several_processes(bench: Bench, draw: random.Random) -> str:
    """Start the program three times at once."""
    numbers = []
    for _ in range(3):
        numbers.append(bench.start())
        time.sleep(draw.uniform(0.0, 0.3))
    statuses = [end(number, PATIENCE) for number in numbers]
    if 0 not in statuses or set(statuses) - {0, 1, 2}:
        raise Wrong(f"statuses {statuses}: {bench.last_words()}")
    return f"statuses {statuses}"


def input_replaced(bench: Bench, draw: random.Random) -> str:
    """Replace an input by one of the same size and time, in place, at any moment; it is put back afterwards."""
    wholes = {bench.expected[0], bench.other}
    number = bench.start()
    time.sleep(draw.uniform(0.0, 1.0) * bench.expected[1])
    with replaced(bench.input):
        ended = end(number, PATIENCE)
    if ended is None:
        raise Wrong("it hangs")
    is_mixed = ended == 0 and bench.program.digest(bench.output) not in wholes
    bench.clean()
    if is_mixed:
        raise Wrong("a product of two inputs, with status 0")
    return f"status {ended}"


def clock_set_back(bench: Bench, draw: random.Random) -> str:
    """Set the clock of the program back at any moment, and kill it; what it left is of the future then."""
    start, seconds = time.time(), bench.expected[1]
    turn, real = start + draw.uniform(0.0, seconds), time.time
    patched = mock.patch("time.time", lambda: real() - (86400.0 if real() > turn else 0.0))
    number = bench.start(patched.start)
    time.sleep(draw.uniform(0.0, seconds))
    kill_if_running(number)
    for path in (bench.folder / "made").rglob("*"):
        os.utime(path, (real() + 86400.0, real() + 86400.0), follow_symlinks=False)
    return "set back by a day"


def kill_if_running(number: int) -> None:
    """Kill a process that has not ended."""
    if not os.waitpid(number, os.WNOHANG)[0]:
        kill(number)


def network(bench: Bench, draw: random.Random) -> str:
    """Let the server refuse, fall silent, cut answers off, and let its tokens expire soon."""
    for _ in range(draw.randrange(1, 6)):
        kind, pattern = (
            draw.choice(("status", "status", "drop", "slow", "truncate")),
            draw.choice(("B0", "B04", "token")),
        )
        status, seconds = draw.choice((403, 404, 429, 500, 503)), draw.uniform(0.1, 5.0)
        bench.server.inject(Fault(pattern, kind, draw.randrange(1, 6), status, draw.choice((None, 1.0)), seconds))
    bench.server.tokens.lifetime = draw.choice((2700.0, 61.0))
    status = end(bench.start(), PATIENCE)
    bench.server.clear_faults()
    bench.server.tokens.lifetime = 2700.0
    if status not in (0, 1):
        raise Wrong(f"status {status}: {bench.last_words()}")
    if status == 0:
        bench.check()
    elif bench.output.exists():
        raise Wrong(f"status {status}, and a product")
    return f"status {status}: {bench.last_words() if status else ''}"


FAULTS = {
    "kill -9": killed,
    "disk full": disk_full,
    "ulimit -v": little_memory,
    "read-only": read_only,
    "three processes": several_processes,
    "input replaced": input_replaced,
    "clock set back": clock_set_back,
    "network": network,
}
"""Faults by name."""


def disturbed(bench: Bench, fault: str, number: int) -> tuple[str, str]:
    """Let a fault happen, then run the same command; return the outcome, `same` or `wrong`, and what was said."""
    bench.expected  # noqa: B018 (made before anything happens)
    bench.clean()
    try:
        said = FAULTS[fault](bench, random.Random(number))
        if not bench.output.exists():
            bench.finish()
        elif bench.output.is_file():
            end(bench.start(), PATIENCE)
        bench.check()
        return "same", said
    except Wrong as error:
        return "wrong", str(error)
