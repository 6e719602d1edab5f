# SPDX-License-Identifier: Apache-2.0
"""Copies of a process that has loaded what programs import: a program starts in no time, and may be killed at any.

What TensorFlow takes five seconds of a core to import is imported once. Nothing is computed before the copy is made:
TensorFlow's own threads begin in the copy, as they do in a process that was started anew.
"""

import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LOADED = ("train", "otbApplication", "pyotb", "tensorflow", "h5py", "scipy.ndimage", "skimage.metrics", "distributed")
"""Modules that programs import, in an order in which they agree."""
WRITING = os.O_WRONLY | os.O_RDWR
CHANGES = frozenset(("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"))
"""Events of Python's audit by which a program changes files, beside opening them."""


def load(modules: Iterable[str]) -> None:
    """Import what programs import, and their modules."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for name in (*LOADED, *modules):
        importlib.import_module(name)


def begin(action: Callable[[], int], said: Path, environment: Mapping[str, str], before: Callable[[], Any]) -> int:
    """Start a copy of this process that acts, in a session of its own; return its number.

    Args:
        action: what it does; returns its exit status.
        said: file of what it writes.
        environment: variables that it gets.
        before: what it does to itself first.
    """
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    status = 70
    try:
        os.setsid()
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.environ.update(environment)
        tempfile.tempdir = None
        before()
        status = action()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def end(number: int, seconds: float) -> int | None:
    """Wait for a process; return its status, negative for a signal, or None, when it takes too long and is killed."""
    last = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            with suppress(ProcessLookupError):  # what it has started
                os.killpg(number, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= last:
            kill(number)
            return None
        time.sleep(0.005)


def kill(number: int) -> None:
    """Kill a process, and all that it has started."""
    with suppress(ProcessLookupError):  # it has not got its session yet
        os.killpg(number, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


class Changes:
    """Counts what this process changes of the files in a folder, and kills it before one of the changes.

    Args:
        folder: the folder.
        last: number of the change before which the process is killed; None for none.
    """

    def __init__(self, folder: Path, last: int | None = None):
        self.folder, self.last, self.count = f"{folder}{os.sep}", last, 0

    def watch(self) -> None:
        """Begin; it cannot be ended."""
        sys.addaudithook(self._seen)

    def _seen(self, event: str, arguments: tuple) -> None:
        """Count an event."""
        if event == "open":
            path, _, flags = arguments
            is_change = bool(flags & WRITING) if isinstance(flags, int) else False
        elif event in CHANGES:
            path, is_change = arguments[0], True
        else:
            return
        if is_change and isinstance(path, str | bytes | Path) and os.fsdecode(path).startswith(self.folder):
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
