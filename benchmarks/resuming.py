# SPDX-License-Identifier: Apache-2.0
"""Cost of resuming a DSen2 product whose regions are all made, and of repeating a finished one.

Compared with making the whole product are: the same command after all regions were made but not assembled,
`--assemble` at that point, and the same command when the product exists. Regions are made by `--block-range`, which
leaves the same state as a process that was killed before assembling.

    python -m benchmarks.resuming --output benchmarks/output
"""

import argparse
import shutil
import statistics
import sys
from pathlib import Path

from benchmarks.measure import Measurement, busiest, in_turn, measure
from benchmarks.networks import NAMES, network_folder
from benchmarks.product import product_command
from benchmarks.scene import write_scene

SIDE = 3072
"""Side of the product, in pixels of 10 m."""
REPETITIONS = 3


def measured(command: list[str], folder: Path, start: Path | None) -> Measurement:
    """Run a command in a copy of a folder, or in a new one."""
    shutil.rmtree(folder, ignore_errors=True)
    if start:
        shutil.copytree(start, folder)
    return measure([command], folder)


def run(output: Path, side: int = SIDE, name: str = "project", repetitions: int = REPETITIONS) -> str:
    """Measure; return the table."""
    scene, networks = write_scene(output / "scenes", side), network_folder(name, output / "networks")
    folder, regions = output / "resuming", output / "resuming_regions"
    command = product_command(scene, networks, folder, output / "cache")
    shutil.rmtree(folder, ignore_errors=True)
    measure([[*command, "--block-range", f"{number}/2"] for number in (1, 2)], folder)
    shutil.rmtree(regions, ignore_errors=True)
    folder.rename(regions)
    results = in_turn(
        {
            "all of it": lambda _: measured(command, folder, None),
            "done before": lambda _: measure([command], folder),
            "all regions made": lambda _: measured(command, folder, regions),
            "`--assemble` alone": lambda _: measured([*command, "--assemble"], folder, regions),
        },
        repetitions,
    )
    shutil.rmtree(folder)
    shutil.rmtree(regions)
    lines = ["| what is left to do | wall time, s | share of all | peak memory, MiB |", "|---|---|---|---|"]
    whole = next(iter(results.values()))
    for way, runs in results.items():
        share = statistics.median(own.seconds / first.seconds for own, first in zip(runs, whole))
        lines.append(
            f"| {way} | {statistics.median(run.seconds for run in runs):.1f} | {100 * share:.1f} % "
            f"| {max(run.peak_memory for run in runs) / 2**20:.0f} |"
        )
    found = [run for runs in results.values() for run in runs]
    return "\n".join(lines) + f"\n\nA product of {side}² pixels, {NAMES[name]}. {busiest(found)}"


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    add("--side", type=int, default=SIDE, help="side of the product, in pixels of 10 m (default: %(default)s)")
    add("--network", choices=NAMES, default="project", help="(default: %(default)s)")
    add("--repetitions", type=int, default=REPETITIONS, help="runs of each (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, arguments.side, arguments.network, arguments.repetitions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
