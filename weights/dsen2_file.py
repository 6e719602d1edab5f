# SPDX-License-Identifier: Apache-2.0
"""Reading of DSen2's and VDSen2's convolutions from all formats in which weights are published.

- Keras HDF5, weights only or whole model: the original (Lanaras et al.), UP42, RSP 0.1;
- torch, state_dict: RSP 0.2;
- TorchScript, scripted, traced or frozen: RSP 0.2.2 (including the skip) and 0.3 (which leaves it to the caller).

If a file contains code, the order is that of the computation, and the code must compute DSen2. `torch.jit.freeze` moves
the factor of 0.1 of the residual branches into the convolutions; it is extracted again.
"""

import itertools
import re
from pathlib import Path

import h5py
import numpy as np

from weights.formats.convolutions import Convolution, WeightsFile, from_torch
from weights.formats.keras_file import read_keras_file
from weights.formats.torch_file import TorchFile
from weights.formats.torchscript import Node, follow

RESIDUAL_SCALE = 0.1
FIRST_CHANNELS = (10, 12)
LAST_CHANNELS = (6, 2)
"""Numbers of input bands of the first convolution and of output bands of the last, for the two roles."""


def _scaled(name: str, kernel: np.ndarray, bias: np.ndarray, factor: float) -> Convolution:
    """Make a convolution from torch's arrays, multiplied by a factor."""
    if factor != 1:
        kernel, bias = kernel * np.float64(factor), bias * np.float64(factor)
    return from_torch(name, kernel, bias)


def _take(node: Node, kind: str) -> Node:
    """Return the input of a step of a given kind.

    Raises:
        ValueError: the step is of another kind.
    """
    if node.kind != kind:
        raise ValueError(f"expected DSen2's network, got one with a {node.kind} in place of a {kind}")
    return node.inputs[0]


def _branch(node: Node, before: Node) -> list[tuple[Node, float]]:
    """Return the two convolutions of a residual branch, each with the factor on its result."""
    factor = 1.0
    while node.kind == "scale":
        factor *= node.values[0]
        node = node.inputs[0]
    first = _take(_take(node, "convolution"), "relu")
    if _take(first, "convolution") is not before:
        raise ValueError("expected DSen2's network, got one with a residual branch that starts elsewhere")
    ratio = factor / RESIDUAL_SCALE
    return [(first, 1.0), (node, 1.0 if np.isclose(ratio, 1, rtol=1e-6, atol=0) else ratio)]


def _is_branch(node: Node) -> bool:
    """Return whether a step is a convolution, apart from its scale."""
    while node.kind == "scale":
        node = node.inputs[0]
    return node.kind == "convolution"


def _computed_order(last: Node, inputs: list[Node]) -> tuple[list[tuple[Node, float]], bool]:
    """Return the convolutions in the order of computation, and whether the last input is added at the end.

    Raises:
        ValueError: the computation is not DSen2's.
    """
    skip = last.kind == "add" and inputs[-1] in last.inputs
    if skip:
        last = next(node for node in last.inputs if node is not inputs[-1])
    order, node = [(last, 1.0)], _take(last, "convolution")
    while node.kind == "add":
        one, other = node.inputs
        branch, node = (one, other) if _is_branch(one) else (other, one)
        order = _branch(branch, node) + order
    first = _take(node, "relu")
    start = _take(first, "convolution")
    joined = start.kind == "join" and start.inputs == tuple(inputs)
    if not (joined if len(inputs) > 1 else start is inputs[0]):
        raise ValueError("expected DSen2's network, got one that does not begin with all its inputs in order")
    return [(first, 1.0), *order], skip


def _of_code(file: TorchFile, last: Node, inputs: list[Node]) -> WeightsFile:
    """Read the convolutions of a TorchScript archive in the order in which its code computes them.

    Args:
        file: the archive.
        last: the last step of the computation.
        inputs: its inputs.

    Raises:
        ValueError: the code does not compute DSen2, or there are extra tensors.
    """
    tensors = file.tensors()
    names = {id(tensor): name for name, tensor in tensors.items()}
    order, skip = _computed_order(last, inputs)
    for node, _ in order:
        for tensor in node.values:
            names.pop(id(tensor), None)
    for name in names.values():
        if tensors[name].ndim:
            raise ValueError(f"{name} of shape {tensors[name].shape} is not used")
    names = {id(tensor): name.removesuffix(".weight") for name, tensor in tensors.items()}
    convolutions = [_scaled(names[id(node.values[0])], *node.values, factor) for node, factor in order]
    return WeightsFile(
        format="TorchScript, frozen" if all(name.startswith("CONSTANTS.") for name in tensors) else "TorchScript",
        convolutions=convolutions,
        order="code",
        inputs=len(inputs),
        residual_only=not skip,
    )


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))


def _of_names(tensors: dict[str, np.ndarray]) -> list[Convolution]:
    """Order convolutions: the first and the last by shape, the others by the numbers in their names.

    Raises:
        ValueError: tensors are missing or unknown, or their names do not give the order.
    """
    pairs: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        owner, _, part = name.rpartition(".")
        if not owner or part not in ("weight", "bias"):
            raise ValueError(f"expected names that end in .weight and .bias, got {name}")
        pairs.setdefault(owner, {})[part] = tensor
    for owner, pair in pairs.items():
        for part in {"weight", "bias"} - set(pair):
            raise ValueError(f"{owner}.{part} is missing")
    convolutions = [from_torch(owner, pair["weight"], pair["bias"]) for owner, pair in pairs.items()]
    first = [c for c in convolutions if c.kernel.shape[2] in FIRST_CHANNELS and c.kernel.shape[2] != c.kernel.shape[3]]
    last = [c for c in convolutions if c.kernel.shape[3] in LAST_CHANNELS and c.kernel.shape[2] != c.kernel.shape[3]]
    if len(first) != 1 or len(last) != 1 or first == last:
        raise ValueError(
            "expected one first convolution, of 10 or 12 bands, and one last, to 6 or 2, "
            f"got {', '.join(c.name for c in first) or 'none'} and {', '.join(c.name for c in last) or 'none'}"
        )
    inner = [c for c in convolutions if c is not first[0] and c is not last[0]]
    for one in inner:
        if re.sub(r"\d+", "#", one.name) != re.sub(r"\d+", "#", inner[0].name):
            raise ValueError(f"the names of {inner[0].name} and {one.name} do not give their order")
    numbers = {_numbers(one.name) for one in inner}
    starts = [min(min(values), 1) for values in zip(*numbers)]
    ranges = [range(start, min(max(values), start + len(numbers)) + 1) for start, values in zip(starts, zip(*numbers))]
    missing = next((number for number in itertools.product(*ranges) if inner and number not in numbers), None)
    if missing:
        raise ValueError(f"a convolution is missing: number {'.'.join(map(str, missing))} beside {inner[0].name}")
    return [first[0], *sorted(inner, key=lambda one: _numbers(one.name)), last[0]]


def read_dsen2_file(path: str | Path, published: bool = False) -> WeightsFile:
    """Read a weights file of DSen2 or VDSen2, in any format.

    Args:
        path: the file.
        published: whether the file is known to be DSen2; if its code is not supported, the order is then taken from the
            names of its tensors.

    Raises:
        ValueError: it is not such a file, is damaged or holds something else, or the order is unknown.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        beginning = stream.read(16)
    if h5py.is_hdf5(path):
        return read_keras_file(path)
    if not beginning.startswith((b"PK", b"\x80")):
        raise ValueError(f"expected Keras HDF5 or a torch archive, got a file that begins with {beginning!r}")
    file = TorchFile(path)
    if not file.is_script:
        return WeightsFile("torch state_dict", _of_names(file.tensors()), "names")
    try:
        last, inputs = follow(file)
    except ValueError as error:
        if not published:
            raise ValueError(f"expected code that gives the order of the convolutions ({error})") from error
        return WeightsFile("TorchScript", _of_names(file.tensors()), "names")
    return _of_code(file, last, inputs)
