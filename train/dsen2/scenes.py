# SPDX-License-Identifier: Apache-2.0
"""What the scenes of a training have to be to each other, and to the weights: of one level, and of other ground."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from chain.runtime.progress import LOG
from chain.sentinel2.bands import FINEST
from datasets.dsen2 import Scene
from datasets.same_ground import MOST_SHARED, shared

if TYPE_CHECKING:
    from chain.sentinel2.scene import Scene as OpenedScene

UNKNOWN = "unknown"
TOLERANCE = 1e-3
"""Relative difference of a pixel's size that is rounding."""


def decided(scene: "OpenedScene") -> Iterator[str]:
    """Yield what was decided about a scene that is open, in sentences; warn of one that is coarser than Sentinel-2."""
    name = scene.product.identity["id"]
    yield from (f"{name}: {each}" for each in scene.product.decisions)
    if scene.resampled:
        brought = ", ".join(f"{band} ({method})" for band, method in scene.resampled.items())
        yield f"{name}: brought back to native pixels: {brought}"
    if abs(scene.spacing - FINEST) > TOLERANCE * FINEST:
        told = f"{name}: pixels of {scene.spacing:g} m stand for those of {FINEST:g} m, and all others likewise"
        LOG.warning("%s", told)
        yield told


def levels_of(scenes: Sequence[Scene]) -> list[str]:
    """Return the processing levels of scenes; none if one does not tell its own."""
    levels = {scene.level for scene in scenes}
    return [] if UNKNOWN in levels else sorted(levels)


def check_levels(levels: Sequence[str], scenes: Sequence[Scene]) -> None:
    """Refuse scenes of a level that the weights are not for.

    Args:
        levels: those that the weights are for; none for any.
        scenes: the scenes to train on.

    Raises:
        ValueError: there is one.
    """
    for scene in scenes:
        if levels and scene.level not in (*levels, UNKNOWN):
            raise ValueError(
                f"--levels: expected {scene.level}, which {scene.name} of --input is, among the levels that the "
                f"weights become for, got {', '.join(levels)}, of --levels or --init"
            )


def check_other_ground(training: Sequence[Scene], validation: Sequence[Scene], tests: Sequence[Scene]) -> None:
    """Refuse scenes of --valid that hold what is trained on; warn of those of --test, which may be scored all the same.

    Raises:
        ValueError: there is such a scene.
    """
    for option, scenes in (("--valid", validation), ("--test", tests)):
        for scene in scenes:
            share = shared(scene, training)
            if share <= MOST_SHARED:
                continue
            told = f"{option}: expected other ground than --input's, got {share:.0%} of its pixels in {scene.name}"
            if scenes is validation:
                raise ValueError(told)
            LOG.warning("%s: scores are too good there", told)
