# SPDX-License-Identifier: Apache-2.0
"""The description of an exported model: `model.json`, beside the SavedModel, read without TensorFlow.

python -c "from models.description import read_description; print(read_description('path/to/model'))"
"""

import dataclasses
import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chain.runtime.files import is_device, read_document

FILE_NAME = "model.json"
WEIGHTS_NAME = "weights.h5"
SEAL = "seal"
"""Key, in the description, of the digests of itself (`sha256`) and of the files that it describes (`files`)."""
SPECTRA_NAME = "spectra.json"
"""The ground that the weights were trained on (`models/spectra.py`)."""
DESCRIBED = (WEIGHTS_NAME, SPECTRA_NAME, "*.pb", "variables/*", "openvino.*")
"""Patterns of the files that a description is of."""
FURTHER_KEYS = {SEAL, "calibration"}
"""Keys that a description may have beside those of `ModelDescription.to_json`."""
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
LARGEST_SPACING = 1e5
"""In metres."""
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


def write_description(folder: str | Path, content: Mapping[str, Any]) -> None:
    """Write what the model of a folder is, sealed: what changes in it, or in the other files of the folder, is noticed.

    Args:
        folder: folder of an exported model, with all of its files.
        content: as of `ModelDescription.to_json`, maybe with more.
    """
    folder = Path(folder)
    described = sorted(path for pattern in DESCRIBED for path in folder.glob(pattern))
    files = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in described}
    sealed = sealed_description({**content, SEAL: {"files": files}})
    (folder / FILE_NAME).write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def sealed_description(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a description with its digest, in place of that of before, if any."""
    seal = {"files": dict(content.get(SEAL, {}).get("files", {}))}
    return {**content, SEAL: {**seal, "sha256": _digest({**content, SEAL: seal})}}


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a content, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_seal(folder: Path, content: Mapping[str, Any]) -> None:
    """Hold a description, and the files that are there of those it lists, against their digests.

    Raises:
        ValueError: one has another digest.
    """
    if SEAL not in content:
        return
    seal = _of(dict, content[SEAL], SEAL)
    files = {name: _of(str, digest, name) for name, digest in _of(dict, seal.get("files"), "files").items()}
    if sealed_description(content) != content:
        raise ValueError(
            f"expected the content that its {SEAL} is of, got another one; if it was changed on purpose, take the "
            f"{SEAL} out"
        )
    for name, expected in files.items():
        _check_file(folder / name, expected)


def _check_files(folder: Path) -> None:
    """Refuse a folder with devices and pipes, which TensorFlow would wait for.

    Raises:
        ValueError: there are some.
    """
    for path in folder.rglob("*"):
        if is_device(path):
            raise ValueError(f"expected files, got {path.relative_to(folder)}, a device or a pipe")


def _check_file(path: Path, expected: str) -> None:
    """Hold a file, if it is there, against its SHA-256.

    Raises:
        ValueError: it has another one.
    """
    if path.is_file():
        status = path.stat()
        received = _digest_of_file(path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        if received != expected:
            raise ValueError(
                f"expected {path.name} of SHA-256 {expected}, got {received}: another file, or a damaged one"
            )


@functools.lru_cache(1024)
def _digest_of_file(path: Path, _: tuple[int, ...]) -> str:
    """Return the SHA-256 of a file, computed once for each state of it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        (f"one of the precisions {', '.join(PRECISIONS)}", description.precision in PRECISIONS, description.precision),
        (f"a spacing of at most {LARGEST_SPACING:g} m", max(spacings) <= LARGEST_SPACING, spacings),
        (f"a shift within {LARGEST_CROP} pixels", abs(description.shift) <= LARGEST_CROP, description.shift),
        ("bands", bool(description.bands) and all(bands), description.bands),
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


def _refuse_constant(name: str) -> None:
    """Refuse NaN and infinite numbers.

    Raises:
        ValueError: in any case.
    """
    raise ValueError(f"expected finite numbers, got {name}")


def _of(kind: type | tuple[type, ...], value: Any, key: str) -> Any:
    """Return a value of a type.

    Raises:
        ValueError: it is of another one.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ValueError(f"expected {key} as {' or '.join(each.__name__ for each in kinds)}, got {value!r}")
    return value


def _number(value: Any, key: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: it is none.
    """
    number = float(_of((int, float), value, key))
    if not math.isfinite(number):
        raise ValueError(f"expected {key} as a finite number, got {value!r}")
    return number


def _words(value: Any, key: str) -> tuple[str, ...]:
    """Return a list of words.

    Raises:
        ValueError: it is none.
    """
    return tuple(_of(str, word, key) for word in _of(list, value, key))


def _described(content: Any) -> ModelDescription:
    """Return the description that a JSON document is.

    Raises:
        ValueError: a value is of another type.
        KeyError: one is missing.
    """
    content = _of(dict, content, "the description")
    output = _of(dict, content["output"], "output")
    return ModelDescription(
        system=_of(str, content["system"], "system"),
        arguments=_of(dict, content["arguments"], "arguments"),
        sources=tuple(
            Source(_of(str, s["name"], "name"), _words(s["bands"], "bands"), _number(s["gsd"], "gsd"))
            for s in _of(list, content["sources"], "sources")
        ),
        gsd=_number(output["gsd"], "gsd"),
        bands=_words(output["bands"], "bands"),
        crop=_of(int, content["crop"], "crop"),
        outputs={key: _of(str, name, "outputs") for key, name in _of(dict, content["outputs"], "outputs").items()},
        software=_of(dict, content["software"], "software"),
        weights=_of(str, content.get("weights", ""), "weights"),
        levels=_words(content.get("levels", []), "levels"),
        origin=_of(dict, content.get("origin", {}), "origin"),
        precision=_of(str, content.get("precision", "float32"), "precision"),
        model=_of(str, content.get("model", ""), "model"),
        whole_image=_of(bool, content.get("whole_image", False), "whole_image"),
        shift=_number(content.get("shift", 0.0), "shift"),
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
        content = json.loads(read_document(path), parse_constant=_refuse_constant)
        description = _described(content)
        _check(description)
        _check_files(path.parent)
        unknown = sorted(content.keys() - description.to_json().keys() - FURTHER_KEYS)
        if unknown:
            raise ValueError(f"expected keys of a description, got {unknown[0]} too")
        _check_seal(path.parent, content)
        if re.fullmatch("[0-9a-f]{64}", description.weights):
            _check_file(path.parent / WEIGHTS_NAME, description.weights)
        return description
    except FileNotFoundError:
        raise ValueError(f"--model-dir: expected a model folder, with {FILE_NAME}, got {model_dir}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"--model-dir: expected a model description in {FILE_NAME} ({type(error).__name__}: {error}), got "
            f"{model_dir}"
        ) from error
