# SPDX-License-Identifier: Apache-2.0
"""A product's input is fetched about once, also over HTTP, though three of its parts see it and its regions overlap."""

from pathlib import Path

import numpy as np
import pytest

from chain.raster import http
from chain.raster.grids import Region, image_grid, plan
from chain.sentinel2 import stac_search
from chain.sentinel2.image import open_product
from chain.serving.network import Network
from chain.serving.recipe import Recipe
from models.description import read_description
from models.dsen2 import SOURCES
from tests import toy_models
from tests.products import computed

SIDE = 1536
BANDS = [band for source in SOURCES.values() for band in source.bands]


@pytest.mark.slow
def test_remote_bands_are_fetched_about_once(planetary_computer, make_sentinel2_item, tmp_path):
    http.configure()
    item = make_sentinel2_item("one", np.full((SIDE // 2, SIDE // 2), 4), bands=BANDS, size=SIDE)
    server = planetary_computer([item])
    folders = [toy_models.dsen2(tmp_path / role, role) for role in ("2x", "6x")]
    networks = tuple(Network(read_description(folder), folder, "tensorflow") for folder in folders)
    recipe = Recipe(("B02", "B05", "B01"), 10.0, networks, (SOURCES["x10"],), shared_nodata=False)
    product = open_product(stac_search.find_item("one", server.stac_url))
    try:
        images = {name: product.image(source.bands) for name, source in recipe.sources.items()}
        grid = image_grid(images["x10"])
        before = http.traffic()
        for region in plan(Region(0, 0, SIDE, SIDE), 384):
            computed(recipe, images, region, (grid.left, grid.top))
        fetched = (http.traffic() - before).bytes
    finally:
        product.close()
    held = sum(file.stat().st_size for file in Path(tmp_path, "sentinel2").rglob("B*.tif"))
    assert 0.5 * held < fetched < 1.2 * held
