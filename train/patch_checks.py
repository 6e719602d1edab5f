# SPDX-License-Identifier: Apache-2.0
"""Whether patches are what a training can learn from: digital numbers, of the right bands, and others to validate on.

The patches of an image are stacked vertically; each is looked at once.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from osgeo import gdal

from chain.raster.opening import open_raster
from chain.runtime.progress import LOG
from chain.sentinel2.band_names import esa_band
from chain.sentinel2.bands import COMMON_NAMES
from chain.sentinel2.sampling import FLOATING

BRIGHTEST_REFLECTANCE = 2.0
"""Digital numbers of patches are not all below this."""
BYTES = (gdal.GDT_Byte,)
"""Types of pictures, which hold no digital numbers."""


def check_bands(path: Path, raster: gdal.Dataset, names: Sequence[str]) -> None:
    """Refuse patches whose bands are described as others.

    Args:
        path: the image of the patches, for errors.
        raster: the same, open.
        names: names of the bands, in order; where there are none, any are taken.

    Raises:
        ValueError: they are.
    """
    for number, name in enumerate(names[: raster.RasterCount], start=1):
        description = raster.GetRasterBand(number).GetDescription().strip()
        described = esa_band(description) or COMMON_NAMES.get(description.lower())
        if described and described != name:
            raise ValueError(
                f"--patches: expected the bands {', '.join(names)} in this order, got band {number} described as "
                f"{description} in {path}"
            )


def check_numbers(path: Path, raster: gdal.Dataset) -> None:
    """Refuse patches that are no digital numbers, or miss pixels.

    Args:
        path: the image of the patches, for errors.
        raster: the same, open.

    Raises:
        ValueError: there are missing ones, or reflectance, or 8 bits.
    """
    kind, nodata = raster.GetRasterBand(1).DataType, raster.GetRasterBand(1).GetNoDataValue()
    if kind in BYTES:
        raise ValueError(f"--patches: expected digital numbers, 10000 x reflectance, got 8 bits in {path}")
    largest = 0.0
    for number, values in enumerate(_patches(raster), start=1):
        missing = [
            text
            for text, is_so in (
                ("NaN or the like", not np.isfinite(values).all()),
                (f"{nodata}, which is declared nodata,", nodata is not None and (values == nodata).any()),
                (f"0 in all of patch {number}", not values.any()),
            )
            if is_so
        ]
        if missing:
            raise ValueError(f"--patches: expected patches without missing pixels, got {missing[0]} in {path}")
        largest = max(largest, float(np.abs(values).max()))
    if kind in FLOATING and largest <= BRIGHTEST_REFLECTANCE:
        raise ValueError(
            f"--patches: expected digital numbers, 10000 x reflectance, got numbers up to {largest:g} in {path}"
        )


def check_other_patches(files: Mapping[str, Sequence[Path]]) -> None:
    """Refuse patches for validation that are trained on; warn of those for the test.

    Args:
        files: the files of each set, `train`, `valid` and `test`: images of patches, or TFRecords.

    Raises:
        ValueError: there are such patches.
    """
    trained = set(_digests(files["train"]))
    for name in ("valid", "test"):
        digests = list(_digests(files[name]))
        same = sum(digest in trained for digest in digests)
        if not same:
            continue
        told = f"--patches: expected other patches in {name} than in train, got {same} of {len(digests)} of train's"
        if name == "valid":
            raise ValueError(told)
        LOG.warning("%s: scores are too good", told)


def _digests(files: Sequence[Path]) -> Iterator[bytes]:
    """Yield a digest of each patch of the first image, or of each of all records."""
    if files[0].suffix == ".records":
        samples = (record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in files]))
    else:
        samples = (patch.tobytes() for patch in _patches(open_raster(str(files[0]))))
    for sample in samples:
        yield hashlib.blake2b(sample, digest_size=16).digest()


def _patches(raster: gdal.Dataset) -> Iterator[np.ndarray]:
    """Yield the patches of an image, (bands, size, size) or (size, size)."""
    side = raster.RasterXSize
    for row in range(0, raster.RasterYSize, side):
        yield raster.ReadAsArray(0, row, side, side)
