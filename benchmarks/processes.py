# SPDX-License-Identifier: Apache-2.0
"""DSen2 by one process of several threads, and by several processes of one thread each.

Processes share a product by `--block-range I/N`, and a last one assembles it, which is part of the time; or Dask does
this within one command, with `--scheduler processes`. There are as many processes as cores. All ways are run in turn,
on the same scene.

    python -m benchmarks.processes --output benchmarks/output
"""

import argparse
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement, busiest, in_turn, installed, measure, measure_alone, median_seconds
from benchmarks.networks import NAMES, network_folder
from benchmarks.product import product_command
from benchmarks.scene import write_scene

SIDE = 3072
"""Side of the product, in pixels of 10 m: regions that can be shared evenly."""
REPETITIONS = 2


def shared_product(command: list[str], count: int, folder: Path) -> list[Measurement]:
    """Make a product with single-threaded processes; return the cost of its regions and of assembling it.

    Args:
        command: command that makes the product alone.
        count: number of processes.
        folder: folder of the product, emptied before and after.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shares = [[*command, "--threads", "1", "--block-range", f"{number}/{count}"] for number in range(1, count + 1)]
    runs = [measure(shares, folder, together=True), measure([[*command, "--assemble"]], folder)]
    shutil.rmtree(folder)
    return runs


def single_product(command: list[str], options: Sequence[str], folder: Path) -> list[Measurement]:
    """Make a product with one command and some options; return its cost."""
    return [measure_alone([*command, *options], folder)[0]]


def rows(name: str, output: Path, side: int, repetitions: int) -> tuple[list[str], list[Measurement]]:
    """Measure a network; return the lines of the table, and the runs."""
    cores, folder = len(os.sched_getaffinity(0)), output / "processes"
    scene, networks = write_scene(output / "scenes", side), network_folder(name, output / "networks")
    command = product_command(scene, networks, folder / "product.tif", output / "cache")
    ways = {
        "1 process, 1 thread": lambda _: single_product(command, ("--threads", "1"), folder),
        f"1 process, {cores} threads": lambda _: single_product(command, ("--threads", str(cores)), folder),
        f"{cores} processes, 1 thread each": lambda _: shared_product(command, cores, folder),
    }
    if installed("distributed"):
        dask = ("--scheduler", "processes", "--workers", str(cores), "--threads", "1")
        ways[f"{cores} workers of Dask, 1 thread each"] = lambda _: single_product(command, dask, folder)
    results = in_turn(ways, repetitions)
    totals = {way: [sum(run.seconds for run in runs) for runs in found] for way, found in results.items()}
    alone = next(iter(totals.values()))
    lines = []
    for way, found in results.items():
        seconds = statistics.median(totals[way])
        gain = statistics.median(first / own for first, own in zip(alone, totals[way]))
        assembling = median_seconds([runs[-1] for runs in found]) if len(found[0]) > 1 else None
        lines.append(
            f"| {NAMES[name]} | {way} | {seconds:.1f} | {f'{assembling:.1f}' if assembling else ''} "
            f"| {side**2 / seconds / 1e6:.4f} | {max(run.tree_memory for runs in found for run in runs) / 2**20:.0f} "
            f"| {gain:.2f} |"
        )
    return lines, [run for found in results.values() for runs in found for run in runs]


def run(output: Path, side: int = SIDE, networks: Sequence[str] = tuple(NAMES), repetitions: int = REPETITIONS) -> str:
    """Measure; return the table."""
    lines = [
        "| network | way | wall time, s | of that to assemble, s | product, Mpixel/s | memory of all processes, MiB "
        "| speed, ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    runs = []
    for name in networks:
        found, measured = rows(name, output, side, repetitions)
        lines, runs = [*lines, *found], [*runs, *measured]
    return "\n".join(lines) + f"\n\nProducts of {side}² pixels. {busiest(runs)}"


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    add("--side", type=int, default=SIDE, help="side of the product, in pixels of 10 m (default: %(default)s)")
    add("--networks", nargs="+", choices=NAMES, default=tuple(NAMES), help="(default: all)")
    add("--repetitions", type=int, default=REPETITIONS, help="runs of each way (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, arguments.side, arguments.networks, arguments.repetitions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
