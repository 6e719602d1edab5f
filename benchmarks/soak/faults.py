# SPDX-License-Identifier: Apache-2.0
"""What happens to programs while they run: one function for each fault, one outcome for each time.

Whatever happens, the same command without the fault makes what an undisturbed run makes, and leaves nothing else.
"""

import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from ctypes.util import find_library
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.soak.bench import PATIENCE, Bench, Wrong
from benchmarks.soak.processes import Changes, end
from benchmarks.soak.programs import FILES, NETWORK, WORKERS, content_of
from simulate.faults import Fault

NOBODY = 65534
FULL = ("mount", "-t", "tmpfs", "-o", "size={}", "none")
"""Command that makes a disk of a size, in bytes, of a folder."""


def killed(bench: Bench, draw: random.Random) -> str:
    """Kill the program, and up to three times those that go on."""
    return "; ".join(killed_once(bench, draw) for _ in range(draw.choice((1, 2, 3, 4))))


def killed_once(bench: Bench, draw: random.Random) -> str:
    """Kill the program, at a moment of the time that it takes, or before one of the changes that it makes to files."""
    in_time = draw.random() < 0.5
    if not in_time or draw.random() < 0.5:
        shutil.rmtree(bench.folder / "cache", ignore_errors=True)
    if in_time:
        seconds = draw.uniform(0.0, 1.0) * bench.expected.seconds
        status = end(bench.start(), seconds)
        return f"killed after {seconds:.2f} s" if status is None else f"it had ended before {seconds:.2f} s"
    number = draw.randrange(bench.expected.changes) + 1
    status = end(bench.start(Changes(bench.folder, number).watch), PATIENCE)
    return f"killed before change {number}" if status == -9 else f"it ended with {status} before change {number}"


def _failing(bench: Bench, status: int | None) -> str:
    """Check what a program leaves that was to fail, or to make what it makes.

    Raises:
        Wrong: it leaves another product, or a product and a failure; or it hangs.
    """
    if status is None:
        raise Wrong(f"it hangs: {bench.last_words()}")
    whole = {name: value for name, value in content_of(bench.made).items() if name in bench.expected.content}
    other = [name for name, value in whole.items() if bench.expected.content[name] != value]
    if other:
        raise Wrong(f"status {status}, and another {other[0]}: {bench.last_words()}")
    if status == 0:
        bench.check()
    return f"status {status}: {bench.last_words() if status else ''}"


def largest_file(bench: Bench, draw: random.Random) -> str:
    """Let no file grow beyond some size."""
    limit = int(2 ** draw.uniform(9, 18))
    before = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    return _failing(bench, end(bench.start(before), PATIENCE))


@contextmanager
def _disk(folder: Path, size: int) -> Any:
    """Let a folder be a small disk, where this machine allows that; say whether it does."""
    command = [word.format(size) for word in FULL]
    is_disk = subprocess.run([*command, str(folder)], check=False, capture_output=True).returncode == 0
    try:
        yield is_disk
    finally:
        if is_disk:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def disk_full(bench: Bench, draw: random.Random) -> str:
    """Let it write on a disk that is soon full; where no such disk can be made, limit its files."""
    with _disk(bench.made, int(2 ** draw.uniform(13, 18))) as is_disk:
        if is_disk:
            return _failing(bench, end(bench.start(), PATIENCE))
    return largest_file(bench, draw)


def little_memory(bench: Bench, draw: random.Random) -> str:
    """Give less memory than is needed, or little more."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = taken + draw.randrange(1 << 24, 1 << 29)
    return _failing(bench, end(bench.start(partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit))), PATIENCE))


def read_only(bench: Bench, _: random.Random) -> str:
    """Run as somebody who cannot write there."""
    for folder in (bench.folder / "cache", bench.folder / "work" / "temporary"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    if os.getuid():
        bench.made.chmod(0o555)
    try:
        status = end(bench.start((lambda: None) if os.getuid() else partial(os.setuid, NOBODY)), PATIENCE)
    finally:
        bench.made.chmod(0o755)
    if status in (0, None):
        raise Wrong(f"status {status} where nothing can be written")
    shutil.rmtree(bench.folder / "cache")
    return _failing(bench, status)


def three_processes(bench: Bench, draw: random.Random) -> str:
    """Start the program three times at once."""
    numbers = []
    for _ in range(3):
        numbers.append(bench.start())
        time.sleep(draw.uniform(0.0, 0.5))
    statuses = [end(number, PATIENCE) for number in numbers]
    if (0 not in statuses and not bench.program.several) or set(statuses) - {0, 1, 2}:
        raise Wrong(f"statuses {statuses}: {bench.last_words()}")
    return f"statuses {statuses}"


def input_replaced(bench: Bench, draw: random.Random) -> str:
    """Replace an input by one of the same size and time, in place, at any moment; it is put back afterwards."""
    if not bench.input:
        return "it reads no raster"
    wholes = [bench.expected.content, bench.other]
    number = bench.start()
    time.sleep(draw.uniform(0.0, 1.0) * bench.expected.seconds)
    with bench.replaced():
        ended = end(number, PATIENCE)
    if ended is None:
        raise Wrong("it hangs")
    is_mixed = ended == 0 and content_of(bench.made) not in wholes
    bench.clean()
    if is_mixed:
        raise Wrong("made of two inputs, with status 0")
    return f"status {ended}"


def clock_set_back(bench: Bench, draw: random.Random) -> str:
    """Set Python's clock of the program back at any moment, and kill it; what it left is of the future then."""
    start, seconds = time.time(), bench.expected.seconds
    turn, real = start + draw.uniform(0.0, seconds), time.time
    patched = mock.patch("time.time", lambda: real() - (86400.0 if real() > turn else 0.0))
    end(bench.start(patched.start), draw.uniform(0.0, 1.2) * seconds)
    for path in bench.made.rglob("*"):
        os.utime(path, (real() + 86400.0, real() + 86400.0), follow_symlinks=False)
    return "set back by a day"


def every_clock_set_back(bench: Bench, draw: random.Random) -> str:
    """Set all clocks of a new process back while it runs, by libfaketime; the program has to make what it makes."""
    library = libfaketime()
    if not library:
        return "libfaketime is not installed"
    clock = bench.folder / "clock"
    clock.write_text("+0\n")
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with bench.start_anew(environment) as process:
        time.sleep(draw.uniform(4.0, 6.0) + draw.uniform(0.0, 1.0) * bench.expected.seconds)
        clock.write_text("-1d\n")
        status = process.wait(PATIENCE)
    if status != 0:
        raise Wrong(f"status {status}: {bench.last_words()}")
    return "set back by a day"


def libfaketime() -> str | None:
    """Return where libfaketime is, if it is installed."""
    places = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return next((str(path) for path in places), None) or find_library("faketimeMT")


def network(bench: Bench, draw: random.Random) -> str:
    """Let the server refuse, fall silent, reset, cut answers off, send something else, and let its tokens expire."""
    server = bench.serving
    for _ in range(draw.randrange(1, 5)):
        kind = draw.choice(("status", "status", "reset", "drop", "slow", "truncate", "wrong", "expire"))
        pattern = draw.choice(("B0", "B04", "token", "stac", "search"))
        status, seconds = draw.choice((403, 404, 429, 500, 503)), draw.uniform(0.1, 5.0)
        server.inject(Fault(pattern, kind, draw.choice((1, 2, 4, 50)), status, draw.choice((None, 1.0)), seconds))
    server.tokens.lifetime = draw.choice((2700.0, 61.0))
    status = end(bench.start(), PATIENCE)
    server.clear_faults()
    server.tokens.lifetime = 2700.0
    if status not in (0, 1):
        raise Wrong(f"status {status}: {bench.last_words()}")
    return _failing(bench, status)


def endless_pages(bench: Bench, _: random.Random) -> str:
    """Let searches never end."""
    bench.serving.inject(Fault("search", "endless", 1 << 40))
    status = end(bench.start(), PATIENCE)
    bench.serving.clear_faults()
    if status not in (0, 1):
        raise Wrong(f"status {status}: {bench.last_words()}")
    return _failing(bench, status)


def worker_killed(bench: Bench, draw: random.Random) -> str:
    """Kill a worker, at any moment; the program makes what it makes."""
    number = bench.start()
    time.sleep(draw.uniform(0.0, 1.0) * bench.expected.seconds)
    bench.serving.kill(f"worker {draw.randrange(2)}")
    status = end(number, PATIENCE)
    if status != 0:
        raise Wrong(f"status {status}: {bench.last_words()}")
    return "killed"


def scheduler_lost(bench: Bench, draw: random.Random) -> str:
    """Kill the scheduler, at any moment; the program fails, and the same command goes on with the next one."""
    number = bench.start()
    time.sleep(draw.uniform(0.0, 1.0) * bench.expected.seconds)
    bench.serving.kill("scheduler")
    status = end(number, PATIENCE)
    bench.serving.stop()
    return _failing(bench, status)


ON_FILES: dict[str, Callable[[Bench, random.Random], str]] = {
    "disk full": disk_full,
    "files limited": largest_file,
    "ulimit -v": little_memory,
    "read-only": read_only,
    "three processes": three_processes,
    "input replaced": input_replaced,
    "clock set back": clock_set_back,
    "clock set back, libfaketime": every_clock_set_back,
}
FAULTS = {
    FILES: ON_FILES,
    NETWORK: {"network": network, "endless pages": endless_pages},
    WORKERS: {"worker killed": worker_killed, "scheduler lost": scheduler_lost},
}
"""Faults by name, by what a program gets its work by; each may be killed, too."""
KILL = "kill -9"


def disturbed(bench: Bench, fault: str, number: int) -> tuple[str, str]:
    """Let a fault happen, then run the same command; return the outcome, `same` or `wrong`, and what was said."""
    try:
        bench.expected  # noqa: B018 (made before anything happens)
        bench.clean()
        act = killed if fault == KILL else FAULTS[bench.program.by][fault]
        said = act(bench, random.Random(number))
        bench.complete()
        bench.check()
        return "same", said
    except Wrong as error:
        return "wrong", str(error)
