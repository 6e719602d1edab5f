# SPDX-License-Identifier: Apache-2.0
"""A scheduler of Dask and its workers, each a copy of this process, which may be killed."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.soak.processes import begin, kill

COUNT = 2


class Cluster:
    """A scheduler with workers, at an address that stays.

    Args:
        folder: what they write lies there.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.numbers: dict[str, int] = {}

    @property
    def address(self) -> str:
        """Address of the scheduler; what does not run is started."""
        for name in ("scheduler", *(f"worker {number}" for number in range(COUNT))):
            if name not in self.numbers or not _runs(self.numbers[name]):
                begun = self._scheduler() if name == "scheduler" else self._worker()
                self.numbers[name] = _begin(begun, self.folder)
        return f"tcp://127.0.0.1:{self.port}"

    async def _scheduler(self) -> None:
        from distributed import Scheduler

        async with Scheduler(host="127.0.0.1", port=self.port, dashboard=False) as scheduler:
            await scheduler.finished()

    async def _worker(self) -> None:
        from distributed import Worker

        address = f"tcp://127.0.0.1:{self.port}"
        async with Worker(address, nthreads=1, local_directory=str(self.folder), dashboard=False) as worker:
            await worker.finished()

    def kill(self, name: str) -> None:
        """Kill the scheduler, or a worker."""
        kill(self.numbers.pop(name))

    def stop(self) -> None:
        """Kill all."""
        for name in list(self.numbers):
            self.kill(name)


def _begin(work: Coroutine[Any, Any, None], folder: Path) -> int:
    """Start a copy of this process that does what a coroutine does; return its number."""

    def act() -> int:
        asyncio.run(work)
        return 0

    number = begin(act, folder / "said.txt", {}, lambda: None)
    work.close()
    return number


def _runs(number: int) -> bool:
    """Return whether a process that this one has started runs."""
    with suppress(ChildProcessError):
        return os.waitpid(number, os.WNOHANG)[0] == 0
    return False
