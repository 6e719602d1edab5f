# SPDX-License-Identifier: Apache-2.0
"""What a product of several dates was made of, as a report shows it: the reference, whose ground the product has."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chain.raster.gdal_memory import memory_image
from chain.serving.input_files import stamps
from chain.serving.report.native import Given, NativeBand
from inference.deepsum.dates import Date, read_date, sources_of
from inference.deepsum.options import Options

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
def opened_input(names: Sequence, options: Options, record: Mapping[str, Any]) -> Iterator[Given]:
    """Open what a product was made of for a while, to be shown beside it.

    Args:
        names: as `inference.deepsum.dates.sources_of` takes them.
        options: those by which the product was made.
        record: that of the product, which tells the reference.

    Raises:
        ValueError: the reference is not among the images, or cannot be read.
    """
    if not record.get("dates"):
        raise ValueError("PRODUCT: expected a product of several dates, whose record tells them, got another one")
    reference = record["dates"][0]["name"]
    for source in sources_of(names, options):
        date = read_date(source, options)
        if date.name == reference:
            with given_of(date, date.band or UNNAMED, stamps(date.watch.names)) as given:
                yield given
            return
    raise ValueError(f"--input: expected the reference, {reference}, among the images, got none of that name")
