# SPDX-License-Identifier: Apache-2.0
"""DSen2 from files to a product, compared with other ways to run the same weights on the same machine.

All use the same GeoTIFFs and the same weights, each in its own process, whose start is part of the time, in turn. First
all 12 bands: the procedure published by the authors (`benchmarks/original_procedure.py`). Then the six 20 m bands only:
that of the package RSP (`benchmarks/rsp_procedure.py`), and OTBTF's application reading and writing files by itself
(`benchmarks/serial_serving.py`), whose product lacks the network's margin. The others write their own formats: a
GeoTIFF of 64-bit numbers, a file per band, a GeoTIFF without overviews. Networks of 16 and 8 bits are made by the first
run, from the weights and the scene, and kept for the others. The last rows of this project are what it does by default:
with its own networks.

    python -m benchmarks.other_procedures --output benchmarks/output
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement, busiest, in_turn, installed, measure_alone, median_seconds
from benchmarks.networks import NAMES, network_folder
from benchmarks.product import MEDIUM_BANDS, product_command
from benchmarks.scene import write_scene

SIDE = 1998
REPETITIONS = 2
WAYS = (("otbtf", "float32"), ("otbtf", "bfloat16"), ("openvino", "float32"), ("openvino", "int8"))
"""Engines and precisions of this project; the others' time is compared with that of the first one."""
OWN_WAYS = WAYS[:2]
"""The same, with this project's own networks."""


def program(name: str, scene: Sequence[Path], networks: Path, output: Path) -> list[str]:
    """Return the command of one of the other procedures."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--input", *map(str, scene)]
    return [*command, "--model-dir", str(networks), "--output", str(output)]


def commands(scene: Sequence[Path], networks: Path, own: Path, folder: Path, cache: Path) -> list[dict[str, list[str]]]:
    """Return the compared commands, by name: for all bands, and for the 20 m bands.

    Args:
        scene: files of 10, 20 and 60 m.
        networks: folder of the networks that all have.
        own: folder of this project's own.
        folder: folder for products.
        cache: folder in which this project's program keeps networks.
    """
    ways = [way for way in WAYS if way[0] == "otbtf" or installed(way[0])]
    product, two = folder / "product.tif", ("--bands", MEDIUM_BANDS)

    def ours(options: Sequence[str] = ()) -> dict[str, list[str]]:
        return {
            f"this project{of}, {' '.join(way)}": product_command(scene, weights, product, cache, *way, options)
            for of, weights, some in (("", networks, ways), (", own networks", own, OWN_WAYS))
            for way in some
        }

    all_bands = ours()
    original = product_command(scene, networks, product, cache, options=("--tiling", "original"))
    all_bands["this project, `--tiling original`"] = original
    all_bands["authors' procedure, Keras"] = program("original_procedure", scene, networks, product)
    medium = ours(two)
    medium["OTBTF, serial"] = program("serial_serving", scene[:2], networks / "2x", product)
    if installed("torch"):
        medium["RSP's procedure, torch"] = program("rsp_procedure", scene[:2], networks / "2x", folder / "rsp")
    return [all_bands, medium]


def table(results: dict[str, list[tuple[Measurement, int]]], side: int) -> list[str]:
    """Return the lines of a table; ratios are relative to the first way, as medians over consecutive runs."""
    lines = [
        "| way | wall time, s | first run, s | product, Mpixel/s | peak memory, MiB | product, MiB | time, ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    first = next(iter(results.values()))
    for name, runs in results.items():
        seconds = median_seconds([run for run, _ in runs])
        ratio = statistics.median(own.seconds / other.seconds for (own, _), (other, _) in zip(runs, first))
        lines.append(
            f"| {name} | {seconds:.1f} | {runs[0][0].seconds:.1f} | {side**2 / seconds / 1e6:.4f} "
            f"| {max(run.peak_memory for run, _ in runs) / 2**20:.0f} | {runs[0][1] / 2**20:.0f} | {ratio:.2f} |"
        )
    return lines


def run(output: Path, side: int = SIDE, repetitions: int = REPETITIONS) -> str:
    """Measure all ways; return the tables."""
    networks, own = (network_folder(name, output / "networks") for name in ("paper", "project"))
    scene, folder, lines, runs = write_scene(output / "scenes", side), output / "other_procedures", [], []
    compared = commands(scene, networks, own, folder, output / "cache")
    for title, ways in zip(("All bands", "The 20 m bands"), compared):
        results = in_turn(
            {name: lambda _, command=command: measure_alone(command, folder) for name, command in ways.items()},
            repetitions,
        )
        lines += [
            f"{title}, {side}² pixels of 10 m, {NAMES['paper']}; own networks: {NAMES['project']}:",
            "",
            *table(results, side),
            "",
        ]
        runs += [run for found in results.values() for run, _ in found]
    missing = [] if installed("torch") else ["torch is not installed: RSP's procedure is not measured."]
    return "\n".join([*lines, *missing, busiest(runs)])


def main(argv=None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    add("--side", type=int, default=SIDE, help="side of the scene, in pixels of 10 m (default: %(default)s)")
    add("--repetitions", type=int, default=REPETITIONS, help="runs of each way (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, arguments.side, arguments.repetitions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
