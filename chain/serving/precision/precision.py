# SPDX-License-Identifier: Apache-2.0
"""In which precision, and by which engine, networks are served: `--precision`, `--engine`, `--max-error`.

`float32` is exact. `bfloat16` has inner convolutions of 16 bits, in the SavedModel itself, so that OTBTF serves it as
any other. `int8` has inner convolutions of 8-bit integers, made from tiles of the user's own image, and is served by
OpenVINO. `auto` runs what can be had on such tiles and takes the fastest whose error, the root mean square of the
differences from float32, is small enough; float32 stays unless another one is clearly faster.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from chain.runtime.files import default_cache
from chain.runtime.progress import LOG
from chain.serving.engines.engine import Engine
from chain.serving.engines.opening import default_engine, open_engine
from chain.serving.exported_models import served_folder
from chain.serving.network import Network, check_tiled
from chain.serving.precision.options import PrecisionOptions
from chain.serving.precision.quantization import quantized_folder
from chain.serving.recipe import REFLECTANCE
from models.description import ModelDescription

FASTER = 0.9
"""Share of float32's time that another precision must not exceed to be taken; timings vary."""
HELD_OUT = 4
"""Of so many tiles one is not for making int8, but for measuring errors."""
RUNS = 3
"""Number of runs that are timed."""

Tile = Mapping[str, np.ndarray]


def prepared(
    options: PrecisionOptions,
    networks: Sequence[Network],
    tiles: Callable[[], Sequence[Tile]],
    digital_number: float = REFLECTANCE,
) -> tuple[tuple[Network, ...], dict]:
    """Return networks in the precision, and for the engine, of the command line.

    Args:
        options: which precision, engine and error are allowed.
        networks: networks in float32.
        tiles: gives parts of the image, as the networks are given them: for each source's name, float32 (rows, columns,
            bands), digital numbers without missing ones, with the margin. Called once, for `int8` and `auto` alone.
            Three of four are what int8 is made from, the others what errors are measured on.
        digital_number: what one digital number is in the unit of the networks' outputs.

    Returns:
        The networks, and what a record of the run should hold: `precision` as asked for and, of each network, `bands`,
        `precision`, `engine` and, where it was measured, `rmse` and `largest` difference from float32 in digital
        numbers.

    Raises:
        ValueError: a network cannot be had in the precision, or there is no tile.
        RuntimeError: OpenVINO is not installed, or an engine refuses.
        OSError: the cache cannot be written.
    """
    precision = options.precision
    if precision in ("float32", "bfloat16"):
        engine = options.engine or default_engine()
        chosen = [_Candidate(_exported(network, precision, engine)) for network in networks]
    else:
        found = list(tiles()) if networks else []
        if networks and not found:
            raise ValueError(f"--precision: expected a part of the input for {precision}, got none")
        parts = [_of_network(network, found) for network in networks]
        if precision == "int8":
            chosen = [_int8(network, part, digital_number) for network, part in zip(networks, parts)]
        else:
            chosen = [_fastest(options, network, part, digital_number) for network, part in zip(networks, parts)]
    record = {"precision": precision, "networks": [candidate.record() for candidate in chosen]}
    return tuple(candidate.network for candidate in chosen), record


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """A network in some precision, for some engine, and how it does on tiles."""

    network: Network
    rmse: float = math.nan
    largest: float = math.nan
    seconds: float = 0.0

    def record(self) -> dict:
        """Return what a record of the run should hold."""
        content: dict[str, Any] = {
            "bands": list(self.network.description.bands),
            "precision": self.network.description.precision,
            "engine": self.network.engine,
        }
        if not math.isnan(self.rmse):
            content |= {"rmse": round(self.rmse, 4), "largest": round(self.largest, 4)}
        return content

    def __str__(self) -> str:
        return f"{self.network.description.precision} on {self.network.engine}"


def _of_network(network: Network, tiles: Sequence[Tile]) -> list[Tile]:
    """Return the sources of a network of each tile."""
    names = [source.name for source in network.description.sources]
    return [{name: np.asarray(tile[name], np.float32) for name in names} for tile in tiles]


def _shares(tiles: Sequence[Tile]) -> tuple[Sequence[Tile], Sequence[Tile]]:
    """Return the tiles that int8 is made from, and those that errors are measured on: others, if there are enough."""
    test = tiles[HELD_OUT - 1 :: HELD_OUT]
    return (tiles, tiles) if not test else ([t for n, t in enumerate(tiles, 1) if n % HELD_OUT], test)


def _exported(network: Network, precision: str, engine: str) -> Network:
    """Return a network in a precision of SavedModels, for an engine."""
    folder = served_folder(Path(network.model_dir), default_cache(), precision)
    return _with(network, folder, precision, engine)


def _quantized(network: Network, tiles: Sequence[Tile]) -> Network:
    """Return a network in 8-bit integers."""
    exact = _exported(network, "float32", "openvino")
    folder = quantized_folder(Path(exact.model_dir), _shares(tiles)[0], default_cache())
    return _with(network, folder, "int8", "openvino")


def _with(network: Network, folder: Path, precision: str, engine: str) -> Network:
    """Return a network served from another folder; where its pixels are larger than the model's, they stay so."""
    description: ModelDescription = dataclasses.replace(network.description, precision=precision)
    return dataclasses.replace(network, description=description, model_dir=str(folder), engine=engine)


def _int8(network: Network, tiles: Sequence[Tile], digital_number: float) -> _Candidate:
    """Return a network in 8-bit integers, after saying how far it is from float32.

    Raises:
        ValueError: its pixels depend on the whole image: the zeros around an image stand for other values in integers.
    """
    check_tiled(network.description)
    test = _shares(tiles)[1]
    truth = _results(_exported(network, "float32", "openvino"), test)
    candidate = _compared(_quantized(network, tiles), test, truth, digital_number)
    _say(network, f"{candidate}: {candidate.rmse:.2f} DN from float32, at most {candidate.largest:.1f}")
    return candidate


def _fastest(options: PrecisionOptions, network: Network, tiles: Sequence[Tile], digital_number: float) -> _Candidate:
    """Return the fastest candidate whose error is small enough, after saying how each does."""
    candidates = []
    test = _shares(tiles)[1]
    if options.engine != "openvino":
        engine = options.engine or default_engine()
        candidates += [_exported(network, precision, engine) for precision in ("float32", "bfloat16")]
    if options.engine == "openvino" or options.engine is None and find_spec("openvino"):
        candidates += [_exported(network, "float32", "openvino")]
        candidates += [] if network.description.whole_image else [_quantized(network, tiles)]
    truth = _results(candidates[0], test)
    measured = []
    for number, candidate in enumerate(candidates):
        found = _timed(_compared(candidate, test, truth, digital_number), test)
        measured.append(found)
        _say(
            network,
            f"{found}: {found.rmse:.2f} DN from float32, at most {found.largest:.1f}, "
            f"{measured[0].seconds / found.seconds:.2f} times as fast"
            + ("" if number else " (what others are held to)"),
        )
    reference = measured[0]
    allowed = [each for each in measured[1:] if each.rmse <= options.max_error]
    best = min(allowed, key=lambda each: each.seconds, default=reference)
    best = best if best.seconds < FASTER * reference.seconds else reference
    _say(network, f"takes {best}")
    return best


def _results(network: Network, tiles: Sequence[Tile]) -> list[np.ndarray]:
    """Return what a network makes of tiles, not rounded."""
    engine, output = _engine(network)
    return [engine.run(tile, output) for tile in tiles]


def _engine(network: Network) -> tuple[Engine, str]:
    """Return the engine that runs a network on arrays, and the output that is compared.

    OTBTF's is TensorFlow.
    """
    name = "tensorflow" if network.engine == "otbtf" else network.engine
    return open_engine(name, network.model_dir), network.description.outputs["float"]


def _compared(
    network: Network, tiles: Sequence[Tile], truth: Sequence[np.ndarray], digital_number: float
) -> _Candidate:
    """Measure how far a network's results are from float32's, in digital numbers."""
    unit = np.float32(1 / digital_number)
    differences = [(found - wanted) * unit for found, wanted in zip(_results(network, tiles), truth)]
    count = sum(difference.size for difference in differences)
    squares = sum(float(np.square(difference, dtype=np.float64).sum()) for difference in differences)
    largest = max(float(np.abs(difference).max()) for difference in differences)
    return _Candidate(network, (squares / count) ** 0.5, largest)


def _timed(candidate: _Candidate, tiles: Sequence[Tile]) -> _Candidate:
    """Time a network on the largest tile, after it has run on it before."""
    engine, output = _engine(candidate.network)
    tile = max(tiles, key=lambda each: sum(pixels.size for pixels in each.values()))
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        engine.run(tile, output)
        times.append(time.perf_counter() - start)
    return dataclasses.replace(candidate, seconds=float(np.median(times[1:])))


def _say(network: Network, text: str) -> None:
    """Tell what is done about a network."""
    LOG.info(f"network of {' '.join(network.description.bands)}: {text}")
