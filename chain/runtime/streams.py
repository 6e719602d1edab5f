# SPDX-License-Identifier: Apache-2.0
"""Standard output and error without credentials, whoever writes to them: Python, or GDAL, curl and OTB by themselves.

What libraries write passes through a process of its own, `chain/runtime/credentials.py`: it never waits for this one,
and writes what is left when this one dies.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TextIO

from chain.runtime import credentials
from chain.runtime.credentials import without_credentials

STANDARD_ERROR = 2
PATIENCE = 2.0
"""Seconds to wait for what was written last, when a process that inherited the standard error still runs."""


class _Filtered:
    """A text stream that writes without credentials, and is otherwise the one it wraps."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        self._stream.write(without_credentials(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def without_credentials_printed() -> Iterator[None]:
    """Take credentials, for a while, out of all that Python prints."""
    output, error = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Filtered(output), _Filtered(error)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = output, error


@contextmanager
def without_credentials_shown() -> Iterator[None]:
    """Take credentials, for a while, out of all that this process writes to its standard output and error.

    An exception that ends the process afterwards is shown without credentials, too.
    """
    if isinstance(sys.stderr, _Filtered):
        yield
        return
    output, error = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Filtered(output), _Filtered(error)  # type: ignore[assignment]
    sys.excepthook = _show
    try:
        with _libraries_filtered(error):
            yield
    finally:
        sys.stdout, sys.stderr = output, error


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Show an exception that nobody has caught."""
    from traceback import format_exception

    print(without_credentials("".join(format_exception(kind, error, traceback))), end="", file=sys.stderr)


@contextmanager
def _libraries_filtered(error: TextIO) -> Iterator[None]:
    """Let what libraries write to the standard error by themselves pass through a filter."""
    if threading.current_thread() is not threading.main_thread() or not sys.executable:
        yield
        return
    error.flush()
    kept = os.dup(STANDARD_ERROR)
    python = _onto(error, kept)
    command = [sys.executable, "-I", "-S", credentials.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=kept, start_new_session=True) as process:
        assert process.stdin
        os.dup2(process.stdin.fileno(), STANDARD_ERROR)
        process.stdin.close()
        if python:
            sys.stderr = _Filtered(python)  # type: ignore[assignment]
        try:
            yield
        finally:
            if python:
                python.flush()
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.returncode = process.returncode or 0  # one that still serves others is left alone


def _onto(error: TextIO, descriptor: int) -> TextIO | None:
    """Return Python's standard error written past the filter of libraries; None where it is no such file."""
    with suppress(OSError, ValueError, AttributeError):
        if error.fileno() == STANDARD_ERROR:
            return os.fdopen(descriptor, "w", buffering=1, encoding=error.encoding, errors=error.errors, closefd=False)
    return None
