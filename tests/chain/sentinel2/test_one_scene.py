# SPDX-License-Identifier: Apache-2.0
"""Files of two dates or tiles, which fit each other on the grid, are not taken for one scene."""

from datetime import datetime

import pytest

from chain.sentinel2.bands import detector_in_name, tile_in_name, time_in_name
from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import check_native, native, write_files

FIRST = "T48QUE_20200223T033811_{band}"
OF_ONE = "S2A_MSIL2A_20200223T033811_N0214_R061_T48QUE_20200223T071529_{band}"


@pytest.fixture(scope="module")
def pixels():
    return native(60)


def written(folder, pixels, stem, bands):
    return [*write_files(folder, {band: pixels[band] for band in bands}, stem).values()]


@pytest.mark.parametrize(
    "other, stated",
    [
        ("T48QUE_20200304T033811_{band}", "2020-03-04 03:38:11"),
        ("T48QVE_20200223T033811_{band}", "T48QVE"),
        ("SENTINEL2B_20200304-033542-123_L2A_T48QUE_C_V2-2_{band}", "2020-03-04 03:35:42"),
    ],
)
@pytest.mark.parametrize("as_folder", [True, False])
def test_files_of_two_dates_or_tiles_are_refused(tmp_path, pixels, other, stated, as_folder):
    folder = tmp_path / "in"
    files = written(folder, pixels, FIRST, ("B02", "B03", "B04", "B08"))
    files += written(folder, pixels, other, ("B05", "B8A"))
    with pytest.raises(ValueError, match=rf"expected files of one scene, got .* of another .*(?:and|:) {stated}"):
        open_product(folder if as_folder else files, offset=0)


def test_files_named_otherwise_by_one_product_or_not_at_all_are_of_one_scene(tmp_path, pixels):
    files = written(tmp_path, pixels, FIRST, ("B02", "B03")) + written(tmp_path, pixels, OF_ONE, ("B04", "B08"))
    files += written(tmp_path, pixels, "mine_{band}", ("B05", "B8A"))
    check_native(open_product(files, offset=0), {band: pixels[band] for band in ("B02", "B04", "B8A")})


def test_names_state_a_moment_and_a_tile():
    assert time_in_name("SENTINEL2B_20200223-033542-123_L2A_T48QUE_C_V2-2") == datetime(2020, 2, 23, 3, 35, 42)
    assert time_in_name(OF_ONE) == datetime(2020, 2, 23, 3, 38, 11)
    assert tile_in_name(OF_ONE) == "T48QUE" and tile_in_name("T48QUE_T48QVE_mosaic") is None
    granule = "S2A_OPER_MSI_L1B_GR_MTI__20150813T201603_S20150813T101657_D05_B02"
    assert (detector_in_name(granule), time_in_name(granule)) == ("D05", datetime(2015, 8, 13, 10, 16, 57))
