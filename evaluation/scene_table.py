# SPDX-License-Identifier: Apache-2.0
"""Scores of several scenes as one table in Markdown, beside those of other networks.

    python -m inference.dsen2 --input SCENE_*.tif --evaluate wald --metrics scores/SCENE.json     # for each scene
    python -m evaluation.scene_table --group 20m --metrics scores/*.json --beside weights/dsen2/others.json

A row for each scene, named by its file: the RMSE of each band as a share of that of bicubic interpolation, of all bands
the ratio of the mean RMSEs; then the mean of the scenes, and the worst of them. `weights/dsen2/score.sh` does both.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from chain.runtime.command_line import add_program_arguments, run
from evaluation.protocol import GROUPS

Scores = Mapping[str, dict]


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.scene_table", description="Print scores of several scenes as a table in Markdown."
    )
    add = parser.add_argument
    add("--metrics", required=True, nargs="+", metavar="JSON", help="what --evaluate wald --metrics wrote, one a scene")
    add("--group", choices=list(GROUPS), default="20m", help="bands to tell of (default: %(default)s)")
    add("--beside", metavar="JSON", help="ratios of other networks: group -> network -> scene -> number or text")
    add_program_arguments(parser)
    return parser


def table(scores: Scores, group: str, others: Mapping[str, Mapping[str, object]]) -> str:
    """Return the table.

    Args:
        scores: what `evaluation.wald.evaluate` returns, by the names of scenes.
        group: `20m` or `60m`.
        others: for each other network the ratio over all bands, by the names of scenes.

    Raises:
        ValueError: a scene has no scores of the group.
    """
    bands = GROUPS[group]
    header = ["scene", *bands, "all", "RMSE (DN)", "bicubic", *others]
    lines = [header, ["---"] * len(header)]
    ratios = []
    for name, found in scores.items():
        missing = [band for band in bands if band not in found["bands"]]
        if missing:
            raise ValueError(f"--metrics: expected scores of {', '.join(bands)}, got none of {missing[0]} for {name}")
        mean = found[f"mean_{group}"]
        ratios.append([*(found["bands"][band]["ratio"] for band in bands), mean["ratio"]])
        errors = (f"{mean[key]:.1f}" for key in ("rmse", "bicubic_rmse"))
        lines.append([name, *_numbers(ratios[-1]), *errors, *(str(other.get(name, "")) for other in others.values())])
    for name, values in (("mean", np.mean(ratios, axis=0)), ("worst", np.max(ratios, axis=0))):
        lines.append([f"{name} of the scenes", *_numbers(values), "", "", *[""] * len(others)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(ratios) -> list[str]:
    """Write ratios, the last one, that over all bands, in bold."""
    *bands, mean = (f"{ratio:.3f}" for ratio in ratios)
    return [*bands, f"**{mean}**"]


def tell(arguments: argparse.Namespace) -> None:
    """Print the table of the command line.

    Raises:
        ValueError: a file is no scores, or lacks a band.
    """
    scores = {Path(name).stem: _read(name, "--metrics") for name in arguments.metrics}
    others = _read(arguments.beside, "--beside").get(arguments.group, {}) if arguments.beside else {}
    for name, found in scores.items():
        if not {"bands", f"mean_{arguments.group}"} <= found.keys():
            raise ValueError(f"--metrics: expected scores of bands of {arguments.group}, got none in {name}")
    print(table(scores, arguments.group, others))


def _read(name: str, argument: str) -> dict:
    """Read a file of JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{argument}: expected a file of JSON, got {name!r} ({error})") from error


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    return run(parser, arguments, tell)


if __name__ == "__main__":
    sys.exit(main())
