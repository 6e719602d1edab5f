# SPDX-License-Identifier: Apache-2.0
"""Run every benchmark and write `benchmarks/RESULTS.md`: `make bench`."""

import shutil
import sys
from pathlib import Path

from benchmarks import dataset_creation, inference
from benchmarks.measure import machine

HERE = Path(__file__).parent


def section(module, output: Path) -> str:
    """Title, explanation and table of one benchmark."""
    title, _, text = module.__doc__.partition("\n")
    return f"## {title.rstrip('.')}\n{text.rstrip()}\n\n{module.run(output)}\n"


def main() -> int:
    """Measure in a fresh folder; write the results."""
    output = HERE / "output"
    shutil.rmtree(output, ignore_errors=True)
    sections = [section(module, output / module.__name__.split(".")[-1]) for module in (dataset_creation, inference)]
    text = f"# Benchmarks\n\n`make bench` wrote this file, on {machine()}.\n\n" + "\n".join(sections)
    (HERE / "RESULTS.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
