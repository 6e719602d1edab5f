# SPDX-License-Identifier: Apache-2.0
"""How OTBTF's application TensorflowModelServe runs a model: its parameters, for a command line and for QGIS.

All follow from the model's description. A model of whole images has fields as large as its image: its command line
asks GDAL for the size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chain.serving.network import TILE_SIZE, fields, output_name, whole_tile
from chain.serving.tensorflow_model_serve import application_parameters, finest_first, stated_corner
from models.description import ModelDescription, Source

FOLDER = "$model"
"""Stands for the model's folder in a script."""
COLUMNS, ROWS = "$columns", "$rows"
"""Stand for the size of the first image, in pixels, in the parameters of a model of whole images."""
PIXELS = "uint16"
QGIS_PIXELS = 1
"""QGIS's number of this type."""


@dataclass(frozen=True)
class Serving:
    """What TensorflowModelServe is to be given.

    Attributes:
        sources: source images, in the order of their numbers.
        parameters: by key, all but the images and the output.
        corner: how far to the right of and below the first image's corner that of the output is, in metres.
        stated: where OTBTF up to 4.3.1 states it to be; None where that depends on the image.
    """

    sources: tuple[Source, ...]
    parameters: Mapping[str, object]
    corner: float
    stated: float | None


def serving_of(description: ModelDescription, model_dir: str) -> Serving:
    """Return how a model is served.

    Args:
        description: the model.
        model_dir: how the command line names its folder.

    Raises:
        ValueError: its spacings or its crop do not suit each other.
    """
    field, output = fields(description), output_name(description, "integer")
    corner = (description.crop + description.shift) * description.gsd
    if description.whole_image:
        return _whole(description, model_dir, output, field.ratios[0], corner)
    receptive = [(size, size) for size in field.receptive]
    parameters = application_parameters(description, model_dir, [output], (field.expression,) * 2, receptive)
    tile = whole_tile(TILE_SIZE, field.expression)
    ordered = finest_first(description.sources, receptive)
    finest, (seen, _) = ordered[0]
    return Serving(
        tuple(source for source, _ in ordered),
        {**parameters, "optim.tilesizex": tile, "optim.tilesizey": tile},
        corner,
        stated_corner(description.gsd, finest.gsd, seen, field.expression),
    )


def _whole(description: ModelDescription, model_dir: str, output: str, ratio: int, corner: float) -> Serving:
    """Return how a model of whole images, which have one spacing, is served."""
    nothing = [(0, 0)] * len(description.sources)
    parameters = application_parameters(description, model_dir, [output], (0, 0), nothing)
    fields_of_image = {}
    for key in parameters:
        if key.endswith(("fieldx", "fieldy")):
            size = COLUMNS if key.endswith("x") else ROWS
            fields_of_image[key] = f"$(({size} * {ratio}))" if key.startswith("output.") and ratio > 1 else size
    ordered = tuple(source for source, _ in finest_first(description.sources, nothing))
    return Serving(ordered, {**parameters, **fields_of_image, "optim.disabletiling": True}, corner, None)


def script(serving: Serving, name: str) -> str:
    """Return a shell script that runs a model, for its folder.

    Args:
        serving: how it is served, from `FOLDER`.
        name: what it is called.
    """
    numbers = range(1, len(serving.sources) + 1)
    images = " ".join(f"SOURCE{number}.tif" for number in numbers)
    size = [
        """columns=$(gdalinfo "$2" | sed -n 's/^Size is \\([0-9]*\\), .*/\\1/p')""",
        """rows=$(gdalinfo "$2" | sed -n 's/^Size is [0-9]*, //p')""",
    ]
    lines = [
        "#!/bin/sh",
        f"# Runs {name} by OTBTF's application TensorflowModelServe.",
        *(f"#   SOURCE{number}.tif  {described(source)}" for number, source in zip(numbers, serving.sources)),
        "set -eu",
        f'if [ $# -ne {len(serving.sources) + 1} ]; then echo "usage: sh $0 OUTPUT.tif {images}" >&2; exit 2; fi',
        'model=$(cd "$(dirname "$0")" && pwd)',
        *(size if COLUMNS in serving.parameters.values() else []),
        f"export OTB_TF_NSOURCES={len(serving.sources)}",
        "exec otbcli_TensorflowModelServe \\",
        *(f'    -source{number}.il "${number + 1}" \\' for number in numbers),
        *(f"    -{key} {_word(value)} \\" for key, value in serving.parameters.items()),
        f'    -out "$1" {PIXELS}',
    ]
    return "\n".join(lines) + "\n"


def _word(value: object) -> str:
    """Return a value as a word of the shell."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f'"{value}"' if isinstance(value, str) and value.startswith("$") else str(value)


def command_line(serving: Serving) -> str:
    """Return the command line, with names to be replaced in capitals."""
    images = [f"-source{number}.il {source.name.upper()}.tif" for number, source in enumerate(serving.sources, start=1)]
    words = [f"-{key} {_plain(_word(value))}" for key, value in serving.parameters.items()]
    return " \\\n    ".join(["otbcli_TensorflowModelServe", *images, *words, f"-out OUTPUT.tif {PIXELS}"])


def qgis_command_line(serving: Serving) -> str:
    """Return the command line of QGIS's OTB provider, with names to be replaced in capitals."""
    words = [f"source{number}.il={source.name.upper()}.tif" for number, source in enumerate(serving.sources, start=1)]
    for key, value in serving.parameters.items():
        shown = str(value).lower() if isinstance(value, bool) else _plain(_word(value))
        words.append(f"{key}={shown}")
    words += [f"outputpixeltype={QGIS_PIXELS}", "out=OUTPUT.tif"]
    return " \\\n    ".join(["qgis_process.bin run otb:TensorflowModelServe --", *words])


def _plain(word: str) -> str:
    """Return a word without the shell's syntax: `$((columns * 2))` is COLUMNS*2."""
    if not word.startswith('"$'):
        return word
    return word.strip('"').replace("$", "").strip("()").replace(" ", "").upper()


def described(source: Source) -> str:
    """Return what a source image is, in words."""
    return f"{source.name}, {source.gsd:g} m: {', '.join(source.bands)}"


def place_in_words(serving: Serving) -> str:
    """Say where the output lies, and where OTBTF says that it does."""
    place = f"The output's corner is {serving.corner:g} m to the right of and below that of the first image."
    if serving.stated is None or serving.stated == serving.corner:
        return place
    return f"{place} OTBTF up to 4.3.1 states {serving.stated:g} m, which is {serving.corner - serving.stated:g} m off."
