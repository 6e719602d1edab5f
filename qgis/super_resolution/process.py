# SPDX-License-Identifier: Apache-2.0
"""Starting a program of the project from QGIS: progress, cancelling, and how a failure is told."""

import json
import os
import queue
import re
import subprocess
import threading

from qgis.core import QgsProcessingException

CLEANED = ("PYTHON", "QT_", "QGIS", "GDAL_DATA", "PROJ_", "GDAL_DRIVER_PATH")
"""First letters of variables that are for QGIS's own libraries, not for the project's."""
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 120
"""How long a cancelled program may take to end before it is killed; either way, finished parts are kept."""
INTERRUPTED = 130
"""Exit status of a program that was interrupted."""


def environment():
    """Return the environment of a program."""
    return {name: value for name, value in os.environ.items() if not name.startswith(CLEANED)}


def reason_of(line):
    """Return the message of a program's last line, without the program's name."""
    return re.sub(r"^.*?: error: ", "", line)


def run(words, folder, feedback):
    """Run a program of the project.

    Args:
        words: its command line.
        folder: where it runs.
        feedback: QGIS's: gets progress and messages, and says whether the run is cancelled.

    Returns:
        Whether it has run to its end; False when it was cancelled.

    Raises:
        QgsProcessingException: it failed; the message is the program's own.
    """
    feedback.pushCommandInfo(" ".join(words))
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    lines = queue.Queue()
    readers = [threading.Thread(target=_read, args=(stream, lines)) for stream in (process.stdout, process.stderr)]
    for reader in readers:
        reader.start()
    last = _follow(process, lines, len(readers), feedback)
    for reader in readers:
        reader.join()
    status = process.wait()
    if feedback.isCanceled():
        feedback.pushInfo("Cancelled. Finished parts are kept beside the output; the same run goes on.")
        return False
    if status:
        raise QgsProcessingException(reason_of(last) or f"{words[0]} ended with status {status}")
    return True


def _read(stream, lines):
    """Hand the lines of a stream to a queue, and None at its end."""
    with stream:
        for line in stream:
            lines.put(line.rstrip())
    lines.put(None)


def _follow(process, lines, streams, feedback):
    """Show what a program says until it ends; return its last line that is no progress."""
    last, asked, waited = "", False, 0.0
    while streams:
        if feedback.isCanceled() and not asked:
            process.terminate()  # programs take it for Ctrl-C, also where QGIS was started with that ignored
            asked = True
        try:
            line = lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            waited += POLL_SECONDS if asked else 0
            if waited > PATIENCE_SECONDS:
                process.kill()
            continue
        if line is None:
            streams -= 1
        elif line and not _show_progress(line, feedback):
            last = line
            _show(line, feedback)
    return last


def _show_progress(line, feedback):
    """Show a line of progress; return whether it is one."""
    try:
        step = json.loads(line)
        phase, fraction, left = step["phase"], step["fraction"], step["seconds_left"]
    except (ValueError, KeyError, TypeError):
        return False
    feedback.setProgress(100 * fraction)
    remaining = f", {_duration(left)} left" if left is not None and fraction < 1 else ""
    feedback.setProgressText(f"{phase}: {fraction:.0%}{remaining}")
    return True


def _duration(seconds):
    """Return a duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _show(line, feedback):
    """Show what a program says that is no progress."""
    if line.startswith("warning: "):
        feedback.pushWarning(line[len("warning: ") :])
    elif ": error: " not in line:  # that one is raised
        feedback.pushInfo(line)
