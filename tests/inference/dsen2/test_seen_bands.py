# SPDX-License-Identifier: Apache-2.0
"""Bands without data that networks see: they made the others of what was filled in, without a word."""

import numpy as np
import pytest

from tests.inference.dsen2.scenes import FILES, error_of, infer

pytestmark = pytest.mark.keras


def blank(bands, columns=slice(None), level=None):
    """Return what changes a cube of `FILES`: these bands without data, and the others of this level if one is given."""

    def change(cube, gsd):
        cube = cube.copy()
        if level:
            cube[...] = level
        for index, band in enumerate(FILES[gsd]):
            if band in bands:
                cube[:, columns, index] = 0
        return cube

    return change


def told(inputs, models, tmp_path, *more):
    """Open a scene, without computing."""
    return infer(inputs, tmp_path / "sr.tif", models, "--info", *more)


@pytest.mark.parametrize(
    "bands, advice",
    [
        (("B02",), "; --bands B03,B04,B08 needs none of these"),
        (("B01",), "; --bands B02,B03,B04,B05,B06,B07,B08,B8A,B11,B12 needs none of these"),
        (FILES[10], ""),
    ],
)
def test_a_band_without_any_data_is_refused(files, models, tmp_path, capsys, bands, advice):
    assert told(files(change=blank(bands)), models, tmp_path) == 1
    found = f": expected pixels of {', '.join(bands)}, which networks see, got nodata only{advice}"
    assert error_of(capsys).endswith(found)


def test_bands_that_no_network_sees_may_be_blank(files, models, tmp_path, capsys):
    names = files(change=blank(("B01", "B02")))
    assert told(names, models, tmp_path, "--bands", "B03,B04,B08") == 0
    assert told(files(change=blank(("B01",))), models, tmp_path, "--drop-bands", "B01,B09") == 0
    assert "missing" not in capsys.readouterr().err


def test_dark_pixels_of_the_sea_are_no_missing_band(files, models, tmp_path, capsys):
    """Old products of L2A hold 0 there."""
    assert told(files(change=blank(("B12",), level=40)), models, tmp_path, "--offset", "0") == 0
    assert "B12 (100%)" in capsys.readouterr().err


@pytest.mark.parametrize("columns, share", [(slice(78, None), "52%"), (slice(0), None)])
def test_parts_that_lack_a_band_are_told(files, models, tmp_path, capsys, columns, share):
    assert told(files(change=blank(("B08",), columns)), models, tmp_path) == 0
    told_of = f"missing on parts of the image where other bands are not: B08 ({share})"
    assert (told_of in capsys.readouterr().err) == bool(share)


@pytest.mark.parametrize("coarsest", [60, 20])
def test_a_hole_in_all_bands_is_none_of_one(files, models, tmp_path, capsys, coarsest):
    """Nor is it where the bands of 60 m are there, as at its edges."""

    def change(cube, gsd):
        cube = cube.copy()
        if gsd <= coarsest:
            cube[:, : 60 // (gsd // 10)] = 0
        return cube

    assert told(files(change=change), models, tmp_path) == 0
    assert "missing on parts" not in capsys.readouterr().err


def test_what_is_made_beside_such_a_part_says_so_in_its_record(files, models, tmp_path):
    output = tmp_path / "sr.tif"
    assert infer(files(change=blank(("B08",), np.s_[78:])), output, models, "--bands", "B05") == 0
    assert "B08 (52%)" in output.with_name("sr.tif.json").read_text()
