# SPDX-License-Identifier: Apache-2.0
"""Large outputs region by region: a journal of what is done.

While `sr.tif` is being made, the folder `sr.tif.parts` lies beside it:

    journal.json   what is being made: its identity (input, models, options), and its regions
    regions.log    a line for each region that was made: when, where it is, by which process, in how many seconds
    0_2048.tif     a region, named after its first pixel; a file of that name is whole

All files are written under a temporary name, flushed and renamed. Any process may be killed at any time: whoever opens
the same journal again goes on with the regions that are not there. One process works alone, or several share the
journal, each with its `Share` of the regions.

    with opened_journal(Path("sr.tif"), identity, regions) as journal:
        for region in journal.remaining():
            ...                                     # makes journal.file(region)
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

from chain.raster.grids import Region
from chain.runtime.files import locked

PARTS_SUFFIX = ".parts"
"""End of the names of folders of products that are being made."""
JOURNAL_NAME = "journal.json"
LOG_NAME = "regions.log"
LOCK_NAME = "lock"
BEGINNING_NAME = "beginning.lock"


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

    @property
    def folder(self) -> Path:
        """Folder of the regions' files."""
        return parts_folder(self.product)

    def file(self, region: Region) -> Path:
        """Return the name of a region's file."""
        return self.folder / f"{region.x}_{region.y}.tif"

    def remaining(self, share: Share = WHOLE) -> list[Region]:
        """Return the regions of a share that are not made yet."""
        return [region for region in share.of(self.regions) if not self.file(region).exists()]

    def log(self, region: Region, seconds: float) -> None:
        """Add a line on a region that was made."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        place = f"x={region.x} y={region.y} columns={region.columns} rows={region.rows}"
        with open(self.folder / LOG_NAME, "a", encoding="utf-8") as stream:
            stream.write(f"{moment} {place} seconds={seconds:.2f} process={socket.gethostname()}:{os.getpid()}\n")

    def remove(self) -> None:
        """Remove the journal and the regions. Whoever holds it alone may; the folder goes when it is let go."""
        for file in sorted(self.folder.iterdir(), key=lambda file: file.name != JOURNAL_NAME):
            if file.name not in (LOCK_NAME, BEGINNING_NAME):
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
        regions = tuple(Region(*numbers) for numbers in content["regions"])
        return Journal(product, {**content["identity"]}, regions, {**content["notes"]})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
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

    Regions that are done stay when an exception ends the block; a journal without any is removed.

    Args:
        product: The product's file.
        identity: All that its pixels depend on, as JSON can hold it.
        regions: Its regions, if the journal is new; an older one keeps its own.
        notes: What whoever finishes it has to know.
        restart: Begin anew if what was begun has another identity, or is broken; otherwise that is an error.
        shared: Several processes work on the product; otherwise this one alone.

    Raises:
        FileExistsError: Another process holds it, or what was begun has another identity.
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
        except Exception:
            if not shared and len(journal.remaining()) == len(journal.regions):
                journal.remove()
            raise


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
def _held(product: Path, shared: bool, begin: Callable[[Exception], None] = lambda refusal: None) -> Iterator[None]:
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


def _entered(folder: Path, stack: ExitStack, refusal: Exception, shared: bool, begin: Callable) -> bool:
    """Begin in a folder and hold it, unless the process that held it before has removed it at this moment."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OSError(f"--output: expected a folder that can be written, got {folder.parent} ({error})") from error
    try:
        with locked(folder / BEGINNING_NAME, refusal, wait=True):
            begin(refusal)
            stack.enter_context(locked(folder / LOCK_NAME, refusal, shared))
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
        other = [key for key in wanted.identity if found.identity.get(key) != wanted.identity[key]]
        raise FileExistsError(
            f"--output: {wanted.folder} was begun with other {', '.join(other) or 'options'}; --restart begins anew"
        )
    with locked(wanted.folder / LOCK_NAME, refusal):
        wanted.remove()
        write_whole(wanted.folder / JOURNAL_NAME, (json.dumps(wanted.to_json(), indent=1) + "\n").encode())


def plain(content: Mapping) -> dict:
    """Return content as JSON holds it."""
    return json.loads(json.dumps(content, default=str))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file under a temporary name of this process, flush it to the disk and rename it."""
    partial = file.with_name(f"{file.name}.{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
