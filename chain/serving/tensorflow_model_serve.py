# SPDX-License-Identifier: Apache-2.0
"""From a model's description to TensorflowModelServe: parameters, and where its output really lies.

The sources handed over include the model's margin: `crop` output pixels on each side, of which the cropped output is
free. From the description follow the receptive fields, (expression field + 2 crop) / scale, the spacing and the name
of the output; from the margin follows the place of the output: the first source's corner, plus the crop. OTBTF states
another place when the output spacing is not the first source's: `0.5 * (1 - spcscale)` source pixels off, more or less
according to the expression field. This is the one spot where that is put right; an application that states the true
place is accepted too, and one that states any other is refused, since its pixels would be somewhere else. A model whose
output grid is shifted (`ModelDescription.shift`) has its output that much further right and down.

Models of whole images are served in one piece, by `serve_whole`, and refused by all else.

    served = serve({"lr": "lr.tif"}, read_description("model"), "model")
    served.app.to_numpy(), served.geotransform

Other engines (`chain.serving.engines.engines`) run the same tiles without the application.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chain.raster.grids import corner_and_spacing
from chain.serving.engines.engines import open_engine
from models.description import ModelDescription

TILE_SIZE = 768
"""Side of the tile that one run of the network writes, in output pixels."""
TOLERANCE = 1e-3
"""Part of an output pixel by which two places may differ and still count as the same."""


@dataclass(frozen=True)
class Network:
    """An exported model, where it is, and what runs it."""

    description: ModelDescription
    """What it is."""
    model_dir: str
    """Folder of its SavedModel."""
    engine: str = "otbtf"
    """`otbtf` for TensorflowModelServe, or an engine of `chain.serving.engines.engines`."""

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


@dataclass(frozen=True)
class Served:
    """A served image, computed when its pixels are asked for."""

    app: object
    """The pyotb.TensorflowModelServe application."""
    geotransform: tuple[float, float, float, float, float, float]
    """GDAL's: the true place of the output."""
    size: tuple[int, int]
    """Columns and rows."""
    projection: str
    """Coordinate reference system, WKT."""


def fields(description: ModelDescription, expression: int | None = None) -> Fields:
    """Compute the fields of a model.

    Args:
        description: The model.
        expression: Expression field, in output pixels. By default the least that suits all sources and keeps several
            sources aligned in OTBTF: a multiple of 8 and of two pixels of each source.

    Raises:
        ValueError: When the crop or the expression field is not a whole number of pixels of each source, or, of sources
            of several spacings, the expression field not an even one.
    """
    ratios = tuple(round(source.gsd / description.gsd) for source in description.sources)
    for source, ratio in zip(description.sources, ratios, strict=True):
        if ratio < 1 or abs(source.gsd - ratio * description.gsd) > 1e-6 * source.gsd:
            raise ValueError(
                f"model: a source spacing that is a multiple of the output's {description.gsd} m is wanted. "
                f"Received: {source.gsd} m for {source.name}"
            )
    expression = expression or math.lcm(8, *(2 * ratio for ratio in ratios))
    several = len(set(ratios)) > 1
    for ratio in ratios:
        whole = 2 * ratio if several else ratio
        if description.crop % ratio or expression % whole:
            raise ValueError(
                f"model: expected a crop that is a multiple of {ratio} and an expression field that is a multiple of "
                f"{whole} output pixels, got {description.crop} and {expression}"
            )
    receptive = tuple((expression + 2 * description.crop) // ratio for ratio in ratios)
    return Fields(expression, receptive, ratios, surplus=math.lcm(*ratios) if several else 0)


def serve(
    images: Mapping[str, object],
    description: ModelDescription,
    model_dir: str,
    output_kind: str = "integer",
    tile_size: int = TILE_SIZE,
    expression_field: int | None = None,
) -> Served:
    """Run a model on images that include its margin.

    Args:
        images: For each source's name, an image at the source's GSD: a path, or a pyotb application. All begin at the
            same corner. Of sources of several spacings, the output ends where whole expression fields with their crop
            and `Fields.surplus` do.
        description: The model.
        model_dir: Its SavedModel.
        output_kind: `integer` for digital numbers, `float` for reflectance.
        tile_size: Side of the tile that one run of the network writes, in output pixels; it bounds the memory.
        expression_field: Expression field, in output pixels.

    Returns:
        The application and the true place of its output.

    Raises:
        ValueError: When sources are missing or not at the model's spacing, the output's place is not known, or the
            model is one of whole images.
        RuntimeError: When OTB refuses.
    """
    _check_tiled(description)
    output = _output(description, output_kind)
    field = fields(description, expression_field)
    tile = whole_tile(tile_size, field.expression)
    receptive = [(size, size) for size in field.receptive]
    parameters = {"optim.tilesizex": tile, "optim.tilesizey": tile}
    return _served(images, description, model_dir, [output], (field.expression,) * 2, receptive, parameters)


def serve_whole(
    images: Mapping[str, object], description: ModelDescription, model_dir: str, outputs: Sequence[str]
) -> Served:
    """Run a model of whole images on all of them at once.

    Args:
        images: For each source's name, an image at the source's GSD: a path, or a pyotb application.
        description: The model, whose crop is 0.
        model_dir: Its SavedModel.
        outputs: Names of outputs of one size, whose bands are put side by side.

    Returns:
        The application and the true place of its output.

    Raises:
        ValueError: When sources are missing, not at the model's spacing or of several spacings, or the output's place
            is not known.
        RuntimeError: When OTB refuses.
    """
    ratios = fields(description).ratios
    if len(set(ratios)) > 1:
        raise ValueError(f"model: expected one spacing of the sources of a model of whole images, got ratios {ratios}")
    sizes = []
    for source in description.sources:
        image = _opened(_image_of(images, source.name))
        sizes.append(tuple(image.app.GetImageSize(image.output_image_key)))
    expression = tuple(size * ratios[0] for size in sizes[0])
    return _served(images, description, model_dir, outputs, expression, sizes, {"optim.disabletiling": True})


def _served(
    images: Mapping[str, object],
    description: ModelDescription,
    model_dir: str,
    outputs: Sequence[str],
    expression: tuple[int, int],
    receptive: Sequence[tuple[int, int]],
    parameters: Mapping[str, object],
) -> Served:
    """Run a model, given the fields along x and y of its output and of each source, and what else is to be set.

    The finest source goes first: OTBTF places the output on its pixels, half an output pixel off a coarser one's, which
    would move the others by a pixel.
    """
    import pyotb

    ordered = sorted(zip(description.sources, receptive, strict=True), key=lambda pair: pair[0].gsd)
    finest, field = ordered[0]
    scale = description.gsd / finest.gsd
    parameters = {
        "model.dir": str(model_dir),
        "model.fullyconv": True,
        "output.names": list(outputs),
        "output.spcscale": scale,
        "output.efieldx": expression[0],
        "output.efieldy": expression[1],
        **parameters,
    }
    for number, (source, (columns, rows)) in enumerate(ordered, start=1):
        parameters[f"source{number}.il"] = [_image_of(images, source.name)]
        parameters[f"source{number}.rfieldx"] = columns
        parameters[f"source{number}.rfieldy"] = rows
        parameters[f"source{number}.placeholder"] = source.name
    stated = [
        (seen // 2 - scale * (written // 2) + 0.5 * (1.0 - scale)) * finest.gsd
        for seen, written in zip(field, expression)
    ]
    app = pyotb.TensorflowModelServe(parameters)
    return _placed(app, images[finest.name], finest.gsd, description, stated)


def _image_of(images: Mapping[str, object], name: str):
    """Return the image of a source."""
    if name not in images:
        raise ValueError(f"images: the source {name} is wanted. Received: {list(images)}")
    return images[name]


def _check_tiled(description: ModelDescription) -> None:
    """Refuse a model whose tiles would differ from the whole image."""
    if description.whole_image:
        raise ValueError(
            "model: one that can be run tile by tile is wanted. Received: "
            f"{description.model or description.system}, whose pixels depend on the whole image"
        )


def run_by_tiles(
    arrays: Mapping[str, np.ndarray], network: Network, output_kind: str, tile_size: int, field: Fields
) -> np.ndarray:
    """Run a model on pixels that include its margin, tile by tile, without TensorflowModelServe.

    Args:
        arrays: For each source's name, float32 (rows, columns, bands), all of the same ground: whole expression fields
            and the crop around them.
        network: The model and its engine.
        output_kind: `integer` for digital numbers, `float` for reflectance.
        tile_size: Side of the tile that one run of the network writes, in output pixels.
        field: Fields of the model.

    Returns:
        float32 (rows, columns, bands).

    Raises:
        ValueError: When the model has no such output, or is one of whole images.
        RuntimeError: When the engine refuses.
    """
    description = network.description
    _check_tiled(description)
    engine, output = open_engine(network.engine, network.model_dir), _output(description, output_kind)
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
    engine.release()
    return result


def _output(description: ModelDescription, kind: str) -> str:
    """Return the name of an output."""
    if kind not in description.outputs:
        raise ValueError(f"output_kind: one of {list(description.outputs)} is wanted. Received: {kind}")
    return description.outputs[kind]


def whole_tile(size: int, expression: int) -> int:
    """Return the largest side of a tile of at most `size`, where possible, that is made of whole expression fields."""
    return max(size // expression, 1) * expression


def _opened(image):
    """Return a pyotb image, of a path or of itself."""
    import pyotb

    return image if isinstance(image, pyotb.core.OTBObject) else pyotb.Input(str(image))


def _placed(app, reference, gsd: float, description: ModelDescription, otbtf: Sequence[float]) -> Served:
    """Give the output its true place, after checking the one that it states.

    Args:
        app: The application.
        reference: Image of its first source.
        gsd: That source's spacing, in metres.
        description: The model.
        otbtf: How far right of and below the image's corner OTBTF up to 4.3.1 states the output's, in metres.
    """
    step = description.gsd
    left, top, dx, dy = corner_and_spacing(_opened(reference))
    if abs(dx - gsd) > 1e-6 * gsd or abs(dy + gsd) > 1e-6 * gsd:
        raise ValueError(f"images: a spacing of {gsd} m, north up, is wanted. Received: {dx}, {dy}")
    margin = description.crop * step
    output_left, output_top, output_dx, output_dy = corner_and_spacing(app)
    stated = (output_left - left, top - output_top)
    known = any(
        max(abs(value - place) for value, place in zip(stated, places)) < TOLERANCE * step
        for places in (otbtf, (margin, margin))
    )
    if not known or abs(output_dx - step) > TOLERANCE * step or abs(output_dy + step) > TOLERANCE * step:
        corner = " and ".join(dict.fromkeys(f"{place:.4f}" for place in otbtf))
        raise ValueError(
            f"TensorflowModelServe: an output that states its corner {corner} m (OTBTF up to 4.3.1) or {margin:.4f} m "
            f"(the true place) from its source's, with pixels of {step} m, is wanted. "
            f"Received: {stated[0]:.4f} m, {stated[1]:.4f} m, pixels of {output_dx} m"
        )
    further = margin + description.shift * step
    return Served(
        app=app,
        geotransform=(left + further, step, 0.0, top - further, 0.0, -step),
        size=tuple(app.app.GetImageSize(app.output_image_key)),
        projection=app.app.GetImageProjection(app.output_image_key),
    )
