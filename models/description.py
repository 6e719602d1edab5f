# SPDX-License-Identifier: Apache-2.0
"""The description of an exported model: `model.json`, beside the SavedModel, read without TensorFlow.

python -c "from models.description import read_description; print(read_description('path/to/model'))"
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

FILE_NAME = "model.json"
WEIGHTS_NAME = "weights.h5"
LARGEST_CROP = 4096
"""In output pixels. A network with a larger receptive field would not fit in memory."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One input image of a model."""

    name: str
    """Key of the input, in the datasets and in the SavedModel's signature."""
    bands: tuple[str, ...]
    """Names of the bands, in order, as the sensor names them."""
    gsd: float
    """Ground sampling distance, in metres."""


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """What is needed to serve an exported model."""

    system: str
    """Name of the model's file in `models/`."""
    arguments: dict[str, Any]
    """Arguments of the model's class."""
    sources: tuple[Source, ...]
    """Input images."""
    gsd: float
    """Ground sampling distance of the output, in metres."""
    bands: tuple[str, ...]
    """Names of the output's bands, in order."""
    crop: int
    """Crop of the cropped outputs, in output pixels: no remaining pixel depends on where a tile ends.

    It is 0 for whole-image models."""
    outputs: dict[str, str]
    """Names of the cropped outputs: `float` (reflectance, or the model's unit) and `integer` (digital numbers)."""
    software: dict[str, str]
    """Versions of the software that made the SavedModel."""
    weights: str = ""
    """SHA-256 of the weights file."""
    levels: tuple[str, ...] = ()
    """Processing levels of the products that the weights are for, such as `L1C`; empty: any."""
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Where converted weights come from."""
    precision: str = "float32"
    """Compute type of the inner convolutions; everything else is float32."""
    model: str = ""
    """Name of the model's class, where its module has several."""
    whole_image: bool = False
    """Whether every pixel depends on the whole image, so that an image processed in tiles differs."""
    shift: float = 0.0
    """Offset of the output's grid, right of and below the corner of the first source's, in output pixels."""

    @property
    def scale(self) -> float:
        """Number of output pixels along one pixel of the first source."""
        return self.sources[0].gsd / self.gsd

    def to_json(self) -> dict[str, Any]:
        """Return the content of `model.json`."""
        content = {
            "system": self.system,
            "arguments": self.arguments,
            "sources": [dataclasses.asdict(source) for source in self.sources],
            "output": {"bands": self.bands, "gsd": self.gsd},
            "crop": self.crop,
            "outputs": self.outputs,
            "software": self.software,
            "weights": self.weights,
            "levels": self.levels,
            "origin": self.origin,
            "precision": self.precision,
            "model": self.model,
            "whole_image": self.whole_image,
            "shift": self.shift,
        }
        return json.loads(json.dumps(content))


def check_replaceable(folder: str | Path, argument: str = "folder") -> None:
    """Refuse to replace anything but the folder of an exported model or of weights, or an empty folder.

    Args:
        folder: the folder to replace.
        argument: name of the argument that gave it.

    Raises:
        FileExistsError: something else exists there.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if folder.is_dir() and (
        not any(folder.iterdir()) or any((folder / name).is_file() for name in (FILE_NAME, WEIGHTS_NAME))
    ):
        return
    raise FileExistsError(f"{argument}: --overwrite replaces exported models only, got {folder}")


def _is_whole(number: float) -> bool:
    """Return whether a number is an integer, up to rounding errors."""
    return abs(number - round(number)) < 1e-6


def _check(description: ModelDescription) -> None:
    """Refuse values that no model has.

    Sources must not share a band name: nodata is tracked by band.

    Raises:
        ValueError: a value is out of range, missing or ambiguous.
    """
    spacings = [description.gsd, *(source.gsd for source in description.sources)]
    bands = [band for source in description.sources for band in source.bands]
    for expected, holds, received in (
        ("a source", bool(description.sources), "none"),
        ("a spacing of more than 0", min(spacings) > 0, spacings),
        ("bands of different names in all sources", len(set(bands)) == len(bands), ", ".join(bands)),
        ("outputs float and integer", {"float", "integer"} <= description.outputs.keys(), description.outputs),
    ):
        if not holds:
            raise ValueError(f"expected {expected}, got {received}")
    if not (0 <= description.crop <= LARGEST_CROP and _is_whole(description.crop / description.scale)):
        raise ValueError(
            f"expected a crop of 0 to {LARGEST_CROP}, a multiple of the scale {description.scale:g}, "
            f"got {description.crop}"
        )


def read_description(model_dir: str | Path) -> ModelDescription:
    """Read what the model of a folder is.

    Args:
        model_dir: folder of an exported model.

    Returns:
        The description.

    Raises:
        ValueError: the folder does not hold an exported model of this project.
    """
    path = Path(model_dir) / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        description = ModelDescription(
            system=content["system"],
            arguments=content["arguments"],
            sources=tuple(Source(s["name"], tuple(s["bands"]), float(s["gsd"])) for s in content["sources"]),
            gsd=float(content["output"]["gsd"]),
            bands=tuple(content["output"]["bands"]),
            crop=int(content["crop"]),
            outputs=dict(content["outputs"]),
            software=dict(content["software"]),
            weights=content.get("weights", ""),
            levels=tuple(content.get("levels", ())),
            origin=dict(content.get("origin", {})),
            precision=str(content.get("precision", "float32")),
            model=str(content.get("model", "")),
            whole_image=bool(content.get("whole_image", False)),
            shift=float(content.get("shift", 0.0)),
        )
        _check(description)
        return description
    except FileNotFoundError:
        raise ValueError(f"model_dir: expected a model folder, with {FILE_NAME}, got {model_dir}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"model_dir: expected a model description in {FILE_NAME} ({type(error).__name__}: {error}), got {model_dir}"
        ) from error
