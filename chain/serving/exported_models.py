# SPDX-License-Identifier: Apache-2.0
"""Exported models as programs name them: folders of SavedModels, and folders of weights that become some when used.

Weights take a hundredth of a second to copy and a few to export: the project's own, converted ones given by `--weights`
and those that are to be served in another precision are exported once, into the user's cache, by the TensorFlow that
serves them.
"""

import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.files import reason_of, scratch_folder, synchronize
from chain.runtime.progress import LOG
from chain.runtime.provenance import package_versions
from models.description import FILE_NAME, SPECTRA_NAME, read_description

if TYPE_CHECKING:
    from models.base import SuperResolutionModel

SAVED_MODEL = "saved_model.pb"
WEIGHTS = "weights.h5"
MODELS = Path(__file__).resolve().parents[2] / "models"
"""What makes models, on which they depend too."""
CHECKSUMS = ".checksums.json"
"""In a folder of the cache: the checksum of each of its files."""
DEPTH = 2
"""Levels of folders in which models are looked for."""


def find_models(folder: str | Path) -> list[Path]:
    """Return the folders of models that a folder is or holds.

    Raises:
        ValueError: there is none.
    """
    folder = Path(folder)
    patterns = [FILE_NAME, *("/".join(["*"] * depth + [FILE_NAME]) for depth in range(1, DEPTH + 1))]
    for pattern in patterns:
        found = sorted(path.parent for path in folder.glob(pattern))
        if found:
            return found
    raise ValueError(
        f"--model-dir: expected a folder with {FILE_NAME}, made by a training or a conversion, got {folder}"
    )


def served_folder(folder: Path, cache: Path, precision: str = "float32", whole: bool = False) -> Path:
    """Return a folder that can be served: the model's own, or one made of its weights in the cache.

    Args:
        folder: a model's folder, with a SavedModel, with weights, or with both.
        cache: where exported models are kept.
        precision: `float32`, or `bfloat16` for the inner convolutions.
        whole: make all outputs of the model; by default the cropped ones alone, if that costs less.

    Raises:
        ValueError: the folder has no SavedModel of this precision and no weights, or the weights are not the model's.
        OSError: the cache cannot be written.
    """
    description = read_description(folder)
    if description.precision == precision and (folder / SAVED_MODEL).exists():
        return folder
    if not (folder / WEIGHTS).exists():
        received = "without weights" if (folder / SAVED_MODEL).exists() else "with neither"
        raise ValueError(f"--model-dir: expected {SAVED_MODEL} of {precision} or {WEIGHTS}, got {folder}, {received}")

    def make() -> "SuperResolutionModel":
        from models.build import build
        from models.spectra import read_spectra
        from models.weights_file import load_weights

        model = build(description, precision, served=not whole)
        load_weights(model.model, folder)
        model.spectra = read_spectra(folder)
        return model

    name = description.system if precision == "float32" else f"{description.system}-{precision}"
    name += "-whole" if whole else ""
    files = [folder / WEIGHTS, folder / FILE_NAME, folder / SPECTRA_NAME]
    return exported(make, [file for file in files if file.exists()], name, cache)


def exported(make: Callable[[], "SuperResolutionModel"], files: list[Path], name: str, cache: Path) -> Path:
    """Return the folder of an exported model in the cache, exported now if it is not there yet.

    Args:
        make: makes the model, with its weights.
        files: what the model depends on.
        name: beginning of the folder's name.
        cache: where exported models are kept.

    Raises:
        OSError: the cache cannot be written.
    """

    def write(folder: Path) -> None:
        from models.base import export

        export(make(), folder)

    digest = hashlib.sha256(_frameworks().encode())
    for file in [*files, *sorted(MODELS.glob("*.py"))]:
        digest.update(Path(file).read_bytes())
    return kept(write, f"{name}-{digest.hexdigest()[:24]}", cache)


def _frameworks() -> str:
    """Return the versions of TensorFlow and Keras; TensorFlow, which takes seconds, is loaded if no package tells."""
    known = package_versions()
    tensorflow = known.get("tensorflow") or importlib.import_module("tensorflow").__version__
    return f"{tensorflow} {known['keras']}"


def kept(write: Callable[[Path], object], name: str, cache: Path) -> Path:
    """Return a model's folder in the cache, written now if it is not there yet: whole, or not at all.

    Args:
        write: writes the model into the folder that it is given, which does not exist.
        name: the folder's name, which tells all that the model depends on.
        cache: where models are kept.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = cache / name
    if is_intact(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with scratch_folder(cache, f".{name}-") as partial:
            write(partial / "model")
            _seal(partial / "model")
            if folder.exists() and not is_intact(folder):
                LOG.warning("%s: damaged, made again", folder)
                folder.rename(partial / "damaged")
            try:
                (partial / "model").rename(folder)
            except OSError:  # another process was faster
                if not is_intact(folder):
                    raise
            synchronize(cache)
    except OSError as error:
        raise OSError(
            f"cache: expected a folder that can be written (XDG_CACHE_HOME names it), got {cache} ({reason_of(error)})"
        ) from error
    return folder


def is_intact(folder: Path) -> bool:
    """Return whether a model's folder in the cache is there, and holds what was written into it."""
    try:
        listed = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        return FILE_NAME in listed and listed == {name: _checksum(folder / name) for name in listed}
    except (OSError, ValueError, TypeError):
        return False


def _seal(folder: Path) -> None:
    """Write the checksums of the files of a model's folder, and bring all to the disk."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    listed = {str(path.relative_to(folder)): _checksum(path) for path in files}
    (folder / CHECKSUMS).write_text(json.dumps(listed, indent=1), encoding="utf-8")
    for path in [*files, folder / CHECKSUMS, folder]:
        synchronize(path)


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
