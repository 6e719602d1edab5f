# SPDX-License-Identifier: Apache-2.0
"""TensorFlow with and without oneDNN: speed of training and of the bare network, and difference of the results.

Trainings enable oneDNN, which TensorFlow itself does only on CPUs with AVX-512. Each way has its own process, and they
run alternately. A training step is one of SRModel, size base, on 4 patches of 32 x 32 pixels; tiles contain random
digital numbers.

    python -m benchmarks.onednn --output benchmarks/output
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.bare_network import arrays_of, prepared
from benchmarks.measure import in_turn
from benchmarks.networks import PROJECT_WEIGHTS
from models.description import read_description

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
TRAINING = "a step of training"
NETWORKS = {
    "DSen2, 20 m bands, on a tile": PROJECT_WEIGHTS / "2x",
    "REC on a tile": PROJECT_WEIGHTS.parent / "l1bsr" / "REC",
}
WORKLOADS = (TRAINING, *NETWORKS)
BATCH, PATCH = 4, 32


class Worker:
    """A process with oneDNN on or off that runs a workload on request, for use in `with`."""

    def __init__(self, workload: str, onednn: bool, output: Path, tile: int):
        words = [sys.executable, "-m", "benchmarks.onednn", "--output", str(output), "--tile", str(tile)]
        self._process = subprocess.Popen(
            [*words, "--worker", workload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, VARIABLE: str(int(onednn))},
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def run(self) -> tuple[float, list[float]]:
        """Return the seconds of the workload, and numbers from its result."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return tuple(json.loads(self._process.stdout.readline()))


def training_step():
    """Return a function that does a training step and returns the loss."""
    from tensorflow import keras

    from models.spot7 import SIZES, SRModel

    keras.utils.set_random_seed(0)
    network = SRModel.from_bands(**SIZES["base"]).model
    inputs = {"lr": np.random.default_rng(0).uniform(200, 4000, (BATCH, PATCH, PATCH, 4)).astype(np.float32)}
    name = "sr"
    graph = keras.Model(network.inputs, {name: network.output[name]})
    graph.compile(optimizer=keras.optimizers.Adam(1e-4), loss="mae")
    target = {name: np.zeros((BATCH, 4 * PATCH, 4 * PATCH, 4), np.float32)}
    return lambda: [float(graph.train_on_batch(inputs, target))]


def network_on_tile(network: Path, output: Path, tile: int):
    """Return a function that runs a network on a tile and returns some of its pixels, digital numbers."""
    from chain.serving.engines.opening import open_engine

    folder = prepared(network, "float32", output / "cache")
    description = read_description(folder)
    arrays, engine = arrays_of(description, (tile, tile)), open_engine("tensorflow", str(folder))
    return lambda: engine.run(arrays, description.outputs["integer"])[::8, ::8].ravel().tolist()


def work(workload: str, output: Path, tile: int) -> None:
    """Run a workload for each line of standard input, after a first run that is not counted."""
    function = training_step() if workload == TRAINING else network_on_tile(NETWORKS[workload], output, tile)
    function()
    for _ in sys.stdin:
        start = time.perf_counter()
        numbers = function()
        print(json.dumps([time.perf_counter() - start, numbers]), flush=True)


def run(output: Path, tile: int, rounds: int) -> str:
    """Measure; return the table."""
    lines = ["| workload | without, s | with, s | speed, ratio | numbers apart at most |", "|---|---|---|---|---|"]
    for workload in WORKLOADS:
        with Worker(workload, False, output, tile) as off, Worker(workload, True, output, tile) as on:
            results = in_turn({"off": lambda _, off=off: off.run(), "on": lambda _, on=on: on.run()}, rounds)
        seconds = {name: [spent for spent, _ in found] for name, found in results.items()}
        ratio = statistics.median(before / after for before, after in zip(seconds["off"], seconds["on"]))
        apart = max(np.abs(np.subtract(a, b)).max() for (_, a), (_, b) in zip(results["off"], results["on"]))
        unit = "of the loss" if workload == TRAINING else "DN"
        medians = " | ".join(f"{statistics.median(seconds[name]):.2f}" for name in ("off", "on"))
        lines.append(f"| {workload} | {medians} | {ratio:.2f} | {apart:.2g} {unit} |")
    return "\n".join(lines) + f"\n\nTiles of {tile}² pixels and their margin, {rounds} times."


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    parser.add_argument("--tile", type=int, default=256, help="side of a tile, in pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each way (default: %(default)s)")
    parser.add_argument("--worker", choices=WORKLOADS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.worker:
        work(arguments.worker, arguments.output, arguments.tile)
    else:
        print(run(arguments.output, arguments.tile, arguments.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
