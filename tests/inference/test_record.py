# SPDX-License-Identifier: Apache-2.0
"""What a product's identity notices."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from chain.mask import read_mask
from chain.recipe import Network, Recipe
from chain.sentinel2 import open_product
from inference.record import digest, identity_of
from models.description import read_description
from tests import toy_models


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = toy_models.nearest(tmp_path_factory.mktemp("models") / "model", 1, 0, 10.0, bands=("B04",))
    return Network(read_description(folder), folder)


@pytest.mark.parametrize("changed", ["input.tif", "mask.tif", "area.geojson", "saved_model.pb", "option", None])
def test_a_changed_input_mask_geometry_weight_or_option_is_another_product(tmp_path, write_raster, network, changed):
    path = write_raster("input.tif", np.ones((4, 4), np.uint16), bands=("B04",))
    mask = write_raster("mask.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "area.geojson").write_text("{}")
    arguments = SimpleNamespace(geometry=str(tmp_path / "area.geojson"), tile_size=64, output="a.tif")

    def identity():
        product = open_product(path, offset=0)
        masks = (read_mask(str(mask), product.image(("B04",)).app.GetImageProjection("out"), "--mask"),)
        try:
            return digest(identity_of(arguments, product, Recipe(("B04",), 10.0, (network,), masks=masks)))
        finally:
            product.close()

    before = identity()
    arguments.output = "b.tif"
    if changed == "option":
        arguments.tile_size = 128
    elif changed:
        file = tmp_path / changed if (tmp_path / changed).exists() else os.path.join(network.model_dir, changed)
        os.utime(file, ns=(1, 1 + hash(changed) % 1000))
    assert (identity() == before) == (changed is None)
