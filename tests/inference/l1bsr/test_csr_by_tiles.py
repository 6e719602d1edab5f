# SPDX-License-Identifier: Apache-2.0
"""CSR tile by tile is CSR on the whole image."""

import numpy as np
import pytest
import tensorflow as tf

from chain.raster.grids import Region
from inference.l1bsr import csr_by_tiles
from inference.l1bsr.csr_by_tiles import MARGIN, STEP, CsrByTiles, statistics
from models.l1bsr import CSR
from tests.examples import slow

pytestmark = pytest.mark.keras


def network_of(refinements):
    """Return a small network whose flows vary by pixels."""
    model = CSR.from_bands(depth=2, refinements=refinements)
    rng = np.random.default_rng(3)
    for layer in model.model.layers:
        layer.set_weights(
            [rng.normal(0, 2 / np.sqrt(np.prod(w.shape[:-1]) or 1), w.shape) for w in layer.get_weights()]
        )
    return model


def image_of(rows, columns):
    image = np.random.default_rng(0).integers(50, 900, (rows, columns, 4)).astype(np.float32)
    image[rows // 2 :] += 600  # a part has another mean than the whole
    return image


@pytest.mark.parametrize("refinements", [slow(0), 3])
@pytest.mark.parametrize(
    "rows, columns",
    [(9, 5), *(slow(*sides) for sides in ((301, 40), (20, 333), (272, 272)))],
)
def test_tiles_are_the_whole_image(monkeypatch, refinements, rows, columns):
    image, model = image_of(rows, columns), network_of(refinements)
    monkeypatch.setattr(csr_by_tiles, "TILE", 4 * STEP)
    whole = model.model({"x10": image[np.newaxis]})["flow"].numpy()[0]
    tiles = CsrByTiles(model, image)
    side = 4 * STEP
    found = np.full_like(whole, np.nan)
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            region = Region(left, top, min(side, columns - left), min(side, rows - top))
            found[top : top + side, left : left + side] = tiles.flow(region)
    np.testing.assert_allclose(found, whole, atol=2e-3)
    assert np.ptp(whole) > 1


@pytest.mark.slow
def test_the_margin_is_what_a_tile_needs():
    """Of a network that looks as far as it can: its kernels have weights at their upper and lower ends only."""
    model = CSR.from_bands(depth=1)
    for layer in model.model.layers:
        if layer.weights:
            kernel, bias = (np.zeros(weight.shape) for weight in layer.get_weights())
            kernel[[0, 2], 1] = 1 / (2 * kernel.shape[2])
            layer.set_weights([kernel, bias])
    network = model.pair_model()
    top, bottom = 10 * STEP, 11 * STEP
    pairs = np.full((1, 22 * STEP, 2 * STEP, 2), 0.1, np.float32)
    before = network(pairs).numpy()[0, top:bottom]

    def changes(row):
        changed = pairs.copy()
        changed[:, row] = 1e5
        return np.abs(network(tf.constant(changed)).numpy()[0, top:bottom] - before).max() > 1e-5

    distances = range(MARGIN - STEP, MARGIN + STEP)
    needed = max(distance for distance in distances if changes(top - distance) or changes(bottom - 1 + distance))
    assert needed == 110 and MARGIN == -(-needed // STEP) * STEP


def test_statistics_are_those_of_numpy():
    image = image_of(1100, 7)
    image[..., 2] = 5
    means, deviations = statistics(image)
    np.testing.assert_allclose(means, image.mean(axis=(0, 1), dtype=np.float64), rtol=1e-12)
    expected = image.std(axis=(0, 1), dtype=np.float64, ddof=1)
    np.testing.assert_allclose(deviations, np.where(expected > 0, expected, 1), rtol=1e-12)
