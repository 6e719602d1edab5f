# SPDX-License-Identifier: Apache-2.0
"""What a product was made of, as a report shows it: the reference, whose ground the product has."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chain.raster.gdal_memory import memory_image
from chain.raster.grids import Grid
from chain.serving.input_files import stamps
from chain.serving.report.native import Given, NativeBand
from datasets.deepsum.kelvins import KelvinsScene, open_scene
from inference.deepsum.dates import Date, read_date, sources_of
from inference.deepsum.options import Options
from inference.deepsum.png import read_image

ONLY = "band 1"
"""How a report calls the band of an image that has no names."""
UNNAMED = "sr"
"""Name of a product's band where the images do not name theirs."""


@contextmanager
def given_of(date: Date, band: str, states: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[Given]:
    """Hold the image of a date for a while, to be shown.

    Args:
        date: the reference.
        band: name of the product's band.
        states: in which state its files are.
    """
    with memory_image(date.values[..., np.newaxis], date.grid) as name:
        yield Given({band: NativeBand(name, zero_is_missing=False, place=date.grid)}, stamps=states or {})


@contextmanager
def given_of_scene(scene: KelvinsScene, reference: str) -> Iterator[Given]:
    """Hold the reference of a scene of the challenge for a while, to be shown.

    Args:
        scene: the scene.
        reference: name of the reference's file.

    Raises:
        ValueError: it is not among the scene's images, or cannot be read.
    """
    path = next((path for path in scene.images if path.name == reference), None)
    if path is None:
        raise ValueError(f"--input: expected the reference, {reference}, among the images, got none of that name")
    image = read_image(path).astype(np.float32)
    grid = Grid(0.0, 0.0, 1.0, 1.0, image.shape[1], image.shape[0], "")
    with memory_image(image[..., np.newaxis], grid) as name:
        band = NativeBand(name, zero_is_missing=False, place=grid)
        yield Given({ONLY: band}, stamps=stamps(map(str, scene.images + scene.masks)))


@contextmanager
def opened_input(names: Sequence, options: Options, record: Mapping[str, Any]) -> Iterator[Given]:
    """Open what a product was made of for a while, to be shown beside it.

    Args:
        names: as `inference.deepsum.dates.sources_of` takes them.
        options: those by which the product was made.
        record: that of the product, which tells the reference.

    Raises:
        ValueError: the reference is not among the images, or cannot be read.
    """
    if record.get("scene"):
        scene = open_scene(Path(names[0]), 1, unmasked=True)
        with given_of_scene(scene, record["scene"]["reference"]) as given:
            yield given
        return
    if not record.get("dates"):
        raise ValueError("PRODUCT: expected a product whose record tells dates or a scene, got another one")
    reference = record["dates"][0]["name"]
    for source in sources_of(names, options):
        date = read_date(source, options)
        if date.name == reference:
            with given_of(date, date.band or UNNAMED, stamps(date.watch.names)) as given:
                yield given
            return
    raise ValueError(f"--input: expected the reference, {reference}, among the images, got none of that name")
