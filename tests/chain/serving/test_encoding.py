# SPDX-License-Identifier: Apache-2.0
"""Numbers of products: a valid pixel is never nodata, whatever nodata is."""

import numpy as np
import pytest

from chain.serving.encoding import check_nodata, encode
from chain.serving.sums import Sums

VALUES = np.array([[-3, 0, 0.4, 1, 9.6, 10, 10.4, 65534.6, 70000, 10]], np.float32)
VALID = np.array([[True] * 9 + [False]])


@pytest.mark.parametrize(
    ("nodata", "expected"),
    [
        (None, [1, 1, 1, 1, 10, 10, 10, 65535, 65535, 0]),
        (0, [1, 1, 1, 1, 10, 10, 10, 65535, 65535, 0]),
        (10, [0, 0, 0, 1, 11, 11, 11, 65535, 65535, 10]),
        (65535, [0, 0, 0, 1, 10, 10, 10, 65534, 65534, 65535]),
    ],
)
def test_valid_pixels_of_the_nodata_value_get_the_next_one(nodata, expected):
    found = encode({"B04": (VALUES, VALID)}, "uint16", nodata)
    assert found.ravel().tolist() == expected
    valid = np.array(expected)[VALID.ravel()]
    sums = Sums.of(found[0], nodata)
    assert (sums.count, sums.minimum, sums.maximum, sums.total) == (9, valid.min(), valid.max(), valid.sum())


def test_floats_move_to_the_next_float():
    values = np.array([[-9999.0, 0.5, np.nan]], np.float32)
    found = encode({"B04": (values, np.array([[True, True, False]]))}, "float32", -9999)
    assert found[0, 0, 0] == np.nextafter(np.float32(-9999), np.float32(np.inf)) and found[0, 0, 1] == np.float32(0.5)
    assert found[0, 0, 2] == -9999 and Sums.of(found[0], -9999).count == 2


@pytest.mark.parametrize("nodata", [-1, 65536, 0.5])
def test_numbers_that_the_type_does_not_have_are_refused(nodata):
    with pytest.raises(ValueError, match="^--nodata: expected a whole number from 0 to 65535 for uint16, got "):
        check_nodata(nodata, "uint16")
    check_nodata(nodata, "float32")
