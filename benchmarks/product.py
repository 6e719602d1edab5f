# SPDX-License-Identifier: Apache-2.0
"""The measured command: `python -m inference.dsen2`, from three GeoTIFFs to a Cloud-Optimized GeoTIFF."""

import sys
from collections.abc import Sequence
from pathlib import Path

from chain.serving.network import TILE_SIZE

DEFAULT_ENGINE = "otbtf"
"""`--engine` of the program, which `--tiling original` does not take."""
MEDIUM_BANDS = "B05,B06,B07,B8A,B11,B12"
"""Bands that the network `2x` makes."""


def product_command(
    scene: Sequence[Path],
    networks: Path,
    output: Path,
    cache: Path,
    engine: str = DEFAULT_ENGINE,
    precision: str = "float32",
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command that makes the product of a scene.

    Args:
        scene: files of 10, 20 and 60 m.
        networks: folder of the networks.
        output: the product, which must not exist yet, or its folder.
        cache: folder in which the program keeps networks in other precisions.
        engine: engine of the networks.
        precision: type of the networks' inner convolutions.
        options: other options of the program.
    """
    command = ["env", f"XDG_CACHE_HOME={cache}", sys.executable, "-m", "inference.dsen2"]
    command += ["--input", *map(str, scene), "--offset", "0"]
    command += ["--level", "L1C", "--model-dir", str(networks)]
    command += ["--output" if output.suffix == ".tif" else "--output-dir", str(output)]
    command += ["--tile-size", str(TILE_SIZE), "--precision", precision]
    return [*command, *(["--engine", engine] if engine != DEFAULT_ENGINE else []), *options]
