# SPDX-License-Identifier: Apache-2.0
"""Flows are refined to where local correlation is largest: against scenes of known shifts, scipy and closed forms."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import ndimage

from models.flow_refinement import CELL, LOCAL_DEVIATION, NOISE, normal_equations, pool, refine, smooth, spread
from models.warp import standardize

pytestmark = pytest.mark.keras

ROWS, COLUMNS = 120, 104
INSIDE = np.s_[16:-16, 16:-16]


def scene(seed, blur=1.2):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(ROWS, COLUMNS)), blur, mode="wrap")


def displaced(image, dx, dy):
    """Show an image where it was displaced by (dx, dy): exactly, by its Fourier transform."""
    return np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(image), (dy, dx))).real


def pair_of(grid, seen):
    return standardize(tf.constant(np.stack([grid, seen], axis=-1)[np.newaxis], tf.float32))


def still(dx=0.0, dy=0.0):
    return np.broadcast_to(np.float32([dx, dy]), (1, ROWS, COLUMNS, 2))


def wave(length, amplitude):
    """A flow that varies along both axes."""
    y, x = np.indices((ROWS, COLUMNS)) * 2 * np.pi / length
    return np.stack([amplitude * np.sin(x + y), amplitude * np.cos(y)], axis=-1)


@pytest.mark.parametrize("looks", ["alike", "inverted", "of both signs", "noisy"])
def test_shifts_are_found(looks):
    """Whether the bands rise and fall together, against each other, or the one here and the other there."""
    image = scene(1)
    sign = np.where(ndimage.gaussian_filter(scene(2), 6, mode="wrap") > 0, 1.0, -1.0)
    shown = {"alike": image, "inverted": -image, "of both signs": sign * (image + 0.2), "noisy": image}[looks]
    noise = 0.1 * image.std() * np.random.default_rng(5).normal(size=image.shape) if looks == "noisy" else 0.0
    pair = pair_of(image, displaced(shown, 0.9, -0.6) + noise)
    found = refine(pair, still(), 8)[0].numpy()[INSIDE]
    limit = {"of both signs": 0.1}.get(looks, 0.03)
    assert np.abs(found - [0.9, -0.6]).max() < limit
    if looks == "of both signs":
        assert abs(np.corrcoef(image.ravel(), shown.ravel())[0, 1]) < 0.2  # so correlation alone finds nothing


def test_flows_that_vary_are_found():
    """Where the other band is the image sampled at p - flow(p), the flow into it is, nearly, that at p + flow(p)."""
    image, flow = scene(3), wave(400.0, 0.4)
    y, x = np.indices(image.shape)
    seen = ndimage.map_coordinates(image, [y - flow[..., 1], x - flow[..., 0]], order=5, mode="grid-wrap")
    wanted = np.stack(
        [ndimage.map_coordinates(flow[..., k], [y + flow[..., 1], x + flow[..., 0]], order=3) for k in (0, 1)], axis=-1
    )
    found = refine(pair_of(image, seen), still(), 6)[0].numpy()
    assert np.abs(found - wanted)[INSIDE].max() < 0.1 < np.abs(wanted).max() / 3


def test_steps_go_downhill_along_the_gradient():
    """The right side is minus half the derivative of the sum of log(1 - r^2) by the flow, as scipy computes it."""
    grid, seen = pair_of(scene(4, 2.5) + 0.5 * scene(6, 2.5), displaced(scene(4, 2.5), 0.7, -0.4))[0].numpy().T
    grid, seen = grid.T.astype(float), seen.T.astype(float)

    def local(image):
        return ndimage.gaussian_filter(image, LOCAL_DEVIATION, truncate=3.0)

    def misfit(dx, dy):
        shown = displaced(seen, -dx, -dy)
        variances = [local(image**2) - local(image) ** 2 + NOISE for image in (grid, shown)]
        covariance = local(grid * shown) - local(grid) * local(shown)
        return np.log((variances[0] - covariance**2 / variances[1])[INSIDE]).sum()

    step = 0.01
    wanted = [
        -(misfit(0.3 + step * x, -0.2 + step * y) - misfit(0.3 - step * x, -0.2 - step * y)) / (4 * step)
        for x, y in ((1, 0), (0, 1))
    ]
    pair = tf.constant(np.stack([grid, seen], axis=-1)[np.newaxis], tf.float32)
    cells = normal_equations(pair, still(0.3, -0.2))[0].numpy()
    found = cells[2:-2, 2:-2, 3:].sum(axis=(0, 1))
    assert_allclose(found, wanted, rtol=0.15)  # central differences see slopes a little flatter
    assert min(np.abs(wanted)) > 100


def test_pixels_that_lead_out_of_the_image_have_no_say():
    """Of a flow of 9 pixels, the last cell's columns lead out, and so does one of the last but one."""
    pair = pair_of(scene(7), scene(8)).numpy()
    before = normal_equations(pair, still(9.0, 0.0)).numpy()
    assert np.all(before[:, :, -1] == 0) and np.all(before[:, :, -2, 0] > 0)
    pair[:, :, -4:, 0] += 5  # the grid's band, where nothing is seen of the other one
    assert_allclose(normal_equations(pair, still(9.0, 0.0)), before, rtol=1e-4, atol=1e-4)


def test_a_band_without_detail_keeps_the_flow():
    pair = np.array(pair_of(scene(9), scene(10)))
    pair[..., 1] = 0
    assert_allclose(refine(pair, still(1.5, -0.5), 3), still(1.5, -0.5), atol=1e-6)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_any_size(rows, columns):
    """Cells have the means of the pixels that they have; a flow of one displacement stays as it is everywhere."""
    flow = np.random.default_rng(rows).normal(size=(2, rows, columns, 2)).astype("float32")
    cells = pool(flow).numpy()
    assert cells.shape == (2, -(-rows // CELL), -(-columns // CELL), 2)
    last = flow[:, (cells.shape[1] - 1) * CELL :, (cells.shape[2] - 1) * CELL :]
    assert_allclose(cells[:, -1, -1], last.mean(axis=(1, 2)), atol=1e-5)
    constant = np.broadcast_to(np.float32([3.0, -2.0]), flow.shape)
    assert_allclose(spread(smooth(pool(constant)), rows, columns), constant, atol=1e-5)
    found = refine(standardize(tf.constant(flow)), flow, 2).numpy()
    assert found.shape == flow.shape and np.isfinite(found).all()


def test_between_centres_of_cells_flows_are_linear():
    x = np.arange(64, dtype="float32")
    flow = np.stack(np.broadcast_arrays(0.1 * x, -0.02 * x[:, np.newaxis]), axis=-1)[np.newaxis]
    inside = np.s_[:, CELL:-CELL, CELL:-CELL]
    assert_allclose(spread(pool(flow), 64, 64).numpy()[inside], flow[inside], atol=1e-5)
