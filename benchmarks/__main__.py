# SPDX-License-Identifier: Apache-2.0
"""Run every benchmark, or some, and write `benchmarks/RESULTS.md`: `make bench`.

What each found is kept in `benchmarks/output/sections`, so that they need not be run in one go.

    python -m benchmarks engines resuming
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

from benchmarks.measure import machine

HERE = Path(__file__).parent
SECTIONS = (
    "engines",
    "product_sizes",
    "other_procedures",
    "processes",
    "resuming",
    "dataset_creation",
    "inference",
)
"""Modules, in the order of the results."""
MADE_ANEW = ("networks", "cache", "dataset_creation", "inference")
"""Folders of what the measured code makes; the synthetic scenes and the sections stay."""


def section(module: ModuleType, output: Path) -> str:
    """Title, explanation, table and circumstances of one benchmark."""
    title, _, text = module.__doc__.partition("\n")
    load, start = os.getloadavg()[0], time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    table = module.run(output)
    circumstances = f"Begun {start}, commit {commit()}, load average before {load:.2f}, on {machine()}."
    return f"## {title.rstrip('.')}\n{text.rstrip()}\n\n{table}\n\n{circumstances}\n"


def commit() -> str:
    """Return the short name of the commit that is measured, with a plus sign if files differ from it."""
    words = ["git", "-C", str(HERE), "describe", "--always", "--exclude", "*", "--dirty=+"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def main(argv=None) -> int:
    """Measure; write the results of these and of earlier runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks: {', '.join(SECTIONS)} (default: all of them)"
    )
    names = parser.parse_args(argv).names or SECTIONS
    for name in names:
        if name not in SECTIONS:
            parser.error(f"argument NAME: one of {', '.join(SECTIONS)} is wanted. Received: {name}")
    output = HERE / "output"
    sections = output / "sections"
    sections.mkdir(parents=True, exist_ok=True)
    for made in MADE_ANEW:
        shutil.rmtree(output / made, ignore_errors=True)
    for name in names:
        text = section(importlib.import_module(f"benchmarks.{name}"), output)
        (sections / f"{name}.md").write_text(text)
        print(text, flush=True)
    files = [sections / f"{name}.md" for name in SECTIONS]
    found = "\n".join(file.read_text() for file in files if file.exists())
    (HERE / "RESULTS.md").write_text(f"# Benchmarks\n\n`make bench` wrote this file.\n\n{found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
