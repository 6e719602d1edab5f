# SPDX-License-Identifier: Apache-2.0
"""Whether files are of one scene, by what their names state: bands of two dates or tiles fit each other on the grid."""

from collections.abc import Callable, Sequence
from pathlib import Path

from chain.sentinel2.bands import detector_in_name, tile_in_name, time_in_name

READERS: dict[str, Callable[[str], object]] = {
    "tile": tile_in_name,
    "moment of acquisition": time_in_name,
    "detector": detector_in_name,
}
"""What all files of a scene have in common, and what reads it from a name."""


def check_one_scene(paths: Sequence[str]) -> None:
    """Refuse files whose names, or those of their folders, state several tiles, moments or detectors.

    Raises:
        ValueError: they do.
    """
    for what, reader in READERS.items():
        found: dict[object, str] = {}
        for path in paths:
            stated = _stated(path, reader)
            if stated is not None:
                found.setdefault(stated, path)
        if len(found) > 1:
            (first, one), (second, other) = list(found.items())[:2]
            raise ValueError(
                f"{one}: expected files of one scene, got {Path(other).name} of another {what}: {first} and {second}"
            )


def _stated(path: str, reader: Callable[[str], object]) -> object:
    """Return what a path states: its file's name, else the nearest folder's."""
    parts = (reader(part) for part in reversed(Path(path.split("?")[0]).parts))
    return next((part for part in parts if part is not None), None)
