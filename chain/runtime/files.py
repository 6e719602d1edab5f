# SPDX-License-Identifier: Apache-2.0
"""Files and folders of results which appear whole or not at all.

Files of a folder are written into a hidden folder inside the target, and moved out of it when all of them are whole;
the file that marks completion moves last. A lock keeps a second process out: a file that one process holds at a time,
or several that share it; the kernel lets it go when a process ends.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LONGEST_STEM = 48
"""Characters of a file's name that its temporary folder takes over: names of files are limited."""
SCRATCH = re.compile(r"[a-z0-9_]{8}")
"""What `tempfile` adds to the names of temporary folders."""
LARGEST_DOCUMENT = 64 * 2**20
"""Bytes of the largest document that is read."""
LOCK_NAME = ".lock"
MOVING = "moving"
"""What the lock of `whole_folder` says while content is moved: what a killed process has moved may be replaced."""


@contextmanager
def whole_file(path: Path, argument: str = "--output") -> Iterator[Path]:
    """Give a temporary name for a file that gets its own when the block ends without an exception.

    The temporary file lies in a folder beside, which nobody else can write and whose name cannot be foreseen.

    Args:
        path: the file; one that is there is replaced.
        argument: name of the option, for errors.

    Raises:
        OSError: the disk refuses.
    """
    try:
        with scratch_folder(path.parent, f".{path.name[:LONGEST_STEM]}.partial-") as folder:
            partial = folder / path.name
            yield partial
            replace(partial, path)
    except OSError as error:
        if str(error).startswith("--"):
            raise
        raise OSError(f"{argument}: expected a file that can be written, got {path} ({reason_of(error)})") from error


@contextmanager
def whole_folder(folder: Path, mark: str, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder whose content moves to `folder` when the block ends without an exception.

    Args:
        folder: target, made when it does not exist.
        mark: name of the file which says that the content is complete; it moves last.
        overwrite: replace what is there.

    Raises:
        ValueError: the target is complete already and `overwrite` is not asked, it holds files of other origin with
            the names of new ones, or it is no folder.
        RuntimeError: another process writes there.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output: expected a folder, got {folder}, which is a file")
    created = not folder.exists()
    partial, lock = folder / ".partial", folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(lock, RuntimeError(f"--output: another process writes into {folder}")):
            if (folder / mark).exists() and not overwrite:
                raise ValueError(f"--output: {folder} holds {mark} already; --overwrite replaces it")
            replaces = overwrite or lock.read_text() == MOVING
            try:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                yield partial
                found = sorted(path.name for path in partial.iterdir() if os.path.lexists(folder / path.name))
                if found and not replaces:
                    raise ValueError(f"--output: {folder} holds {', '.join(found)} already; --overwrite replaces it")
                lock.write_text(MOVING)
                (folder / mark).unlink(missing_ok=True)
                for path in sorted(partial.iterdir(), key=lambda path: path.name == mark):
                    _move(path, folder / path.name)
                synchronize(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        if created and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def _move(source: Path, target: Path) -> None:
    """Move a file or folder over another, its bytes on the disk first."""
    synchronize_all(source)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    source.replace(target)


def reason_of(error: OSError) -> str:
    """Return why the system refuses, in words."""
    return error.strerror or str(error) or type(error).__name__


def synchronize(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk; file systems that cannot do so for folders are left alone.

    Raises:
        OSError: the disk refuses a file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)


def is_device(path: str | Path) -> bool:
    """Return whether a path is there, but neither a file nor a folder: a device or a pipe, which readers wait for."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def synchronize_all(path: Path) -> None:
    """Bring a file, or all that is in a folder, to the disk.

    Raises:
        OSError: the disk refuses a file.
    """
    for each in [*path.rglob("*"), path] if path.is_dir() else [path]:
        synchronize(each)


def replace(source: Path, target: Path) -> None:
    """Give a file its name, in place of one that is there, so that a power cut leaves the one or the other, whole.

    Raises:
        OSError: the disk refuses.
    """
    synchronize(source)
    os.replace(source, target)
    synchronize(target.parent)


def name_new(source: Path, target: Path) -> None:
    """Give a file its name as `replace` does, but replace nothing.

    Raises:
        FileExistsError: there is something of that name.
        OSError: the disk refuses.
    """
    synchronize(source)
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists") from None
        os.replace(source, target)
    else:
        os.unlink(source)
    synchronize(target.parent)


@contextmanager
def scratch_folder(parent: Path | str | None, prefix: str) -> Iterator[Path]:
    """Give a temporary folder, which goes when the block ends; what killed processes have left of its kind goes now.

    Args:
        parent: where it lies; None for the system's temporary folder.
        prefix: beginning of its name, which tells its kind.

    Raises:
        OSError: the disk refuses.
    """
    parent = Path(tempfile.gettempdir() if parent is None else parent)
    _sweep(parent, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not _flocked(descriptor) and not folder.exists():  # another process has swept it away
                continue
            yield folder
            return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what killed processes of this user have left of a kind of temporary folders."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix) or not SCRATCH.fullmatch(entry.name[len(prefix) :]):
                continue
            with suppress(OSError):
                descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if os.fstat(descriptor).st_uid == os.getuid() and _flocked(descriptor):
                        shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(descriptor)


def _flocked(descriptor: int) -> bool:
    """Lock an open folder; return whether that succeeded: no other process holds it, and the file system can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+b") as stream:
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


def _is_at(stream: IO, path: Path) -> bool:
    """Return whether an open file still bears the name: whoever held it before has removed it by now, if not."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def default_cache() -> Path:
    """Return the folder in which fetched files and exported models stay: `otb-super-resolution` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otb-super-resolution"


def read_document(path: str | Path, encoding: str = "utf-8") -> str:
    """Return the text of a file that may come from a stranger.

    Raises:
        OSError: it is no file, is too large, or cannot be read.
        UnicodeDecodeError: it is no text.
    """
    with open(path, "rb", opener=_without_waiting) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path}: expected a file, got a folder, a device or a pipe")
        if status.st_size > LARGEST_DOCUMENT:
            raise OSError(
                f"{path}: expected a text of at most {LARGEST_DOCUMENT >> 20} MiB, got {status.st_size} bytes"
            )
        return stream.read().decode(encoding)


def no_link(path: str, flags: int) -> int:
    """Open a file that is no link: for `open`."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is opened, too."""
    return os.open(path, flags | os.O_NONBLOCK)
