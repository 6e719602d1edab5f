# SPDX-License-Identifier: Apache-2.0
"""The authors' procedure, written anew for benchmarks, against this project's `--tiling original`."""

import numpy as np
import pytest

from benchmarks import original_procedure
from chain.serving.network import Network
from inference.dsen2.original_tiling import super_resolve_patches
from models.base import export
from models.dsen2 import DSen2

pytestmark = pytest.mark.keras


@pytest.mark.slow
@pytest.mark.parametrize(("role", "rows", "columns"), [("2x", 120, 262), ("6x", 174, 168)])
def test_it_agrees_with_original_tiling(role, rows, columns, tmp_path):
    description = export(DSen2.from_bands(role, depth=4, num_blocks=1), tmp_path / "model")
    ratios = original_procedure.RATIOS[role]
    generator = np.random.default_rng(0)
    images = {
        f"x{ratio * 10}": generator.integers(200, 4000, (rows // ratio, columns // ratio, len(bands))).astype("uint16")
        for ratio, bands in original_procedure.BANDS.items()
        if ratio in ratios
    }
    network = original_procedure.make_network(description.arguments, tmp_path / "model")
    made = original_procedure.super_resolve(list(images.values()), ratios, network)
    ours = super_resolve_patches(
        {name: image.astype(np.float32) for name, image in images.items()},
        Network(description, str(tmp_path / "model")),
    )
    assert made.shape == (rows, columns, len(description.bands))
    assert np.abs(made - ours).max() < 0.02
