# SPDX-License-Identifier: Apache-2.0
"""Turn the authors' checkpoints of DeepSUM into models of this project (`models/deepsum.py`).

Read are checkpoints of TensorFlow 1 (Molini et al. 2020), see `weights/formats/tensorflow1_checkpoint.py`, of any
number of features: of the whole network, which become the folder of a model, and of the two pre-trainings, which become
files that a training starts from (`models.deepsum.load_part`). The authors' repository states no licence; `--accept`
says that one knows it.

A network goes with the statistics that its images were normalised with: those of NIR or of RED, in `--band` unless the
checkpoint is a known one. They are those of the authors' graphs: their configuration for RED is a copy of that for NIR.

    python -m weights.convert_deepsum --download NIR RED --accept --output models/deepsum
    python -m weights.convert_deepsum --input SISRNet/model.ckpt-11399.index --output pretrained
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import run
from weights import convert
from weights.deepsum_published import PUBLISHED, REPOSITORY
from weights.published import GITHUB_RAW, Published

if TYPE_CHECKING:
    from models.deepsum import DeepSUM
    from weights.formats.tensorflow1_checkpoint import DeepSUMCheckpoint

BANDS = ("NIR", "RED")
VARIANTS = ("P", "C")
PARTS = {"SISRNet": "sisrnet", "RegNet": "registration"}
"""Our names of the networks that have a pre-training."""
NO_LICENCE = f"no licence is stated in {REPOSITORY}"


def _band(checkpoint: "DeepSUMCheckpoint", published: Published | None, stated: str | None) -> str | None:
    """Find the band whose statistics go with a checkpoint; a pre-training has none.

    Raises:
        ValueError: it is not known, or not as the user says.
    """
    if checkpoint.network != "DeepSUM":
        if stated:
            raise ValueError(
                f"band: is wanted with whole networks only, not with the pre-training {checkpoint.network}"
            )
        return None
    known = published.role if published else None
    if not known and not stated:
        raise ValueError(f"band: {' or '.join(BANDS)}, whose statistics go with this checkpoint, is wanted: --band")
    if known and stated and known != stated:
        raise ValueError(f"band: what is known of this published checkpoint, {known}, is wanted, not {stated}")
    return known or stated


def read_model(path: str | Path, band: str | None = None, variant: str = "P") -> "tuple[DeepSUM, str | None]":
    """Make a model of a checkpoint.

    Args:
        path: any file of the checkpoint, or what their names begin with.
        band: `NIR` or `RED`, of a checkpoint of the whole network that is not known.
        variant: `P` or `C`, see `models/deepsum.py`; both have the same weights.

    Returns:
        The model, with `origin`, and which part of it has the weights: `sisrnet` or `registration`, of which the model
        has a Keras model, or `None` for all of it. Of a part, the rest of the model is at random.

    Raises:
        ValueError: it does not hold exactly the weights of one of the networks, or an argument is not right.
        OSError: a file cannot be read.
    """
    from models.deepsum import STATISTICS, DeepSUM
    from weights.formats.tensorflow1_checkpoint import data_file, read_deepsum_checkpoint

    try:
        data = data_file(path)
    except ValueError as error:
        raise ValueError(f"input: {error}. Received: {path}") from error
    origin, published, checkpoint = convert.read_identified(
        data, PUBLISHED, lambda file, _: read_deepsum_checkpoint(file)
    )
    try:
        band = _band(checkpoint, published, band)
    except ValueError as error:
        raise ValueError(f"{error}. Received: {path}") from error
    statistics = dict(zip(("mean", "deviation", "target_deviation"), STATISTICS[band])) if band else {}
    model = DeepSUM.from_bands(variant=variant, depth=checkpoint.depth, **statistics)
    part = PARTS.get(checkpoint.network)
    network = getattr(model, f"{part}_model")() if part else model.model
    for name, weights in checkpoint.layers.items():
        network.get_layer(name).set_weights(weights)
    model.origin = {
        **origin,
        "format": "TensorFlow 1 checkpoint",
        "band": band,
        "licence": NO_LICENCE if published else None,
    }
    return model, part


def plan(models: "list[tuple[DeepSUM, str | None]]", output: Path) -> "dict[Path, tuple[DeepSUM, str | None]]":
    """Name the folders of models, their bands', and the files of parts.

    Raises:
        ValueError: two have the same.
    """
    places: dict[Path, tuple[DeepSUM, str | None]] = {}
    for model, part in models:
        place = output / (f"{part}.h5" if part else model.origin["band"])
        if place in places:
            raise ValueError(
                f"input: one checkpoint for each of {', '.join((*BANDS, *PARTS))} is wanted; "
                f"{places[place][0].origin['file']} and {model.origin['file']} are both for {place.name}"
            )
        places[place] = model, part
    return places


def _describe(model: "DeepSUM") -> str:
    """Say of a model what it is, and where it comes from."""
    arguments, origin = model.arguments, model.origin
    licence = f"; {NO_LICENCE}" if origin["licence"] else ""
    return (
        f"{arguments['depth']} features, variant {arguments['variant']}, statistics of {origin['band']}, "
        f"from {convert.source_in_words(origin)}{licence}"
    )


def convert_files(arguments: argparse.Namespace) -> None:
    """Read all checkpoints, then write all models and parts."""
    paths = arguments.input
    if arguments.download:
        from weights.deepsum_published import download

        paths = download(arguments.download, arguments.cache, arguments.base_url)
    places = plan([read_model(path, arguments.band, arguments.variant) for path in paths], arguments.output)
    wholes = [(place, model) for place, (model, part) in places.items() if not part]
    parts = [(place, model, part) for place, (model, part) in places.items() if part]
    for place, _, _ in parts:
        if place.exists() and not arguments.overwrite:
            raise FileExistsError(f"output: a folder without {place.name} is wanted, or --overwrite. Received: {place}")
    convert.write_models(wholes, arguments.overwrite, _describe)
    if parts:
        _write_parts(parts, arguments.output)


def _write_parts(parts: "list[tuple[Path, DeepSUM, str]]", output: Path) -> None:
    """Write the weights of parts, each to its file.

    Raises:
        OSError: a file cannot be written.
    """
    from models.base import save_weights

    convert.make_folder(output)
    for place, model, part in parts:
        save_weights(getattr(model, f"{part}_model")(), place)
        source = convert.source_in_words(model.origin)
        print(f"{place}: pre-training of {part}, {model.arguments['depth']} features, from {source}")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = convert.make_parser(
        "convert_deepsum",
        "Turn the authors' checkpoints of DeepSUM into models of this project. "
        f"The weights are the authors': {NO_LICENCE}.",
        "any file of a checkpoint of TensorFlow 1 (.index, .data-00000-of-00001), both of which must be there",
        "DIR/NIR and DIR/RED; of pre-trainings, the files DIR/sisrnet.h5 and DIR/registration.h5",
        {
            "nargs": "+",
            "choices": BANDS,
            "metavar": "BAND",
            "help": "fetch the authors' final checkpoints of NIR, RED or both (GitHub, 12 MB each); wants --accept",
        },
        GITHUB_RAW,
    )
    add = parser.add_argument
    add("--accept", action="store_true", help=f"say, for --download, that one knows that {NO_LICENCE}")
    add(
        "--band",
        choices=BANDS,
        help="band whose statistics go with a whole network whose checkpoint is not known (default: none)",
    )
    add(
        "--variant",
        choices=VARIANTS,
        default="P",
        help="when concealed pixels are filled: P, after registration, as the authors evaluated; C, before, as in the "
        "graphs of their checkpoints (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    convert.check_arguments(parser, arguments)
    if arguments.download and not arguments.accept:
        parser.error(
            f"argument --accept: is wanted with --download: {NO_LICENCE}, so that what may be done with these weights, "
            "and with models made of them, is for you to find out. Received: none"
        )
    return run(parser, arguments, convert_files)


if __name__ == "__main__":
    sys.exit(main())
