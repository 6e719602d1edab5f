# SPDX-License-Identifier: Apache-2.0
"""Images of DeepSUM as the challenge takes them: PNG of 16 bits, and the zip of 290 of them.

write_image(Path("imgset1160.png"), image)
write_submission(Path("submission.zip"), Path("predictions"))
"""

import zipfile
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.vsi import refuse_devices
from chain.raster.writing import write_picture
from chain.runtime.command_line import one_line
from chain.runtime.files import whole_file

gdal.UseExceptions()

SIDE = 384
"""Rows and columns of the challenge's images."""
FIRST, LAST = 1160, 1449
"""Numbers of the first and of the last scene of the challenge's test."""
LISTED = 5
"""Faults that are named."""


def digital_numbers(image: np.ndarray) -> np.ndarray:
    """Round an image to uint16, clipped to 0..65535."""
    return np.rint(np.clip(image, 0, 65535)).astype(np.uint16)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image (rows, columns) as PNG or TIFF of 16 bits, whole or not at all.

    Args:
        path: `.png`, or `.tif` for a TIFF without georeference.
        image: digital numbers, rounded and clipped if need be.

    Raises:
        OSError: the disk refuses.
    """
    pixels = digital_numbers(image)
    memory = gdal.GetDriverByName("MEM").Create("", pixels.shape[1], pixels.shape[0], 1, gdal.GDT_UInt16)
    memory.WriteArray(pixels)
    with whole_file(path) as partial:
        write_picture(partial, "PNG" if path.suffix.lower() == ".png" else "GTiff", memory)


def read_image(path: Path) -> np.ndarray:
    """Read an image of one band and 16 bits (rows, columns).

    Raises:
        ValueError: it cannot be read, or is no such image.
    """
    refuse_devices(str(path))
    try:
        dataset = gdal.OpenEx(str(path), gdal.OF_RASTER, allowed_drivers=["PNG", "GTiff"])
        kind, bands = dataset.GetRasterBand(1).DataType, dataset.RasterCount
        pixels = dataset.ReadAsArray()
    except RuntimeError as error:
        raise ValueError(f"{path}: expected an image that can be read, got {one_line(error)}") from error
    if bands != 1 or kind != gdal.GDT_UInt16:
        raise ValueError(f"{path}: expected one band of 16 bits, got {bands} of {gdal.GetDataTypeName(kind)}")
    return pixels


def write_submission(path: Path, folder: Path) -> None:
    """Pack the images of a folder for the challenge, whole or not at all.

    Args:
        path: the zip.
        folder: where all of `imgset1160.png` to `imgset1449.png` lie, and no other PNG.

    Raises:
        ValueError: images lack, or are no PNG of 16 bits and 384 x 384 pixels; or others are there.
        OSError: the disk refuses.
    """
    expected = {f"imgset{number:04d}.png" for number in range(FIRST, LAST + 1)}
    there = {file.name for file in folder.glob("*.png")}
    missing, others = sorted(expected - there), sorted(there - expected)
    if missing or others:
        parts = [f"{len(expected & there)} of {len(expected)}"] if missing else []
        parts += [f"without {_some(missing)}"] if missing else []
        parts += [f"beside {len(others)} of other names: {_some(others)}"] if others else []
        raise ValueError(
            f"--submission: expected {len(expected)} images {min(expected)} to {max(expected)} in {folder}, "
            f"got {', '.join(parts)}"
        )
    faults = [fault for name in sorted(expected) if (fault := _fault(folder / name))]
    if faults:
        raise ValueError(
            f"--submission: expected PNG of one band, 16 bits and {SIDE} x {SIDE} pixels, "
            f"got {len(faults)} others: {_some(faults)}"
        )
    with whole_file(path, "--submission") as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(expected):
            archive.write(folder / name, name)


def _fault(path: Path) -> str:
    """Say what is wrong with an image of a submission; nothing where it is right."""
    try:
        rows, columns = read_image(path).shape
    except ValueError as error:
        return f"{path.name} ({str(error).partition(', got ')[2]})"
    return "" if (rows, columns) == (SIDE, SIDE) else f"{path.name} ({rows} x {columns})"


def _some(names: list[str]) -> str:
    """Join the first few of some names."""
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
