# SPDX-License-Identifier: Apache-2.0
"""Regions of products as arrays, for the tests of what makes them."""

import numpy as np

from chain.raster.blocks import read_block
from chain.raster.grids import image_grid
from chain.serving.network import Network, fields
from chain.serving.super_resolution import reach, seen, super_resolve


def stacked(bands):
    """Return values and validity of bands, (rows, columns, bands)."""
    return tuple(np.stack(arrays, axis=2) for arrays in zip(*bands.values()))


def computed(recipe, images, region, origin, nodata=0.0, **options):
    """Read and compute a region of a product; return its values and their validity."""
    return stacked(recipe.compute(recipe.read(images, region, origin, nodata), region, origin, **options))


def super_resolved(images, description, folder, region, origin=None, engine="otbtf", nodata=0.0, **options):
    """Read and super-resolve a region by one network; return its values and their validity."""
    network = Network(description, folder, engine)
    first = image_grid(images[description.sources[0].name])
    origin = origin or (first.left, first.top)
    field = fields(description)
    blocks = {}
    for source in description.sources:
        image, native = images[source.name], image_grid(images[source.name])
        wanted = seen(network, source, region, origin, field)
        blocks[source.name] = read_block(image, [wanted], reach(network, min(native.dx, native.dy)), nodata)
    return stacked(super_resolve(blocks, network, region, origin, **options))


def product_files(name, item=False, classes=False):
    """Return the names of the files of a product of Sentinel-2's 10 m bands: itself, its record, its styles.

    Args:
        name: its stem.
        item: whether its input tells date and place: it has a STAC Item.
        classes: whether its input has a scene classification.
    """
    found = {f"{name}.tif", f"{name}.tif.json", f"{name}.qml", f"{name}_false_colour.qml"}
    found |= {f"{name}_stac.json"} if item else set()
    return found | ({f"{name}_SCL.tif", f"{name}_SCL.qml"} if classes else set())
