# SPDX-License-Identifier: Apache-2.0
"""What a product's identity notices."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chain.raster.grids import image_grid
from chain.raster.mask import Mask
from chain.sentinel2.image import open_product
from chain.serving.network import Network
from chain.serving.provenance import digest, identity_of
from chain.serving.recipe import Recipe
from models.description import read_description
from tests import toy_models


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network whose weights have no digest: its files tell it."""
    folder = toy_models.nearest(tmp_path_factory.mktemp("models") / "model", 1, 0, 10.0, bands=("B04",))
    return Network(replace(read_description(folder), weights=""), folder)


@pytest.mark.parametrize("changed", ["input.tif", "mask", "saved_model.pb", "part", "naming", "float", None])
def test_a_changed_input_mask_weight_part_or_option_is_another_product(tmp_path, write_raster, network, changed):
    path = write_raster("input.tif", np.ones((4, 4), np.uint16), bands=("B04",))

    def identity(changed=None):
        product = open_product(path, offset=0)
        grid = image_grid(product.image(("B04",)))
        mask = Mask("mask", grid, np.full((4, 4), changed == "mask"))
        part = replace(grid, columns=3) if changed == "part" else grid
        recipe = Recipe(("B04",), 10.0, (network,), masks=(mask,))
        try:
            return identity_of(product, recipe, part, changed == "float", {10: "B04"} if changed == "naming" else None)
        finally:
            product.close()

    before = identity()
    for file in (tmp_path / "input.tif", Path(network.model_dir) / "saved_model.pb"):
        if changed == file.name:
            os.utime(file, ns=(1, 1 + hash(changed) % 1000))
    assert (digest(identity(changed)) == digest(before)) == (changed is None)


def test_weights_with_a_digest_are_the_same_wherever_they_are(tmp_path, write_raster, network):
    path = write_raster("input.tif", np.ones((4, 4), np.uint16), bands=("B04",))
    product = open_product(path, offset=0)
    grid = image_grid(product.image(("B04",)))

    def identity(digits, folder, software):
        description = replace(network.description, weights=digits, software=software)
        return digest(identity_of(product, Recipe(("B04",), 10.0, (Network(description, folder),)), grid, False))

    before = identity("a" * 64, network.model_dir, {"keras": "3"})
    assert identity("a" * 64, "/elsewhere", {"keras": "2"}) == before != identity("b" * 64, network.model_dir, {})
