# SPDX-License-Identifier: Apache-2.0
"""The measured networks: DSen2 of the paper's size, and the one trained by this project.

The paper's is not trained: its weights are random (He), with a weak last convolution, so that its products compress as
well as those of a trained network.

    python -m benchmarks.networks --output benchmarks/output/networks
"""

import argparse
import subprocess
import sys
from pathlib import Path

from models.description import ModelDescription

NAMES = {"paper": "the paper's size (128 features, untrained)", "project": "this project's (FastDSen2, 64 features)"}
"""What each network is, by its name."""
ROLES = ("2x", "6x")
PROJECT_WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "dsen2"
LAST_CONVOLUTION = 0.05
"""What the weights of the paper's last convolution are multiplied by."""


def network_folder(name: str, output: Path) -> Path:
    """Return the folder of a network, with one model for each role; the paper's is made once.

    Args:
        name: one of `NAMES`.
        output: folder for new networks.
    """
    if name == "project":
        return PROJECT_WEIGHTS
    if not all((output / name / role).exists() for role in ROLES):
        subprocess.run(
            [sys.executable, "-m", "benchmarks.networks", "--output", str(output)], stdout=sys.stderr, check=True
        )
    return output / name


def multiplications(description: ModelDescription) -> int:
    """Return the number of multiplications per output pixel of a network; each comes with an addition."""
    depth, blocks = description.arguments["depth"], description.arguments["num_blocks"]
    if description.model == "FAST":  # four pixels at once, but for the last convolution
        made, fine = len(description.bands), sum(len(source.bands) for source in description.sources[:-1])
        inputs = 4 * fine + made + fine * made + fine * (fine - 1) // 2
        on_grid = depth * (inputs + 2 * blocks * depth + 4 * made + fine * made)
        return 9 * (on_grid // 4 + made * made)
    bands = sum(len(source.bands) for source in description.sources)
    return 9 * depth * (bands + 2 * blocks * depth + len(description.bands))


def make_paper_network(folder: Path) -> None:
    """Export a network of each role, of the paper's size, with random weights."""
    from tensorflow import keras

    from models.base import export
    from models.dsen2 import SIZES, DSen2

    keras.utils.set_random_seed(0)
    for role in ROLES:
        model = DSen2.from_bands(role, **SIZES["dsen2"])
        kernel, bias = model.model.get_layer("last").get_weights()
        model.model.get_layer("last").set_weights([kernel * LAST_CONVOLUTION, bias])
        export(model, folder / role, overwrite=True)


def main(argv=None) -> int:
    """Make the paper's network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output/networks"), help="folder")
    make_paper_network(parser.parse_args(argv).output / "paper")
    return 0


if __name__ == "__main__":
    sys.exit(main())
