# SPDX-License-Identifier: Apache-2.0
"""An exported model that is to be run: what it sees and writes at once, and its run tile by tile on arrays."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chain.serving.engines.opening import open_engine
from models.description import ModelDescription

TILE_SIZE = 768
"""Side of the tile that one run of the network writes, in output pixels."""


@dataclass(frozen=True)
class Network:
    """An exported model, where it is, and what runs it."""

    description: ModelDescription
    """What it is."""
    model_dir: str
    """Folder of its SavedModel."""
    engine: str = "otbtf"
    """`otbtf` for TensorflowModelServe, or an engine of `chain.serving.engines.engine`."""

    def scaled(self, factor: float) -> "Network":
        """Return the network for images whose pixels are all larger by a factor."""
        sources = tuple(dataclasses.replace(s, gsd=s.gsd * factor) for s in self.description.sources)
        description = dataclasses.replace(self.description, gsd=self.description.gsd * factor, sources=sources)
        return dataclasses.replace(self, description=description)


@dataclass(frozen=True)
class Fields:
    """What the network must see and writes at once, per axis."""

    expression: int
    """Expression field, in output pixels."""
    receptive: tuple[int, ...]
    """Receptive field of each source, in its pixels."""
    ratios: tuple[int, ...]
    """Output pixels along one pixel of each source."""
    surplus: int
    """Ground that OTBTF is given beyond what the network sees, at the right and at the bottom, in output pixels.

    OTBTF cuts what sources of several spacings share to the grid of the coarsest one, and then to whole expression
    fields: given the ground of the output and its crop alone, it would write one expression field too few. No output
    pixel depends on the surplus."""


def fields(description: ModelDescription) -> Fields:
    """Compute the fields of a model.

    The expression field is the least that suits all sources and keeps several sources aligned in OTBTF: a multiple of 8
    and of two pixels of each source.

    Raises:
        ValueError: When a spacing is no multiple of the output's, or the crop not a whole number of pixels of each
            source.
    """
    ratios = tuple(round(source.gsd / description.gsd) for source in description.sources)
    for source, ratio in zip(description.sources, ratios, strict=True):
        if ratio < 1 or abs(source.gsd - ratio * description.gsd) > 1e-6 * source.gsd:
            raise ValueError(
                f"model: expected a source spacing that is a multiple of the output's {description.gsd} m, got "
                f"{source.gsd} m for {source.name}"
            )
        if description.crop % ratio:
            raise ValueError(
                f"model: expected a crop that is a multiple of {ratio} output pixels, got {description.crop}"
            )
    expression = math.lcm(8, *(2 * ratio for ratio in ratios))
    receptive = tuple((expression + 2 * description.crop) // ratio for ratio in ratios)
    return Fields(expression, receptive, ratios, surplus=math.lcm(*ratios) if len(set(ratios)) > 1 else 0)


def whole_tile(size: int, expression: int) -> int:
    """Return the largest side of a tile of at most `size`, where possible, that is made of whole expression fields."""
    return max(size // expression, 1) * expression


def run_by_tiles(
    arrays: Mapping[str, np.ndarray],
    network: Network,
    output_kind: str,
    tile_size: int,
    field: Fields,
    told: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Run a model on pixels that include its margin, tile by tile, without TensorflowModelServe.

    Args:
        arrays: For each source's name, float32 (rows, columns, bands), all of the same ground: whole expression fields
            and the crop around them.
        network: The model and its engine.
        output_kind: `integer` for digital numbers, `float` for reflectance.
        tile_size: Side of the tile that one run of the network writes, in output pixels.
        field: Fields of the model.
        told: Called after each tile with the fraction that is done.

    Returns:
        float32 (rows, columns, bands).

    Raises:
        ValueError: When the model has no such output, or is one of whole images.
        RuntimeError: When the engine refuses.
    """
    description = network.description
    check_tiled(description)
    engine, output = open_engine(network.engine, network.model_dir), output_name(description, output_kind)
    crop, tile = description.crop, whole_tile(tile_size, field.expression)
    first = description.sources[0].name
    rows, columns = (length * field.ratios[0] - 2 * crop for length in arrays[first].shape[:2])
    result = np.empty((rows, columns, len(description.bands)), np.float32)
    for y in range(0, rows, tile):
        for x in range(0, columns, tile):
            height, width = min(tile, rows - y), min(tile, columns - x)
            windows = {
                source.name: arrays[source.name][
                    y // ratio : (y + height + 2 * crop) // ratio, x // ratio : (x + width + 2 * crop) // ratio
                ]
                for source, ratio in zip(description.sources, field.ratios)
            }
            result[y : y + height, x : x + width] = engine.run(windows, output)
            told((y * columns + height * (x + width)) / (rows * columns))
    engine.release()
    return result


def check_tiled(description: ModelDescription) -> None:
    """Refuse a model whose tiles would differ from the whole image."""
    if description.whole_image:
        raise ValueError(
            "model: expected one that can be run tile by tile, got "
            f"{description.model or description.system}, whose pixels depend on the whole image"
        )


def output_name(description: ModelDescription, kind: str) -> str:
    """Return the name of an output."""
    if kind not in description.outputs:
        raise ValueError(f"output_kind: expected one of {list(description.outputs)}, got {kind}")
    return description.outputs[kind]
