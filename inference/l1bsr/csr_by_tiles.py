# SPDX-License-Identifier: Apache-2.0
"""CSR over an image of any size, tile by tile: equal to the network run on the whole image.

All that ties a pixel's flow to the whole image are the means and standard deviations of its bands. These are taken
first; then a tile needs no more than `MARGIN` pixels on each side, and must begin at a multiple of the 16 pixels that
become one at the coarsest level. Where flows are refined, those of the whole image's cells are kept: they are few, and
each step of the refinement goes through all tiles.

    flow = CsrByTiles(model, pixels).flow(region)
"""

import itertools
import math
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import tensorflow as tf

from chain.raster.grids import Region, plan
from chain.runtime.progress import SILENT, Progress
from models.flow_refinement import CELL, PIXELS_REACH, advance, normal_equations, pool, smooth, spread
from models.l1bsr import CSR, GREEN, LEVELS, OTHERS
from models.warp import CUBIC_REACH

STEP = 1 << LEVELS
"""Pixels that become one at the coarsest level."""
MARGIN = 112
"""Pixels on each side of a tile on which its flow depends: 110, in whole steps."""
TILE = 512
"""Side of the tiles of which flows are refined, in pixels: a multiple of `STEP` and of `CELL`."""
ROWS = 512
"""Rows that are read at once to take means."""


class CsrByTiles:
    """A network, and an image with its statistics.

    Args:
        model: the network.
        pixels: (rows, columns, bands), float32, counts.
        release: called after each tile that is refined, to let go of memory that the pixels take without need.
        progress: where progress of the refinement is reported.
    """

    def __init__(
        self,
        model: CSR,
        pixels: np.ndarray,
        release: Callable[[], None] = lambda: None,
        progress: Progress = SILENT,
    ):
        self._pixels = pixels
        self._release = release
        self._progress = progress
        self._means, self._deviations = statistics(pixels)
        self._refinements = model.arguments["refinements"]
        pairs = [tf.TensorSpec((None, None, None, 2))]
        self._network = tf.function(model.pair_model(refined=False), input_signature=pairs, autograph=False)
        self._normal_equations = tf.function(normal_equations, input_signature=2 * pairs, autograph=False)

    def flow(self, region: Region) -> np.ndarray:
        """Compute the flow of a tile.

        Args:
            region: the tile, whose first column and row are multiples of `STEP`, and its size too unless it reaches the
                image's border.

        Returns:
            float32 (rows, columns, 2 x bands that are registered): x and y of each, in pixels.
        """
        flows = self._spread(self._cells, region) if self._refinements else self._found(region)
        return np.concatenate(flows, axis=-1)

    @cached_property
    def _cells(self) -> tf.Tensor:
        """The refined flows of the whole image, by cells: (bands, rows, columns, 2)."""
        rows, columns = self._pixels.shape[:2]
        tiles = plan(Region(0, 0, columns, rows), TILE)
        done, total = itertools.count(1), len(tiles) * (1 + self._refinements)

        def gather(cells_of: Callable[[Region], tf.Tensor]) -> tf.Tensor:
            strips: dict[int, list[tf.Tensor]] = {}
            for tile in tiles:
                strips.setdefault(tile.y, []).append(cells_of(tile))
                self._release()
                self._progress(next(done) / total, "flow")
            return tf.concat([tf.concat(strip, axis=2) for strip in strips.values()], axis=1)

        cells = gather(lambda tile: pool(tf.constant(self._found(tile))))
        for _ in range(self._refinements):
            cells = smooth(cells)
            reach = PIXELS_REACH + math.ceil(np.abs(cells).max()) + CUBIC_REACH
            margin = -(-reach // CELL) * CELL
            cells = advance(cells, gather(partial(self._equations, cells, margin)))
        return cells

    def _found(self, region: Region) -> np.ndarray:
        """Compute a tile's flows, (bands, rows, columns, 2), as the network finds them."""
        seen = _extended(region, MARGIN, self._pixels.shape)
        flows = np.stack([self._network(pair[np.newaxis]).numpy()[0] for pair in self._pairs(seen)])
        return flows[_within(region, seen)]

    def _equations(self, cells: tf.Tensor, margin: int, region: Region) -> tf.Tensor:
        """Compute a tile's normal equations, (bands, rows, columns, 5), of the flows of all cells.

        Args:
            cells: the flows.
            margin: pixels on each side of the tile on which they depend.
            region: the tile.
        """
        seen = _extended(region, margin, self._pixels.shape)
        equations = self._normal_equations(self._pairs(seen), self._spread(cells, seen))
        return equations[_within(_of_cells(region), _of_cells(seen))]

    def _spread(self, cells: tf.Tensor, region: Region) -> np.ndarray:
        """Compute a tile's flows, (bands, rows, columns, 2), of those of all cells."""
        seen = _extended(region, CELL, self._pixels.shape)
        flows = spread(cells[_within(_of_cells(seen))], seen.rows, seen.columns).numpy()
        return flows[_within(region, seen)]

    def _pairs(self, region: Region) -> np.ndarray:
        """Return the green band beside each other one, standardised: (bands, rows, columns, 2)."""
        seen = self._pixels[region.y : region.y + region.rows, region.x : region.x + region.columns]
        standardized = ((seen - self._means) / self._deviations).astype(np.float32)
        return np.stack([standardized[..., [GREEN, other]] for other in OTHERS])


def _extended(region: Region, margin: int, shape: tuple[int, ...]) -> Region:
    """Return a region with a margin on each side, as far as the image goes."""
    top, left = max(region.y - margin, 0), max(region.x - margin, 0)
    bottom, right = (
        min(end + margin, length) for end, length in zip((region.y + region.rows, region.x + region.columns), shape[:2])
    )
    return Region(left, top, right - left, bottom - top)


def _of_cells(region: Region) -> Region:
    """Return the cells of a region that begins with a cell, and ends with one or with the image."""
    return Region(region.x // CELL, region.y // CELL, -(-region.columns // CELL), -(-region.rows // CELL))


def _within(region: Region, seen: Region | None = None) -> tuple[slice, slice, slice]:
    """Return where a region lies in arrays (bands, rows, columns, …) of another one, or of the whole image."""
    top, left = (region.y - seen.y, region.x - seen.x) if seen else (region.y, region.x)
    return np.s_[:, top : top + region.rows, left : left + region.columns]


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
