# SPDX-License-Identifier: Apache-2.0
"""Exported networks of L1BSR, and a writer of images with described bands."""

import pytest

from models import base
from models.l1bsr import BANDS, CSR, REC
from tests.inference.l1bsr.networks import drawn, moving, nearest


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of exported models by name."""
    root = tmp_path_factory.mktemp("models")
    made = {
        "nearest": nearest(),
        "biased": nearest(gain=40.0, bias=-8000.4),
        "REC": drawn(REC.from_bands(num_groups=2, num_blocks=2, depth=6, reduction=2), 1.5),
        "for registered": drawn(REC.from_bands(num_groups=2, num_blocks=2, depth=6, reduction=2, registered=True), 1.5),
        "moving": moving(),
        "CSR": drawn(CSR.from_bands(depth=2), 2.0),
    }
    for name, model in made.items():
        base.export(model, root / name)
    return {name: str(root / name) for name in made}


@pytest.fixture
def image(write_raster):
    """Return a function that writes an image with described bands and a place."""

    def write(pixels, name="l1b.tif", bands=BANDS, **options):
        return str(write_raster(name, pixels, bands=bands, **options))

    return write
