#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What QGIS's OTB provider starts in place of OTB's launcher; `set_up.py` links it into the provider's OTB folder.

The provider calls it as `otbApplicationLauncherCommandLine App folder[:folder] -key value ...`, with an environment
that has neither PATH nor HOME nor OTB_TF_NSOURCES, and takes an application that failed for one that succeeded. Here

- the environment is that of `environment.json` beside the folder of the launcher, as the set-up has found it;
- the number of sources is the highest N of a `-sourceN.il`; parameters of higher sources, which QGIS passes with their
  defaults, are left out;
- several names of outputs, which QGIS passes as one word, are separated;
- what an application that failed has left under the names of its outputs, or an earlier run, is renamed, so that nobody
  takes it for the result, and a line `ERROR: ...` says so.

It needs nothing but Python 3.9.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.path.abspath(__file__)).parent.parent
"""The OTB folder that QGIS knows; the launcher is a link in its folder `bin`."""
FAILED_SUFFIX = ".failed"
"""Added to the names of files that are there after a failure."""
LISTS = ("-output.names", "-model.tagsets", "-model.userplaceholders")
"""Parameters of several words, which QGIS passes as one."""


def number_of_sources(words: list[str]) -> int:
    """Return the number of sources of an application of OTBTF, 1 at least, by its arguments."""
    numbers = [re.fullmatch(r"-source(\d+)\.il", word) for word in words]
    return max([1, *(int(found[1]) for found in numbers if found)])


def arguments_by_key(words: list[str]) -> list[list[str]]:
    """Return the arguments of an application, each a key with its values."""
    found: list[list[str]] = []
    for word in words:
        if re.match(r"-[A-Za-z]", word) or not found:
            found.append([])
        found[-1].append(word)
    return found


def accepted(words: list[str], sources: int) -> list[str]:
    """Return the arguments without those of sources that are not there, and with lists of several words."""
    kept: list[str] = []
    for key, *values in arguments_by_key(words):
        source = re.match(r"-source(\d+)\.", key)
        if source and int(source[1]) > sources:
            continue
        kept += [key, *(" ".join(values).split() if key in LISTS else values)]
    return kept


def outputs(application: str, words: list[str], descriptions: Path) -> list[Path]:
    """Return the files that an application writes, by its description and its arguments."""
    text = (descriptions / f"{application}.txt").read_text(encoding="utf-8")
    keys = set(re.findall(r"^\*?QgsProcessingParameter\w*Destination\|([^|]+)\|", text, re.MULTILINE))
    found = [values[0] for key, *values in arguments_by_key(words) if key[1:] in keys and values]
    return [Path(name.split("?")[0]) for name in found]


def run(application: str, words: list[str]) -> int:
    """Run an application; return its exit status."""
    settings = json.loads((FOLDER / "environment.json").read_text(encoding="utf-8"))
    sources = number_of_sources(words)
    environment = {**settings["environment"], **os.environ, "OTB_TF_NSOURCES": str(sources)}
    command = [settings["launcher"], application, *accepted(words, sources)]
    status = subprocess.run(command, env=environment).returncode
    if status:
        print(f"ERROR: {application} failed with exit status {status}", flush=True)
        for path in outputs(application, words, FOLDER / "description"):
            if path.is_file():
                os.replace(path, f"{path}{FAILED_SUFFIX}")
                print(f"ERROR: {path} is not the result of this run: it is now {path.name}{FAILED_SUFFIX}", flush=True)
    return status


def main() -> int:
    """Run what QGIS asks for: an application, a folder of applications that is not needed, and arguments."""
    application, words = sys.argv[1], sys.argv[2:]
    if words and not words[0].startswith("-"):
        words = words[1:]
    return run(application, words)


if __name__ == "__main__":
    sys.exit(main())
