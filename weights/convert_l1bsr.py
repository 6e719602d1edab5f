# SPDX-License-Identifier: Apache-2.0
"""Turn published weights of L1BSR's networks, REC and CSR, into models of this project (`models/l1bsr.py`).

Read are the authors' files (Nguyen et al. 2023) and what third parties have made of them, see `weights/l1bsr_file.py`,
without torch and without running anything that is in them. A file is known by its content; others of the same networks
are taken as well, of any size, and said to be unknown. The authors' weights are under the GPL-3.0, and so are the
models that are made of them.

    python -m weights.convert_l1bsr --download --output models/l1bsr
    python -m weights.convert_l1bsr --input REC_Real_L1B.safetensors --output models/l1bsr
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import run
from weights import convert
from weights.l1bsr_published import BANDS, LICENCE, PUBLISHED
from weights.published import GITHUB_RAW, Published

if TYPE_CHECKING:
    from models.base import SuperResolutionModel
    from weights.l1bsr_file import L1BSRFile


def _read_file(path: Path, published: Published | None) -> "L1BSRFile":
    """Read a file.

    Raises:
        ValueError: it does not hold exactly the weights of a REC or a CSR.
        OSError: it cannot be read.
    """
    from weights.l1bsr_file import read_l1bsr_file

    file = read_l1bsr_file(path)
    if published and published.role != file.network:
        raise ValueError(f"the network {published.role} of {published.who} is wanted, not {file.network}")
    return file


def read_model(path: str | Path) -> "SuperResolutionModel":
    """Make a model of a file of published weights.

    Args:
        path: the file, of any format that `weights/l1bsr_file.py` knows.

    Returns:
        A `REC` or a `CSR`, with `origin`, and with `levels` if the file is known.

    Raises:
        ValueError: the file does not hold exactly the weights of a REC or a CSR.
        OSError: the file cannot be read.
    """
    from models.l1bsr import CSR, REC

    origin, published, file = convert.read_identified(Path(path), PUBLISHED, _read_file)
    model = {"REC": REC, "CSR": CSR}[file.network].from_bands(**file.arguments)
    for name, one in file.layers.items():
        model.model.get_layer(name).set_weights([one.kernel, one.bias])
    model.levels = published.levels if published else ()
    model.origin = {
        **origin,
        "format": file.format,
        "band_order": list(BANDS),
        "licence": LICENCE if published else None,
    }
    return model


def plan(models: "Sequence[SuperResolutionModel]", output: Path) -> "list[tuple[Path, SuperResolutionModel]]":
    """Name the folders of models: `REC` and `CSR`.

    Raises:
        ValueError: two models have the same folder.
    """
    places = {}
    for model in models:
        folder = output / model.class_name
        if folder in places:
            raise ValueError(
                f"input: one file for each network is wanted; {places[folder].origin['file']} and "
                f"{model.origin['file']} are both {model.class_name}"
            )
        places[folder] = model
    return list(places.items())


def _describe(model: "SuperResolutionModel") -> str:
    """Say of a model what it is, where it comes from, and under which licence."""
    sizes, origin = model.arguments, model.origin
    size = f"{sizes['depth']} features"
    if "num_groups" in sizes:
        size = f"{sizes['num_groups']} groups of {sizes['num_blocks']} blocks of {size}"
    licence = f"under the {LICENCE}" if origin["licence"] else f"under the {LICENCE} if they are the authors'"
    return f"{size}, from {convert.source_in_words(origin)}; these weights are {licence}"


def convert_files(arguments: argparse.Namespace) -> None:
    """Read all files, then write all models."""
    paths = arguments.input
    if arguments.download:
        from weights.l1bsr_published import download

        paths = download(arguments.cache, arguments.base_url)
    places = plan([read_model(path) for path in paths], arguments.output)
    convert.write_models(places, arguments.overwrite, _describe)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    return convert.make_parser(
        "convert_l1bsr",
        "Turn the published weights of L1BSR, REC and CSR, into models of this project. "
        f"The authors' weights are under the {LICENCE}, and so are the models that are made of them.",
        "torch (state_dict, or a checkpoint with state_dictCSR) or safetensors",
        "DIR/REC and DIR/CSR",
        {"action": "store_true", "help": f"fetch the authors' two files (GitHub, {LICENCE})"},
        GITHUB_RAW,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    convert.check_arguments(parser, arguments)
    return run(parser, arguments, convert_files)


if __name__ == "__main__":
    sys.exit(main())
