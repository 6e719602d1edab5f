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
CELLS = 4
"""Cells along a side of a patch, over whose means input and target are compared."""
LIKE = 0.2
"""Correlation of these means, at least; 0.6 and more in pairs of one place."""
VARIED = 0.02
"""Deviation of these means, over their mean, from which they show something, at least."""
OTHER_SIZE = 0.1
"""Part of a pixel's size by which that of patches may differ."""
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


def check_size(path: Path, raster: gdal.Dataset, gsd: float | None) -> None:
    """Refuse patches that state pixels of another size than the model's; 1, or nothing, states none.

    Args:
        path: the image of the patches, for errors.
        raster: the same, open.
        gsd: size of the model's pixels, in metres; None for any.

    Raises:
        ValueError: they do.
    """
    stated = raster.GetGeoTransform(can_return_null=True)
    if gsd is None or stated is None or stated[1] == 1 or stated[1] < 0.01:  # degrees
        return
    if abs(stated[1] / gsd - 1) > OTHER_SIZE:
        raise ValueError(f"--patches: expected pixels of {gsd:g} m, as the model's, got {stated[1]:g} m in {path}")


def check_pairs(paths: Sequence[Path], rasters: Sequence[gdal.Dataset]) -> None:
    """Refuse targets that do not show what the patches of the first source do, as after a change of order.

    Args:
        paths: images of the patches of the sources, the target's last, for errors.
        rasters: the same, open.

    Raises:
        ValueError: they do not.
    """
    first, target = (np.stack([_cells(patch) for patch in _patches(raster)]) for raster in (rasters[0], rasters[-1]))
    found = []
    for one, other in zip(np.moveaxis(first, 1, 0), np.moveaxis(target, 1, 0)):
        if min(each.std() / max(abs(each.mean()), 1e-9) for each in (one, other)) > VARIED:
            found.append(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    if found and np.median(found) < LIKE:
        raise ValueError(
            f"--patches: expected patches of the same places in {paths[0].name} and {paths[-1].name}, in the same "
            f"order, got a correlation of {np.median(found):.2f} between them"
        )


def _cells(patch: np.ndarray) -> np.ndarray:
    """Return the means of a patch (bands, size, size), or (size, size), over cells: float64 (bands, cells, cells)."""
    patch = patch.reshape(-1, *patch.shape[-2:])
    side = max(patch.shape[-1] // CELLS, 1)
    count = min(patch.shape[-1], CELLS)
    cells = patch[:, : side * count, : side * count].reshape(len(patch), count, side, count, side)
    return cells.mean(axis=(2, 4), dtype=np.float64)


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
