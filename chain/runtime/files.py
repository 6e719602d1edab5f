# SPDX-License-Identifier: Apache-2.0
"""Files and folders of results which appear whole or not at all.

Files of a folder are written into a hidden folder inside the target, and moved out of it when all of them are whole;
the file that marks completion moves last. A lock keeps a second process out: a file that one process holds at a time,
or several that share it; the kernel lets it go when a process ends.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, argument: str = "--output") -> Iterator[Path]:
    """Give a temporary name for a file that gets its own when the block ends without an exception.

    Args:
        path: the file; one that is there is replaced.
        argument: name of the option, for errors.

    Raises:
        OSError: the disk refuses.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        _replace(partial, path)
    except OSError as error:
        raise OSError(
            f"{argument}: a file that can be written is wanted. Received: {path} ({error.strerror})"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
        partial.with_name(f"{partial.name}.aux.xml").unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, mark: str, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder whose content moves to `folder` when the block ends without an exception.

    Args:
        folder: target, made when it does not exist.
        mark: name of the file which says that the content is complete; it moves last.
        overwrite: replace what is there.

    Raises:
        ValueError: the target is complete already and `overwrite` is not asked, or it is no folder.
        RuntimeError: another process writes there.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output: a folder is wanted. Received: {folder}, which is a file")
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".partial"
    try:
        with locked(folder / ".lock", RuntimeError(f"--output: another process writes into {folder}")):
            if (folder / mark).exists() and not overwrite:
                raise ValueError(f"--output: {folder} holds {mark} already; --overwrite replaces it")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                yield partial
                (folder / mark).unlink(missing_ok=True)
                for path in sorted(partial.iterdir(), key=lambda path: path.name == mark):
                    _replace(path, folder / path.name)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        if created and not any(folder.iterdir()):
            folder.rmdir()


def _replace(source: Path, target: Path) -> None:
    """Move a file or folder over another, its bytes on the disk first."""
    if source.is_file():
        with open(source, "rb") as stream:
            os.fsync(stream.fileno())
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


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


def default_cache() -> Path:
    """Return the folder in which fetched files and exported models stay: `otb-super-resolution` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otb-super-resolution"
