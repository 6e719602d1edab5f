# SPDX-License-Identifier: Apache-2.0
"""Scenes that hold the same pixels are found, however they were cut; others are not."""

from dataclasses import replace

import numpy as np
import pytest

from datasets.same_ground import MOST_SHARED, shared
from tests.datasets.test_dsen2 import make_scene

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("role", ["2x", "6x"])
def test_pixels_are_found_wherever_they_were_cut(role):
    scene = make_scene(role, 240, 240)
    assert shared(scene, [make_scene(role, seed=1), scene]) == 1
    assert shared(scene.part(1, 3), [scene.part(0, 2)]) == 0.5
    assert shared(scene, [scene.part(20, 40)]) == 0.5
    assert shared(scene, []) == 0


def test_other_ground_and_other_dates_share_nothing():
    scene = make_scene("2x")
    assert shared(scene, [make_scene("2x", seed=1)]) < MOST_SHARED
    brighter = {name: image + 1 for name, image in scene.images.items()}
    assert shared(scene, [replace(scene, images=brighter)]) < MOST_SHARED


@pytest.mark.parametrize("number", [np.nan, 10000.0])
def test_missing_and_clipped_pixels_are_not_shared(number):
    one, other = make_scene("2x"), make_scene("2x", seed=1)
    for scene in (one, other):
        for image in scene.images.values():
            image[: len(image) // 2] = number
    assert shared(one, [other]) < MOST_SHARED and shared(one, [one]) == 1
    for image in one.images.values():
        image[:] = number
    assert shared(one, [one]) == 0
