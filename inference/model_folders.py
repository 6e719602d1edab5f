# SPDX-License-Identifier: Apache-2.0
"""Exported models as programs name them: folders of SavedModels, and folders of weights that become some when used.

Weights take a hundredth of a second to copy and a few to export: the project's own, and converted ones given by
`--weights`, are exported once, into the user's cache, by the TensorFlow that serves them.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from models.description import FILE_NAME, ModelDescription, read_description

SAVED_MODEL = "saved_model.pb"
WEIGHTS = "weights.h5"
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
        f"--model-dir: a folder with {FILE_NAME}, made by a training or a conversion, is wanted. Received: {folder}"
    )


def served_folder(folder: Path, build: Callable[[ModelDescription], object], cache: Path) -> Path:
    """Return a folder that can be served: the model's own, or one made of its weights in the cache.

    Args:
        folder: a model's folder, with a SavedModel or with weights only.
        build: makes the model of a description.
        cache: where exported models are kept.

    Raises:
        ValueError: the folder has neither, or the weights are not the model's.
    """
    if (folder / SAVED_MODEL).exists():
        return folder
    if not (folder / WEIGHTS).exists():
        raise ValueError(f"--model-dir: {SAVED_MODEL} or {WEIGHTS} is wanted. Received: {folder}, with neither")
    description = read_description(folder)

    def make():
        from models.base import load_weights

        model = build(description)
        model.levels, model.origin = description.levels, description.origin
        load_weights(model.model, folder)
        return model

    return exported(make, [folder / WEIGHTS, folder / FILE_NAME], description.system, cache)


def exported(make: Callable[[], object], files: list[Path], name: str, cache: Path) -> Path:
    """Return the folder of an exported model in the cache, exported now if it is not there yet.

    Args:
        make: makes the model, with its weights.
        files: what the model depends on.
        name: beginning of the folder's name.
        cache: where exported models are kept.

    Raises:
        OSError: the cache cannot be written.
    """
    import tensorflow as tf

    from models.base import export, keras_version

    digest = hashlib.sha256(f"{tf.__version__} {keras_version()}".encode())
    for file in files:
        digest.update(Path(file).read_bytes())
    folder = cache / f"{name}-{digest.hexdigest()[:24]}"
    if (folder / FILE_NAME).exists():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
    except OSError as error:
        raise OSError(f"cache: a folder that can be written is wanted. Received: {cache} ({error.strerror})") from error
    try:
        export(make(), partial / "model")
        try:
            (partial / "model").rename(folder)
        except OSError:  # another process was faster, or what it left is not whole
            if not (folder / FILE_NAME).exists():
                shutil.rmtree(folder)
                (partial / "model").rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
