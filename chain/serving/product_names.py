# SPDX-License-Identifier: Apache-2.0
"""What the files that go with a product are called, and the metadata by which a product tells of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.provenance import read, record_of
from chain.sentinel2.bands import CLASSES_NAME

if TYPE_CHECKING:
    from osgeo import gdal

DATE_KEY = "TIFFTAG_DATETIME"
"""Metadata of a product: when its input was acquired, as TIFF writes it."""
LAST_DATE_KEY = "SR_LAST_DATETIME"
"""Metadata of a product of several dates: the last one; `DATE_KEY` has the first."""
CLASSES_KEY = "classes"
"""Key of a record: whether the input has a scene classification."""


def band_file(output: Path, band: str) -> Path:
    """Return the name of the file of one band of a product."""
    return output.with_name(f"{output.stem}_{band}.tif")


def error_file(output: Path) -> Path:
    """Return the name of the file of expected errors of a product."""
    return output.with_name(f"{output.stem}_error.tif")


def style_file(output: Path) -> Path:
    """Return the name of the style that QGIS takes for a product without being asked."""
    return output.with_suffix(".qml")


def style_files(output: Path, styles: Sequence[str]) -> dict[str, Path]:
    """Return the file of each style of a product: of the first that which QGIS takes, of others one of their names."""
    others = {style: output.with_name(f"{output.stem}_{style}.qml") for style in styles[1:]}
    return {styles[0]: style_file(output), **others}


def item_file(output: Path) -> Path:
    """Return the name of the STAC Item of a product."""
    return output.with_name(f"{output.stem}_stac.json")


def classes_file(output: Path) -> Path:
    """Return the name of the scene classification on the grid of a product."""
    return output.with_name(f"{output.stem}_{CLASSES_NAME}.tif")


def has_item(product: "gdal.Dataset") -> bool:
    """Return whether a product has a STAC Item: it states where it lies and when its input was acquired."""
    return bool(product.GetProjection() and product.GetMetadataItem(DATE_KEY))


def has_classes(output: Path) -> bool:
    """Return whether the record of a product says that its input has a scene classification."""
    return bool(read(record_of(output)).get(CLASSES_KEY))
