# SPDX-License-Identifier: Apache-2.0
"""What a product of L1BSR was made of, as a report shows it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from chain.serving.ground import part_of
from chain.serving.input_files import names_behind, stamps
from chain.serving.report.native import Given, NativeBand
from inference.l1bsr.image import L1BImage, open_image
from inference.l1bsr.options import Options
from inference.l1bsr.product import STATISTICS_SUFFIX

REFERENCE = "B03"
"""The band that others are laid onto."""


def given_of(image: L1BImage, options: Options, states: Mapping[str, Mapping[str, Any]] | None = None) -> Given:
    """Return what an image has to show.

    Args:
        image: the image, or the part of it that the product is of.
        options: how its product is made.
        states: in which state its files are.
    """
    scale = 1.0 if options.count_scale is None else options.count_scale
    bands = {
        band: NativeBand(name, number, options.count_offset, scale=scale, place=image.grid, corner=image.corner)
        for band, (name, number) in image.bands.items()
    }
    return Given(bands, stamps=states or {}, moved=frozenset(bands) - {REFERENCE})


@contextmanager
def opened_input(names: Sequence[str], options: Options, record: Mapping[str, Any]) -> Iterator[Given]:
    """Open what a product was made of for a while, to be shown beside it.

    Args:
        names: files of the image.
        options: those by which the product was made.
        record: that of the product.

    Raises:
        ValueError: the image cannot be opened, or has not the part that the product is of.
    """
    image = open_image(names, options.band_names)
    if options.box or options.bbox or options.geometry:
        image = image.part(part_of(options, image.grid))
    files = [name for name in names_behind(image.files) if not name.endswith(STATISTICS_SUFFIX)]
    yield given_of(image, options, stamps(files))
