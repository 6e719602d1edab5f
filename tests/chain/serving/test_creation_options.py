# SPDX-License-Identifier: Apache-2.0
"""Options of GDAL's COG driver: what it has, and what leaves a product's promises as they are."""

import pytest

from chain.serving.options import FileOptions


@pytest.mark.parametrize(
    "words",
    [
        ("COMPRESS=ZSTD", "LEVEL=9"),
        ("compress=lzw", "PREDICTOR=NO"),
        ("COMPRESS=NONE",),
        ("COMPRESS=LERC_DEFLATE",),
        ("BLOCKSIZE=256", "OVERVIEW_RESAMPLING=NEAREST", "BIGTIFF=YES", "NUM_THREADS=2"),
    ],
)
def test_what_leaves_pixels_as_they_are_is_taken(words):
    assert FileOptions(co=words).co == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("COMPRESS",), "expected NAME=VALUE, got 'COMPRESS'"),
        (("TILED=YES",), "expected options of GDAL's COG driver .*, got TILED"),
        (("TARGET_SRS=EPSG:3857",), "expected options that leave pixels, grid and overviews as they are .* TARGET_SRS"),
        (("OVERVIEWS=NONE",), "expected options that leave pixels, grid and overviews .* OVERVIEWS"),
        (("MAX_Z_ERROR=2",), "expected options that leave pixels, grid and overviews .* MAX_Z_ERROR"),
        (("COMPRESS=JPEG",), r"COMPRESS: expected one of .* \(compressions without loss\), got JPEG"),
        (("OVERVIEW_COMPRESS=WEBP",), "OVERVIEW_COMPRESS: expected one of .*, got WEBP"),
        (("BLOCKSIZE=500",), "BLOCKSIZE: expected an integer of at least 128 that is a multiple of 16, got 500"),
        (("LEVEL=9", "level=3"), "expected each only once, got LEVEL twice"),
        (("GEOTIFF_VERSION=7",), "GEOTIFF_VERSION: expected one of AUTO, 1.0, 1.1, got 7"),
    ],
)
def test_all_else_is_refused_by_name(words, message):
    with pytest.raises(ValueError, match=f"^--co: {message}"):
        FileOptions(co=words)
