# SPDX-License-Identifier: Apache-2.0
"""From a model's description to TensorflowModelServe: parameters, and where its output really lies.

The sources handed over include the model's margin: `crop` output pixels on each side, of which the cropped output is
free. From the description follow the receptive fields, (expression field + 2 crop) / scale, the spacing and the name
of the output; from the margin follows the place of the output: the first source's corner, plus the crop.

OTBTF states another place when the output spacing is not the first source's: `0.5 * (1 - spcscale)` source pixels off,
more or less according to the expression field. What it states is not used. `serve` computes the true place
(`Served.geotransform`), and refuses an application that states neither this nor OTBTF's, since its pixels would be
somewhere else. Products have their grid from their input (`chain.serving.production`), and fill it with pixels that
`serve` has placed. A model whose output grid is shifted (`ModelDescription.shift`) has its output that much further
right and down.

Models of whole images are served in one piece, by `serve_whole`, and refused by all else.

    served = serve({"lr": "lr.tif"}, read_description("model"), "model")
    served.app.to_numpy(), served.geotransform

Other engines (`chain.serving.engines.engine`) run the same tiles without the application.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.raster.grids import corner_and_spacing
from chain.serving.engines.opening import default_engine
from chain.serving.network import TILE_SIZE, check_tiled, fields, output_name, whole_tile
from models.description import ModelDescription, Source

if TYPE_CHECKING:
    from pyotb.core import OTBObject

TOLERANCE = 1e-3
"""Part of an output pixel by which two places may differ and still count as the same."""


@dataclass(frozen=True)
class Served:
    """A served image, computed when its pixels are asked for."""

    app: "OTBObject"
    """The pyotb.TensorflowModelServe application."""
    geotransform: tuple[float, float, float, float, float, float]
    """GDAL's: the true place of the output."""
    size: tuple[int, int]
    """Columns and rows."""
    projection: str
    """Coordinate reference system, WKT."""


def serve(
    images: Mapping[str, object],
    description: ModelDescription,
    model_dir: str,
    output_kind: str = "integer",
    tile_size: int = TILE_SIZE,
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

    Returns:
        The application and the true place of its output.

    Raises:
        ValueError: When sources are missing or not at the model's spacing, the output's place is not known, or the
            model is one of whole images.
        RuntimeError: When OTB refuses.
    """
    check_tiled(description)
    output = output_name(description, output_kind)
    field = fields(description)
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
    """Run a model, given the fields along x and y of its output and of each source, and what else is to be set."""
    import pyotb

    if default_engine() == "tensorflow":  # that of this process computes for `native/`, too
        from models.convolutions import check_convolutions

        check_convolutions()
    (finest, field), *_ = finest_first(description.sources, receptive)
    parameters = {**application_parameters(description, model_dir, outputs, expression, receptive), **parameters}
    for number, (source, _) in enumerate(finest_first(description.sources, receptive), start=1):
        parameters[f"source{number}.il"] = [_image_of(images, source.name)]
    stated = [stated_corner(description.gsd, finest.gsd, *sizes) for sizes in zip(field, expression)]
    app = pyotb.TensorflowModelServe(parameters)
    return _placed(app, images[finest.name], finest.gsd, description, stated)


def stated_corner(gsd: float, finest: float, seen: int, written: int) -> float:
    """Return how far from its first source's corner OTBTF up to 4.3.1 states the output's along an axis, in metres.

    Args:
        gsd: Spacing of the output, in metres.
        finest: That of the first source.
        seen: Receptive field of the first source, in its pixels.
        written: Expression field, in output pixels.
    """
    scale = gsd / finest
    return (seen // 2 - scale * (written // 2) + 0.5 * (1.0 - scale)) * finest


def finest_first(
    sources: Sequence[Source], receptive: Sequence[tuple[int, int]]
) -> list[tuple[Source, tuple[int, int]]]:
    """Return sources and their receptive fields in the order in which they are handed over.

    OTBTF places the output on the pixels of the first, half an output pixel off a coarser one's, which would move the
    others by a pixel.
    """
    return sorted(zip(sources, receptive, strict=True), key=lambda pair: pair[0].gsd)


def application_parameters(
    description: ModelDescription,
    model_dir: str,
    outputs: Sequence[str],
    expression: tuple[int, int],
    receptive: Sequence[tuple[int, int]],
) -> dict[str, object]:
    """Return what TensorflowModelServe has to know of a model, by key: all but images and tiling.

    Args:
        description: The model.
        model_dir: Its SavedModel.
        outputs: Names of outputs of one size.
        expression: Expression field along x and y, in output pixels.
        receptive: Receptive field of each source along x and y, in its pixels.
    """
    ordered = finest_first(description.sources, receptive)
    parameters: dict[str, object] = {
        "model.dir": str(model_dir),
        "model.fullyconv": True,
        "output.names": list(outputs),
        "output.spcscale": description.gsd / ordered[0][0].gsd,
        "output.efieldx": expression[0],
        "output.efieldy": expression[1],
    }
    for number, (source, (columns, rows)) in enumerate(ordered, start=1):
        parameters[f"source{number}.rfieldx"] = columns
        parameters[f"source{number}.rfieldy"] = rows
        parameters[f"source{number}.placeholder"] = source.name
    return parameters


def _image_of(images: Mapping[str, object], name: str) -> object:
    """Return the image of a source."""
    if name not in images:
        raise ValueError(f"images: expected the source {name}, got {list(images)}")
    return images[name]


def _opened(image: object) -> "OTBObject":
    """Return a pyotb image, of a path or of itself."""
    import pyotb

    return image if isinstance(image, pyotb.core.OTBObject) else pyotb.Input(str(image))


def _placed(
    app: "OTBObject", reference: object, gsd: float, description: ModelDescription, otbtf: Sequence[float]
) -> Served:
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
        raise ValueError(f"images: expected a spacing of {gsd} m, north up, got {dx}, {dy}")
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
            f"TensorflowModelServe: expected an output that states its corner {corner} m (OTBTF up to 4.3.1) or "
            f"{margin:.4f} m (the true place) from its source's, with pixels of {step} m, got "
            f"{stated[0]:.4f} m, {stated[1]:.4f} m, pixels of {output_dx} m"
        )
    further = margin + description.shift * step
    return Served(
        app=app,
        geotransform=(left + further, step, 0.0, top - further, 0.0, -step),
        size=tuple(app.app.GetImageSize(app.output_image_key)),
        projection=app.app.GetImageProjection(app.output_image_key),
    )
