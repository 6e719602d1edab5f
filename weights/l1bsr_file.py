# SPDX-License-Identifier: Apache-2.0
"""Reading of the weights of L1BSR's networks, REC and CSR, from the formats in which they are published.

- torch, state_dict: `REC_Real_L1B.pt`, with the tensors themselves, and `CSR_Real_L1B.pth.tar`, a checkpoint with CSR's
  tensors in `state_dictCSR`, beside the state of its training;
- safetensors: conversions of the first file by third parties.

The required tensors and their shapes follow from the number of groups and blocks in the names, and from the shapes of
the first ones. The file must contain exactly these tensors.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weights.formats.convolutions import Convolution, from_torch
from weights.formats.safetensors_file import is_safetensors, read_safetensors
from weights.formats.torch_file import TorchFile
from weights.l1bsr_published import BANDS

CHECKPOINT_ENTRY = "state_dictCSR"
SCALE = 2

Plan = Iterator[tuple[str, str, tuple[int, int, int, int]]]
"""Convolutions: their names in the file, the names of our layers, and the kernel shapes in torch."""


@dataclass(frozen=True)
class L1BSRFile:
    """The content of a weights file of REC or CSR."""

    format: str
    """Format of the file, in words."""
    network: str
    """`REC` or `CSR`."""
    arguments: dict[str, int]
    """Arguments of the model's class in `models/l1bsr.py`, derived from the tensors."""
    layers: dict[str, Convolution]
    """Convolutions by layer of the model, with channels in the model's order."""


def _shape(tensors: dict[str, np.ndarray], name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a tensor that determines a size.

    Raises:
        ValueError: the tensor is missing, or has another number of dimensions.
    """
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    shape = tensors[name].shape
    if len(shape) != dimensions or 0 in shape:
        raise ValueError(f"expected {dimensions} dimensions in {name}, got shape {shape}")
    return shape


def _rec_arguments(tensors: dict[str, np.ndarray]) -> dict[str, int]:
    """Return the sizes of REC.

    Raises:
        ValueError: a tensor that determines them is missing, or its shape is impossible for a REC.
    """
    matches = [re.fullmatch(r"body\.(\d+)\.body\.(\d+)\.body\.0\.weight", name) for name in tensors]
    groups, blocks = ({match[part] for match in matches if match} for part in (1, 2))
    depth = _shape(tensors, "head.0.weight", 4)[0]
    squeeze = "body.0.body.0.body.3.conv_du.0.weight"
    hidden = _shape(tensors, squeeze, 4)[0]
    reduction = max(depth // hidden, 1)
    if depth // reduction != hidden:
        raise ValueError(f"expected a divisor of {depth} features in {squeeze}, got {hidden}")
    return {"num_groups": len(groups), "num_blocks": len(blocks), "depth": depth, "reduction": reduction}


def _rec_plan(num_groups: int, num_blocks: int, depth: int, reduction: int) -> Plan:
    """List the convolutions of REC."""
    inner, hidden = (depth, depth, 3, 3), depth // reduction
    yield "head.0", "head", (depth, len(BANDS), 3, 3)
    for group in range(num_groups):
        for block in range(num_blocks):
            theirs, ours = f"body.{group}.body.{block}.body", f"group{group + 1}_block{block + 1}"
            yield f"{theirs}.0", f"{ours}_1", inner
            yield f"{theirs}.2", f"{ours}_2", inner
            yield f"{theirs}.3.conv_du.0", f"{ours}_squeeze", (hidden, depth, 1, 1)
            yield f"{theirs}.3.conv_du.2", f"{ours}_excite", (depth, hidden, 1, 1)
        yield f"body.{group}.body.{num_blocks}", f"group{group + 1}_last", inner
    yield f"body.{num_groups}", "body_last", inner
    yield "tail.0.0", "upsample", (SCALE**2 * depth, depth, 3, 3)
    yield "tail.1", "last", (len(BANDS), depth, 3, 3)


def _csr_arguments(tensors: dict[str, np.ndarray]) -> dict[str, int]:
    """Return the size of CSR.

    Raises:
        ValueError: the tensor that determines it is missing, or its shape is impossible for a CSR.
    """
    return {"depth": _shape(tensors, "convPool1.convleaky.conv1.weight", 4)[0]}


def _csr_plan(depth: int) -> Plan:
    """List the convolutions of CSR."""
    features = 2
    for theirs, ours, factors in (("convPool", "encode", (1, 2, 4, 8)), ("convBinl", "decode", (8, 8, 4, 2))):
        for level, factor in enumerate(factors, start=1):
            for part in (1, 2):
                shape = (factor * depth, features, 3, 3)
                yield f"{theirs}{level}.convleaky.conv{part}", f"{ours}{level}_{part}", shape
                features = factor * depth
    yield "conv1", "flow_1", (depth, features, 3, 3)
    yield "conv2", "flow_2", (2, depth, 3, 3)


NETWORKS = {"REC": (_rec_arguments, _rec_plan), "CSR": (_csr_arguments, _csr_plan)}


def _network(tensors: dict[str, np.ndarray]) -> str:
    """Identify the network by the names of its tensors.

    Raises:
        ValueError: the names are those of neither network.
    """
    prefixed = next((name for name in tensors if name.startswith("module.")), None)
    if prefixed:
        raise ValueError(f"expected names without DataParallel's prefix module., got {prefixed}")
    for network, beginning in (("REC", "head."), ("CSR", "convPool1.")):
        if any(name.startswith(beginning) for name in tensors):
            return network
    names = ", ".join(list(tensors)[:3]) or "nothing"
    raise ValueError(f"expected tensors of REC (head.0.weight, ...) or of CSR (convPool1....), got {names}")


def _take(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Remove and return a tensor.

    Raises:
        ValueError: it is missing, or has another shape.
    """
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    tensor = tensors.pop(name)
    if tensor.shape != shape:
        raise ValueError(f"expected shape {shape} for {name}, got {tensor.shape}")
    return tensor


def _shuffled(array: np.ndarray) -> np.ndarray:
    """Reorder the channels, the first axis, that are shuffled into pixels.

    In torch, the SCALE^2 pixels of a channel are adjacent; in TensorFlow, all channels of the first pixel precede all
    channels of the second.
    """
    return np.concatenate([array[pixel :: SCALE**2] for pixel in range(SCALE**2)])


def _read_tensors(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    """Read a file's format, in words, and its tensors, by name.

    Raises:
        ValueError: it is of another format, or damaged.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        beginning = stream.read(16)
    if is_safetensors(path):
        return "safetensors", read_safetensors(path)
    if not beginning.startswith((b"PK", b"\x80")):
        raise ValueError(f"expected a torch state_dict or safetensors, got a file that begins with {beginning!r}")
    file = TorchFile(path)
    if file.is_script:
        raise ValueError("expected a torch state_dict, got TorchScript")
    if isinstance(file.root, dict) and CHECKPOINT_ENTRY in file.root:
        return "torch checkpoint", file.tensors(CHECKPOINT_ENTRY)
    return "torch state_dict", file.tensors()


def read_l1bsr_file(path: str | Path) -> L1BSRFile:
    """Read a weights file of REC or CSR.

    Args:
        path: the file, in torch's or the safetensors format.

    Raises:
        ValueError: it is not such a file or is damaged, or a tensor is missing, unknown or of another shape.
        OSError: it cannot be read.
    """
    kind, tensors = _read_tensors(path)
    network = _network(tensors)
    if kind == "torch checkpoint" and network != "CSR":
        raise ValueError(f"expected CSR's tensors in {CHECKPOINT_ENTRY}, got those of {network}")
    find_arguments, plan = NETWORKS[network]
    arguments = find_arguments(tensors)
    layers = {}
    for theirs, ours, shape in plan(**arguments):
        kernel = _take(tensors, f"{theirs}.weight", shape)
        bias = _take(tensors, f"{theirs}.bias", shape[:1])
        if ours == "upsample":
            kernel, bias = _shuffled(kernel), _shuffled(bias)
        layers[ours] = from_torch(theirs, kernel, bias)
    for name, tensor in tensors.items():
        raise ValueError(f"{name} of shape {tensor.shape} is not a tensor of {network}")
    return L1BSRFile(kind, network, arguments, layers)
