# SPDX-License-Identifier: Apache-2.0
"""Write docs/which_options.md: which program has which option, by the programs' own parsers.

python docs/which_options.py
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from chain.runtime.options import Kind, flag_of, kinds  # noqa: E402

PROGRAMS = ("dsen2", "spot7", "l1bsr", "deepsum")
HEAD = """# Which program has which option

One word means one thing in all of them. `python -m inference.dsen2 --help` says what each does, with its unit and its
default. Beside these, all have `--quiet`, `--verbose`, `--progress`, `--debug` and `--version`. This page is made by
`python docs/which_options.py`.
"""
WHY = """
## What is not there, and why

- `--tile-size` and `--block-range` cut a product into tiles and regions that are made in any order, without seams.
  REC and CSR (`l1bsr`) look at the whole image, and DeepSUM (`deepsum`) normalises by what it sees: their products are
  made in one piece. `l1bsr --mode strips` bounds memory, equal to two counts. Several processes without Dask are
  each given other images by `--input`; those of `deepsum` each an `--output-dir` of its own.
- `--scheduler` of `l1bsr` and `deepsum` therefore hands out images and scenes of `--output-dir`, each to one worker.
- `--precision`: `int8` is for networks made tile by tile, as the zeros around an image stand for other values in
  integers; CSR computes flows to a hundredth of a pixel, in float32. `auto` needs parts of the input that tell of the
  whole, which DeepSUM has not.
- `deepsum --restart` is for images of several dates, whose blocks are kept; of scenes, those that are done stay.
- `--float` and `--offset` are of reflectance: L1B has counts (`--count-scale`, `--count-offset`).
- `--box`, `--bbox` and `--geometry` of `l1bsr` cut the image first: the part is an image of its own.
- `deepsum --block-size` is no `--tile-size`: it is counted in pixels of the input, and blocks differ a little where
  they meet, which is reported.
- `deepsum --output-dir` is for scenes of the challenge; images of several dates make one product.
- `--bands` are the bands of the product; `--band-names` and `--bands-10m`, … name those of an input that does not say
  it. `spot7 --bands` and `l1bsr --bands`, which did so, are still taken, with a warning.
"""


def options_of(program: str) -> dict[str, Kind]:
    """Return the options of a program's command line, by their spelling."""
    command = importlib.import_module(f"inference.{program}").Command
    return {flag_of(name, kind): kind for name, kind in kinds(command).items()}


def text() -> str:
    """Return the page."""
    found = {program: options_of(program) for program in PROGRAMS}
    flags = list(dict.fromkeys(flag for options in found.values() for flag in options))
    shared = [flag for flag in flags if sum(flag in options for options in found.values()) > 1]
    own = {program: [flag for flag in found[program] if flag not in shared] for program in PROGRAMS}
    lines = [HEAD, "## Shared", "", f"| option | {' | '.join(PROGRAMS)} |", f"|---|{'---|' * len(PROGRAMS)}"]
    for flag in sorted(shared):
        marks = ("yes" if flag in found[program] else "" for program in PROGRAMS)
        lines.append(f"| `{flag}` | {' | '.join(marks)} |")
    lines += ["", "## Of one program", "", "| program | options |", "|---|---|"]
    for program in PROGRAMS:
        lines.append(f"| `{program}` | {', '.join(f'`{flag}`' for flag in sorted(own[program])) or 'none'} |")
    return "\n".join(lines) + "\n" + WHY


if __name__ == "__main__":
    (HERE / "which_options.md").write_text(text(), encoding="utf-8")
