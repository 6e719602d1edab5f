# SPDX-License-Identifier: Apache-2.0
"""Bands that are copies of each other are told; those of few numbers, and of other sizes, are not."""

import numpy as np
import pytest

from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import ORDER, fine, native, reason_of, write, write_files


@pytest.fixture(scope="module")
def pixels():
    return native(120)


@pytest.mark.parametrize("one, other", [("B02", "B03"), ("B05", "B8A"), ("B01", "B09")])
@pytest.mark.parametrize("in_files", [True, False])
def test_copies_of_a_band_are_told(tmp_path, pixels, caplog, one, other, in_files):
    made = {**pixels, other: pixels[one]}
    files = [*write_files(tmp_path / "in", made).values()]
    image = open_product(files if in_files else write(tmp_path / "s.tif", [*fine(made).values()], ORDER), offset=0)
    said = f"pixels: {one} and {other} hold the same (no two bands of Sentinel-2 do)"
    assert said in reason_of(image, "pixels") and [said in message for message in caplog.messages] == [True]


def test_bands_of_few_numbers_may_be_alike(tmp_path, pixels, caplog):
    open_product([*write_files(tmp_path, pixels).values()], offset=0)
    flat = [np.full((60, 60), 2000, np.uint16)] * 4
    open_product(write(tmp_path / "flat.tif", flat, ("B02", "B03", "B04", "B05")), offset=0)
    assert not any("hold the same" in message for message in caplog.messages)
