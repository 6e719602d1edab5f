# SPDX-License-Identifier: Apache-2.0
"""What a Dask worker is given, and what it does, where a whole scene is made at once: it calls a function of a program.

    client.submit(make_scene, SceneJob("inference.deepsum.challenge", "image_of", (folder, options), threads=2))

Nothing that computes is imported with this module: threads are limited first.
"""

import importlib
import threading
from dataclasses import dataclass, field
from typing import Any

from chain.runtime.command_line import is_quiet, quiet
from chain.serving.dask.job import SOFTWARE, other_software

_computing = threading.Lock()


@dataclass(frozen=True)
class SceneJob:
    """A scene that a worker makes; paths in the arguments are absolute."""

    module: str
    """Module of the function that makes it."""
    function: str
    """That function."""
    arguments: tuple
    """What it is called with."""
    threads: int | None = None
    """Threads of each worker; None for as many as Dask gives it."""
    software: str = SOFTWARE
    """Version of what the client runs."""
    quiet: bool = field(default_factory=is_quiet)
    """Whether OTB and TensorFlow say nothing but errors."""


def make_scene(job: SceneJob) -> Any:
    """Make a scene; return what the function returns. One scene at a time.

    Raises:
        RuntimeError: this process runs another version than the client.
        Exception: what the function raises.
    """
    if job.software != SOFTWARE:
        raise RuntimeError(f"--scheduler: {other_software(job.software)}")
    from distributed import get_worker

    from chain.runtime.resources import prepare_process

    with _computing:
        if job.quiet:
            quiet()
        prepare_process(job.threads or get_worker().state.nthreads)
        return getattr(importlib.import_module(job.module), job.function)(*job.arguments)
