# SPDX-License-Identifier: Apache-2.0
"""Files of one scene of which some were harmonised and others not."""

import numpy as np
import pytest

from chain.sentinel2.bands import BANDS
from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import check_stack, native, reason_of, write_files, write_stack
from tests.examples import slow


@pytest.mark.parametrize(
    "kind, fine_add, coarse_add, side",
    [
        ("files", 0, 1000, "above"),
        ("files", 1000, 0, "below"),
        ("stack", 0, 1000, "above"),
        ("unplaced", 1000, 0, "below"),
        slow("large", 0, 1000, "above"),
        slow("large", 1000, 0, "below"),
    ],
)
def test_bands_that_were_harmonised_in_part_are_refused_or_told(tmp_path, fine_add, coarse_add, side, kind, caplog):
    pixels = native(2400 if kind == "large" else 120, bands=("B02", "B04", "B08", "B05", "B07", "B8A"))
    made = {band: array + np.uint16(fine_add if BANDS[band] == 10 else coarse_add) for band, array in pixels.items()}
    how = {"place": False, "epsg": None} if kind == "unplaced" else {}
    source = (
        write_stack(tmp_path / "s.tif", made) if kind == "stack" else [*write_files(tmp_path, made, **how).values()]
    )
    with pytest.raises(
        ValueError, match=f"one offset for all bands, got numbers of B07 and B8A about 1000 {side} those"
    ):
        open_product(source)
    image = open_product(source, offset=-1000)
    said = (
        f"numbers of B07 and B8A about 1000 {side} those of B08 on the same ground, as if one offset did not hold for"
    )
    assert image.offset == -1000 and said in reason_of(image, "pixels") and len(caplog.messages) == 1
    assert said in caplog.messages[0] and "(--offset -1000)" in caplog.messages[0]


@pytest.mark.parametrize("silent_add", [0, 1000])
def test_files_that_state_nothing_beside_others_are_held_against_their_pixels(tmp_path, silent_add):
    pixels = native(120)
    bands = ("B02", "B03", "B04", "B08")
    stated = {band: pixels[band] + np.uint16(1000) for band in bands[:2]}
    silent = {band: pixels[band] + np.uint16(silent_add) for band in bands[2:]}
    files = [
        *write_files(tmp_path, stated, scale=0.0001, offset=-0.1).values(),
        *write_files(tmp_path, silent).values(),
    ]
    if silent_add:
        check_stack(open_product(files), {band: pixels[band] for band in bands})
    else:
        with pytest.raises(ValueError, match="got -1000 stated of B02, B03, and nothing of B04, B08, with pixels that"):
            open_product(files)
