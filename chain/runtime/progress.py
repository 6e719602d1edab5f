# SPDX-License-Identifier: Apache-2.0
"""How long work tells how far it is, whether it is to stop, and what it has decided.

Functions of the library print nothing. They report to a `Progress`, and tell what they have decided to the logger
`super_resolution`: programs show both on the terminal, notebooks and QGIS where they like.

    progress = Progress(lambda fraction, text: print(f"{fraction:.0%} {text}"), cancelled=lambda: False)
    progress(0.5, "regions")
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

LOG = logging.getLogger("super_resolution")
"""What programs tell: `info` for what was decided, `warning` for what the user should look at."""
LOG.addHandler(logging.NullHandler())
COMPUTED = 0.9
"""Share of the work on a region that is done when it is computed, and not written yet."""
BAR = "{desc}: {percentage:3.0f} % |{bar}| {elapsed}, {remaining} left"


class Cancelled(Exception):
    """The caller has cancelled the work; what was finished is kept, and the same call goes on."""


@dataclass(frozen=True)
class Progress:
    """Where work reports.

    Attributes:
        report: called with the fraction that is done, 0 to 1, and a short text; None for nobody.
        cancelled: says whether the work is to stop; None for never.
        start: fraction of the whole work that is done before the part that reports here.
        end: the same, after it.
    """

    report: Callable[[float, str], None] | None = None
    cancelled: Callable[[], bool] | None = None
    start: float = 0.0
    end: float = 1.0

    def __call__(self, fraction: float, text: str) -> None:
        """Report the fraction that is done.

        Raises:
            Cancelled: the work is to stop; the whole of it, when it is done, is not.
        """
        if self._of_whole(fraction) < 1 and self.cancelled and self.cancelled():
            raise Cancelled("cancelled: what was finished is kept, and the same call goes on")
        self.tell(fraction, text)

    def tell(self, fraction: float, text: str) -> None:
        """Report the fraction that is done where the work cannot stop."""
        if self.report:
            self.report(self._of_whole(fraction), text)

    def part(self, start: float, end: float) -> "Progress":
        """Return where a part of the work reports, which is done between two fractions of this one."""
        return replace(self, start=self._of_whole(start), end=self._of_whole(end))

    def divided(self, fraction: float, both: bool = True) -> tuple["Progress", "Progress"]:
        """Return where the work before and after a fraction of it reports; the former is all of it unless `both`."""
        return (self.part(0, fraction), self.part(fraction, 1)) if both else (self, SILENT)

    def _of_whole(self, fraction: float) -> float:
        """Return the fraction of the whole work that is done with a fraction of this part."""
        return min(max(self.start + fraction * (self.end - self.start), 0.0), 1.0)


class RegionProgress:
    """Tells how much of a product is done: regions that are written, and parts of those that are computed.

    Args:
        progress: where it is reported.
        pixels: number of the product's pixels.
        text: what is made.
    """

    def __init__(self, progress: Progress, pixels: int, text: str):
        self._progress, self._pixels, self._text = progress, pixels, text
        self._written, self._lock = 0, threading.Lock()
        self._computed: dict[object, float] = {}

    def computed(self, region: object, pixels: int, fraction: float) -> None:
        """Tell that a fraction of a region is computed; called by the thread that computes."""
        with self._lock:
            self._computed[region] = fraction * pixels
            self._progress.tell(self._fraction(), self._text)

    def written(self, region: object, pixels: int) -> None:
        """Report that a region is written.

        Raises:
            Cancelled: the work is to stop.
        """
        with self._lock:
            self._computed.pop(region, None)
            self._written += pixels
            self._progress(self._fraction(), self._text)

    def _fraction(self) -> float:
        """Return the fraction of the product that is done."""
        return (self._written + COMPUTED * sum(self._computed.values())) / self._pixels


SILENT = Progress()


class _Terminal(logging.Handler):
    """Shows what is told on the standard error, in one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = f"{prefix}{record.getMessage()}"
        if "tqdm" in sys.modules:  # a bar that is shown moves down
            sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def shown_on_terminal(quiet: bool = False) -> Iterator[None]:
    """Show on the standard error, for a while, what is told; if `quiet`, warnings and errors alone."""
    handler, level, propagate = _Terminal(), LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.propagate = False  # libraries give the root logger handlers, which would show each line again
    LOG.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        LOG.propagate = propagate


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give, for a while, where work reports to be seen as a bar with the time that remains, if there is a terminal."""
    bar = None

    def report(fraction: float, text: str) -> None:
        nonlocal bar
        if bar is None:
            from tqdm import tqdm

            bar = tqdm(total=1.0, disable=None, bar_format=BAR)
        bar.set_description_str(text, refresh=False)
        bar.update(fraction - bar.n)

    try:
        yield Progress(report)
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def progress_lines() -> Iterator[Progress]:
    """Give, for a while, where work reports to be read by a program: a JSON object on each line of the standard error.

    `{"phase": "sr.tif", "fraction": 0.25, "seconds_left": 90.0}`; the seconds are null until they can be told.
    """
    start = time.monotonic()

    def report(fraction: float, text: str) -> None:
        passed = time.monotonic() - start
        left = round(passed * (1 - fraction) / fraction, 1) if fraction > 0 else None
        print(
            json.dumps({"phase": text, "fraction": round(fraction, 4), "seconds_left": left}),
            file=sys.stderr,
            flush=True,
        )

    yield Progress(report)


@contextmanager
def no_progress() -> Iterator[Progress]:
    """Give, for a while, where work reports to nobody."""
    yield SILENT


SHOWN = {"bar": progress_bar, "json": progress_lines, "none": no_progress}
"""How progress is shown, by the words of --progress."""
