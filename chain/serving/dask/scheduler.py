# SPDX-License-Identifier: Apache-2.0
"""Regions and scenes on many processes or machines: `--scheduler`, by Dask distributed.

The client, which is the program itself, opens each scene, chooses its networks, holds its journal and assembles it;
workers make regions (`chain.serving.dask.job`). A worker that is lost costs the regions that it was making: Dask gives
them to others. Pixels are those of a run without workers, and either resumes what the other has left.

    python -m inference.dsen2 --input images --output-dir products --scheduler processes --workers 4
    python -m inference.dsen2 --input images --output-dir products --scheduler tcp://10.0.0.1:8786
"""

import itertools
import logging
import os
import queue
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from chain.raster.grids import Region
from chain.runtime.command_line import is_quiet, one_line
from chain.runtime.options import from_values, paths_read
from chain.runtime.progress import LOG, Cancelled
from chain.runtime.provenance import PROJECT
from chain.sentinel2.stac_item import read_item
from chain.serving.dask.job import AT_ONCE, Job, make_region, refusal
from chain.serving.dask.scene_job import SceneJob, make_scene
from chain.serving.journal import Journal, plain
from chain.serving.network import Network
from chain.serving.options import WorkersOptions
from chain.serving.provenance import digest
from chain.serving.workers import Workers

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

Stop = Callable[[], bool] | None
REQUIREMENTS = "requirements/dask.txt"
PROCESSES = "processes"
CONNECT_SECONDS = 20
"""Time that a scheduler has to answer."""
WORKER_SECONDS = 120
"""Time that may pass without any worker that runs."""
POLL_SECONDS = 1.0
AHEAD = 2 * AT_ONCE
"""Regions that are handed out for each worker: those that wait keep workers from regions of products begun later."""
SETTINGS = {
    "distributed.scheduler.allowed-failures": 3,
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}
"""Of the cluster of `processes`: workers hold no results, so that one short of memory can only be started anew. None is
given up for being silent: OTB's official Python module keeps it so while it computes."""


class DaskWorkers:
    """Dask's workers, for the products of one command: `chain.serving.workers.Workers`.

    Args:
        client: to whose scheduler they belong.
        program: module of the program, whose `PROGRAM` opens a scene.
        options: those of the program.
        threads: threads of each worker; None for as many as Dask gives it.
    """

    def __init__(self, client: "Client", program: str, options: WorkersOptions, threads: int | None):
        self._client = client
        self._program = program
        self._options = options
        self._threads = threads
        self._serial = itertools.count()
        self._seen = time.monotonic()

    def job(self, names: Sequence, output: Path, networks: Sequence[Network], identity: Mapping) -> Job:
        """Return what workers have to know of a product, as `chain.serving.workers.Workers` says."""
        return Job(
            name=f"{output.stem}-{uuid.uuid4().hex}",
            program=self._program,
            options=self._values(),
            threads=self._threads,
            names=tuple(_absolute(name) if isinstance(name, str) else read_item(name) for name in names),
            output=output.absolute(),
            networks=tuple(replace(each, model_dir=_absolute(each.model_dir)) for each in networks),
            identity=digest(plain(identity)),
        )

    def make_regions(self, journal: Journal, regions: Sequence[Region], job: Job) -> Iterator[Region]:
        """Let workers make regions, as `chain.serving.workers.Workers` says; products begun earlier go first."""
        if regions:
            self._check(job)
        priority = -next(self._serial)
        waiting, pending = deque(regions), {}  # type: tuple[deque[Region], dict[Any, Any]]
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            while waiting or pending:
                while waiting and len(pending) < self._places():
                    region = waiting.popleft()
                    key = (job.name, region.x, region.y)
                    future = self._client.submit(make_region, job, region, key=key, priority=priority, pure=False)
                    future.add_done_callback(finished.put)
                    pending[key] = future, region
                with suppress(queue.Empty):
                    future, region = pending.pop(finished.get(timeout=POLL_SECONDS).key)
                    self._result(future, f"the region at column {region.x}, row {region.y}")
                    yield region
        finally:
            self._client.cancel([future for future, _ in pending.values()])

    def make_scene(self, name: str, module: str, function: str, arguments: tuple, cancelled: Stop = None) -> Any:
        """Let a worker make a scene, as `chain.serving.workers.Workers` says."""
        values = {**self._values(), "scheduler": None, "workers": None, "worker_memory": None}
        given = (from_values(type(self._options), values), *(_absolute(each) for each in arguments))
        ended = threading.Event()
        future = self._client.submit(make_scene, SceneJob(module, function, given, self._threads), pure=False)
        future.add_done_callback(lambda _: ended.set())
        try:
            while not ended.wait(POLL_SECONDS):
                if cancelled and cancelled():
                    raise Cancelled("cancelled: what was finished is kept, and the same call goes on")
                self._places()
            return self._result(future, name)
        finally:
            self._client.cancel([future])

    def _values(self) -> dict[str, Any]:
        """Return the values of the options, by name, as workers take them: paths that are read in full."""
        paths = {name: _absolute(value) for name, value in paths_read(self._options).items()}
        return {**asdict(self._options), **paths}

    def _check(self, job: Job) -> None:
        """Refuse workers that cannot work on a job; those that are lost at this moment do not count."""
        for address, answer in self._client.run(refusal, job, on_error="return").items():
            if isinstance(answer, str):
                raise RuntimeError(f"--scheduler: {answer}")
            if isinstance(answer, Exception) and not isinstance(answer, OSError):
                raise RuntimeError(
                    f"--scheduler: expected workers with {PROJECT} in PYTHONPATH, got {address}, {one_line(answer)}"
                )

    def _places(self) -> int:
        """Return how many regions may be handed out at once.

        Raises:
            RuntimeError: none has been running for a while, or the scheduler is lost.
        """
        try:
            workers = self._client.scheduler_info()["workers"].values()
        except Exception as error:
            raise RuntimeError(f"--scheduler: expected a scheduler that answers, got {one_line(error)}") from error
        running = sum(worker["status"] == "running" for worker in workers)
        if running:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > WORKER_SECONDS:
            received = f"{len(workers)} that are paused, for want of memory," if workers else "none"
            raise RuntimeError(f"--scheduler: expected workers, got {received} for {WORKER_SECONDS} s")
        return AHEAD * running

    def _result(self, future: "Future", name: str) -> Any:
        """Return what a worker has made, or raise what it raised."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            return future.result()
        except FutureCancelledError as error:
            raise RuntimeError(f"--scheduler: expected a scheduler that stays, got {error.reason}") from error
        except KilledWorker as error:
            limit = error.last_worker.memory_limit
            received = f"{limit / 1e9:.1f} GB" if limit else "no limit"
            raise RuntimeError(
                f"--scheduler: {error.allowed_failures + 1} workers died of {name}, the last with {received} of "
                "memory; try a larger --worker-memory, fewer --workers, or a smaller --tile-size"
            ) from error


@contextmanager
def opened_workers(options: WorkersOptions, program: str, at_once: int = AT_ONCE) -> Iterator[Workers | None]:
    """Give the workers that options ask for, for a while; None where they ask for none.

    Args:
        options: those of the program.
        program: module of the program.
        at_once: on how much a worker of `processes` works at once.

    Raises:
        RuntimeError: Dask is not installed, or no worker comes.
        OSError: the scheduler does not answer.
    """
    if not options.scheduler:
        yield None
        return
    distributed = _import_distributed()
    threads = options.threads
    level = logging.CRITICAL if is_quiet() else logging.WARNING
    with ExitStack() as stack:
        stack.enter_context(distributed.utils.silence_logging_cmgr(level))
        address: str | LocalCluster = options.scheduler
        if address == PROCESSES:
            count = options.workers or len(os.sched_getaffinity(0))
            threads = threads or max(len(os.sched_getaffinity(0)) // count, 1)
            address = stack.enter_context(_cluster(distributed, count, options.worker_memory, level, at_once))
        try:
            client = stack.enter_context(distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except (OSError, ValueError) as error:
            raise OSError(
                f"--scheduler: expected a Dask scheduler that answers, got {options.scheduler}, {one_line(error)}"
            ) from error
        LOG.info("--scheduler: dashboard at %s", client.dashboard_link)
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise RuntimeError(
                f"--scheduler: expected workers, got none at {options.scheduler} for {WORKER_SECONDS} s"
            ) from None
        yield DaskWorkers(client, program, options, threads)


@contextmanager
def _cluster(
    distributed: ModuleType, count: int, memory: str | None, level: int, at_once: int
) -> "Iterator[LocalCluster]":
    """Run a scheduler and workers on this machine for a while."""
    import dask

    options = {"memory_limit": memory} if memory else {}
    with dask.config.set(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Port 8787 is already in use")
        with distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=at_once,
            dashboard_address="127.0.0.1:8787",
            silence_logs=level,
            preload=[Job.__module__],
            **options,
        ) as cluster:
            yield cluster


def _import_distributed() -> ModuleType:
    """Return the module `distributed`.

    Raises:
        RuntimeError: it is not installed.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"--scheduler requires Dask: pip install -r {REQUIREMENTS} (no module {error.name})"
        ) from None
    return distributed


def _absolute(value: Any) -> Any:
    """Return paths that exist in full, wherever they are read; all else, such as addresses, as it is."""
    if isinstance(value, list | tuple):
        return type(value)(_absolute(each) for each in value)
    return os.path.abspath(value) if isinstance(value, str | Path) and os.path.exists(value) else value
