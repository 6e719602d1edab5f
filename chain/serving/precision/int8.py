# SPDX-License-Identifier: Apache-2.0
"""The inner convolutions of a network in 8-bit integers, for OpenVINO: after training, from a few tiles of an image.

First and last convolutions, sums, interpolations and all else stay in float32; which they are, the graph says. What
OpenVINO's own tool (NNCF 3.4) made of a trained 2x network of the paper's class was off by 4.7 DN on villages and
fields, or 3.4 DN with its best settings; by four means, of which only the last costs time, it was 1.8 DN:

* each feature has its own range, from least to largest value: the scales move into the weights. OpenVINO's operation
  maps them all to the same 0 to 255;
* weights are rounded for the least error of the result (`chain.serving.precision.rounding`), not each to the nearest;
* biases take up the mean of what is left;
* the first convolutions that read the sums have their input in two parts of 8 bits, what is left by the first and what
  is left by that; their errors go through the whole network.

Values beyond the range that the tiles have are cut off. The zeros around a tile stand for other values where a range
does not begin at zero, so that pixels that depend on where a tile ends are wrong; cropped outputs have none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chain.serving.engines.openvino_engine import compile_model, import_openvino
from chain.serving.precision.rounding import rounded, steps_of

if TYPE_CHECKING:
    import openvino

CONVOLUTION = "Convolution"
LEVELS = 256
SPLIT = 2
"""Number of convolutions whose input has two parts."""
SPLIT_RANGE = 4.0
"""Range of an input of two parts, as a multiple of what the tiles have: it has bits to spare."""
LEAST_RANGE = 0.01
"""Range of a feature at least, as a share of the widest one: features that are constant on the tiles may change."""
SAMPLES = 6000
"""Number of places at which the inputs of a convolution are looked at."""
LAYERS_AT_ONCE = 8
"""Number of convolutions whose inputs are held in memory."""

Tile = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Observed:
    """The input of a convolution on the tiles."""

    least: np.ndarray
    """Least value of each feature, (features,)."""
    largest: np.ndarray
    """Largest value of each feature, (features,)."""
    samples: np.ndarray
    """What single results are made of, (samples, features, kernel rows * columns)."""


def quantize(model: "openvino.Model", tiles: Sequence[Tile]) -> int:
    """Turn the inner convolutions of a model into ones of 8-bit integers, in place.

    Args:
        model: the model.
        tiles: for each source's name, float32 (rows, columns, bands), as the model is served.

    Returns:
        The number of these convolutions.

    Raises:
        ValueError: there is no tile, or one is smaller than a kernel.
    """
    if not tiles:
        raise ValueError("tiles: expected at least one, got none")
    convolutions, sums = inner_convolutions(model)
    split = [each.get_friendly_name() for each in sums[:SPLIT]]
    observed = list(_observe(model, convolutions, tiles))
    for convolution, seen in zip(convolutions, observed):
        _replace(convolution, seen, convolution.get_friendly_name() in split)
    model.validate_nodes_and_infer_types()
    return len(convolutions)


def inner_convolutions(model: "openvino.Model") -> "tuple[list[openvino.Node], list[openvino.Node]]":
    """Return the convolutions of a model that have others before and after them, and those of them that read sums.

    A convolution reads a sum, the residual stream, when what it sees is not made by one inner convolution alone.
    Only those are inner whose weights are constant, and that neither stride nor dilate.
    """
    nearest: dict[str, set[str]] = {}
    found, followed = [], set()
    for node in model.get_ordered_ops():
        seen: set[str] = set()
        for port in node.inputs():
            source = port.get_source_output().get_node()
            name = source.get_friendly_name()
            seen |= {name} if source.get_type_name() == CONVOLUTION else nearest[name]
        nearest[node.get_friendly_name()] = seen
        if node.get_type_name() == CONVOLUTION:
            found.append(node)
            followed |= seen
    inner = [
        node
        for node in found
        if nearest[node.get_friendly_name()] and node.get_friendly_name() in followed and _is_plain(node)
    ]
    names = {node.get_friendly_name() for node in inner}
    alone = [{name} for name in names]
    sums = [node for node in inner if nearest[node.get_friendly_name()] not in alone]
    return inner, sums


def _is_plain(convolution: "openvino.Node") -> bool:
    """Return whether a convolution has constant weights, and neither strides nor dilates."""
    attributes = convolution.get_attributes()
    steps = [*attributes["strides"], *attributes["dilations"]]
    return _weights(convolution).get_type_name() == "Constant" and all(step == 1 for step in steps)


def _weights(convolution: "openvino.Node") -> "openvino.Node":
    """Return the node of a convolution's weights, (outputs, features, rows, columns)."""
    return convolution.input(1).get_source_output().get_node()


def _observe(
    model: "openvino.Model", convolutions: "Sequence[openvino.Node]", tiles: Sequence[Tile]
) -> Iterator[Observed]:
    """Look at the inputs of convolutions on tiles."""
    openvino = import_openvino()
    generator = np.random.default_rng(0)
    for first in range(0, len(convolutions), LAYERS_AT_ONCE):
        group = convolutions[first : first + LAYERS_AT_ONCE]
        ports = [convolution.input(0).get_source_output() for convolution in group]
        results = [openvino.opset13.result(port) for port in ports]
        compiled = compile_model(openvino.Model(results, model.get_parameters(), "inputs"))
        names = [port.any_name for port in model.inputs]
        parts: list[list[Observed]] = [[] for _ in group]
        for tile in tiles:
            found = compiled({name: np.asarray(tile[name], np.float32)[np.newaxis] for name in names})
            for number, convolution in enumerate(group):
                kernel = _weights(convolution).shape[2:]
                parts[number].append(_look(found[number][0], kernel, -(-SAMPLES // len(tiles)), generator))
        for seen in parts:
            yield Observed(
                np.min([part.least for part in seen], axis=0),
                np.max([part.largest for part in seen], axis=0),
                np.concatenate([part.samples for part in seen]),
            )


def _look(values: np.ndarray, kernel: Sequence[int], count: int, generator: np.random.Generator) -> Observed:
    """Look at values (features, rows, columns) at some places at which a whole kernel fits."""
    rows, columns = values.shape[1] - kernel[0] + 1, values.shape[2] - kernel[1] + 1
    if min(rows, columns) < 1:
        received = " x ".join(map(str, values.shape[1:]))
        raise ValueError(f"tiles: expected at least {max(kernel)} rows and columns, got {received}")
    windows = np.lib.stride_tricks.sliding_window_view(values, tuple(kernel), axis=(1, 2))  # type: ignore[call-overload]
    samples = windows[:, generator.integers(0, rows, count), generator.integers(0, columns, count)]
    samples = samples.transpose(1, 0, 2, 3).reshape(count, len(values), -1)
    return Observed(values.min(axis=(1, 2)), values.max(axis=(1, 2)), samples.copy())


def _replace(convolution: "openvino.Node", seen: Observed, split: bool) -> None:
    """Put a convolution of 8-bit integers, or the sum of two, in the place of one."""
    opset = import_openvino().opset13
    low, high = seen.least.astype(np.float64), seen.largest.astype(np.float64)
    widest = max((high - low).max(), np.finfo(np.float32).tiny)
    extent = np.maximum(high - low, LEAST_RANGE * widest) * (SPLIT_RANGE if split else 1.0)
    start = np.zeros_like(low) if (low >= 0).all() else (low + high - extent) / 2
    extent = np.maximum(extent, high - start)
    source = convolution.input(0).get_source_output()
    result, integers = _integer_convolution(convolution, source, start, extent, seen.samples)
    if split:
        step = extent / (LEVELS - 1)
        taken = opset.add(opset.multiply(integers, _by_feature(step)), _by_feature(start))
        left = opset.subtract(source, taken).output(0)
        rest, _ = _integer_convolution(convolution, left, -step / 2, step, None)
        result = opset.add(result, rest)
    for target in convolution.output(0).get_target_inputs():
        target.replace_source_output(result.output(0))


def _integer_convolution(
    convolution: "openvino.Node",
    source: "openvino.Output",
    start: np.ndarray,
    extent: np.ndarray,
    samples: np.ndarray | None,
) -> "tuple[openvino.Node, openvino.Node]":
    """Make a convolution of 8-bit integers.

    Args:
        convolution: the one of float32.
        source: what it is to read.
        start: value of each feature that becomes 0.
        extent: how much more becomes 255.
        samples: what results are made of, (samples, features, kernel); by default weights are rounded to the nearest.

    Returns:
        Its result, and its input as numbers from 0 to 255.
    """
    opset = import_openvino().opset13
    weights = np.asarray(_weights(convolution).data, np.float64)
    outputs, features = weights.shape[:2]
    step = extent / (LEVELS - 1)
    scaled = (weights * step[:, np.newaxis, np.newaxis]).reshape(outputs, -1)
    shift = (weights.sum(axis=(2, 3)) * start).sum(axis=1)
    steps = steps_of(scaled)
    if samples is None:
        numbers = np.round(scaled / steps).astype(np.int8)
    else:
        inputs = ((samples - start[:, np.newaxis]) / step[:, np.newaxis]).reshape(len(samples), -1)
        numbers = rounded(scaled, steps, inputs)
        shift = shift + (scaled - numbers * steps) @ inputs.mean(axis=0)
    integers = opset.fake_quantize(
        source, _by_feature(start), _by_feature(start + extent), np.float32(0), np.float32(LEVELS - 1), LEVELS
    )
    kernel = opset.convert(opset.constant(numbers.reshape(weights.shape)), "f32")
    kernel = opset.multiply(kernel, opset.constant(steps.reshape(outputs, 1, 1, 1).astype(np.float32)))
    result = opset.convolution(integers, kernel, **convolution.get_attributes())
    return opset.add(result, _by_feature(shift)), integers


def _by_feature(values: np.ndarray) -> "openvino.Node":
    """Return a constant by feature, (1, features, 1, 1)."""
    return import_openvino().opset13.constant(values.reshape(1, -1, 1, 1).astype(np.float32))
