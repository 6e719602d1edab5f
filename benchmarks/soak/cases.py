# SPDX-License-Identifier: Apache-2.0
"""Numbered cases of damaged files and of command lines, and a process that goes through them.

`python -m benchmarks.soak.cases FIRST LAST FOLDER` tells each case before it begins and its outcome when it ends, one
line of JSON each: who started it sees which case never ended, or ended the process.
"""

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.soak.damage import damaged
from benchmarks.soak.readers import READERS
from benchmarks.soak.words import PROGRAMS, random_words, status_of
from chain.runtime.command_line import EXPECTED, one_line

NAMES = [*READERS, *(f"words of {program}" for program in PROGRAMS)]
"""What cases are of, in turn."""


def outcome(number: int, folder: Path, whole: dict[str, Any]) -> tuple[str, str]:
    """Run a case; return its outcome and what was said.

    Outcomes are `same` and `refused`, which are right; `accepted` for command lines that mean something, and for other
    content of a format without checksums; `other` for other content of a format that has some; `foreign` for errors
    that are not the project's.
    """
    name, draw = NAMES[number % len(NAMES)], random.Random(number)
    if name not in READERS:
        return _of_words(name.removeprefix("words of "), draw)
    reader, place = READERS[name], folder / name.replace(" ", "_").replace(",", "")
    if name not in whole:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        file = reader.make(place)
        whole[name] = file, file.read_bytes(), reader.read(file)
    file, content, expected = whole[name]
    file.unlink()  # another file, which nobody takes for the one of before
    file.write_bytes(damaged(content, draw))
    try:
        found = reader.read(file)
    except EXPECTED as error:
        return "refused", one_line(error)
    except Exception as error:
        return "foreign", f"{type(error).__name__}: {error}"
    if found == expected:
        return "same", ""
    return ("other" if reader.tells else "accepted"), ""


def _of_words(program: str, draw: random.Random) -> tuple[str, str]:
    """Run a case of a command line."""
    words = random_words(program, draw)
    try:
        status, said = status_of(program, words)
    except Exception as error:
        return "foreign", f"{type(error).__name__}: {error}: {words}"
    if status == 0:
        return "accepted", ""
    lines = said.strip().splitlines()
    is_ours = status == 2 and lines and ": error: " in lines[-1] and "Traceback" not in said
    return ("refused" if is_ours else "foreign"), f"{lines[-1] if lines else status}"


def main(first: int, last: int, folder: Path) -> None:
    """Run cases, and tell."""
    whole: dict[str, Any] = {}
    for number in range(first, last):
        print(json.dumps({"begun": number}), flush=True)
        found, said = outcome(number, folder, whole)
        told = {"case": number, "of": NAMES[number % len(NAMES)], "outcome": found, "said": said[:300]}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
