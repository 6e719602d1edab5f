# SPDX-License-Identifier: Apache-2.0
"""REC strip by strip is REC on the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.l1bsr.rec_by_strips import LEAST_ROWS, ROWS, RecByStrips, last_reach, rows_within
from models.l1bsr import REC
from tests.examples import slow

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module", params=[False, slow(True)], ids=["", "sharp"])
def model(request):
    """A small network whose attention depends strongly on the image."""
    model = REC.from_bands(num_groups=2, num_blocks=2, depth=6, reduction=2, sharp=request.param)
    rng = np.random.default_rng(0)
    for variable in model.model.weights:
        shape = tuple(variable.shape)
        spread = 3 if "squeeze" in variable.name or "excite" in variable.name else 1
        variable.assign(rng.normal(0, spread / np.sqrt(np.prod(shape[:-1]) or 1), shape))
    return model


def image_of(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(50, 900, (rows, columns, 4)).astype(np.uint16)
    image[rows // 2 :] += 600  # halves of an image have other means than the whole
    return image


def whole(model, image):
    return model.training_model()({"x10": image[np.newaxis].astype(np.float32)}).numpy()[0]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 30), st.integers(1, 17), st.integers(1, 12))
def test_strips_are_the_whole_image(model, rows, columns, height):
    image = image_of(rows, columns)
    strips = list(RecByStrips(model, np.empty, height).super_resolve(image))
    assert [len(strip) for strip in strips[:-1]] == [2 * height] * (len(strips) - 1)
    np.testing.assert_allclose(np.concatenate(strips), whole(model, image), rtol=1e-4, atol=0.02)


def test_parts_made_one_by_one_would_differ(model):
    image = image_of(24, 16)
    assert np.abs(whole(model, image[:16])[:8] - whole(model, image)[:8]).max() > 1


def test_features_may_lie_in_files(model, tmp_path):
    image, shapes = image_of(20, 11), []

    def on_disk(shape, dtype):
        shapes.append(shape)
        return np.memmap(tmp_path / f"{len(shapes)}", dtype, "w+", shape=shape)

    found = np.concatenate(list(RecByStrips(model, on_disk, 7).super_resolve(image)))
    np.testing.assert_array_equal(found, np.concatenate(list(RecByStrips(model, np.empty, 7).super_resolve(image))))
    assert shapes == [(20, 11, 6)] * 4


def test_each_step_is_told(model):
    told = []
    strips = RecByStrips(model, np.empty)
    list(strips.super_resolve(image_of(5, 5), told.append))
    assert told == [step / 8 for step in range(1, 9)] and strips.steps == 8


def test_memory_is_released_after_each_strip(model):
    released = []
    strips = RecByStrips(model, np.empty, 10, lambda: released.append(None))
    list(strips.super_resolve(image_of(40, 6)))
    assert len(released) >= 4 * (strips.steps + 3)


@pytest.mark.parametrize(
    "memory, columns, depth, expected",
    [(2**40, 1000, 64, ROWS), (0, 1000, 64, LEAST_ROWS), (16 * 4 * 64 * 1000 * 34, 1000, 64, 30)],
)
def test_strips_have_the_rows_that_memory_holds(memory, columns, depth, expected):
    assert rows_within(memory, columns, depth) == expected


def test_networks_of_sharp_images_see_farther(model):
    reach = last_reach(model.arguments)
    assert reach == (6 if model.arguments["sharp"] else 2)
    assert rows_within(16 * 4 * 64 * 1000 * 34, 1000, 64, reach) == 34 - 2 * reach
