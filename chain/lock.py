# SPDX-License-Identifier: Apache-2.0
"""A file that one process holds at a time; the kernel lets it go when the process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, refusal: Exception) -> Iterator[None]:
    """Hold a lock file, made for that and removed afterwards.

    Args:
        path: the file, in a folder that exists.
        refusal: raised at once when another process holds it.
    """
    with open(path, "a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        if not _is_at(stream, path):
            raise refusal
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_at(stream, path: Path) -> bool:
    """Return whether an open file still bears the name: whoever held it before has removed it by now, if not."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
