# SPDX-License-Identifier: Apache-2.0
"""DSen2 from files to a product, by size: time should grow with the pixels, memory should not.

`python -m inference.dsen2` makes a Cloud-Optimized GeoTIFF of 12 bands at 10 m from GeoTIFFs of 10, 20 and 60 m, in its
own process, whose start is part of the time. After each product, the bare networks run on the same number of tiles of
the same sizes in memory. Two shares of the bare network's speed are given: relative to its speed over all computed
pixels, including margins (the product's pixels count once), and relative to its time alone (bare time / time of the
product).

    python -m benchmarks.product_sizes --output benchmarks/output --full-tile
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bare_network import BareNetwork, pixels, tiles_of
from benchmarks.measure import Measurement, busiest, in_turn, measure_alone, median_seconds
from benchmarks.networks import NAMES, ROLES, network_folder
from benchmarks.product import product_command
from benchmarks.scene import FULL_TILE, write_scene
from chain.serving.network import TILE_SIZE
from models.description import read_description

SIDES = (1998, 7998)
"""Sides of the products, in pixels of 10 m: multiples of 6, and of nothing that would suit the tiles."""
REPETITIONS = {1998: 3}
"""Number of runs, by side; other sides are run once."""


def bare_seconds(networks: list[BareNetwork], tiles: list[list[tuple[int, int]]]) -> float:
    """Return the time of the bare networks for their tiles, one network after the other, in seconds."""
    return sum(sum(network.seconds(sizes)) for network, sizes in zip(networks, tiles))


def line(side: int, name: str, engine: str, precision: str, output: Path, repetitions: int) -> tuple[str, list]:
    """Measure a size; return its line of the table and the runs."""
    scene = write_scene(output / "scenes", side)
    folder = network_folder(name, output / "networks")
    folders = [folder / role for role in ROLES]
    descriptions = [read_description(folder) for folder in folders]
    tiles = tiles_of(side, descriptions, TILE_SIZE)
    work = output / f"product{side}"
    command = product_command(scene, folder, work / "product.tif", output / "cache", engine, precision)
    bare_engine = "tensorflow" if engine == "otbtf" else engine
    networks = [BareNetwork(folder, bare_engine, precision, output / "cache") for folder in folders]
    with networks[0], networks[1]:
        results = in_turn(
            {
                "product": lambda _: measure_alone(command, work)[0],
                "bare": lambda _: bare_seconds(networks, tiles),
            },
            repetitions,
        )
    runs: list[Measurement] = results["product"]
    seconds, bare = median_seconds(runs), statistics.median(results["bare"])
    computed = sum(pixels(sizes, each.crop) for sizes, each in zip(tiles, descriptions))
    shares = [bare / run.seconds for run, bare in zip(runs, results["bare"])]
    share = statistics.median(shares)
    text = (
        f"| {side}² | {NAMES[name]}, {engine}, {precision} | {seconds:.1f} | {side**2 / seconds / 1e6:.4f} "
        f"| {max(run.peak_memory for run in runs) / 2**20:.0f} | {bare:.1f} | {computed / bare / 1e6:.3f} "
        f"| {100 * share * len(ROLES) * side**2 / computed:.0f} % | {100 * share:.0f} % |"
    )
    return text, runs


def run(
    output: Path,
    sides: Sequence[int] = SIDES,
    name: str = "project",
    engine: str = "otbtf",
    precision: str = "float32",
) -> str:
    """Measure each size; return the table."""
    lines = [
        "| product | networks | wall time, s | product, Mpixel/s | peak memory, MiB | bare networks, s "
        "| bare networks, Mpixel/s | share, per useful pixel | share, including margins |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    runs = []
    for side in sides:
        text, found = line(side, name, engine, precision, output, REPETITIONS.get(side, 1))
        lines.append(text)
        runs += found
    return "\n".join(lines) + f"\n\nTwo networks: each pixel of a product is computed twice. {busiest(runs)}"


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    add("--sides", type=int, nargs="+", default=SIDES, help="sides of the products, in pixels (default: %(default)s)")
    add("--full-tile", action="store_true", help=f"the size of a whole tile too, {FULL_TILE}")
    add("--network", choices=NAMES, default="project", help="(default: %(default)s)")
    add("--engine", default="otbtf", help="(default: %(default)s)")
    add("--precision", default="float32", help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    sides = (*arguments.sides, *([FULL_TILE] if arguments.full_tile else []))
    print(run(arguments.output, sides, arguments.network, arguments.engine, arguments.precision))
    return 0


if __name__ == "__main__":
    sys.exit(main())
