# SPDX-License-Identifier: Apache-2.0
"""The STAC Item of a product: `sr_stac.json` beside `sr.tif`, for catalogues, `odc-stac` and programs of this project.

It tells where and when, names the bands with their wavelengths, and says what the product was made of: `derived_from`
leads to the scenes, `processing:software` names the program and the weights. It is made of the product's file and of
its record alone, holds no time of its own, and so is the same for the same input. An item has to have a date: a product
whose input does not tell when it was acquired, or where it lies, has none.

    write_item(Path("sr.tif"))
"""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from osgeo import gdal, osr
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.eo import Band, EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, NoDataStrings, RasterBand, RasterExtension, Statistics

from chain.raster.footprint import Footprint
from chain.raster.grids import raster_grid
from chain.runtime.credentials import cleaned
from chain.runtime.files import whole_file
from chain.runtime.provenance import read, record_of
from chain.sentinel2.bands import CLASSES, CLASSES_NAME, COMMON_NAMES, WAVELENGTHS
from chain.serving.colours import band_names
from chain.serving.outdated import is_of
from chain.serving.product_names import DATE_KEY, LAST_DATE_KEY, classes_file, has_item, item_file
from chain.serving.provenance import SYSTEM_KEY

PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
PLATFORMS = {f"S2{letter}": f"sentinel-2{letter.lower()}" for letter in "ABCD"}
DIGITS = 7
"""Digits of degrees: a centimetre."""
COMMON_IN_STAC = {"rededge1": "rededge", "rededge2": "rededge", "rededge3": "rededge"}
"""Common names of the EO extension, where they are others than those of Earth Search."""


def write_item(product: Path, quicklook: Path | None = None) -> bool:
    """Write the item of a product beside it; return whether it has one.

    Args:
        product: the product, whose record and other files lie beside it.
        quicklook: its picture, if there is one.

    Raises:
        OSError: the disk refuses.
    """
    dataset = gdal.Open(str(product))
    if not has_item(dataset):
        return False
    content = cleaned(_item(product, dataset, quicklook).to_dict(include_self_link=False))
    with whole_file(item_file(product), "--stac") as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return True


def _item(product: Path, dataset: gdal.Dataset, quicklook: Path | None) -> pystac.Item:
    """Return the item of a product."""
    stated, record = dataset.GetMetadata(), _record(product)
    first = _moment(stated[DATE_KEY])
    last = _moment(stated[LAST_DATE_KEY]) if LAST_DATE_KEY in stated else None
    grid = raster_grid(dataset)
    ground = Footprint(grid.geotransform, (grid.columns, grid.rows), grid.projection)
    west, south, east, north = ground.bounds()
    item = pystac.Item(
        id=product.stem,
        geometry=_geometry(ground),
        bbox=[round(number, DIGITS) for number in (west, south, east, north)],
        datetime=None if last else first,
        start_datetime=first if last else None,
        end_datetime=last,
        properties={"gsd": grid.dx, **_properties(stated, record)},
        stac_extensions=[PROCESSING],
    )
    reference = osr.SpatialReference(wkt=grid.projection)
    code = reference.GetAuthorityCode(None)
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"{reference.GetAuthorityName(None)}:{code}" if code else None,
        wkt2=None if code else reference.ExportToWkt(["FORMAT=WKT2_2019"]),
        bbox=[grid.left, grid.top - grid.rows * grid.dy, grid.left + grid.columns * grid.dx, grid.top],
        shape=[grid.rows, grid.columns],
        transform=[grid.dx, 0.0, grid.left, 0.0, -grid.dy, grid.top],
    )
    item.add_asset("data", pystac.Asset(product.name, stated.get("SR_INPUT"), None, pystac.MediaType.COG, ["data"]))
    _add_bands(item.assets["data"], dataset)
    if is_of(classes_file(product), product):
        _add_classes(item, classes_file(product))
    if quicklook and quicklook.exists() and quicklook.resolve().parent == product.resolve().parent:
        item.add_asset("quicklook", pystac.Asset(quicklook.name, None, None, pystac.MediaType.PNG, ["overview"]))
    record_file = record_of(product)
    item.add_asset("record", pystac.Asset(record_file.name, None, None, pystac.MediaType.JSON, ["metadata"]))
    for link in record.get("derived_from", ()):
        href = link["href"] if "://" in link["href"] else os.path.relpath(link["href"], product.resolve().parent)
        item.add_link(pystac.Link(pystac.RelType.DERIVED_FROM, href, link.get("type"), link["title"] or None))
    return item


def _moment(text: str) -> datetime:
    """Return a time in UTC as TIFF writes it."""
    return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc)


def _record(product: Path) -> Mapping[str, Any]:
    """Return the record of a product."""
    return read(record_of(product))


def _properties(stated: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an item says of a product as a whole."""
    software, _, version = stated["TIFFTAG_SOFTWARE"].partition(" ")
    used = {software: version}
    for model in record.get("models", ()):
        role = (model.get("arguments") or {}).get("role")
        name = " ".join(filter(None, (model.get("system"), model.get("model"), role)))
        used[f"weights of {name}"] = model.get("weights") or "unknown"
    found: dict[str, Any] = {
        "processing:software": used,
        "processing:lineage": f"super-resolution by {stated[SYSTEM_KEY]} of {stated['SR_INPUT'] or 'an image'}",
    }
    if stated.get("SR_LEVEL") in ("L1B", "L1C", "L2A"):
        found["processing:level"] = stated["SR_LEVEL"]
    platform = PLATFORMS.get(stated["SR_INPUT"][:3])
    if platform:
        found |= {"constellation": "sentinel-2", "platform": platform, "instruments": ["msi"]}
    return found


def _geometry(ground: Footprint) -> dict[str, Any]:
    """Return a footprint as GeoJSON: in degrees, rounded, outer rings counterclockwise (RFC 7946, 3.1.6)."""

    def ring(points: Iterable) -> list[list[float]]:
        found = [[round(x, DIGITS), round(y, DIGITS)] for x, y, *_ in points]
        area = sum(x * v - u * y for (x, y), (u, v) in zip(found, found[1:]))
        return found if area > 0 else found[::-1]

    content = json.loads(ground.geometry().Simplify(10.0**-DIGITS).ExportToJson())
    if content["type"] == "Polygon":
        return {"type": "Polygon", "coordinates": [ring(each) for each in content["coordinates"]]}
    return {**content, "coordinates": [[ring(each) for each in polygon] for polygon in content["coordinates"]]}


def _add_bands(asset: pystac.Asset, dataset: gdal.Dataset) -> None:
    """Add to an asset what its bands are, in order."""
    EOExtension.ext(asset, add_if_missing=True).apply(bands=[_named(name) for name in band_names(dataset)])
    bands = [dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1)]
    RasterExtension.ext(asset, add_if_missing=True).apply(bands=[_described(band) for band in bands])


def _named(name: str) -> Band:
    """Return the band of a name, with its wavelength in micrometres."""
    if name not in WAVELENGTHS:
        return Band.create(name=name)
    centre, width = WAVELENGTHS[name]
    common = next(word for word, band in COMMON_NAMES.items() if band == name)
    return Band.create(
        name=name,
        common_name=COMMON_IN_STAC.get(common, common),
        center_wavelength=centre / 1000,
        full_width_half_max=width / 1000,
    )


def _described(band: gdal.Band) -> RasterBand:
    """Return type, nodata, scale and statistics of a band."""
    nodata, stated = band.GetNoDataValue(), band.GetMetadata()
    is_number = nodata is not None and np.isfinite(nodata)
    keys = {
        "minimum": "STATISTICS_MINIMUM",
        "maximum": "STATISTICS_MAXIMUM",
        "mean": "STATISTICS_MEAN",
        "stddev": "STATISTICS_STDDEV",
    }
    known = {name: float(stated[key]) for name, key in keys.items() if key in stated}
    return RasterBand.create(
        nodata=nodata if is_number else (None if nodata is None else NoDataStrings.NAN),
        data_type=DataType(gdal.GetDataTypeName(band.DataType).lower().replace("byte", "uint8")),
        statistics=Statistics.create(**known) if known else None,
        scale=band.GetScale(),
        offset=band.GetOffset(),
    )


def _add_classes(item: pystac.Item, path: Path) -> None:
    """Add the scene classification to an item."""
    item.add_asset(CLASSES_NAME, pystac.Asset(path.name, "scene classification", None, pystac.MediaType.COG, ["data"]))
    asset = item.assets[CLASSES_NAME]
    band = RasterBand.create(nodata=0, data_type=DataType.UINT8)
    RasterExtension.ext(asset, add_if_missing=True).apply(bands=[band])
    ClassificationExtension.ext(asset, add_if_missing=True).apply(
        classes=[
            Classification.create(
                value=number, name=name.replace(",", "").replace(" ", "_"), description=name, color_hint=colour.upper()
            )
            for number, (name, colour) in enumerate(CLASSES)
        ]
    )
