# SPDX-License-Identifier: Apache-2.0
"""Tiles as RSP cuts them: they come back together, and their borders are their own pixels, mirrored."""

import numpy as np
import pytest

from benchmarks.rsp_procedure import BORDER, PATCH, cut, put_together


@pytest.mark.parametrize(("rows", "columns"), [(112, 112), (224, 150), (20, 300)])
def test_tiles_come_back_together(rows, columns):
    image = np.random.default_rng(0).random((3, rows, columns), np.float32)
    tiles = cut(image)
    assert tiles.shape[1:] == (3, PATCH, PATCH)
    np.testing.assert_array_equal(put_together(tiles, rows, columns), image)


def test_borders_are_the_tiles_own_pixels():
    image = np.arange(112 * 224, dtype=np.float32).reshape(1, 112, 224)
    left, right = cut(image)
    np.testing.assert_array_equal(left[0, BORDER:-BORDER, -BORDER], image[0, :, 111])
    np.testing.assert_array_equal(right[0, BORDER:-BORDER, BORDER - 1], image[0, :, 112])
