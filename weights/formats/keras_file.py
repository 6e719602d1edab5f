# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of Keras 2, with weights alone or a whole model.

The attributes `layer_names` and `weight_names` list layers and weights in order; the groups themselves are unordered.
The description of a whole model, which may contain code, is ignored.
"""

import re
from pathlib import Path

import h5py
import numpy as np

from models.hdf5 import check_hdf5
from weights.formats.convolutions import Convolution, WeightsFile, convolution

WHOLE_MODEL = "model_weights"


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Read names from an attribute: bytes before Keras 2.4, text since then.

    Raises:
        ValueError: there is no such attribute.
    """
    if attribute not in group.attrs:
        raise ValueError(f"expected the attribute {attribute} of Keras 2 in {group.name}, found none")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in np.ravel(group.attrs[attribute])]


def _arrays(layer: h5py.Group) -> dict[str, np.ndarray]:
    """Read the weights of a layer, by name, in the order of the names.

    Raises:
        ValueError: a weight is missing or unnamed.
    """
    stored = {}
    layer.visititems(lambda name, item: stored.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    names = _names(layer, "weight_names")
    for name in names:
        if name not in stored:
            raise ValueError(f"{name} is named in {layer.name} but missing")
    for name in stored:
        if name not in names:
            raise ValueError(f"{layer.name}/{name} is not among the weights that its layer names")
    return {name: stored[name][()] for name in names}


def _convolutions(layer: h5py.Group) -> list[Convolution]:
    """Read the convolutions of a layer: one, or several if it is a nested model.

    Raises:
        ValueError: its weights are not kernels and biases.
    """
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in _arrays(layer).items():
        owner, _, part = name.rpartition("/")
        parts.setdefault(owner, {})[part.split(":")[0]] = array
    for owner, arrays in parts.items():
        if set(arrays) != {"kernel", "bias"}:
            raise ValueError(f"expected kernel and bias in {layer.name}/{owner}, got {', '.join(sorted(arrays))}")
    return [convolution(owner or layer.name, arrays["kernel"], arrays["bias"]) for owner, arrays in parts.items()]


def read_keras_file(path: str | Path) -> WeightsFile:
    """Read the convolutions of an HDF5 file of Keras 2.

    Raises:
        ValueError: it is not such a file, or is damaged.
    """
    check_hdf5(path)
    try:
        with h5py.File(path, "r") as file:
            whole = "layer_names" not in file.attrs and WHOLE_MODEL in file
            root = file[WHOLE_MODEL] if whole else file
            layers = _names(root, "layer_names")
            for name in layers:
                if not isinstance(root.get(name), h5py.Group):
                    raise ValueError(f"the layer {name} is named but missing")
            for name in root:
                if name not in layers and _names(root[name], "weight_names"):
                    raise ValueError(f"{name} is not among the layers that the file names")
            convolutions = [found for name in layers for found in _convolutions(root[name])]
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"expected a readable HDF5 file ({error})") from error
    blocks, additions = len(convolutions) // 2 - 1, sum(bool(re.fullmatch(r"add(_\d+)?", name)) for name in layers)
    if additions and additions not in (blocks, blocks + 1):
        raise ValueError(f"expected the convolutions of {additions - 1} blocks, got {len(convolutions)} convolutions")
    return WeightsFile(
        format=f"Keras HDF5, {'whole model' if whole else 'weights only'}",
        convolutions=convolutions,
        order="layer_names",
        residual_only=additions == blocks if additions else None,
    )
