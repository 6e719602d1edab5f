# SPDX-License-Identifier: Apache-2.0
"""Test scenes are looked at before a training: windows that cannot be scored are left out, scenes are refused."""

import numpy as np
import pytest

from datasets.dsen2 import Scene
from models.dsen2 import ROLES, SOURCES
from train.dsen2.scorable import scorable


def window(name, role, side=None):
    """Draw a window of side x side pixels of 10 m."""
    side = side or {"2x": 60, "6x": 144}[role]
    rng = np.random.default_rng(0)
    images = {}
    for key in ROLES[role]:
        length = round(side * 10 / SOURCES[key].gsd)
        images[key] = rng.uniform(1, 4000, (length, length, len(SOURCES[key].bands))).astype("float32")
    return Scene(name, images, np.zeros((side // 2, side // 2), bool))


@pytest.mark.parametrize("role", ROLES)
def test_windows_without_a_pixel_are_left_out(role, caplog):
    seen, lacking = window("T@0,0", role), window("T@9,0", role)
    lacking.images[ROLES[role][-1]][..., 1] = np.nan
    assert scorable([seen, lacking], role) == [seen]
    assert "--test: T@9,0 is left out: expected pixels of " in caplog.text
    with pytest.raises(ValueError, match="^--test: expected pixels of .* valid in every band, got none in T@9,0$"):
        scorable([lacking], role)


def test_windows_that_are_too_small():
    with pytest.raises(ValueError, match="^--test: expected at least .* pixels of 10 m for B05 .* in T@0,0$"):
        scorable([window("T@0,0", "2x", 12)], "2x")
