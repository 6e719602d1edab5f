# SPDX-License-Identifier: Apache-2.0
"""SNAP's BEAM-DIMAP: an XML file (`.dim`) that tells of the rasters in the folder beside it (`.data`)."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

SUFFIX, DATA_SUFFIX = ".dim", ".data"
CLASSES_NAMES = ("quality_scene_classification", "scl")


@dataclass(frozen=True)
class DimapBand:
    """A band of a product of SNAP's."""

    name: str
    """As SNAP calls it: `B2`."""
    path: str
    """Its raster, ENVI's."""
    scale: float
    """Physical value = number x scale + offset."""
    offset: float
    nodata: float | None
    """The number that means no data."""


def read_dimap(path: str) -> list[DimapBand]:
    """Return the bands of a product.

    Raises:
        ValueError: it is no such file, or a raster is missing.
    """
    try:
        tree = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ValueError(f"{path}: expected a product of SNAP's, BEAM-DIMAP ({error})") from error
    files = {}
    for entry in tree.iter("Data_File"):
        place = entry.find("DATA_FILE_PATH")
        if place is not None:
            files[_text(entry, "BAND_INDEX")] = Path(path).parent / str(place.get("href"))
    found = []
    for band in tree.iter("Spectral_Band_Info"):
        file = files.get(_text(band, "BAND_INDEX"))
        if file is None:  # computed from others, without pixels of its own
            continue
        raster = file.with_suffix(".img")
        if not raster.exists():
            raise ValueError(f"{path}: expected {raster}, which it names, got no such file")
        used = _text(band, "NO_DATA_VALUE_USED") == "true"
        found.append(
            DimapBand(
                _text(band, "BAND_NAME"),
                str(raster),
                _number(band, "SCALING_FACTOR", 1.0, path),
                _number(band, "SCALING_OFFSET", 0.0, path),
                _number(band, "NO_DATA_VALUE", 0.0, path) if used else None,
            )
        )
    if not found:
        raise ValueError(f"{path}: expected a product of SNAP's with bands, got none")
    return found


def _number(element: ElementTree.Element, tag: str, default: float, path: str) -> float:
    """Return the number of a child.

    Raises:
        ValueError: it is none.
    """
    text = _text(element, tag)
    try:
        return float(text or default)
    except ValueError:
        raise ValueError(f"{path}: expected {tag} as a number, got {text!r}") from None


def _text(element: ElementTree.Element, tag: str) -> str:
    """Return the text of a child; empty where there is none."""
    return (element.findtext(tag) or "").strip()
