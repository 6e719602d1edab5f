# SPDX-License-Identifier: Apache-2.0
"""Exported networks of L1BSR, and a writer of images with described bands."""

import pytest

from models import base
from models.l1bsr import BANDS, CSR, REC
from tests.inference.l1bsr.networks import drawn, moving, nearest


def small(registered):
    return drawn(REC.from_bands(num_groups=2, num_blocks=2, depth=6, reduction=2, registered=registered), 1.5)


NETWORKS = {
    "nearest": nearest,
    "biased": lambda: nearest(gain=40.0, bias=-8000.4),
    "REC": lambda: small(registered=False),
    "for registered": lambda: small(registered=True),
    "moving": moving,
    "CSR": lambda: drawn(CSR.from_bands(depth=2), 2.0),
}


class Exported(dict):
    """Folders of exported networks by name; each is exported when it is first asked for."""

    def __init__(self, root):
        super().__init__()
        self.root = root

    def __missing__(self, name):
        base.export(NETWORKS[name](), self.root / name)
        return self.setdefault(name, str(self.root / name))


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of exported models by name."""
    return Exported(tmp_path_factory.mktemp("models"))


@pytest.fixture
def image(write_raster):
    """Return a function that writes an image with described bands and a place."""

    def write(pixels, name="l1b.tif", bands=BANDS, **options):
        return str(write_raster(name, pixels, bands=bands, **options))

    return write
