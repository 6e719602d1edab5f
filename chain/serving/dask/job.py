# SPDX-License-Identifier: Apache-2.0
"""What a Dask worker is given, and what it does: a region of a product, of a scene that the worker opens itself.

Pixels do not travel: a worker reads the scene where it lies and writes the region's file into the journal's folder,
both by paths or addresses that it shares with the client. The networks are those that the client has chosen.

    client.submit(make_region, job, region)

Nothing that computes is imported with this module: threads are limited first.
"""

import importlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chain.raster.grids import Region
from chain.raster.otb import OTB_LOCK
from chain.runtime.command_line import is_quiet, quiet
from chain.runtime.options import from_values
from chain.runtime.provenance import software_version
from chain.serving.journal import Journal, parts_folder, plain, read_journal
from chain.serving.network import Network
from models.description import FILE_NAME

if TYPE_CHECKING:
    from distributed import Worker

    from chain.raster.blocks import Block
    from chain.serving.production import Production

SOFTWARE = software_version()
"""Version of what this process runs, as it was when it was loaded."""
AT_ONCE = 2
"""Regions that a worker works on at once: one is computed while another is read or written."""


@dataclass(frozen=True)
class Job:
    """A product that workers make the regions of; paths in it are absolute."""

    name: str
    """A name that no other job has."""
    program: str
    """Module of the program, whose `PROGRAM` opens the scene."""
    options: dict
    """Values of the program's options, by name."""
    threads: int | None
    """Threads of each worker; None for as many as Dask gives it."""
    names: tuple
    """Files of the scene, or its item as a mapping."""
    output: Path
    """The product; its journal is held by the client."""
    networks: tuple[Network, ...]
    """The networks, as the client has chosen them."""
    identity: str
    """Digest of all that the pixels depend on."""
    software: str = SOFTWARE
    """Version of what the client runs."""
    quiet: bool = field(default_factory=is_quiet)
    """Whether OTB and TensorFlow say nothing but errors."""


@dataclass
class _Scene:
    """A scene that is open in this process."""

    stack: ExitStack
    production: "Production"
    journal: Journal
    users: int = 0
    """Regions that are being made of it."""
    failure: Exception | None = None
    """Why it could not be read, if that was so once: OTB's pipelines then hold what is not true."""

    def read(self, region: Region) -> "dict[str, Block]":
        """Read what a region needs."""
        with OTB_LOCK:
            if self.failure:
                raise self.failure
            try:
                return self.production.read(region)
            except Exception as error:
                self.failure = error
                raise


_scenes: dict[str, _Scene] = {}
_opening, _computing = threading.Lock(), threading.Lock()
_places = threading.BoundedSemaphore(AT_ONCE)


def make_region(job: Job, region: Region) -> None:
    """Make a region of a product, unless it is there: read, compute, write.

    Raises:
        ValueError: the scene does not suit, or this process sees another one than the client.
        RuntimeError: OTB or an engine refuses, or this process cannot work on the job.
        OSError: the disk refuses.
    """
    from chain.serving.product_file import keep_region

    with _places, _opened(job) as scene:
        if scene.journal.has(region):
            return
        start = time.perf_counter()
        blocks = scene.read(region)
        with _computing:
            bands = scene.production.compute(region, blocks)
        del blocks
        _check(job)
        keep_region(scene.journal, region, bands, time.perf_counter() - start)


def dask_setup(worker: "Worker") -> None:
    """Leave Ctrl-C, which a terminal sends to all processes of a command, to the client.

    Dask calls this in workers that are started with this module as their `preload`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def other_software(expected: str) -> str:
    """Return what to say of this process where the client runs another version of this project."""
    return f"expected workers of this project's version {expected}, got {SOFTWARE} at {socket.gethostname()}"


def refusal(job: Job) -> str | None:
    """Return why this process cannot work on a job, None where it can."""
    host = socket.gethostname()
    if SOFTWARE != job.software:
        return other_software(job.software)
    if _journal(job) is None:
        folder = parts_folder(job.output)
        return f"expected workers that share the product's folder, got {host}, which does not see {folder}"
    for network in job.networks:
        if not (Path(network.model_dir) / FILE_NAME).exists():
            return (
                "expected workers that share the models' folder, or XDG_CACHE_HOME, got "
                f"{host}, which does not see {network.model_dir}"
            )
    return None


def _check(job: Job) -> None:
    """Raise the refusal of a job, if there is one."""
    reason = refusal(job)
    if reason:
        raise RuntimeError(f"--scheduler: {reason}")


def _journal(job: Job) -> Journal | None:
    """Return the journal of a job, None where there is none, or another one's."""
    from chain.serving.provenance import digest

    journal = read_journal(job.output)
    return journal if journal and digest(journal.identity) == job.identity else None


@contextmanager
def _opened(job: Job) -> Iterator[_Scene]:
    """Give the scene of a job for a while. It stays open until one of another job is opened."""
    with _opening:
        if job.name not in _scenes:
            for name in [name for name, scene in _scenes.items() if not scene.users]:
                _scenes.pop(name).stack.close()
            _scenes[job.name] = _open(job)
        scene = _scenes[job.name]
        scene.users += 1
    try:
        yield scene
    finally:
        with _opening:
            scene.users -= 1


def _open(job: Job) -> _Scene:
    """Open the scene of a job, with its networks."""
    from distributed import get_worker

    from chain.runtime.resources import prepare_process

    _check(job)
    if job.quiet:
        quiet()
    prepare_process(job.threads or get_worker().state.nthreads)
    from chain.serving.production import Production

    program = importlib.import_module(job.program).PROGRAM
    options = from_values(program.options, job.options)
    options.limit_servers()
    with ExitStack() as stack, OTB_LOCK:
        product, recipe = stack.enter_context(program.opened(job.names, options))
        production = Production(options, product, replace(recipe, networks=job.networks))
        journal, identity = _journal(job), plain(production.identity())
        if journal is None:
            raise RuntimeError(f"--scheduler: expected the journal of {job.output}, got none")
        other = [key for key in identity if identity[key] != journal.identity.get(key)]
        if other:
            raise ValueError(
                f"--scheduler: expected workers that see the client's {', '.join(other)}, got another at "
                f"{socket.gethostname()}"
            )
        return _Scene(stack.pop_all(), production, journal)
