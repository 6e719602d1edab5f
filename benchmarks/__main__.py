# SPDX-License-Identifier: Apache-2.0
"""Run every benchmark, or some, and write `benchmarks/RESULTS.md`: `make bench`.

Each benchmark is a separate program that prints its table. Results are kept in `benchmarks/output/sections`, so they
need not all be run at once.

    python -m benchmarks engines resuming
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import machine

HERE = Path(__file__).parent
SECTIONS = (
    "engines",
    "onednn",
    "precision",
    "product_sizes",
    "other_procedures",
    "processes",
    "resuming",
    "dataset_creation",
    "inference",
)
"""Modules, in the order of the results."""
MADE_ANEW = ("networks", "cache", "dataset_creation", "inference")
"""Folders written by the measured code; the synthetic scenes and the sections are kept."""


def section(name: str, output: Path, options: Sequence[str] = ()) -> str:
    """Run one benchmark; return its title, explanation, table and circumstances.

    Args:
        name: the module.
        output: work folder.
        options: options of the module's program.

    Raises:
        CalledProcessError: it failed, and has printed the reason.
    """
    title, _, text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())).partition("\n")
    load, start = os.getloadavg()[0], time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    command = [sys.executable, "-m", f"benchmarks.{name}", "--output", str(output), *options]
    table = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    circumstances = f"Begun {start}, commit {commit()}, load average before {load:.2f}, on {machine()}."
    return f"## {title.rstrip('.')}\n{text.rstrip()}\n\n{table}\n\n{circumstances}\n"


def commit() -> str:
    """Return the short name of the measured commit, with a plus sign if files differ from it."""
    words = ["git", "-C", str(HERE), "describe", "--always", "--exclude", "*", "--dirty=+"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def main(argv=None) -> int:
    """Run benchmarks, and write the results of these and of earlier runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks: {', '.join(SECTIONS)} (default: all of them)"
    )
    parser.add_argument("--full-tile", action="store_true", help="product_sizes: a whole tile of Sentinel-2 too")
    arguments = parser.parse_args(argv)
    names = arguments.names or SECTIONS
    for name in names:
        if name not in SECTIONS:
            parser.error(f"NAME: expected one of {', '.join(SECTIONS)}, got {name}")
    output = HERE / "output"
    sections = output / "sections"
    sections.mkdir(parents=True, exist_ok=True)
    for made in MADE_ANEW:
        shutil.rmtree(output / made, ignore_errors=True)
    for name in names:
        full_tile = arguments.full_tile and name == "product_sizes"
        text = section(name, output, ("--full-tile",) if full_tile else ())
        (sections / f"{name}.md").write_text(text)
        print(text, flush=True)
    files = [sections / f"{name}.md" for name in SECTIONS]
    found = "\n".join(file.read_text() for file in files if file.exists())
    (HERE / "RESULTS.md").write_text(f"# Benchmarks\n\n`make bench` wrote this file.\n\n{found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
