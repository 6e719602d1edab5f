# SPDX-License-Identifier: Apache-2.0
"""Rasters written by GDAL whose failures are errors: GDAL only logs some, or loses them when it closes a file."""

from collections.abc import Sequence
from pathlib import Path

from osgeo import gdal

from chain.raster.gdal_memory import new_name, reported_errors

gdal.UseExceptions()


def write_picture(path: Path, driver: str, dataset: gdal.Dataset, argument: str = "--output") -> None:
    """Write a small raster. Python writes the bytes, after GDAL has made them in memory: it reports a full disk.

    Args:
        path: the file.
        driver: GDAL's name of its format.
        dataset: the pixels.
        argument: name of the option, for errors.

    Raises:
        OSError: the disk refuses, or GDAL does.
    """
    name = new_name("picture", path.suffix.strip(".") or "bin")
    try:
        write_copy(Path(name), driver, dataset, (), argument)
        stream = gdal.VSIFOpenL(name, "rb")
        content = bytes(gdal.VSIFReadL(1, gdal.VSIStatL(name).size, stream))
        gdal.VSIFCloseL(stream)
    finally:
        gdal.Unlink(name)
    with open(path, "wb") as file:
        file.write(content)


def write_copy(
    path: Path,
    driver: str,
    dataset: gdal.Dataset,
    options: Sequence[str],
    argument: str = "--output",
    bands: Sequence[int] = (),
) -> None:
    """Write a copy of a raster, and close it; see that all of its blocks are in the file.

    Args:
        path: the file.
        driver: GDAL's name of its format.
        dataset: the raster.
        options: those of the format.
        argument: name of the option, for errors.
        bands: numbers of the bands that are taken; none for all.

    Raises:
        OSError: the disk refuses, or GDAL does.
    """
    with reported_errors() as errors:
        try:
            gdal.Translate(
                str(path), dataset, format=driver, bandList=list(bands) or None, creationOptions=list(options)
            )
        except RuntimeError as error:
            errors.append(str(error))
    if errors:
        raise OSError(f"{argument}: expected a disk that takes {path.name}, got {errors[0]}")
    if driver in ("GTiff", "COG"):
        check_whole(path, argument)


def check_whole(path: Path, argument: str = "--output") -> None:
    """See that all blocks of a GeoTIFF, its overviews' and its masks' too, are within the file.

    Raises:
        OSError: one is not.
    """
    size = gdal.VSIStatL(str(path)).size
    dataset = gdal.Open(str(path))
    whole = [dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1)]
    for band in [*whole, *(each.GetOverview(level) for each in whole for level in range(each.GetOverviewCount()))]:
        width, height = band.GetBlockSize()
        for y in range(-(-band.YSize // height)):
            for x in range(-(-band.XSize // width)):
                offset = int(band.GetMetadataItem(f"BLOCK_OFFSET_{x}_{y}", "TIFF") or 0)
                count = int(band.GetMetadataItem(f"BLOCK_SIZE_{x}_{y}", "TIFF") or 0)
                if offset + count > size:
                    raise OSError(
                        f"{argument}: expected a disk that takes {path.name}, got {size} of {offset + count} bytes"
                    )
