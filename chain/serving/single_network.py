# SPDX-License-Identifier: Apache-2.0
"""The program of a system that is one network over one Sentinel-2 image: all that `inference/<system>.py` needs.

PROGRAM = single_network_program("spot7", "Super-resolve Sentinel-2's B04, B03, B02 and B08 to 1.5 m.")
super_resolve, main = PROGRAM.super_resolve, PROGRAM.main
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.options import MISSING, band_names, option
from chain.serving.options import ServingOptions
from chain.serving.scene_command import SceneCommand
from chain.serving.scene_program import SceneProgram

if TYPE_CHECKING:
    from chain.sentinel2.opened_image import OpenedImage
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.recipe import Recipe
    from models.description import ModelDescription


@dataclass(frozen=True, kw_only=True)
class Options(ServingOptions):
    """How the product of a scene is made."""

    model_dir: str = option(
        MISSING, "folder of the exported model, as the training makes it", metavar="DIR", reads=True
    )
    band_names: tuple[str, ...] | None = option(
        None,
        "names of the bands of a raster that does not describe them, in order, such as B04,B03,B02,B08",
        read=band_names,
        metavar="NAMES",
        also=("--bands",),
    )

    @property
    def naming(self) -> tuple[str, ...] | None:
        """Names of the bands of a raster that does not describe them, in order."""
        return self.band_names


@dataclass(frozen=True, kw_only=True)
class Command(Options, SceneCommand):
    """The command line."""


def single_network_program(system: str, description: str) -> SceneProgram[Options]:
    """Return the program of a system, whose module is `inference.<system>`.

    Args:
        system: its name, as its models state it.
        description: what it does, in a sentence.
    """
    return SceneProgram(f"inference.{system}", description, Options, Command, opened=partial(opened, system))


@contextmanager
def opened(system: str, names: "Sequence[FileOrItem]", options: Options) -> "Iterator[tuple[OpenedImage, Recipe]]":
    """Open a scene for a while, and say what its product is made of.

    Args:
        system: the system whose model is expected.
        names: files of the scene, or its item.
        options: those of the program.

    Raises:
        ValueError: the scene, the model or the options do not suit each other.
    """
    from chain.sentinel2.image import open_product
    from chain.serving.network import Network
    from chain.serving.recipe import Recipe
    from models.description import read_description

    description = read_description(options.model_dir)
    if description.system != system:
        raise ValueError(
            f"--model-dir: expected a model of {system!r}, got {options.model_dir}, of {description.system!r}"
        )
    image = open_product(
        names if len(names) > 1 else names[0],
        bands=options.band_names or _bands_to_open(names, description),
        reading=options.reading,
    )
    name = str(image.identity.get("id", "input"))
    notes = (f"{name}: level {image.level}, offset {image.offset}",)
    try:
        yield image, Recipe(description.bands, description.gsd, (Network(description, options.model_dir),), notes=notes)
    finally:
        image.close()


def _bands_to_open(names: "Sequence[FileOrItem]", description: "ModelDescription") -> tuple[str, ...] | None:
    """Return the model's bands for inputs that hold each band apart, None for rasters, whose bands have to be found."""
    if len(names) > 1 or not _is_apart(names[0]):
        return None
    return tuple(dict.fromkeys(band for source in description.sources for band in source.bands))


def _is_apart(name: "FileOrItem") -> bool:
    """Return whether an input holds each band apart: a folder, a SAFE product or its zip, a STAC item."""
    if not isinstance(name, str):
        return True
    is_item = "://" in name and "/collections/" in name
    return is_item or name.lower().endswith((".json", ".geojson", ".zip", ".xml")) or Path(name).is_dir()
