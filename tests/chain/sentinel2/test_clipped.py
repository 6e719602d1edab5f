# SPDX-License-Identifier: Apache-2.0
"""Numbers that were divided and clipped at 1 are no reflectance; other clipped ones are told, and clouds are clouds."""

import numpy as np
import pytest

from chain.sentinel2.image import open_product
from chain.sentinel2.reading import Reading
from tests.chain.sentinel2.scenes import check_stack, fine, native, reason_of, write, write_files
from tests.examples import slow

ORDER = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
FIELDS = ("B06", "B07", "B08", "B8A")
"""Bands that vegetation is bright in."""


@pytest.fixture(scope="module")
def pixels():
    """A landscape of which a quarter is vegetation."""
    made = native(120, bands=ORDER)
    for band in FIELDS:
        field = made[band][: len(made[band]) // 4]
        field[:] = field // 8 + 4000
    for band in {*made} - {*FIELDS}:
        made[band][: len(made[band]) // 4] //= 4
    return made


def clipped(pixels, divisor, most, dtype="float32"):
    return {band: np.minimum(array / divisor, most).astype(dtype) for band, array in pixels.items()}


@pytest.mark.parametrize(
    "in_files, divisor",
    [
        (True, 3000),
        (False, 2000),
        slow(True, 2000),
        slow(False, 3000),
    ],
)
def test_numbers_that_were_divided_and_clipped_ask_for_their_scale(tmp_path, pixels, divisor, in_files):
    made = clipped(pixels, divisor, 1)
    files = [*write_files(tmp_path / "in", {band: made[band] for band in ("B02", "B03", "B04", "B08")}).values()]
    source = files if in_files else write(tmp_path / "s.tif", [*fine(made).values()], ORDER)
    message = (
        "expected reflectance, got 1, the highest number of B08, in .* where B04 is below half of it, .*: pass --sca"
    )
    with pytest.raises(ValueError, match=message):
        open_product(source)
    image = open_product(source, reading=Reading(offset=0, scale=divisor / 10000))
    assert "1, the highest number of B08, in " in reason_of(image, "pixels")


@pytest.mark.parametrize(
    "divisor, most, dtype",
    [(1, 3000, "uint16"), (10000, 0.3, "float32"), slow(1, 4095, "int16")],
)
def test_other_numbers_that_were_clipped_are_told(tmp_path, pixels, caplog, divisor, most, dtype):
    made = clipped(pixels, divisor, most, dtype)
    image = open_product(write(tmp_path / "s.tif", [*fine(made).values()], ORDER), offset=0)
    said = f"pixels: {most:g}, the highest number of B08, in "
    assert said in reason_of(image, "pixels") and [said in message for message in caplog.messages] == [True]
    expected = {band: np.minimum(array, most * (10000 if divisor > 1 else 1)) for band, array in pixels.items()}
    check_stack(image, expected, tolerance=1e-2)


@pytest.mark.parametrize(
    "infrared, dtype",
    [
        (1.0, "uint16"),
        (0.6, "float32"),
        slow(1.0, "float32"),
        slow(0.6, "uint16"),
    ],
)
def test_clouds_and_snow_that_are_clipped_are_none(tmp_path, pixels, caplog, dtype, infrared):
    """They are bright in the visible too, if dark in the short-wave infrared."""
    factor = 10000 if dtype == "float32" else 1
    made = {}
    for band, array in pixels.items():
        bright = 0.1 if band in ("B11", "B12") else infrared if band in FIELDS else 1.0
        array = array.copy()
        array[-len(array) // 5 :] = 10000 * bright
        made[band] = (array / factor).astype(dtype)
    open_product(write(tmp_path / "s.tif", [*fine(made).values()], ORDER), offset=0)
    assert not caplog.messages


def test_numbers_that_were_not_clipped_are_none(tmp_path, pixels, caplog):
    open_product(write(tmp_path / "s.tif", [*fine(pixels).values()], ORDER), offset=0)
    rounded = {band: (array // 500 * 500).astype(np.uint16) for band, array in pixels.items()}
    open_product(write(tmp_path / "r.tif", [*fine(rounded).values()], ORDER), offset=0)
    assert not caplog.messages
