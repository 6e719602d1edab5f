# SPDX-License-Identifier: Apache-2.0
"""CSR over an image of any size, tile by tile: equal to the network run on the whole image.

All that ties a pixel's flow to the whole image are the means and standard deviations of its bands. These are taken
first; then a tile needs no more than `margin` pixels on each side, and must begin at a multiple of the 16 pixels that
become one at the coarsest level.

    flow = CsrByTiles(model, pixels).flow(region)
"""

import math

import numpy as np
import tensorflow as tf

from chain.grids import Region
from models.l1bsr import CSR, GREEN, LEVELS, OTHERS
from models.warp import CUBIC_REACH

STEP = 1 << LEVELS
"""Pixels that become one at the coarsest level."""
PASS_MARGIN = 112
"""Pixels on each side of a tile that begins at multiples of `STEP` which have a say in a pass: 110, in whole steps."""
ROWS = 512
"""Rows that are read at once to take means."""


class CsrByTiles:
    """A network, and an image with its statistics.

    Args:
        model: the network.
        pixels: (rows, columns, bands), float32, counts.
    """

    def __init__(self, model: CSR, pixels: np.ndarray):
        self._pixels = pixels
        self._margin = margin(**{name: model.arguments[name] for name in ("passes", "max_flow")})
        self._means, self._deviations = statistics(pixels)
        pairs = model.pair_model()
        self._network = tf.function(pairs, input_signature=[tf.TensorSpec((1, None, None, 2))], autograph=False)

    def flow(self, region: Region) -> np.ndarray:
        """Compute the flow of a tile.

        Args:
            region: the tile, whose first column and row are multiples of `STEP`, and its size too unless it reaches the
                image's border.

        Returns:
            float32 (rows, columns, 2 x bands that are registered): x and y of each, in pixels.
        """
        top, left = max(region.y - self._margin, 0), max(region.x - self._margin, 0)
        bottom, right = region.y + region.rows + self._margin, region.x + region.columns + self._margin
        seen = self._pixels[top:bottom, left:right]
        standardized = ((seen - self._means) / self._deviations).astype(np.float32)
        flows = [self._network(standardized[np.newaxis, ..., [GREEN, other]]).numpy()[0] for other in OTHERS]
        inside = np.s_[region.y - top :, region.x - left :]
        return np.concatenate(flows, axis=-1)[inside][: region.rows, : region.columns]


def margin(passes: int, max_flow: float) -> int:
    """Return how many pixels on each side of a tile have a say in its flow, a multiple of `STEP`.

    Each pass sees what the passes before it have moved.
    """
    moves = [math.ceil(number * max_flow) + CUBIC_REACH for number in range(1, passes)]
    return passes * PASS_MARGIN + sum(-(-move // STEP) * STEP for move in moves)


def statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation (that of a sample) of each band; that of a constant band is 1.

    Args:
        pixels: (rows, columns, bands).
    """
    number = pixels.shape[0] * pixels.shape[1]
    strips = [slice(top, top + ROWS) for top in range(0, len(pixels), ROWS)]
    means = sum(pixels[rows].sum(axis=(0, 1), dtype=np.float64) for rows in strips) / number
    squares = sum(((pixels[rows] - means) ** 2).sum(axis=(0, 1)) for rows in strips)
    return means, np.sqrt(np.where(squares > 0, squares / max(number - 1, 1), 1))
