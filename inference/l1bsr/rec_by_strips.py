# SPDX-License-Identifier: Apache-2.0
"""REC over an image of any size, strip by strip and layer by layer: equal to the network run on the whole image.

Each block of REC weighs its features by their means over the whole image (`models.l1bsr`), so that tiles made one by
one would differ. Here each block is computed for the whole image before the next one begins: its features wait in an
array, on the disk where they are many, and memory holds one strip of them. A strip is read with the two rows on each
side that two convolutions see, and nothing is computed approximately; rounding of sums is all that differs.

    strips = RecByStrips(model, np.empty, rows_within(2**30, columns, depth)).super_resolve(pixels)
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models import sharpness
from models.l1bsr import REC

ROWS = 64
"""Rows of a strip, in pixels of the input."""
LEAST_ROWS = 4
"""Rows of a strip where memory is short: with fewer, most of the work would be done again in the next strip."""
FEATURES = 16
"""Arrays of the size of a strip's features that are held at once, while it is made finer: measured."""
REACH = 2
"""Rows on each side that two convolutions of 3 x 3 see."""


def last_reach(model: Mapping[str, Any]) -> int:
    """Return how many rows on each side the last layers see, given the arguments of a `REC`."""
    return REACH + (sharpness.REACH if model.get("sharp") else 0)


def rows_within(memory: int, columns: int, depth: int, reach: int = REACH) -> int:
    """Return the rows of the strips that memory can hold.

    Args:
        memory: number of bytes.
        columns: columns of the image.
        depth: number of features.
        reach: what `last_reach` returns.
    """
    rows = memory // (FEATURES * 4 * depth * columns) - 2 * reach
    return max(LEAST_ROWS, min(ROWS, rows))


class RecByStrips:
    """A network, and arrays for what it computes.

    Args:
        model: the network.
        empty: makes an array, given its shape and type, such as `np.empty`; four of (rows, columns, depth) are made.
        rows: rows of a strip.
        release: called after each strip, to let go of memory that the arrays take without need.
    """

    def __init__(
        self,
        model: REC,
        empty: Callable[[tuple[int, ...], type], np.ndarray],
        rows: int = ROWS,
        release: Callable[[], None] = lambda: None,
    ):
        layers = {layer.name: layer for layer in model.model.layers if layer.weights}
        self._layers = {
            name: [tf.cast(w, layer.compute_dtype) for w in layer.get_weights()] for name, layer in layers.items()
        }
        self._sizes = model.arguments
        self._consistent = sharpness.BackProjection(dtype="float32")
        self._normalization = np.float32(model.normalization)
        self._empty = empty
        self._rows = rows
        self._release = release

    @property
    def steps(self) -> int:
        """Number of layers and blocks that are computed for the whole image before the last two."""
        return 2 + self._sizes["num_groups"] * (self._sizes["num_blocks"] + 1)

    def super_resolve(
        self, image: np.ndarray, report: Callable[[float], None] = lambda done: None
    ) -> Iterator[np.ndarray]:
        """Super-resolve an image.

        Args:
            image: (rows, columns, bands), counts.
            report: called with the fraction that is done, whenever a layer or a block is that has to be done before
                the first strip is there.

        Yields:
            float32 (2 rows, 2 columns, bands) of each strip, from the top, in counts.
        """
        rows, columns = image.shape[:2]
        done = itertools.count(1)

        def advance() -> None:
            report(next(done) / self.steps)

        shape = (rows, columns, self._sizes["depth"])
        first, group, features, branch = (self._empty(shape, np.float32) for _ in range(4))
        for strip in self._strips(rows):
            pixels = image[strip.seen].astype(np.float32) * self._normalization
            first[strip.inside] = features[strip.inside] = strip.cut(self._convolved(pixels, "head"))
            branch[strip.inside] = 0
        unused = np.zeros(self._sizes["depth"], np.float32)
        advance()
        for number in range(1, self._sizes["num_groups"] + 1):
            weights = unused
            self._copy(features, group)
            for block in range(1, self._sizes["num_blocks"] + 1):
                weights = self._block(f"group{number}_block{block}", features, branch, weights)
                advance()
            self._convolve_and_add(f"group{number}_last", features, branch, weights, group)
            advance()
        self._convolve_and_add("body_last", features, branch, unused, first)
        advance()
        for strip in self._strips(rows, last_reach(self._sizes)):
            finer = tf.nn.depth_to_space(self._convolved(features[strip.seen], "upsample"), 2)
            made = tf.cast(self._convolved(finer, "last"), tf.float32)
            if self._sizes["sharp"]:
                pixels = image[strip.seen].astype(np.float32) * self._normalization
                made = self._consistent([made, pixels[np.newaxis]])
            yield strip.cut(made, 2) / self._normalization

    def _block(self, name: str, features: np.ndarray, branch: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Add the last block's branch to the features; make this block's, and return the weights that it needs."""
        total = np.zeros(features.shape[2])
        for strip in self._strips(len(features)):
            merged = self._merge(features, branch, weights, strip)
            made = self._convolved(tf.nn.relu(self._convolved(merged, f"{name}_1")), f"{name}_2")
            branch[strip.inside] = strip.cut(made)
            total += branch[strip.inside].sum(axis=(0, 1), dtype=np.float64)
        means = (total / np.prod(features.shape[:2])).astype(np.float32)[np.newaxis, np.newaxis]
        squeezed = tf.nn.relu(self._convolved(means, f"{name}_squeeze"))
        return tf.sigmoid(self._convolved(squeezed, f"{name}_excite")).numpy()[0, 0, 0]

    def _convolve_and_add(
        self, name: str, features: np.ndarray, branch: np.ndarray, weights: np.ndarray, skip: np.ndarray
    ) -> None:
        """Add the last block's branch to the features, convolve them, and add what skipped."""
        for strip in self._strips(len(features)):
            merged = self._merge(features, branch, weights, strip)
            branch[strip.inside] = strip.cut(self._convolved(merged, name)) + skip[strip.inside]
        self._copy(branch, features)

    def _copy(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy an array, strip by strip."""
        for strip in self._strips(len(source)):
            target[strip.inside] = source[strip.inside]

    def _merge(self, features: np.ndarray, branch: np.ndarray, weights: np.ndarray, strip: "_Strip") -> np.ndarray:
        """Return the features that a strip sees with the weighted branch added; those inside the strip stay so.

        Rows above the strip stayed so when the strip above was merged.
        """
        above = features[strip.seen.start : strip.inside.start]
        rest = slice(strip.inside.start, strip.seen.stop)
        merged = np.concatenate([above, features[rest] + weights * branch[rest]])
        features[strip.inside] = strip.cut(merged)
        return merged

    def _convolved(self, images: np.ndarray | tf.Tensor, name: str) -> tf.Tensor:
        """Return an image or a batch of one, (1, rows, columns, depth), convolved by a layer of the network."""
        kernel, bias = self._layers[name]
        batch = tf.cast(images if len(images.shape) == 4 else images[np.newaxis], kernel.dtype)
        return tf.nn.conv2d(batch, kernel, 1, "SAME") + bias

    def _strips(self, rows: int, reach: int = REACH) -> Iterator["_Strip"]:
        """Yield the strips of an image, from the top, with what `reach` rows on each side see."""
        for top in range(0, rows, self._rows):
            bottom = min(top + self._rows, rows)
            yield _Strip(slice(top, bottom), slice(max(top - reach, 0), min(bottom + reach, rows)))
            self._release()


@dataclass(frozen=True)
class _Strip:
    """Rows of an image."""

    inside: slice
    """The strip."""
    seen: slice
    """What its layers see of the image."""

    def cut(self, seen: np.ndarray | tf.Tensor, scale: int = 1) -> np.ndarray:
        """Return the strip of an image of what it sees, or of a batch of one, `scale` times as fine."""
        image = np.asarray(seen)
        image = image[0] if image.ndim == 4 else image
        start = (self.inside.start - self.seen.start) * scale
        return image[start : start + (self.inside.stop - self.inside.start) * scale]
