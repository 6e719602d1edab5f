# SPDX-License-Identifier: Apache-2.0
"""Whether scenes hold the same pixels: what is validated on must not be trained on, whatever its files are called."""

from collections.abc import Sequence

import numpy as np

from datasets.dsen2 import Scene

MOST_SHARED = 0.05
"""Share of the pixels from which scenes are of the same ground on the same date."""
LOOKED_AT = 200_000
"""Pixels of a scene, at most, that are looked for in others."""
FACTORS = np.random.default_rng(0).integers(1, 2**63, 32, np.uint64) | np.uint64(1)
"""One for each band, of which a key of a pixel is made."""


def shared(scene: Scene, others: Sequence[Scene]) -> float:
    """Return the share of a scene's pixels of 20 m that hold, in all bands of 10 and 20 m, what one of others holds.

    Pixels that are missing in a band, or of one number in all bands, are not looked at.
    """
    keys = _keys(scene)
    keys = keys[:: max(len(keys) // LOOKED_AT, 1)]
    found = np.zeros(len(keys), bool)
    for other in others:
        found |= np.isin(keys, _keys(other))
    return float(found.mean()) if len(found) else 0.0


def _keys(scene: Scene) -> np.ndarray:
    """Return a number for each pixel of 20 m, the same only where all bands hold the same."""
    rows, columns = scene.images["x20"].shape[:2]
    fine = scene.images["x10"][::2, ::2][:rows, :columns]
    pixels = np.concatenate([fine, scene.images["x20"][: fine.shape[0], : fine.shape[1]]], axis=-1)
    pixels = pixels.reshape(-1, pixels.shape[-1])
    told = np.isfinite(pixels).all(axis=1) & (pixels != pixels[:, :1]).any(axis=1)
    numbers = np.ascontiguousarray(pixels[told], np.float32).view(np.uint32).astype(np.uint64)
    return (numbers * FACTORS[: numbers.shape[1]]).sum(axis=1, dtype=np.uint64)
