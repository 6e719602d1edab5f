# SPDX-License-Identifier: Apache-2.0
"""A file that one process holds at a time, or several that share it; the kernel lets it go when a process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, refusal: Exception, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, made for that. Whoever holds it alone removes it afterwards.

    Args:
        path: the file, in a folder that exists.
        refusal: raised at once when another process holds it.
        shared: hold it together with others that share it.
        wait: wait for whoever holds it instead.
    """
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        with open(path, "a") as stream:
            try:
                fcntl.flock(stream, operation)
            except BlockingIOError:
                raise refusal from None
            if _is_at(stream, path):
                try:
                    yield
                finally:
                    if not shared:
                        path.unlink(missing_ok=True)
                return
        if not wait:
            raise refusal


def _is_at(stream, path: Path) -> bool:
    """Return whether an open file still bears the name: whoever held it before has removed it by now, if not."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
