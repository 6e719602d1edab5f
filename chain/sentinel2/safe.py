# SPDX-License-Identifier: Apache-2.0
"""Reading what a Sentinel-2 SAFE product, folder or zip, contains: bands, level, baseline, offset.

The layout since December 2016 (`MTD_MSIL1C.xml`), and the one before (`S2A_OPER_MTD_SAFL1C_….xml`), which may hold
several tiles: then the folder of one of them, in `GRANULE`, is the input.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from osgeo import gdal

from chain.raster.vsi import opened
from chain.runtime.files import LARGEST_DOCUMENT
from chain.sentinel2.bands import BANDS, OFFSET_HELP, band_in_name, offset_of_baseline
from chain.sentinel2.contents import Contents
from chain.sentinel2.decision import Decision
from chain.sentinel2.integrity import MANIFEST, Listed, listed_files, verify
from chain.sentinel2.layers import Layer
from chain.sentinel2.offset import KEYS, START_KEY, Statement, day_of, stated_number, statements_of_baseline

METADATA = re.compile(r"(?:MTD_MSI|S2[A-D]_(?:OPER|USER)_MTD_SAF)(L1C|L2A)(?:_.*)?\.xml")
"""Name of the metadata of a product."""
IMAGES = "/IMG_DATA/"
GRANULES = "GRANULE"
SUFFIXES = (".jp2", ".tif")


@dataclass(frozen=True)
class Safe:
    """What a SAFE product contains."""

    path: str
    """Folder or zip."""
    files: dict[str, str]
    """For each band, the file of its native resolution, as a name for GDAL."""
    metadata: ElementTree.Element
    """Root of the product's metadata."""
    level: str
    """`L1C` or `L2A`."""
    baseline: str
    """Processing baseline, `04.00` for instance; empty when the metadata do not say."""
    identifier: str
    """Name of the product, from its metadata."""
    classes: str | None
    """The scene classification at 20 m, as a name for GDAL; None in L1C."""
    listed: dict[str, Listed]
    """What its manifest says of its files."""

    def statements(self, bands: Iterable[str]) -> list[Statement]:
        """Return what the metadata say of the offset of bands.

        Raises:
            ValueError: they list none although the baseline has one, or several.
        """
        order = list(BANDS)
        numbers = {str(order.index(band)) for band in bands}
        listed = {
            stated_number(element.text or "", f"{self.path}: {tag}")
            for tag in KEYS
            for element in self.metadata.iter(tag)
            if element.get("band_id") in numbers
        }
        of_baseline = statements_of_baseline(
            self.baseline, "the baseline in its metadata,", day_of(_text(self.metadata, START_KEY))
        )
        if len(listed) == 1:
            return [Statement(listed.pop(), "the list of offsets in its metadata"), *of_baseline]
        if not listed and offset_of_baseline(self.baseline) in (0, None):
            return of_baseline
        raise ValueError(
            f"{self.path}: the offset is ambiguous (baseline {self.baseline or 'unknown'}, offsets "
            f"{sorted(listed) or 'none'}): {OFFSET_HELP}"
        )


def is_safe(path: Path) -> bool:
    """Return whether a folder is a SAFE product, or a granule of one of the old layout."""
    return any(METADATA.fullmatch(file.name) for file in path.glob("*.xml")) or _product_of(path) is not None


def _product_of(granule: Path) -> Path | None:
    """Return the SAFE product, if any, that a folder is a granule of."""
    product = granule.resolve().parent.parent
    is_granule = granule.resolve().parent.name == GRANULES and (granule / IMAGES.strip("/")).is_dir()
    return product if is_granule and any(METADATA.fullmatch(file.name) for file in product.glob("*.xml")) else None


def read_safe(path: str) -> Safe:
    """Read the layout of a SAFE product.

    Args:
        path: its folder, its zip, or the folder of one of its granules.

    Raises:
        ValueError: it is no SAFE product, or one of several tiles.
    """
    product = _product_of(Path(path)) if not path.lower().endswith(".zip") else None
    root = f"/vsizip/{Path(path).resolve()}" if path.lower().endswith(".zip") else str(product or path).rstrip("/")
    try:
        names = [f"{root}/{name}" for name in gdal.ReadDirRecursive(root) or ()]
    except RuntimeError as error:
        raise ValueError(f"{path}: expected a SAFE product ({error})") from error
    metadata = [name for name in names if METADATA.fullmatch(Path(name).name)]
    if len(metadata) != 1:
        raise ValueError(
            f"{path}: expected a SAFE product with one MTD_MSIL1C.xml or MTD_MSIL2A.xml, got {len(metadata)} of them"
        )
    try:
        tree = ElementTree.fromstring(_read(metadata[0]))
    except ElementTree.ParseError as error:
        raise ValueError(f"{metadata[0]}: expected the metadata of a SAFE product ({error})") from error
    if product:
        names = [name for name in names if f"/{GRANULES}/{Path(path).resolve().name}/" in name]
    folder = metadata[0].rpartition("/")[0]
    manifest = f"{folder}/{MANIFEST}"
    listed = listed_files(_read(manifest), folder) if gdal.VSIStatL(manifest) is not None else {}
    verify({"metadata": metadata[0]}, listed)
    return Safe(
        path,
        _band_files(path, names),
        tree,
        (METADATA.fullmatch(Path(metadata[0]).name) or [""])[1],
        _text(tree, "PROCESSING_BASELINE"),
        _text(tree, "PRODUCT_URI") or Path(path).name,
        next((name for name in names if re.search(rf"{IMAGES}.*SCL.*_20m\.(jp2|tif)$", name)), None),
        listed,
    )


def safe_contents(path: str, bands: Sequence[str] | None = None, offset: int | None = None) -> Contents:
    """Tell what a SAFE product holds.

    Args:
        path: its folder or zip.
        bands: those that are needed, all by default.
        offset: offset of the digital numbers, which overrides the metadata.

    Raises:
        ValueError: it is no SAFE product, or its metadata do not tell the offset.
    """
    safe = read_safe(path)
    used = [band for band in safe.files if bands is None or band in bands]
    return Contents(
        path,
        {"kind": "SAFE", "path": path, "id": safe.identifier, "baseline": safe.baseline},
        {band: Layer(name, is_unseen=True) for band, name in safe.files.items()},
        safe.level,
        safe.statements(used) if used and offset is None else (),
        Layer(safe.classes) if safe.classes else None,
        [Decision("bands", ", ".join(safe.files), "a SAFE product"), Decision("nodata", "0", "a SAFE product")],
        are_numbers_known=False,
        listed=safe.listed,
    )


def _text(tree: ElementTree.Element, tag: str) -> str:
    """Return the text of the first element of a name; empty where there is none."""
    return next((element.text.strip() for element in tree.iter(tag) if element.text), "")


def _band_files(path: str, names: Iterable[str]) -> dict[str, str]:
    """Return the image of each band at its native resolution, or the one nearest to it: L2A has copies of others."""
    found: dict[str, tuple[float, str]] = {}
    for name in names:
        stated = band_in_name(Path(name).stem)
        if IMAGES not in name or not stated or Path(name).suffix.lower() not in SUFFIXES:
            continue
        band, gsd = stated
        distance = abs(gsd - BANDS[band])
        if band in found and found[band][0] == distance:
            _refuse_two(path, band, found[band][1], name)
        if band not in found or distance < found[band][0]:
            found[band] = distance, name
    return {band: name for band, (_, name) in found.items()}


def _refuse_two(path: str, band: str, first: str, second: str) -> None:
    """Refuse a second image of a band.

    Raises:
        ValueError: in words for what it is: another tile, or a copy.
    """
    one, other = (name.split(f"/{GRANULES}/")[-1].split("/")[0] for name in (first, second))
    if one != other:
        raise ValueError(
            f"{path}: expected one tile, got {one} and {other}: pass the folder of one of them, {GRANULES}/{one}"
        )
    names = Path(first).name, Path(second).name
    raise ValueError(f"{path}: expected one file of {band}, got {names[0]} and {names[1]}: remove the copy")


def _read(name: str) -> bytes:
    """Read metadata which GDAL reaches (in a zip, for instance).

    Raises:
        ValueError: they are too large.
    """
    with opened(name) as file:
        if file.size > LARGEST_DOCUMENT:
            raise ValueError(
                f"{name}: expected metadata of at most {LARGEST_DOCUMENT >> 20} MiB, got {file.size} bytes"
            )
        return file.at(0, file.size)
