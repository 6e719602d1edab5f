# SPDX-License-Identifier: Apache-2.0
"""Scenes of a training: their levels become those of the weights, and the ground that is validated on is another."""

from dataclasses import replace

import numpy as np
import pytest

from chain.sentinel2.scene import opened_scene
from models.dsen2 import SOURCES
from tests.datasets.test_dsen2 import make_scene
from tests.train.samples import write_raster
from train.dsen2.scenes import check_levels, check_other_ground, decided, levels_of

pytestmark = pytest.mark.keras
SCENE = make_scene("2x")
L1C, L2A = (replace(SCENE, level=level, name=level) for level in ("L1C", "L2A"))


@pytest.mark.parametrize("gsd, told", [(10, 0), (20, 1)])
def test_what_is_decided_about_a_scene_is_kept(tmp_path, caplog, gsd, told):
    names = [str(tmp_path / f"scene_{size}m.tif") for size in (10, 20)]
    rng = np.random.default_rng(0)
    for name, source, ratio in zip(names, (SOURCES["x10"], SOURCES["x20"]), (1, 2)):
        pixels = rng.integers(1, 3000, (60 // ratio, 60 // ratio, len(source.bands)))
        write_raster(name, pixels, gsd * ratio, source.bands)
    with opened_scene(names, offset=0) as scene:
        kept = list(decided(scene))
    assert any("offset: 0 (--offset)" in each for each in kept) and len(caplog.records) == told
    assert [each for each in kept if "pixels of 20 m stand for those of 10 m" in each] == caplog.messages


@pytest.mark.parametrize(
    "scenes, levels", [([L2A], ["L2A"]), ([L2A, L1C, L2A], ["L1C", "L2A"]), ([L2A, SCENE], []), ([SCENE], [])]
)
def test_weights_are_for_the_levels_of_their_scenes(scenes, levels):
    assert levels_of(scenes) == levels


@pytest.mark.parametrize("levels", [(), ("L1C",), ("L1C", "L2A")])
def test_scenes_of_these_levels_or_of_none_are_taken(levels):
    check_levels(levels, [L1C, SCENE])


def test_scenes_of_another_level_are_refused():
    with pytest.raises(ValueError, match="^--levels: expected L2A, which L2A of --input is, among .*, got L1C, of "):
        check_levels(("L1C",), [L1C, SCENE, L2A])


def test_scenes_that_are_trained_on_are_refused_or_told(caplog):
    other = make_scene("2x", seed=1)
    with pytest.raises(ValueError, match="^--valid: expected other ground than --input's, got 100% of its pixels in "):
        check_other_ground([other, SCENE], [SCENE], [])
    check_other_ground([SCENE], [other], [other])
    assert not caplog.records
    check_other_ground([SCENE], [], [other, SCENE])
    (record,) = caplog.records
    assert record.levelname == "WARNING" and record.getMessage().startswith("--test: expected other ground than ")
