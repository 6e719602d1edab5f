# SPDX-License-Identifier: Apache-2.0
"""Reading what a Sentinel-2 SAFE product, folder or zip, contains: bands, level, baseline, offset."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from osgeo import gdal

from chain.sentinel2.bands import BANDS, OFFSET_HELP, band_in_name, offset_of_baseline


@dataclass(frozen=True)
class Safe:
    """What a SAFE product contains."""

    path: str
    """Folder or zip."""
    files: dict[str, str]
    """For each band, the file of its native resolution, as a name for GDAL."""
    metadata: ElementTree.Element
    """Root of MTD_MSIL1C.xml or MTD_MSIL2A.xml."""
    level: str
    """`L1C` or `L2A`."""
    baseline: str
    """Processing baseline, `04.00` for instance; empty when the metadata do not say."""
    identifier: str
    """Name of the product, from its metadata."""
    classes: str | None
    """The scene classification at 20 m, as a name for GDAL; None in L1C."""

    def offset(self, bands: Iterable[str]) -> int:
        """Return the offset which the metadata give to bands.

        Raises:
            ValueError: they give none although the baseline has one, or several.
        """
        order = list(BANDS)
        numbers = {order.index(band) for band in bands}
        stated = {
            round(float(element.text))
            for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
            for element in self.metadata.iter(tag)
            if int(element.get("band_id")) in numbers
        }
        if len(stated) == 1:
            return stated.pop()
        if not stated and self.baseline and offset_of_baseline(self.baseline) == 0:
            return 0
        raise ValueError(
            f"{self.path}: the offset is ambiguous (baseline {self.baseline or 'unknown'}, offsets "
            f"{sorted(stated) or 'none'}): "
            f"{OFFSET_HELP}"
        )


def read_safe(path: str) -> Safe:
    """Read the layout of a SAFE product.

    Args:
        path: its folder, or its zip.

    Raises:
        ValueError: it is no SAFE product, or one of several tiles.
    """
    root = f"/vsizip/{Path(path).resolve()}" if path.lower().endswith(".zip") else path.rstrip("/")
    try:
        names = [f"{root}/{name}" for name in gdal.ReadDirRecursive(root) or ()]
    except RuntimeError as error:
        raise ValueError(f"{path}: a SAFE product is wanted. Received: {error}") from error
    metadata = [name for name in names if re.fullmatch(r"MTD_MSI(L1C|L2A)\.xml", Path(name).name)]
    if len(metadata) != 1:
        raise ValueError(
            f"{path}: a SAFE product with one MTD_MSIL1C.xml or MTD_MSIL2A.xml is wanted. "
            f"Received: {len(metadata)} of them"
        )
    try:
        tree = ElementTree.fromstring(_read(metadata[0]))
    except ElementTree.ParseError as error:
        raise ValueError(f"{metadata[0]}: metadata of a SAFE product are wanted. Received: {error}") from error
    return Safe(
        path,
        _band_files(path, names),
        tree,
        metadata[0][-7:-4],
        next((element.text.strip() for element in tree.iter("PROCESSING_BASELINE")), ""),
        next((element.text.strip() for element in tree.iter("PRODUCT_URI")), Path(path).name),
        next((name for name in names if re.search(r"/IMG_DATA/.*_SCL_20m\.(jp2|tif)$", name)), None),
    )


def _band_files(path: str, names: Iterable[str]) -> dict[str, str]:
    """Return the image of each band at its native resolution, or the one nearest to it: L2A has copies of others."""
    found: dict[str, tuple[float, str]] = {}
    for name in names:
        stated = band_in_name(Path(name).stem)
        if "/IMG_DATA/" not in name or not stated or Path(name).suffix.lower() not in (".jp2", ".tif"):
            continue
        band, gsd = stated
        distance = abs(gsd - BANDS[band])
        if band in found and found[band][0] == distance:
            raise ValueError(f"{path}: a SAFE product with one tile is wanted. Received: two files of {band}")
        if band not in found or distance < found[band][0]:
            found[band] = distance, name
    return {band: name for band, (_, name) in found.items()}


def _read(name: str) -> bytes:
    """Read a file which GDAL reaches (in a zip, for instance)."""
    stream = gdal.VSIFOpenL(name, "rb")
    try:
        return bytes(gdal.VSIFReadL(1, gdal.VSIStatL(name).size, stream))
    finally:
        gdal.VSIFCloseL(stream)
