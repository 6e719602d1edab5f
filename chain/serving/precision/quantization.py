# SPDX-License-Identifier: Apache-2.0
"""Models in 8-bit integers, made once of a SavedModel and some tiles of the user's own image, for OpenVINO.

folder = quantized_folder(Path("model"), [{"x10": fine, "x20": coarse}], default_cache())
open_engine("openvino", folder).run({"x10": fine, "x20": coarse}, "sr_dn_crop18")
"""

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chain.serving.engines.openvino_engine import QUANTIZED_MODEL, import_openvino, read_model, with_outputs
from chain.serving.exported_models import SAVED_MODEL, kept
from chain.serving.precision import int8, rounding
from models.description import FILE_NAME, SPECTRA_NAME, ModelDescription, read_description, write_description


def quantized_folder(folder: Path, tiles: Sequence[Mapping[str, np.ndarray]], cache: Path) -> Path:
    """Return the folder of a model in 8-bit integers, made now if it is not in the cache yet.

    The same tiles give the same folder. It has the two cropped outputs of the model.

    Args:
        folder: folder of a SavedModel in float32.
        tiles: for each source's name, float32 (rows, columns, bands), digital numbers.
        cache: where models are kept.

    Raises:
        ValueError: the model is not of float32, or tiles are missing.
        RuntimeError: OpenVINO is not installed, or cannot read the model.
        OSError: the cache cannot be written.
    """
    description = read_description(folder)
    if description.precision != "float32":
        raise ValueError(f"--precision: expected a model in float32 for int8, got {description.precision}")
    names = [source.name for source in description.sources]
    for tile in tiles:
        missing = [name for name in names if name not in tile]
        if missing:
            raise ValueError(f"tiles: expected {', '.join(names)}, got one without {missing[0]}")
    tiles = [{name: np.ascontiguousarray(tile[name], np.float32) for name in names} for tile in tiles]
    calibration = _digest_of_tiles(tiles)
    digest = hashlib.sha256(f"{import_openvino().__version__} {calibration}".encode())
    for file in _files(folder):
        digest.update(file.read_bytes())
    name = f"{description.system}-int8-{digest.hexdigest()[:24]}"
    return kept(lambda made: _write(made, folder, description, tiles, calibration), name, cache)


def _files(folder: Path) -> list[Path]:
    """Return what a model in 8-bit integers depends on, beside tiles and OpenVINO."""
    variables = sorted((folder / "variables").iterdir())
    return [
        folder / SAVED_MODEL,
        *variables,
        folder / FILE_NAME,
        *(Path(str(part.__file__)) for part in (int8, rounding)),
    ]


def _digest_of_tiles(tiles: Sequence[Mapping[str, np.ndarray]]) -> str:
    """Return the SHA-256 of tiles."""
    digest = hashlib.sha256()
    for tile in tiles:
        for name, pixels in tile.items():
            digest.update(f"{name} {pixels.shape}".encode())
            digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def _write(made: Path, folder: Path, description: ModelDescription, tiles: Sequence, calibration: str) -> None:
    """Write the model: `openvino.xml`, `openvino.bin` and `model.json`, which says what it was made with."""
    openvino = import_openvino()
    model = with_outputs(read_model(folder), list(description.outputs.values()))
    convolutions = int8.quantize(model, tiles)
    for number, node in enumerate(model.get_ordered_ops()):  # names count what a process has made before
        if node.get_type_name() not in ("Parameter", "Result"):
            node.set_friendly_name(f"{node.get_type_name()}{number}")
    made.mkdir()
    openvino.save_model(model, str(made / QUANTIZED_MODEL), compress_to_fp16=False)
    versions = {**description.software, "openvino": openvino.__version__}
    content = dataclasses.replace(description, precision="int8", software=versions).to_json()
    if (folder / SPECTRA_NAME).exists():
        shutil.copyfile(folder / SPECTRA_NAME, made / SPECTRA_NAME)
    content["calibration"] = {"tiles": len(tiles), "sha256": calibration, "convolutions": convolutions}
    write_description(made, content)
