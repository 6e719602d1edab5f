# SPDX-License-Identifier: Apache-2.0
"""The digital numbers of Sentinel-2 rasters: what is none, and by which offset they carry reflectance.

The offset of 1000 (baseline 04.00 on) is what the raster states, in its bands, its metadata or its name. Where nothing
states it, many numbers far below 1000 prove that there is none.
"""

from collections.abc import Sequence

import numpy as np
from osgeo import gdal

from chain.sentinel2.bands import NODATA, OFFSET_HELP, baseline_in_name, offset_of_baseline

FLOATING = (gdal.GDT_Float32, gdal.GDT_Float64)
LARGEST = 1000000
"""Floating point numbers from here on, and those that are not numbers, are no digital numbers: OTB reads an infinite
one as the largest of its type."""
LOWEST = -1000
"""Digital numbers below are none, but mean that there is no data."""
LARGEST_REFLECTANCE = 10.0
"""An image of floating point numbers up to here is one of reflectance."""
IMPOSSIBLE_WITH_OFFSET = ((500, 0.01), (800, 0.1))
"""Digital numbers, and the share of a band's pixels below them from which the band carries no offset of 1000: these
would be reflectances below -0.05, or below -0.02 over large areas, which atmospheric correction does not leave."""
SAMPLED_SIDE = 512
"""Pixels along each side of a raster, at most, of which the numbers are looked at."""


def check_digital_numbers(dataset: gdal.Dataset, numbers: Sequence[int], path: str) -> None:
    """Refuse pictures of 8 bits and reflectance, which would be taken for very dark digital numbers, and odd nodata.

    Args:
        dataset: a raster.
        numbers: its bands, counted from 1.
        path: its name, for errors.

    Raises:
        ValueError: its bands hold no digital numbers.
    """
    bands = [dataset.GetRasterBand(number) for number in numbers]
    if any(band.DataType == gdal.GDT_Byte for band in bands):
        raise ValueError(f"{path}: digital numbers, 10000 x reflectance, are wanted. Received: 8 bits")
    samples = [sampled(band) for band in bands if band.DataType != gdal.GDT_UInt16]
    samples = [values for values in samples if values.size]
    if not samples:
        return
    lowest, largest = min(values.min() for values in samples), max(values.max() for values in samples)
    if lowest < LOWEST:
        raise ValueError(
            f"{path}: digital numbers, and nodata that the raster declares, are wanted. Received: {lowest:g}, "
            "undeclared (gdal_edit.py -a_nodata declares it)"
        )
    if all(band.DataType in FLOATING for band in bands) and 0 < largest <= LARGEST_REFLECTANCE:
        raise ValueError(
            f"{path}: digital numbers, 10000 x reflectance, are wanted. Received: values up to {largest:g}"
        )


def sampled(band: gdal.Band) -> np.ndarray:
    """Return a sample of the valid digital numbers of a band; none where it cannot be read, which its use will say."""
    columns, rows = (min(size, SAMPLED_SIDE) for size in (band.XSize, band.YSize))
    try:
        values = band.ReadAsArray(buf_xsize=columns, buf_ysize=rows).astype(np.float64)
    except RuntimeError:
        return np.empty(0)
    nodata = band.GetNoDataValue()
    return values[(np.abs(values) < LARGEST) & (values != NODATA) & (values != (NODATA if nodata is None else nodata))]


def raster_offset(dataset: gdal.Dataset, numbers: Sequence[int], path: str) -> int | None:
    """Return the offset which a raster states by its bands' scale and offset, its metadata or its path, or proves.

    Args:
        dataset: the raster.
        numbers: the bands that it has to hold for, counted from 1.
        path: its name.

    Returns:
        The offset, 0 or -1000 as a rule; None where it is not known.

    Raises:
        ValueError: statements contradict each other, or are no numbers.
    """
    bands = [dataset.GetRasterBand(number) for number in numbers]
    stated = {
        round(band.GetOffset() / band.GetScale()) if band.GetScale() and band.GetOffset() is not None else None
        for band in bands
    }
    if len(stated) == 1 and None not in stated:
        return stated.pop()
    metadata = dataset.GetMetadata()
    for key in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        if key in metadata:
            try:
                return round(float(metadata[key]))
            except ValueError:
                raise ValueError(
                    f"{path}: a number is wanted in {key}, or --offset. Received: {metadata[key]}"
                ) from None
    baseline = metadata.get("PROCESSING_BASELINE") or baseline_in_name(path)
    if len(stated) > 1:
        raise ValueError(f"{path}: one offset is wanted. Received: several ones: {OFFSET_HELP}")
    of_baseline = offset_of_baseline(baseline or "")
    if of_baseline is not None:
        return of_baseline
    return 0 if any(_disproves_offset(band) for band in bands) else None


def _disproves_offset(band: gdal.Band) -> bool:
    """Return whether many valid digital numbers are lower than any that carry an offset of 1000."""
    valid = sampled(band)
    return valid.size > 0 and any(np.mean(valid < number) > share for number, share in IMPOSSIBLE_WITH_OFFSET)
