# SPDX-License-Identifier: Apache-2.0
"""Small scenes whose products are known, and how the program is run on them."""

from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.sentinel2.bands import BANDS
from inference import dsen2

LEFT, TOP = 300000.0, 5000040.0


ALL = tuple(band for band in BANDS if band != "B10")


FILES = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}


ROWS, COLUMNS = 126, 162


def expected(pixels, band):
    """Return a band of the product of the networks that repeat pixels."""
    factor = round(BANDS[band] / 10)
    return np.repeat(np.repeat(pixels[band], factor, 0), factor, 1)


def infer(inputs, output, models, *more):
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    where = ["--output-dir" if Path(output).suffix == "" else "--output", str(output)]
    models = ["--model-dir", str(models)] if models else []
    return dsen2.main(["--input", *map(str, inputs), *where, *models, "--tile-size", "48", *more])


def read(path):
    dataset = gdal.Open(str(path))
    bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
    return {band.GetDescription(): band.ReadAsArray() for band in bands}, dataset


def error_of(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if " error: " in line]
    assert len(lines) == 1, lines
    return lines[0]


def check_product(path, pixels, bands=ALL, offset=0):
    result, dataset = read(path)
    assert tuple(result) == bands
    for band in bands:
        np.testing.assert_array_equal(result[band], expected(pixels, band).astype(int) + offset)
    return dataset


def write_safe(folder, pixels, write_raster, level, offset_element="", skip=()):
    """Write a SAFE product of JPEG 2000 files, with the copies at other resolutions that L2A has."""
    name = f"S2A_MSI{level}_20200101T000000_N0400_R000_T31UDQ_20200101T000000.SAFE"
    images = folder / name / "GRANULE" / "L_T31UDQ" / "IMG_DATA"
    for band in (*ALL, "B10") if level == "L1C" else ALL:
        gsd = round(BANDS[band])
        copies = [gsd] if level == "L1C" or gsd == 60 else [gsd, 60]
        for size in copies:
            place = images if level == "L1C" else images / f"R{size}m"
            place.mkdir(parents=True, exist_ok=True)
            step = size // gsd
            raster = write_raster("band.tif", pixels[band][::step, ::step], gsd=float(size))
            suffix = "" if level == "L1C" else f"_{size}m"
            options = ["REVERSIBLE=YES", "QUALITY=100"]
            gdal.Translate(
                str(place / f"T31UDQ_x_{band}{suffix}.jp2"),
                str(raster),
                format="JP2OpenJPEG",
                creationOptions=options,
            )
    if level == "L2A":
        classes = np.full(pixels["B05"].shape, 4, np.uint8)
        classes[10:20, 30:50] = 9
        raster = write_raster("scl.tif", classes, gsd=20.0)
        gdal.Translate(
            str(images / "R20m" / "T31UDQ_x_SCL_20m.jp2"),
            str(raster),
            format="JP2OpenJPEG",
            creationOptions=["REVERSIBLE=YES", "QUALITY=100"],
        )
    tag = "BOA" if level == "L2A" else "RADIO"
    offsets = "".join(f'<{tag}_ADD_OFFSET band_id="{k}">-1000</{tag}_ADD_OFFSET>' for k in range(13))
    text = f"<r><PROCESSING_BASELINE>04.00</PROCESSING_BASELINE><PRODUCT_URI>{name}</PRODUCT_URI>{offsets}</r>"
    (folder / name / f"MTD_MSI{level}.xml").write_text(text)
    return folder / name
