# SPDX-License-Identifier: Apache-2.0
"""What makes more of few scenes: small ones give many samples, and bands are mixed."""

import numpy as np
import pytest

from datasets import dsen2
from datasets.dsen2 import WaldPatches, scale_of
from datasets.wald import degrade
from models.dsen2 import ROLES
from tests.datasets.test_dsen2 import PATCHES, draw, make_scene, place_of

pytestmark = pytest.mark.keras


def test_small_scenes_begin_at_any_pixel_too():
    """A scene that just holds a patch, or less, is more than one sample."""
    patches = WaldPatches([make_scene("6x", 120, 120)], "6x", 24, 1, any_phase=True)
    firsts = {place_of(target) for _, target in draw(patches, 60)}
    assert len({row % 6 for row, _ in firsts}) == 6 == len({column % 6 for _, column in firsts})


@pytest.mark.parametrize("role", ROLES)
def test_mixtures_of_bands_are_true(role):
    """Made coarser, the target's bands are the source's, whatever they are mixed of."""
    scene, scale, last = make_scene(role), scale_of(role), ROLES[role][-1]
    patches = WaldPatches([scene], role, PATCHES[role] * 2, 1, any_phase=True, mixing=1.0, sigma={last: 0.01})
    patches._blurred[id(patches.scenes[0])][dsen2.FINER] = patches._finer[id(patches.scenes[0])]  # without a blur
    for images, target in draw(patches, 10):
        np.testing.assert_allclose(degrade(target, scale, 0.01), images[last], rtol=1e-3, atol=1)
