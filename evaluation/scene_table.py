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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chain.runtime.command_line import run_program
from chain.runtime.files import read_document
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress
from evaluation.protocol import GROUPS

Scores = Mapping[str, dict]
NUMBERS = ("ratio", "rmse", "bicubic_rmse")
"""Of all bands, what the table shows."""


@dataclass(frozen=True, kw_only=True)
class Command(BaseOptions):
    """The command line."""

    metrics: tuple[str, ...] = option(
        MISSING, "what --evaluate wald --metrics wrote, one for each scene", many=True, metavar="JSON", reads=True
    )
    group: str = option("20m", "bands of the table", choices=tuple(GROUPS))
    beside: str | None = option(
        None, "ratios of other networks: group -> network -> scene -> number or text", metavar="JSON", reads=True
    )


def table(scores: Scores, group: str, others: Mapping[str, Mapping[str, object]]) -> str:
    """Return the table.

    Args:
        scores: what `evaluation.wald.evaluate` returns, by the names of scenes.
        group: `20m` or `60m`.
        others: for each other network the ratio over all bands, by the names of scenes.

    Raises:
        ValueError: a scene has no scores of the group, or not those of Wald's protocol.
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
        stated = [found["bands"][band].get("ratio") for band in bands] + [mean.get(key) for key in NUMBERS]
        if not all(isinstance(number, int | float) for number in stated):
            raise ValueError(
                f"--metrics: expected ratios and errors of --evaluate wald in numbers, got others, or none, for {name}"
            )
        ratios.append([*(found["bands"][band]["ratio"] for band in bands), mean["ratio"]])
        errors = (f"{mean[key]:.1f}" for key in ("rmse", "bicubic_rmse"))
        lines.append([name, *_numbers(ratios[-1]), *errors, *(str(other.get(name, "")) for other in others.values())])
    for name, values in (("mean", np.mean(ratios, axis=0)), ("worst", np.max(ratios, axis=0))):
        lines.append([f"{name} of the scenes", *_numbers(values), "", "", *[""] * len(others)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(ratios: Sequence[float]) -> list[str]:
    """Write ratios, the last one, that over all bands, in bold."""
    *bands, mean = (f"{ratio:.3f}" for ratio in ratios)
    return [*bands, f"**{mean}**"]


def table_of_files(metrics: Sequence[str | Path], group: str = "20m", beside: str | Path | None = None) -> str:
    """Return the table of scores in files.

    Args:
        metrics: what `--evaluate wald --metrics` wrote, one for each scene.
        group: `20m` or `60m`.
        beside: ratios of other networks: group -> network -> scene -> number or text.

    Raises:
        ValueError: a file is no scores, or lacks a band, or two have one name.
    """
    scores = {name: _read(path, "--metrics") for name, path in by_name(metrics, "--metrics").items()}
    others = _read(beside, "--beside").get(group, {}) if beside else {}
    if not isinstance(others, dict) or not all(isinstance(ratios, dict) for ratios in others.values()):
        raise ValueError(f"--beside: expected ratios by network and scene, got others in {str(beside)!r}")
    for name, found in scores.items():
        if not {"bands", f"mean_{group}"} <= found.keys():
            raise ValueError(f"--metrics: expected scores of bands of {group}, got none in {name}")
    return table(scores, group, others)


def by_name(files: Sequence[str | Path], argument: str) -> dict[str, Path]:
    """Return files by their names without ending.

    Args:
        files: the files.
        argument: the option that names them, for errors.

    Raises:
        ValueError: two have one name.
    """
    found: dict[str, Path] = {}
    for path in map(Path, files):
        if path.stem in found:
            raise ValueError(f"{argument}: expected files of different names, got {found[path.stem]} and {path}")
        found[path.stem] = path
    return found


def _read(name: str | Path, argument: str) -> dict:
    """Read a file of JSON that holds an object.

    Raises:
        ValueError: it is none.
    """
    try:
        content = json.loads(read_document(name))
    except (OSError, ValueError) as error:
        raise ValueError(f"{argument}: expected a file of JSON, got {str(name)!r} ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{argument}: expected an object of JSON, got a {type(content).__name__} in {str(name)!r}")
    return content


def command(options: Command, progress: Progress) -> None:
    """Print the table of the command line."""
    print(table_of_files(options.metrics, options.group, options.beside))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.scene_table",
        description="Print scores of several scenes as a table in Markdown.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
