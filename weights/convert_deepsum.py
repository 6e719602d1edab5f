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
    make_folder,
    read_all,
    read_identified,
    refuse_existing,
    refuse_inputs,
    source_in_words,
    write_models,
)
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


@dataclass(frozen=True, kw_only=True)
class Options(ConversionOptions):
    """How DeepSUM's checkpoints are converted."""

    band: str | None = option(
        None,
        "band whose statistics go with a whole network whose checkpoint is not known (default: none)",
        choices=BANDS,
    )
    variant: str = option(
        "P",
        "when concealed pixels are filled: P, after registration, as the authors evaluated; C, before, as in the "
        "graphs of their checkpoints",
        choices=VARIANTS,
    )


@dataclass(frozen=True, kw_only=True)
class Command(Options, ConversionCommand):
    """The command line."""

    input: tuple[str, ...] = changed(
        ConversionCommand,
        "input",
        (),
        help="any file of each checkpoint of TensorFlow 1 (.index, .data-00000-of-00001), both of which must be there",
    )
    output: str = changed(
        ConversionCommand,
        "output",
        MISSING,
        help="folder of the models: DIR/NIR and DIR/RED; of pre-trainings, the files DIR/sisrnet.h5 and "
        "DIR/registration.h5",
    )
    download: tuple[str, ...] = option(
        (),
        f"fetch the authors' final checkpoints of NIR, RED or both ({GITHUB_RAW}, 12 MB each); requires --accept",
        many=True,
        choices=BANDS,
        metavar="BAND",
    )
    accept: bool = option(False, f"say, for --download, that you know that {NO_LICENCE}")

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        if self.download and not self.accept:
            raise ValueError(
                f"--download requires --accept: {NO_LICENCE}, so that what may be done with these weights, and with "
                "models made of them, is for you to find out"
            )


def _band(checkpoint: "DeepSUMCheckpoint", published: Published | None, stated: str | None) -> str | None:
    """Find the band whose statistics go with a checkpoint; a pre-training has none.

    Raises:
        ValueError: it is not known, or not as the user says.
    """
    if checkpoint.network != "DeepSUM":
        if stated:
            raise ValueError(f"--band applies to whole networks only, not to the pre-training {checkpoint.network}")
        return None
    known = published.role if published else None
    if not known and not stated:
        raise ValueError(
            f"this checkpoint is not known: state by --band whose statistics go with it, {' or '.join(BANDS)}"
        )
    if known and stated and known != stated:
        raise ValueError(f"expected the band {known}, which is known of this published checkpoint, got {stated}")
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
        raise ValueError(f"{path}: {error}") from error
    origin, published, checkpoint = read_identified(data, PUBLISHED, lambda file, _: read_deepsum_checkpoint(file))
    try:
        band = _band(checkpoint, published, band)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
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
                f"--input: expected one checkpoint for each of {', '.join((*BANDS, *PARTS))}, but "
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
        f"from {source_in_words(origin)}{licence}"
    )


def convert(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Conversion]:
    """Turn checkpoints into models and parts. All are read before the first one is written.

    Args:
        files: any file of each checkpoint, or what the names of its files begin with; one or several.
        output: folder of the models, `NIR` and `RED`, and of the parts, `sisrnet.h5` and `registration.h5`.
        options: how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        The models and parts that were written.

    Raises:
        ValueError: a checkpoint does not hold exactly the weights of one of the networks, its band is not known, or
            two are for the same place.
        OSError: a file cannot be read or written, or a model exists and is not to be replaced.
    """
    told = Progress(progress, cancelled)
    models = read_all(files, lambda path: read_model(path, options.band, options.variant), told)
    places = plan(models, Path(output))
    wholes = [(place, model) for place, (model, part) in places.items() if not part]
    parts = [(place, model, part) for place, (model, part) in places.items() if part]
    for place, _, _ in parts:
        refuse_existing(place, options.overwrite)
        refuse_inputs(place, files)
    made = write_models(wholes, files, options.overwrite, _describe, told)
    return made + [_write_part(*part) for part in parts]


def _write_part(place: Path, model: "DeepSUM", part: str) -> Conversion:
    """Write the weights of a part to its file.

    Raises:
        OSError: it cannot be written.
    """
    from models.weights_file import save_weights

    make_folder(place.parent)
    save_weights(getattr(model, f"{part}_model")(), place)
    source = source_in_words(model.origin)
    text = f"pre-training of {part}, {model.arguments['depth']} features, from {source}"
    return Conversion(place, None, text)


def command(options: Command, progress: Progress) -> None:
    """Convert, and print what was made."""
    files: Sequence[str | Path] = options.input
    if options.download:
        from weights.deepsum_published import download

        files = download(options.download, Path(options.cache), options.base_url)
    for made in convert(files, options.output, options, progress=progress):
        print(made)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.convert_deepsum",
        description="Turn the authors' checkpoints of DeepSUM into models of this project. "
        f"The weights are the authors': {NO_LICENCE}.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
