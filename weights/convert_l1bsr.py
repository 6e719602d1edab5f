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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, changed, option
from chain.runtime.progress import Progress
from weights.convert import (
    Conversion,
    ConversionCommand,
    ConversionOptions,
    read_all,
    read_identified,
    source_in_words,
    write_models,
)
from weights.l1bsr_published import BANDS, LICENCE, PUBLISHED
from weights.published import GITHUB_RAW, Published

if TYPE_CHECKING:
    from models.base import SuperResolutionModel
    from weights.l1bsr_file import L1BSRFile


@dataclass(frozen=True, kw_only=True)
class Options(ConversionOptions):
    """How files of L1BSR's weights are converted."""


@dataclass(frozen=True, kw_only=True)
class Command(Options, ConversionCommand):
    """The command line."""

    input: tuple[str, ...] = changed(
        ConversionCommand,
        "input",
        (),
        help="files of weights: torch (state_dict, or a checkpoint with state_dictCSR) or safetensors",
    )
    output: str = changed(ConversionCommand, "output", MISSING, help="folder of the models: DIR/REC and DIR/CSR")
    download: bool = option(False, f"fetch the authors' two files ({GITHUB_RAW}, {LICENCE})")


def _read_file(path: Path, published: Published | None) -> "L1BSRFile":
    """Read a file.

    Raises:
        ValueError: it does not hold exactly the weights of a REC or a CSR.
        OSError: it cannot be read.
    """
    from weights.l1bsr_file import read_l1bsr_file

    file = read_l1bsr_file(path)
    if published and published.role != file.network:
        raise ValueError(f"expected the network {published.role} of {published.who}, got {file.network}")
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

    origin, published, file = read_identified(Path(path), PUBLISHED, _read_file)
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
    places: dict[Path, SuperResolutionModel] = {}
    for model in models:
        folder = output / model.class_name
        if folder in places:
            raise ValueError(
                f"--input: expected one file for each network, but {places[folder].origin['file']} and "
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
    return f"{size}, from {source_in_words(origin)}; these weights are {licence}"


def convert(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Conversion]:
    """Turn files of weights into models. All files are read before the first model is written.

    Args:
        files: one or two, of any format that `weights/l1bsr_file.py` knows.
        output: folder of the models: `REC` and `CSR` in it.
        options: how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        The models that were written.

    Raises:
        ValueError: a file does not hold exactly the weights of a REC or a CSR, or two are of the same network.
        OSError: a file cannot be read, or a model exists and is not to be replaced.
    """
    told = Progress(progress, cancelled)
    models = read_all(files, read_model, told)
    return write_models(plan(models, Path(output)), files, options.overwrite, _describe, told)


def command(options: Command, progress: Progress) -> None:
    """Convert, and print what was made."""
    files: Sequence[str | Path] = options.input
    if options.download:
        from weights.l1bsr_published import download

        files = download(Path(options.cache), options.base_url)
    for made in convert(files, options.output, options, progress=progress):
        print(made)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.convert_l1bsr",
        description="Turn the published weights of L1BSR, REC and CSR, into models of this project. "
        f"The authors' weights are under the {LICENCE}, and so are the models that are made of them.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
