# SPDX-License-Identifier: Apache-2.0
"""Reading Sentinel-2 STAC items, of Planetary Computer and of Earth Search: bands, level, baseline, offset.

Planetary Computer leaves the pixels as ESA made them and states no offset: it follows from the baseline.
Earth Search has removed the offset from most of its `sentinel-2-l2a` (`earthsearch:boa_offset_applied`),
though its assets still state one; its `sentinel-2-c1-l2a` states the offset which its pixels have.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from chain.raster import http
from chain.sentinel2.bands import (
    BANDS,
    CLASSES_NAME,
    COMMON_NAMES,
    OFFSET_HELP,
    baseline_in_name,
    level_in_name,
    offset_of_baseline,
)


def read_item(source) -> dict:
    """Return a STAC item as a mapping.

    Args:
        source: a mapping, a `pystac.Item`, a path or a URL.

    Raises:
        ValueError: it is no STAC item, or cannot be read.
    """
    import requests

    if hasattr(source, "assets"):
        document = source.to_dict(include_self_link=False, transform_hrefs=False)
        for key, asset in source.assets.items():
            document["assets"][key]["href"] = asset.get_absolute_href() or asset.href
        return document
    document = source
    try:
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            retried = (requests.ConnectionError, requests.Timeout)
            document = http.retry(lambda: _get_json(source), retried, http.TRIES)
        elif isinstance(source, str | Path):
            document = json.loads(Path(source).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{source}: a STAC item is wanted. Received: {error}") from error
    if not isinstance(document, Mapping) or "assets" not in document or "properties" not in document:
        raise ValueError(f"{source}: a STAC item is wanted. Received: a document without assets")
    return dict(document)


def _get_json(url: str) -> dict:
    """Get a JSON document; statuses which are worth another attempt are connection errors."""
    import requests

    response = requests.get(url, timeout=(15, 60))
    if response.status_code in http.RETRIED_STATUSES:
        raise requests.ConnectionError(f"status {response.status_code}")
    response.raise_for_status()
    return response.json()


def band_assets(item: Mapping) -> dict[str, dict]:
    """Return the asset of each band of an item: key `B04` (Planetary Computer) or `red` (Earth Search)."""
    return {
        band: asset for key, asset in item["assets"].items() if (band := key if key in BANDS else COMMON_NAMES.get(key))
    }


def classes_asset(item: Mapping) -> dict | None:
    """Return the asset of the scene classification of an item, or None."""
    return next((asset for key, asset in item["assets"].items() if key.upper() == CLASSES_NAME), None)


def baseline(item: Mapping) -> str | None:
    """Return the processing baseline of an item, `04.00` for instance, or None when it does not say.

    It is a property, or a part of the name of the SAFE product, in a property or in the URLs of the assets.
    """
    properties = item["properties"]
    for key in ("s2:processing_baseline", "processing:version"):
        if properties.get(key):
            return str(properties[key])
    names = [str(properties.get("s2:product_uri", "")), *(asset["href"] for asset in item["assets"].values())]
    found = {stated for name in names if (stated := baseline_in_name(name))}
    return found.pop() if len(found) == 1 else None


def level(item: Mapping) -> str:
    """Return the processing level of an item, or `unknown`."""
    properties = item["properties"]
    stated_by = [properties.get(key) for key in ("s2:product_uri", "s2:product_type")]
    names = (item.get("collection"), *stated_by, item["id"])
    return next((stated for name in names if (stated := level_in_name(str(name))) != "unknown"), "unknown")


def offset(item: Mapping, bands: Sequence[str]) -> int:
    """Return the offset of the bands' digital numbers: as the catalogue states it, else by the baseline.

    Raises:
        ValueError: nothing says it, or the bands differ.
    """
    if item["properties"].get("earthsearch:boa_offset_applied") is True:
        return 0
    assets = band_assets(item)
    stated = {_asset_offset(assets[band]) for band in bands}
    if len(stated) == 1 and None not in stated:
        return stated.pop()
    of_baseline = offset_of_baseline(baseline(item) or "")
    if len(stated) > 1 or of_baseline is None:
        raise ValueError(
            f"{item['id']}: the offset is ambiguous (baseline {baseline(item) or 'unknown'}): {OFFSET_HELP}"
        )
    return of_baseline


def _asset_offset(asset: Mapping) -> int | None:
    """Return the offset, in digital numbers, which an asset states (raster extension 1 or 2), or None."""
    for statement in (*asset.get("raster:bands", ()), *asset.get("bands", ()), asset):
        scale = statement.get("scale", statement.get("raster:scale"))
        value = statement.get("offset", statement.get("raster:offset"))
        if scale and value is not None:
            return round(value / scale)
    return None


def identity(item: Mapping) -> dict:
    """Return what a run records of an item."""
    properties = item["properties"]
    code = properties.get("proj:code") or f"EPSG:{properties.get('proj:epsg')}"
    return {
        "kind": "STAC",
        "id": item["id"],
        "collection": item.get("collection"),
        "datetime": properties.get("datetime"),
        "baseline": baseline(item),
        "crs": code,
        "eo:cloud_cover": properties.get("eo:cloud_cover"),
    }
