# SPDX-License-Identifier: Apache-2.0
"""Mosaics of parts with and without the offset are refused or told; one scene, whatever is in it, is neither."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, uniform_filter

from chain.raster.grids import Region
from chain.sentinel2.image import open_product
from chain.sentinel2.mixed_offsets import jumps_of, mixed_offsets, parts_of
from tests.chain.sentinel2.scenes import BANDS, ORDER, fine, native, ratio_of, reason_of, write, write_files
from tests.examples import slow

USED = tuple(band for band in ORDER if BANDS[band] <= 20)
SEAM = "expected one offset for all of a mosaic, got numbers that jump by about 1000 in all bands along a line near col"


def side(shape, angle=0.0, share=0.5, waves=0.0):
    """Return which pixels are on one side of a line through an image, at an angle in degrees."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    across = columns * np.cos(np.radians(angle)) + rows * np.sin(np.radians(angle)) + waves * np.sin(rows / 20)
    return across >= np.quantile(across, 1 - share)


def merged(pixels, is_high):
    """Return a mosaic on 10 m of native pixels, 1000 higher where it is told."""
    return {band: (array + 1000 * is_high).astype(np.uint16) for band, array in fine(pixels).items()}


@pytest.mark.parametrize(
    "kind, line",
    [
        slow("stack", {}),
        slow("reflectance", {"angle": 90, "share": 0.25}),
        ("four bands", {"angle": 35}),
        ("unplaced", {"angle": 20, "waves": 8}),
        slow("int16", {"angle": 200, "share": 0.3}),
    ],
)
def test_a_mosaic_of_parts_with_and_without_an_offset_is_refused_or_told(tmp_path, kind, line, caplog):
    pixels = merged(native(240), side((240, 240), **line))
    bands = ("B02", "B03", "B04", "B08") if kind == "four bands" else ORDER
    arrays = [pixels[band] / np.float32(1e4) if kind == "reflectance" else pixels[band] for band in bands]
    if kind == "int16":
        arrays = [array.astype(np.int16) for array in arrays]
    how = {"place": False, "epsg": None} if kind == "unplaced" else {}
    source = write(tmp_path / "s.tif", arrays, bands, **how)
    with pytest.raises(ValueError, match=SEAM) as error:
        open_product(source)
    assert "or pass --offset" in str(error.value) and "\n" not in str(error.value)
    image = open_product(source, offset=0)
    assert "jump by about 1000" in reason_of(image, "pixels") and len(caplog.messages) == 1


def test_native_files_of_a_mosaic_are_refused(tmp_path):
    pixels = native(240)
    made = {}
    for band, array in pixels.items():
        ratio = ratio_of(band)
        made[band] = (array + 1000 * side((240, 240), 30)[::ratio, ::ratio]).astype(np.uint16)
    with pytest.raises(ValueError, match=SEAM):
        open_product([*write_files(tmp_path, made).values()])


def test_parts_that_missing_pixels_separate_are_held_against_each_other(tmp_path):
    is_high = side((240, 240), 35)
    gap = binary_dilation(is_high, iterations=12) & ~is_high
    pixels = {
        band: np.where(gap, 0, array).astype(np.uint16)
        for band, array in merged(native(240, bands=USED), is_high).items()
    }
    with pytest.raises(ValueError, match="got no numbers below 950 in a part near column .*, and many in one near col"):
        open_product(write(tmp_path / "s.tif", [*pixels.values()], USED))
    level = {band: np.where(gap, 0, array) for band, array in fine(native(240, bands=USED)).items()}
    open_product(write(tmp_path / "l.tif", [*level.values()], USED))


@pytest.mark.slow
def test_a_seam_between_the_windows_of_a_large_image_is_found(tmp_path):
    bands = ("B02", "B03", "B04", "B08")
    pixels = merged(native(1104, bands=bands), side((1104, 1104), share=0.775))
    with pytest.raises(ValueError, match=SEAM) as error:
        open_product(write(tmp_path / "s.tif", [*pixels.values()], bands))
    (column,) = re.findall(r"near column (\d+)", str(error.value))
    assert abs(int(column) - 248) < 30


def test_one_scene_is_none(tmp_path, caplog):
    rng = np.random.default_rng(1)
    cloud = np.clip(uniform_filter(rng.standard_normal((240, 240)), 25) * 60, 0, 1)
    pixels = fine(native(240))
    for number, band in enumerate(pixels):
        top = (4000 + 20 * number) * (1 + 0.02 * rng.standard_normal(cloud.shape))
        pixels[band] = (pixels[band] * (1 - cloud) + top * cloud).astype(np.uint16)
    open_product(write(tmp_path / "s.tif", [*pixels.values()], ORDER))
    assert not caplog.messages
    for add in (0, 1000):
        source = {band: write(tmp_path / f"{add}{band}.tif", [pixels[band] + add]) for band in USED}
        assert mixed_offsets(source) == ("", False)


def test_bands_that_tell_too_little_are_not_looked_at(tmp_path):
    pixels = merged(native(120), side((120, 120)))
    for bands in (("B02", "B03"), ("B04", "B08", "B11"), ("B01", "B09")):
        assert mixed_offsets({band: write(tmp_path / f"{band}.tif", [pixels[band]]) for band in bands}) == ("", False)


@given(
    angle=st.floats(0, 360),
    share=st.floats(0.25, 0.75),
    waves=st.floats(0, 6),
    step=st.sampled_from((0, 300, 600, 1000, 1500, 3000)),
    seed=st.integers(0, 9),
)
def test_lines_are_seams_where_all_bands_jump_by_1000(angle, share, waves, step, seed):
    pixels = native(192, seed, USED)
    cells = np.stack([array if BANDS[band] == 20 else array[::2, ::2] for band, array in pixels.items()])
    order = sorted(range(len(USED)), key=lambda index: (USED[index] not in ("B02", "B03", "B04"), USED[index]))
    cells, bands = cells[order].astype(float), [USED[index] for index in order]
    made = cells + step * side(cells.shape[1:], angle, share, waves)
    assert any(jump.is_suspected() for jump in jumps_of(bands, made)) == (step == 1000)
    assert {part.carries for part in parts_of(bands, Region(0, 0, 192, 192), cells)} == {False}
