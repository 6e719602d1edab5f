# SPDX-License-Identifier: Apache-2.0
"""A Sentinel-2 scene with its bands at their native resolutions, whatever they come in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chain.sentinel2 import Product, open_product


@dataclass(frozen=True)
class OpenScene:
    """A scene that is open."""

    product: Product
    """Its bands."""
    scl: str | None = None
    """Its scene classification, as a name for GDAL."""


@contextmanager
def opened_scene(names: Sequence[str], offset: int | None = None) -> Iterator[OpenScene]:
    """Open a scene for a while."""
    product = open_product(list(names), offset=offset)
    try:
        yield OpenScene(product)
    finally:
        product.close()
