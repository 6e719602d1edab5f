# SPDX-License-Identifier: Apache-2.0
"""A tiny model, and rasters of several dates."""

import numpy as np
import pytest
from osgeo import gdal

from inference.deepsum import main
from tests.inference.deepsum.scenes import draw_scene, export_model

COUNT = 11
GSD, ORIGIN = 300.0, (300000.0, 5000100.0)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A tiny model, and its folder."""
    folder = tmp_path_factory.mktemp("models") / "model"
    return export_model(folder), folder


@pytest.fixture(scope="session")
def model_dir(exported):
    return exported[1]


@pytest.fixture(scope="session")
def scene():
    """Images and masks; one place is clear in none."""
    lr, qm, _ = draw_scene(COUNT, seed=5)
    qm[:, 10:14, 6:12] = False
    return lr, qm


@pytest.fixture
def stack(scene, write_raster):
    """Return a function that writes images and masks of dates, and returns their names."""

    def write(lr=scene[0], qm=scene[1], **options):
        options = {"gsd": GSD, "origin": ORIGIN, "bands": ["nir"], **options}
        images = [str(write_raster(f"d{number:02d}.tif", image, **options)) for number, image in enumerate(lr)]
        options = {**options, "bands": None, "nodata": None}
        masks = [str(write_raster(f"m{number:02d}.tif", np.uint8(mask), **options)) for number, mask in enumerate(qm)]
        return images, masks

    return write


@pytest.fixture
def infer(model_dir, tmp_path):
    """Return a function that makes a product, and returns it."""

    def make(images, masks, *words, name="sr.tif"):
        output = tmp_path / name
        masks = ["--clear-masks", *masks] if masks else []
        words = ["--input", *images, *masks, "--output", output, "--model-dir", model_dir, *words]
        assert main(list(map(str, words))) == 0
        return gdal.Open(str(output))

    return make
