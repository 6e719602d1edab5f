# SPDX-License-Identifier: Apache-2.0
"""A program on its bench: a small input, whatever serves it, and what an undisturbed run makes."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.soak.cluster import Cluster
from benchmarks.soak.processes import Changes, begin, end
from benchmarks.soak.programs import NETWORK, WORKERS, Program, content_of
from simulate.planetary_computer import LocalPlanetaryComputer

PATIENCE = 600.0
"""Seconds in which a program of a small input has to end."""
SLEEPING = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds)"
"""Has a process sleep as libfaketime can bear it: that fails `clock_nanosleep` when the clock is set back."""
FOREIGN = re.compile("__autograph_generated_file|[a-z0-9_]{8}$")
"""Names of temporary files of TensorFlow's and Python's own, which stay when a process is killed."""
REPOSITORY = Path(__file__).resolve().parents[2]


class Wrong(Exception):
    """Something that must not happen."""


@dataclass
class Undisturbed:
    """What a program makes if nothing happens."""

    content: dict[str, str]
    """By name, a digest of what has to be the same."""
    seconds: float
    """How long it takes."""
    changes: int
    """How often it changes files."""


@dataclass
class Bench:
    """A program, and a folder for its input, what it makes, its cache and its temporary files."""

    program: Program
    folder: Path

    @property
    def made(self) -> Path:
        """Folder of what it makes."""
        return self.folder / "work" / "made"

    @property
    def output(self) -> Path:
        """What it makes."""
        return self.made / self.program.made

    @property
    def said(self) -> Path:
        """File of what it says."""
        return self.folder / "said.txt"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that it gets."""
        places = {"TMPDIR": str(self.folder / "work" / "temporary"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        served = self.serving.environment() if self.program.by == NETWORK else {}
        return {**places, **served, "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "0.1"}

    @property
    def words(self) -> list[str]:
        """Its command line."""
        return self.program.words(self.folder / "input", self.output, self.serving)

    @cached_property
    def serving(self) -> Any:
        """The server of its input, or the cluster of its workers."""
        if self.program.by == WORKERS:
            return Cluster(self.folder / "cluster")
        if self.program.by != NETWORK:
            return None
        folder = self.folder / "input" / self.program.served
        if (folder / "items.json").exists():
            return LocalPlanetaryComputer.of_scenes(folder).start()
        return LocalPlanetaryComputer([], folder).start()

    def start(self, before: Callable[[], Any] = lambda: None) -> int:
        """Start the program in a copy of this process; return the number of that."""
        words, environment = self.words, self.environment
        return begin(lambda: self.run(words), self.said, environment, before)

    def run(self, words: list[str]) -> int:
        """Run the program in this process; trainings of two steps, as tests have them, without tracing these."""
        if self.program.module.startswith("train."):
            importlib.import_module("tensorflow").config.run_functions_eagerly(True)
        return importlib.import_module(self.program.module).main(words)

    def start_anew(self, environment: dict[str, str]) -> subprocess.Popen:
        """Start the program in a process of its own, with more variables."""
        run = f"import {self.program.module} as m, sys; sys.exit(m.main(sys.argv[1:]))"
        command = [sys.executable, "-c", f"{SLEEPING}; {run}"]
        places = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        with open(self.said, "a") as said:
            return subprocess.Popen(
                [*command, *self.words],
                env={**os.environ, **places, **self.environment, **environment},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def clean(self) -> None:
        """Forget what was made, and what was said."""
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        self.made.mkdir(parents=True)
        (self.folder / "work" / "temporary").mkdir()
        self.said.unlink(missing_ok=True)

    @cached_property
    def expected(self) -> Undisturbed:
        """What it makes if nothing happens."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "input").mkdir(parents=True)
        self.clean()

        def prepare() -> int:
            self.program.prepare(self.folder / "input")
            return 0

        if end(begin(prepare, self.said, {}, lambda: None), PATIENCE) != 0:
            raise Wrong(f"the input cannot be made: {self.last_words()}")
        self.clean()
        changes, counted = Changes(self.folder), self.folder / "changes.json"
        words, environment = self.words, self.environment

        def counting() -> int:
            status = self.run(words)
            counted.write_text(json.dumps(changes.count))
            return status

        start = time.monotonic()
        if end(begin(counting, self.said, environment, changes.watch), PATIENCE) != 0:
            raise Wrong(f"it fails: {self.last_words()}")
        seconds = time.monotonic() - start
        return Undisturbed(content_of(self.made), seconds, json.loads(counted.read_text()))

    @cached_property
    def other(self) -> dict[str, str]:
        """What it makes of the input that replaces its own."""
        self.clean()
        with self.replaced():
            self.finish()
        made = content_of(self.made)
        self.clean()
        return made

    @property
    def input(self) -> Path | None:
        """A raster that it reads; None where it reads none."""
        return next(iter(sorted((self.folder / "input").rglob("*.tif"))), None)

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Let that file have other pixels for a while, and the same size and time."""
        file = self.input
        assert file  # whoever calls this has asked
        content, status = file.read_bytes(), file.stat()
        times = status.st_atime_ns, status.st_mtime_ns
        pixels = min(len(content) // 2, 2000)
        file.write_bytes(content[:-pixels] + bytes(pixels))
        os.utime(file, ns=times)
        try:
            yield
        finally:
            file.write_bytes(content)
            os.utime(file, ns=times)

    def close(self) -> None:
        """End what serves its input."""
        if "serving" in self.__dict__ and self.serving:
            self.serving.stop()

    def finish(self) -> None:
        """Run the program undisturbed, to its end.

        Raises:
            Wrong: it fails.
        """
        status = end(self.start(), PATIENCE)
        if status != 0:
            raise Wrong(f"the same command ends with {status}: {self.last_words()}")

    def complete(self) -> None:
        """Run the same command, undisturbed, unless everything is there.

        Raises:
            Wrong: it fails, or leaves anything that an undisturbed run does not leave.
        """
        unlike = self.unlike()
        if unlike:
            try:
                self.finish()
            except Wrong as error:
                raise Wrong(f"{error}; before it, other than in an undisturbed run: {', '.join(unlike[:5])}") from error
        left = [*self.left(self.folder / "work" / "temporary"), *self.left(self.made)]
        if left:
            raise Wrong(f"left behind: {', '.join(left[:5])}")

    def left(self, folder: Path) -> list[str]:
        """Return what lies in a folder and is not among what an undisturbed run makes."""
        found = (str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
        return [name for name in found if name not in self.expected.content and not FOREIGN.match(name)]

    def last_words(self) -> str:
        """Return the last line of what was said."""
        lines = self.said.read_text(errors="replace").strip().splitlines() if self.said.exists() else []
        return lines[-1][:300] if lines else ""

    def check(self) -> None:
        """Hold what was made against what is expected.

        Raises:
            Wrong: it is something else.
        """
        unlike = self.unlike()
        if unlike:
            raise Wrong(f"other than in an undisturbed run: {', '.join(unlike[:5])}")

    def unlike(self) -> list[str]:
        """Return the names of files that are missing, or others than an undisturbed run makes."""
        made, expected = content_of(self.made), self.expected.content
        return [name for name in {**made, **expected} if made.get(name) != expected.get(name)]
