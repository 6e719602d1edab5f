# SPDX-License-Identifier: Apache-2.0
"""The bare network: a model run on tiles in memory, without reading, cutting or writing.

It runs in its own process, controlled by lines of standard input: sizes of tiles, in output pixels without margins, as
JSON. It answers with the seconds of each tile, including the conversion to tensors and back.

    echo '[[512, 512], [512, 512]]' | \
        python -m benchmarks.bare_network --network weights/dsen2/2x --engine tensorflow --precision float32
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from chain.serving.engines.opening import ENGINES, open_engine
from models.description import ModelDescription, read_description

PRECISIONS = ("float32", "bfloat16", "int8")
"""Types of the inner convolutions."""
DEFAULT_CACHE = Path("benchmarks/output/cache")
CALIBRATION = 4, 240
"""Number and side, in output pixels, of the tiles that calibrate int8."""

Size = tuple[int, int]


class BareNetwork:
    """A network in its own process, for use in `with`.

    Args:
        network: folder of the model of one role.
        engine: one of `chain.serving.engines.engine.ENGINES` without OTBTF.
        precision: one of `PRECISIONS`.
        cache: folder of prepared models.
    """

    def __init__(self, network: Path, engine: str, precision: str, cache: Path = DEFAULT_CACHE):
        command = [sys.executable, "-m", "benchmarks.bare_network", "--network", str(network), "--engine", engine]
        command += ["--precision", precision, "--cache", str(cache)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "BareNetwork":
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def seconds(self, sizes: Sequence[Size]) -> list[float]:
        """Return the time of each tile, in seconds.

        Args:
            sizes: rows and columns of each tile, in output pixels, without margins: with them, whole pixels of all
                sources.

        Raises:
            RuntimeError: the process has failed, and has printed the reason.
        """
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(sizes) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self._process.args)}: exit status {self._process.wait()}")
        return json.loads(answer)


def tiles_of(side: int, descriptions: Sequence[ModelDescription], tile_size: int) -> list[list[Size]]:
    """Return the tiles that the networks of a square product are run on.

    Args:
        side: side of the product, in its pixels.
        descriptions: the networks.
        tile_size: `--tile-size` of the product.

    Returns:
        For each network, rows and columns of its tiles, in output pixels, without margins.
    """
    from chain.raster.grids import Region, plan
    from chain.serving.network import Network, fields
    from chain.serving.production import TILES_PER_REGION
    from chain.serving.recipe import Recipe
    from chain.serving.super_resolution import aligned

    networks = tuple(Network(description, "") for description in descriptions)
    tile = Recipe(bands=(), gsd=descriptions[0].gsd, networks=networks).tile(tile_size)
    regions = plan(Region(0, 0, side, side), TILES_PER_REGION * tile)
    found = []
    for description in descriptions:
        wholes = [aligned(region, fields(description)) for region in regions]
        found.append([(t.rows, t.columns) for whole in wholes for t in plan(whole, tile)])
    return found


def pixels(sizes: Sequence[Size], margin: int = 0) -> int:
    """Return the number of pixels of tiles with a margin on each side."""
    return sum((rows + 2 * margin) * (columns + 2 * margin) for rows, columns in sizes)


def arrays_of(description: ModelDescription, size: Size) -> dict[str, np.ndarray]:
    """Return the input of a network for a tile with its margin: random digital numbers, by source."""
    generator, arrays = np.random.default_rng(0), {}
    for source in description.sources:
        ratio = round(source.gsd / description.gsd)
        rows, columns = ((length + 2 * description.crop) // ratio for length in size)
        arrays[source.name] = generator.uniform(200, 4000, (rows, columns, len(source.bands))).astype(np.float32)
    return arrays


def prepared(network: Path, precision: str, cache: Path) -> Path:
    """Return the folder of a network in a precision, prepared in the cache if necessary."""
    from chain.serving.exported_models import served_folder

    if precision != "int8":
        return served_folder(network, cache, precision)
    from chain.serving.precision.quantization import quantized_folder

    folder = served_folder(network, cache, "float32")
    count, side = CALIBRATION
    return quantized_folder(folder, [arrays_of(read_description(folder), (side, side))] * count, cache)


def answer(engine, description: ModelDescription, sizes: Sequence[Size], ready: dict[Size, Mapping]) -> list[float]:
    """Run tiles; return the seconds of each.

    Args:
        engine: the loaded model.
        description: its description.
        sizes: rows and columns of the tiles.
        ready: arrays by size; missing ones are added, and run once beforehand.
    """
    output = description.outputs["integer"]
    for size in sizes:
        if size not in ready:
            ready[size] = arrays_of(description, size)
            engine.run(ready[size], output)
    seconds = []
    for size in sizes:
        start = time.perf_counter()
        engine.run(ready[size], output)
        seconds.append(time.perf_counter() - start)
    return seconds


def main(argv=None) -> int:
    """Answer lines of standard input until it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, required=True, help="folder of the model of one role")
    parser.add_argument("--engine", choices=ENGINES[1:], default="tensorflow", help="(default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="(default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder (default: %(default)s)")
    arguments = parser.parse_args(argv)
    folder = prepared(arguments.network, arguments.precision, arguments.cache)
    engine, description = open_engine(arguments.engine, str(folder)), read_description(folder)
    ready: dict[Size, Mapping] = {}
    for line in sys.stdin:
        print(json.dumps(answer(engine, description, [tuple(size) for size in json.loads(line)], ready)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
