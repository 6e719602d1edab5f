# SPDX-License-Identifier: Apache-2.0
"""Reading of the weights of DeepSUM's networks from checkpoints of TensorFlow 1.

A checkpoint consists of several files with a common prefix: `model.ckpt-968999.index` gives the position of each
variable in `model.ckpt-968999.data-00000-of-00001`, and its checksum, which TensorFlow compares. `.meta` is not read.
There are three kinds: the whole network; the pre-training of SISRNet, with its own last layer; that of RegNet.

A checkpoint must contain exactly the weights of one of these, and may contain Adam's state, which is not read: two
variables per weight, two powers, and the number of steps.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weights.deepsum_published import DATA, INDEX
from weights.formats.convolutions import float32

FILTERS = 81
SLOTS = ("Adam", "Adam_1")
COUNTERS = ("beta1_power", "beta2_power", "global_step")

Shapes = dict[str, tuple[int, ...]]
Plan = Iterator[tuple[str, str, Shapes]]
"""Layers: their names in the checkpoint, the names of our layers, and their variables, in our order of weights."""


@dataclass(frozen=True)
class DeepSUMCheckpoint:
    """The content of a checkpoint of DeepSUM."""

    network: str
    """`DeepSUM`, `SISRNet` or `RegNet`."""
    depth: int
    """Number of features."""
    layers: dict[str, list[np.ndarray]]
    """Weights by layer of `models.deepsum.DeepSUM`, in the order of `set_weights`."""


def _convolution(theirs: str, ours: str, *kernel: int) -> tuple[str, str, Shapes]:
    return theirs, ours, {"W": kernel, "b": kernel[-1:]}


def _normalization(theirs: str, ours: str, depth: int) -> tuple[str, str, Shapes]:
    return theirs, ours, {"gamma": (depth,), "beta": (depth,)}


def _sisr_plan(depth: int) -> Plan:
    """List the layers of SISRNet that are part of the whole network."""
    for index in range(8):
        yield _convolution(f"conv_up_{index}", f"sisr_{index + 1}", 1, 3, 3, depth if index else 1, depth)
        yield _normalization(f"inst_norm_up_{index}", f"sisr_norm_{index + 1}", depth)


def _sisrnet_plan(depth: int) -> Plan:
    """List the layers of SISRNet's pre-training."""
    yield from _sisr_plan(depth)
    yield _convolution("conv_up_8", "sisr_head", 1, 1, 1, depth, 1)


def _regnet_plan(depth: int) -> Plan:
    """List the layers of RegNet."""
    yield _convolution("Rconv1b", "registration_1", 2, 3, 3, depth, 2 * depth)
    yield _convolution("Rconv2b", "registration_2", 1, 3, 3, 2 * depth, depth)
    yield _convolution("Rconv3b", "registration_3", 1, 3, 3, depth, depth)
    yield _convolution("Rconv4b", "registration_4", 1, 3, 3, depth, depth)
    yield _convolution("Rconv7_b", "registration_5", 1, 3, 3, depth, FILTERS)


def _deepsum_plan(depth: int) -> Plan:
    """List the layers of the whole network."""
    yield from _sisr_plan(depth)
    yield from _regnet_plan(depth)
    for index in range(4):
        yield _convolution(f"conv_fuse_{index}", f"fusion_{index + 1}", 3, 3, 3, depth, depth)
        yield _normalization(f"inst_norm_fuse_{index}", f"fusion_norm_{index + 1}", depth)
    yield _convolution("conv_fuse_4", "fusion_last", 1, 1, 1, depth, 1)


NETWORKS = {
    "DeepSUM": ("conv_fuse_", "conv_up_0/b", _deepsum_plan),
    "SISRNet": ("conv_up_", "conv_up_0/b", _sisrnet_plan),
    "RegNet": ("Rconv", "Rconv2b/b", _regnet_plan),
}
"""By network: the beginning of its own names, the variable that determines its size, and its layers."""


def _network(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, int]:
    """Identify the network by the names of its variables, and return the number of features.

    Raises:
        ValueError: the names are no network's, or the variable of the size is missing or of another shape.
    """
    found = [
        network for network, (beginning, _, _) in NETWORKS.items() if any(name.startswith(beginning) for name in shapes)
    ]
    if not found:
        names = ", ".join(sorted(shapes)[:3]) or "nothing"
        raise ValueError(f"expected variables of DeepSUM (conv_up_0/W, Rconv1b/W, conv_fuse_0/W, ...), got {names}")
    network, sized = found[0], NETWORKS[found[0]][1]
    if sized not in shapes:
        raise ValueError(f"{sized} is missing")
    if len(shapes[sized]) != 1 or shapes[sized][0] < 1:
        raise ValueError(f"expected one dimension in {sized}, got shape {shapes[sized]}")
    return network, shapes[sized][0]


def _as_ours(layer: str, array: np.ndarray) -> np.ndarray:
    """Convert a variable to a weight of our layer.

    All their kernels are (frames, rows, columns, in, out). Those of the fusion stay as they are; others become
    two-dimensional, with the features of a pair's two frames one after the other.
    """
    if array.ndim == 5 and not layer.startswith("fusion"):
        return np.concatenate(list(array), axis=2)
    return array


def find_layers(shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], np.ndarray]) -> DeepSUMCheckpoint:
    """Convert the variables of a checkpoint to the weights of our layers.

    Args:
        shapes: shapes of all variables, by name.
        read: returns a variable as an array, by name.

    Raises:
        ValueError: a variable is missing, unknown, of another shape, or contains other than finite floating-point
            numbers.
    """
    network, depth = _network(shapes)
    left, layers = {*shapes} - {*COUNTERS}, {}
    for theirs, ours, variables in NETWORKS[network][2](depth):
        for part, shape in variables.items():
            name = f"{theirs}/{part}"
            if name not in shapes:
                raise ValueError(f"{name} is missing")
            if tuple(shapes[name]) != shape:
                raise ValueError(f"expected shape {shape} for {name}, got {tuple(shapes[name])}")
            left -= {name, *(f"{name}/{slot}" for slot in SLOTS)}
            layers.setdefault(ours, []).append(_as_ours(ours, float32(name, read(name))))
    for name in sorted(left):
        raise ValueError(f"{name} of shape {tuple(shapes[name])} is not a variable of {network}")
    return DeepSUMCheckpoint(network, depth, layers)


def data_file(path: str | Path) -> Path:
    """Return the data file of a checkpoint, given any of its files or their common prefix.

    Raises:
        ValueError: the data file or the index is missing.
    """
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", str(path))
    for ending in (INDEX, DATA):
        if not Path(prefix + ending).is_file():
            raise ValueError(f"expected a TensorFlow 1 checkpoint, found no {Path(prefix + ending).name}")
    return Path(prefix + DATA)


def read_deepsum_checkpoint(path: str | Path) -> DeepSUMCheckpoint:
    """Read a checkpoint of DeepSUM, SISRNet or RegNet.

    Args:
        path: any of its files, or their common prefix.

    Raises:
        ValueError: it is not such a checkpoint or is damaged, or a variable is missing or unknown.
    """
    import tensorflow as tf

    prefix = str(data_file(path)).removesuffix(DATA)
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        return find_layers(shapes, reader.get_tensor)
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected a readable TensorFlow 1 checkpoint ({reason})") from error
