# SPDX-License-Identifier: Apache-2.0
"""The bare network of DSen2, 20 m to 10 m, by engine and precision.

Tiles of random digital numbers are in memory. Each engine has its own process, and all process one tile in turn, many
times. The margin of a tile, which the network needs but the product does not contain, is computed too: the rate of all
pixels is the speed of an engine, the rate of the product's pixels is the useful part. Rates are from the median time;
ratios are medians of the ratios of consecutive runs.

    python -m benchmarks.engines --output benchmarks/output
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bare_network import BareNetwork, pixels
from benchmarks.measure import in_turn, installed
from benchmarks.networks import NAMES, multiplications, network_folder
from chain.serving.network import TILE_SIZE
from models.description import read_description

WAYS = (("tensorflow", "float32"), ("tensorflow", "bfloat16"), ("openvino", "float32"), ("openvino", "int8"))
"""Engines and precisions; the first one is what the others are compared with."""
ROLE = "2x"
ROUNDS = 7
"""Number of tiles that each way runs."""


def rows(name: str, output: Path, tile: int, rounds: int) -> list[str]:
    """Measure all engines and precisions for a network; return the lines of the table.

    Args:
        name: the network, one of `benchmarks.networks.NAMES`.
        output: work folder.
        tile: side of the tiles, in output pixels.
        rounds: number of tiles.
    """
    folder = network_folder(name, output / "networks") / ROLE
    description = read_description(folder)
    ways = [way for way in WAYS if installed(way[0])]
    sizes = [(tile, tile)]
    with ExitStack() as stack:
        networks = {}
        for engine, precision in ways:
            network = stack.enter_context(BareNetwork(folder, engine, precision, output / "cache"))
            network.seconds(sizes)
            networks[engine, precision] = network
        runs = {way: (lambda _, network=network: network.seconds(sizes)[0]) for way, network in networks.items()}
        times = in_turn(runs, rounds)
    computed, useful = pixels(sizes, description.crop), pixels(sizes)
    lines = []
    for (engine, precision), seconds in times.items():
        median = statistics.median(seconds)
        ratio = statistics.median(first / own for first, own in zip(times[WAYS[0]], seconds))
        lines.append(
            f"| {NAMES[name]} | {engine} | {precision} | {computed / median / 1e6:.3f} | {useful / median / 1e6:.3f} "
            f"| {2 * multiplications(description) * computed / median / 1e9:.0f} | {ratio:.2f} |"
        )
    return lines


def run(output: Path, networks: Sequence[str] = tuple(NAMES), tile: int = TILE_SIZE, rounds: int = ROUNDS) -> str:
    """Measure; return the table."""
    lines = [
        "| network | engine | inner convolutions | all pixels, Mpixel/s | the product's, Mpixel/s | network's GFLOP/s "
        "| speed, ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in networks:
        lines += rows(name, output, tile, rounds)
    missing = sorted({engine for engine, _ in WAYS if not installed(engine)})
    notes = [f"Tiles of {tile}² pixels and their margin, {rounds} times."]
    notes += [f"Not installed, not measured: {', '.join(missing)}."] if missing else []
    return "\n".join(lines) + "\n\n" + " ".join(notes)


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=tuple(NAMES), help="(default: all)")
    parser.add_argument("--tile", type=int, default=TILE_SIZE, help="side of a tile, in pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="tiles of each way (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, arguments.networks, arguments.tile, arguments.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
