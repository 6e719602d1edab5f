# SPDX-License-Identifier: Apache-2.0
"""Samples with a teacher: half of the target is what it makes of a patch, all of it where there is no truth."""

import numpy as np
import pytest

from datasets.taught import NATIVE_SHARE, TaughtPatches
from datasets.wald import degrade
from models.dsen2 import ROLES
from tests.datasets.test_dsen2 import PATCHES, RATIOS, draw, make_scene

pytestmark = pytest.mark.keras

COUNT = 80


class Repeating:
    """A teacher that repeats the pixels of the coarsest source."""

    def __init__(self, role):
        self.role = role

    def __call__(self, images):
        last = ROLES[self.role][-1]
        made = images[last].repeat(RATIOS[last], axis=0).repeat(RATIOS[last], axis=1)
        assert all(image.shape[0] * RATIOS[name] == made.shape[0] for name, image in images.items())
        return made

    def identity(self):
        return {"teacher 1": "repeating"}


def taught(scene, role, **options):
    return TaughtPatches([scene], role, PATCHES[role], 1, teacher=Repeating(role), **options)


def is_native(images, target, role):
    return np.allclose(target, Repeating(role)(images))


def is_part(patch, image):
    """Return whether a patch lies in an image."""
    rows, columns = patch.shape[:2]
    corners = np.argwhere((image == patch[0, 0]).all(axis=-1))
    return any(np.array_equal(image[row : row + rows, column : column + columns], patch) for row, column in corners)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("any_phase", [False, True])
def test_targets_are_means_of_the_truth_and_of_the_teacher(role, any_phase):
    scene, last = make_scene(role), ROLES[role][-1]
    firsts, count = set(), 0
    for images, target in draw(taught(scene, role, any_phase=any_phase), COUNT):
        if is_native(images, target, role):
            continue
        count += 1
        truth = 2 * target - Repeating(role)(images)
        row, column = (round(truth[..., band].min()) - 1 for band in (0, 1))
        side = PATCHES[role]
        np.testing.assert_allclose(truth, scene.images[last][row : row + side, column : column + side], atol=0.01)
        firsts.add((row % RATIOS[last], column % RATIOS[last]))
    assert abs(count / COUNT - (1 - NATIVE_SHARE)) < 0.2
    assert (len(firsts) > 3) == any_phase and (firsts == {(0, 0)}) == (not any_phase)


@pytest.mark.parametrize("role", ROLES)
def test_scenes_as_they_are(role):
    """All sources are cut at the same place; the sources of other patches are scenes made coarser."""
    scene = make_scene(role)
    coarser = {name: degrade(image, RATIOS[ROLES[role][-1]]) for name, image in scene.images.items()}
    for images, target in draw(taught(scene, role), COUNT):
        whole = scene.images if is_native(images, target, role) else coarser
        assert all(is_part(image, whole[name]) for name, image in images.items())
        last = images[ROLES[role][-1]]
        if whole is scene.images:
            row, column = (int(last[0, 0, band]) - 1 for band in (0, 1))
            for name, image in images.items():
                top, left = (start * RATIOS[ROLES[role][-1]] // RATIOS[name] for start in (row, column))
                assert np.array_equal(image, whole[name][top : top + len(image), left : left + len(image)])


@pytest.mark.parametrize("role", ROLES)
def test_missing_pixels_and_clouds_are_left_out(role):
    scene = make_scene(role)
    scene.images["x10"][50, 60, 1] = np.nan
    scene.images[ROLES[role][-1]][-1, -1, -1] = np.nan
    scene.clouds[:, : scene.clouds.shape[1] // 2] = True
    for images, target in draw(taught(scene, role, any_phase=True), COUNT):
        assert all(np.isfinite(image).all() for image in (*images.values(), target))
        if is_native(images, target, role):
            assert target[..., 1].min() >= scene.images[ROLES[role][-1]].shape[1] // 2 - PATCHES[role]


def test_the_teacher_is_a_part_of_what_samples_are_made_of():
    assert taught(make_scene("2x"), "2x").identity()["teacher 1"] == "repeating"
