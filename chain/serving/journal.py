# SPDX-License-Identifier: Apache-2.0
"""Large outputs region by region: a journal of what is done.

While `sr.tif` is being made, the folder `sr.tif.parts` lies beside it:

    journal.json   what is being made: its identity (input, models, options), and its regions
    regions.log    a line for each region that was made: when, where it is, by which process, in how many seconds
    0_2048.tif     a region, named after its first pixel, and sealed: it ends with a digest of what it holds
    block_….npy    what regions are made of, where that is made at once for all of them; sealed, too

All files are written under a temporary name, flushed and renamed. Any process may be killed at any time: whoever opens
the same journal again goes on with the regions that are not there, or whose seal does not fit. One process works alone,
or several share the journal, each with its `Share` of the regions. A folder of that name that holds anything else, or
no journal, is somebody's: it is an error, and left as it is.

    with opened_journal(Path("sr.tif"), identity, regions) as journal:
        for region in journal.remaining():
            ...                                     # makes journal.file(region)
"""

import hashlib
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

from chain.raster.grids import Region
from chain.runtime.credentials import cleaned
from chain.runtime.files import locked, no_link, reason_of, replace
from chain.runtime.progress import LOG
from chain.serving.input_files import InputChangedError

PARTS_SUFFIX = ".parts"
"""End of the names of folders of products that are being made."""
JOURNAL_NAME = "journal.json"
LOG_NAME = "regions.log"
LOCK_NAME = "lock"
BEGINNING_NAME = "beginning.lock"
LOCKS = (LOCK_NAME, BEGINNING_NAME)
WORK_DONE = re.compile(r"\d+_\d+\.tif|block_[\d_]+\.npy")
"""Names of the files for which a journal is kept when its process fails."""
OURS = re.compile(rf"journal\.json|regions\.log|classes\.tif|({WORK_DONE.pattern})(\.aux\.xml)?|.*\.partial(\..*)?")
"""Names of files in the folder of regions, beside its locks."""
SEAL = b"\nSR_SEAL\n"
"""Begins the seal at the end of a region's file, which readers of TIFF do not look at; a digest follows."""
DIGEST_SIZE = 32
"""Bytes of that digest."""
DIGEST_KEY = "digest"
"""In `journal.json`: a digest of all else that it holds."""
Begin = Callable[[Exception], None]
"""Begins a journal where it has to; takes the error of one that another process holds."""
NAMED = 3
"""Entries of a folder that an error names."""


@dataclass(frozen=True)
class Share:
    """The i-th of n shares of the regions of a product."""

    number: int
    """From 1 on."""
    count: int

    def of(self, regions: Sequence[Region]) -> list[Region]:
        """Return the regions of this share: a stretch of all of them, in reading order."""
        first, stop = ((index * len(regions)) // self.count for index in (self.number - 1, self.number))
        return list(regions[first:stop])


WHOLE = Share(1, 1)


@dataclass(frozen=True)
class Journal:
    """The journal of a product that is being made."""

    product: Path
    """The product's file."""
    identity: Mapping
    """All that its pixels depend on."""
    regions: tuple[Region, ...]
    """Its regions, counted from its first pixel."""
    notes: Mapping = field(default_factory=dict)
    """What whoever finishes it has to know."""
    _whole: dict[Path, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)
    """Regions' files whose seal was found to fit: size and time of change."""

    @property
    def folder(self) -> Path:
        """Folder of the regions' files."""
        return parts_folder(self.product)

    def file(self, region: Region) -> Path:
        """Return the name of a region's file."""
        return self.folder / f"{region.x}_{region.y}.tif"

    def has(self, region: Region) -> bool:
        """Return whether a region is made and as it was written; one that is not is told of."""
        file = self.file(region)
        try:
            status = file.stat()
            state = status.st_size, status.st_mtime_ns
            if self._whole.get(file) != state:
                if read_sealed(file) is None:
                    return False
                self._whole[file] = state
        except FileNotFoundError:
            return False
        return True

    def remaining(self, share: Share = WHOLE) -> list[Region]:
        """Return the regions of a share that are not made yet, or damaged."""
        return [region for region in share.of(self.regions) if not self.has(region)]

    def log(self, region: Region, seconds: float) -> None:
        """Add a line on a region that was made."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        place = f"x={region.x} y={region.y} columns={region.columns} rows={region.rows}"
        with open(self.folder / LOG_NAME, "a", encoding="utf-8", opener=no_link) as stream:
            stream.write(f"{moment} {place} seconds={seconds:.2f} process={socket.gethostname()}:{os.getpid()}\n")

    def remove(self) -> None:
        """Remove the regions and, last, the journal. Whoever holds it alone may; the folder goes when it is let go."""
        for file in sorted(self.folder.iterdir(), key=lambda file: file.name == JOURNAL_NAME):
            if OURS.fullmatch(file.name):
                file.unlink()

    def to_json(self) -> dict:
        """Return the content of `journal.json`."""
        return {
            "product": self.product.name,
            "identity": self.identity,
            "notes": self.notes,
            "regions": [astuple(region) for region in self.regions],
        }


def parts_folder(product: Path) -> Path:
    """Return the folder of the regions of a product."""
    return product.with_name(f"{product.name}{PARTS_SUFFIX}")


def read_journal(product: Path) -> Journal | None:
    """Return the journal of a product that is being made, None where there is none.

    Raises:
        ValueError: What is there is no journal.
    """
    file = parts_folder(product) / JOURNAL_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if _digest_of(content) != content[DIGEST_KEY]:
            raise ValueError("one that is damaged")
        regions = tuple(Region(*numbers) for numbers in content["regions"])
        return Journal(product, {**content["identity"]}, regions, {**content["notes"]})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"--output: expected a journal in {file}, got {error}; --restart removes it") from None


@contextmanager
def opened_journal(
    product: Path,
    identity: Mapping,
    regions: Sequence[Region],
    notes: Mapping | None = None,
    restart: bool = False,
    shared: bool = False,
) -> Iterator[Journal]:
    """Hold the journal of a product: a new one, or the one that an interrupted run has left.

    Regions that are done stay when an exception ends the block; a journal without any is removed, and so is one whose
    input was replaced meanwhile.

    Args:
        product: The product's file.
        identity: All that its pixels depend on, as JSON can hold it.
        regions: Its regions, if the journal is new; an older one keeps its own.
        notes: What whoever finishes it has to know.
        restart: Begin anew if what was begun has another identity, or is broken; otherwise that is an error.
        shared: Several processes work on the product; otherwise this one alone.

    Raises:
        FileExistsError: Another process holds it, what was begun has another identity, or the folder is somebody's.
        ValueError: The journal is broken.
        OSError: The disk refuses.
    """
    wanted = Journal(product, plain(identity), tuple(regions), plain(notes or {}))
    with _held(product, shared, lambda refusal: _begin(wanted, restart, refusal)):
        journal = read_journal(product)
        assert journal  # it was begun above, and is held
        if not shared:
            for leftover in journal.folder.glob("*.partial*"):
                leftover.unlink()
        try:
            yield journal
        except Exception as error:
            is_empty = not any(WORK_DONE.fullmatch(file.name) for file in journal.folder.iterdir())
            if not shared and (is_empty or isinstance(error, InputChangedError)):
                journal.remove()
            raise


def discard(product: Path, identity: Mapping) -> None:
    """Remove the journal that a process has left which was killed when its product had got its name.

    Args:
        product: the product's file.
        identity: all that its pixels depend on; the journal of another one stays.

    Raises:
        FileExistsError: another process holds it, or the folder is somebody's.
        ValueError: it is broken.
    """
    if not parts_folder(product).exists():
        return
    with _held(product, shared=False):
        journal = read_journal(product)
        if journal and journal.identity == plain(identity):
            journal.remove()


@contextmanager
def finished_journal(product: Path) -> Iterator[Journal]:
    """Hold the journal of a product whose regions are all made, alone.

    Raises:
        ValueError: There is none, or regions are missing.
        FileExistsError: Another process holds it.
    """
    none = ValueError(f"--assemble: expected regions of {product}, got no {parts_folder(product)}")
    if not (parts_folder(product) / JOURNAL_NAME).exists():
        raise none
    with _held(product, shared=False):
        journal = read_journal(product)
        if journal is None:  # another process has assembled them meanwhile
            raise none
        missing = journal.remaining()
        if missing:
            raise ValueError(
                f"--assemble: expected all {len(journal.regions)} regions of {product}, got "
                f"{len(missing)} missing, the first at column {missing[0].x}, row {missing[0].y}"
            )
        yield journal


@contextmanager
def _held(product: Path, shared: bool, begin: Begin | None = None) -> Iterator[None]:
    """Hold a product's folder, after `begin`, which one process calls at a time; remove it if it is empty then."""
    folder = parts_folder(product)
    refusal = FileExistsError(f"--output: another process is writing {product}")
    try:
        with ExitStack() as stack:
            while not _entered(folder, stack, refusal, shared, begin):
                pass
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()


def _entered(folder: Path, stack: ExitStack, refusal: Exception, shared: bool, begin: Begin | None) -> bool:
    """Begin in a folder and hold it, unless the process that held it before has removed it at this moment."""
    _check_ours(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OSError(f"--output: expected a folder that can be written, got {folder.parent} ({error})") from error
    try:
        with locked(folder / BEGINNING_NAME, refusal, wait=True), ExitStack() as held:
            if begin:
                begin(refusal)
            held.enter_context(locked(folder / LOCK_NAME, refusal, shared))
            if begin and not (folder / JOURNAL_NAME).exists():  # it was another's, who has finished since
                return False
            stack.push(held.pop_all())
    except FileNotFoundError:
        if folder.exists():
            raise
        return False
    return True


def _begin(wanted: Journal, restart: bool, refusal: Exception) -> None:
    """Write the journal of a product where there is none, or another one that is not to be kept."""
    try:
        found = read_journal(wanted.product)
    except ValueError:
        if not restart:
            raise
        found = None
    if found and found.identity == wanted.identity:
        return
    if found and not restart:
        keys = {**wanted.identity, **found.identity}
        other = [key for key in keys if found.identity.get(key) != wanted.identity.get(key)]
        raise FileExistsError(
            f"--output: {wanted.folder} was begun with other {', '.join(other) or 'options'}; --restart begins anew"
        )
    with locked(wanted.folder / LOCK_NAME, refusal):
        others = _others(wanted.folder)
        if others:
            raise _somebodys(wanted.folder, others)
        wanted.remove()
        content = wanted.to_json()
        content[DIGEST_KEY] = _digest_of(content)
        write_whole(wanted.folder / JOURNAL_NAME, (json.dumps(content, indent=1) + "\n").encode())


def _check_ours(folder: Path) -> None:
    """Refuse a folder of regions that is none: a link, a file, a folder that holds anything and no journal.

    Raises:
        FileExistsError: it is one of these.
    """
    for _ in range(2):  # another process may remove its regions at this moment
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise _somebodys(folder, ["a link" if folder.is_symlink() else "a file"])
        names = {file.name for file in folder.iterdir()} if folder.exists() else set()
        found = sorted(name for name in names if name not in LOCKS and ".partial" not in name)
        if not found or (folder / JOURNAL_NAME).is_file():
            return
    raise _somebodys(folder, found)


def _others(folder: Path) -> list[str]:
    """Return the names in a folder of regions that are not of the files that belong there."""
    return sorted(
        file.name
        for file in folder.iterdir()
        if file.name not in LOCKS and (not OURS.fullmatch(file.name) or file.is_dir())
    )


def _somebodys(folder: Path, found: Sequence[str]) -> FileExistsError:
    """Return the error of a folder that does not belong to a product that is being made."""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return FileExistsError(
        f"--output: expected no {folder}, or the folder of an interrupted run, got {', '.join(found[:NAMED])}{more}"
    )


def _digest_of(content: Mapping) -> str:
    """Return the digest of what a journal holds."""
    held = {key: value for key, value in content.items() if key != DIGEST_KEY}
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def sealed(content: bytes) -> bytes:
    """Return the content of a region's file with its seal."""
    return content + SEAL + hashlib.blake2b(content, digest_size=DIGEST_SIZE).digest()


def is_sealed(content: bytes) -> bool:
    """Return whether a file has a seal that fits what it holds."""
    return sealed(content[: -len(SEAL) - DIGEST_SIZE]) == content


def read_sealed(file: Path) -> bytes | None:
    """Return what a file with a seal holds, the seal included; None, and a warning, where the seal does not fit.

    Raises:
        FileNotFoundError: there is no file.
    """
    content = file.read_bytes()
    if is_sealed(content):
        return content
    LOG.warning("%s: damaged, made again", file)
    return None


def plain(content: Mapping) -> dict:
    """Return content as JSON holds it, without credentials."""
    return cleaned(json.loads(json.dumps(content, default=str)))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file under a temporary name that cannot be foreseen, bring it to the disk, and rename it.

    Raises:
        OSError: the disk refuses.
    """
    partial = file.with_name(f"{file.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb", opener=no_link) as stream:
            stream.write(content)
        replace(partial, file)
    except OSError as error:
        raise OSError(f"--output: expected a disk that takes {file}, got: {reason_of(error)}") from error
    finally:
        partial.unlink(missing_ok=True)
