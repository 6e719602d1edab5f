# SPDX-License-Identifier: Apache-2.0
"""Which files beside a product are of its pixels, and which of those of an earlier product of that name.

Rasters beside a product carry its identity: the scene classification and single bands as their own, the expected
errors, which depend on more, under `PRODUCT_KEY`. Where a product is replaced by another one, what went with it goes.
"""

from pathlib import Path

from osgeo import gdal

from chain.runtime.provenance import read, record_of
from chain.serving.product_names import band_file, classes_file, error_file, item_file, style_file
from chain.serving.provenance import IDENTITY_KEY, digest

PRODUCT_KEY = "SR_PRODUCT"
"""Metadata of a raster beside a product that has an identity of its own: the digest of the product's."""


def product_in(path: Path) -> str | None:
    """Return the digest of the identity of the product that a raster is, or lies beside; None for what is neither."""
    try:
        dataset = gdal.OpenEx(str(path), gdal.OF_RASTER, allowed_drivers=["GTiff"])
    except RuntimeError:
        return None
    return dataset.GetMetadataItem(PRODUCT_KEY) or dataset.GetMetadataItem(IDENTITY_KEY)


def is_of(path: Path, product: Path) -> bool:
    """Return whether a raster beside a product is there, and of the product's pixels."""
    found = product_in(path)
    return found is not None and found == product_in(product)


def check_ours(path: Path, flag: str, overwrite: bool) -> None:
    """Refuse to replace a raster that this project has not written.

    Args:
        path: the raster, which need not be there.
        flag: the option that asks for it.
        overwrite: whether `--overwrite` is given.

    Raises:
        FileExistsError: it is there, and somebody else's.
    """
    if path.exists() and not overwrite and product_in(path) is None:
        raise FileExistsError(f"{flag}: {path} exists; --overwrite replaces it")


def remove_outdated(product: Path, identity: str | None) -> None:
    """Remove what goes with a product that is about to be replaced by another one: it would not describe that one.

    Styles of the product itself stay, which describe any; so does what is somebody else's.

    Args:
        product: the product that is there, if there is one.
        identity: digest of the identity of the one that replaces it; of the same one, all stays.

    Raises:
        OSError: the disk refuses.
    """
    before = product_in(product)
    if before is None or before == identity:
        return
    dataset = gdal.Open(str(product))
    bands = [dataset.GetRasterBand(number + 1).GetDescription() for number in range(dataset.RasterCount)]
    for path in (classes_file(product), error_file(product), *(band_file(product, band) for band in bands if band)):
        if product_in(path) == before and not record_of(path).exists():
            for each in (style_file(path), Path(f"{path}.aux.xml"), path):
                each.unlink(missing_ok=True)
    if read(item_file(product)).get("id") == product.stem:
        item_file(product).unlink()
    record = read(record_of(product)).get("identity")
    if record is not None and digest(record) == before:
        record_of(product).unlink()
