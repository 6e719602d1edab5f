# SPDX-License-Identifier: Apache-2.0
"""What a product was made of: the identity by which an interrupted run is resumed, and the record beside the file."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from chain.runtime import provenance
from chain.runtime.options import BaseOptions
from chain.sentinel2.bands import time_in_name

IDENTITY_KEY = "SR_IDENTITY"
"""Metadata of a product: the digest of its identity."""


def identity_of(product, recipe, grid, floating: bool, naming=None) -> dict:
    """Return all that the pixels of a product depend on, and nothing else.

    Args:
        product: the open input.
        recipe: how the product is made.
        grid: where its pixels lie.
        floating: whether it holds reflectance.
        naming: names given to bands that nothing describes.
    """
    stated = {name: value for name, value in product.identity.items() if name not in ("path", "paths")}
    return {
        "input": {
            **stated,
            "bands": sorted(product.bands),
            "naming": naming,
            "offset": product.offset,
            "hrefs": product.hrefs,
            "files": stamps(Path(name) for name in files_of(product)),
        },
        "models": [weights_of(network) for network in recipe.networks],
        "masks": [mask.digest() for mask in recipe.masks],
        "method": type(recipe).__name__,
        "bands": list(recipe.bands),
        "grid": [*grid.geotransform, grid.columns, grid.rows],
        "float": floating,
    }


def weights_of(network) -> dict:
    """Return what a network's output depends on: its description with the weights' digest, or the files without one."""
    stated = {name: value for name, value in network.description.to_json().items() if name != "software"}
    stated["engine"] = network.engine
    if network.description.precision == "int8":
        stated["made_of"] = Path(network.model_dir).name  # a digest of the weights and of the tiles
    if network.description.weights:
        return stated
    files = (path for path in Path(network.model_dir).rglob("*") if path.is_file() and path.suffix != ".json")
    return {**stated, "files": stamps(files)}


def digest(identity: Mapping) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def files_of(product) -> list[str]:
    """Return the local files that a product's bands are read from."""
    return files_behind({**product.bands, **product.originals}.values())


def files_behind(names: Iterable[str]) -> list[str]:
    """Return the local files that rasters are read from; mosaics (VRT) are followed to theirs."""
    from osgeo import gdal

    found: set[str] = set()
    asked = list(names)
    while asked:
        names = set(gdal.Open(asked.pop()).GetFileList() or ()) - found
        asked += [name for name in names if name.lower().endswith(".vrt")]
        found |= names
    return sorted(name for name in found if os.path.isfile(name))


def stamps(paths: Iterable[Path]) -> dict[str, dict]:
    """Return size and modification time of files."""
    return {
        str(path.resolve()): {"bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
        for path in sorted(paths)
    }


def product_metadata(product, recipe, identity: dict) -> dict[str, str]:
    """Return the metadata that the product of a Sentinel-2 image carries."""
    source, offset = str(product.identity.get("id", "")), str(product.offset)
    moment = acquired(product.identity)
    dated = {"TIFFTAG_DATETIME": f"{moment:%Y:%m:%d %H:%M:%S}"} if moment else {}
    return file_metadata(recipe.networks, source, identity, SR_LEVEL=product.level, SR_OFFSET=offset, **dated)


def acquired(identity: Mapping) -> datetime | None:
    """Return when an image was acquired, in UTC, as its item or its name says; None where neither does.

    Args:
        identity: that of a `chain.sentinel2.image.Sentinel2Image`.
    """
    stated = identity.get("datetime")
    if not stated:
        return time_in_name(str(identity.get("id", "")))
    from pystac.utils import str_to_datetime

    moment = str_to_datetime(str(stated))
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment


def file_metadata(networks: Iterable, source: str, identity: dict, **stated: str) -> dict[str, str]:
    """Return the metadata that a product file carries.

    Args:
        networks: those that made it, each a `chain.serving.network.Network`.
        source: what it was made of.
        identity: all that its pixels depend on.
        **stated: further metadata.
    """
    descriptions = [network.description for network in networks]
    return {
        "TIFFTAG_SOFTWARE": provenance.software(),
        "SR_SYSTEM": ", ".join(dict.fromkeys(description.system for description in descriptions)),
        "SR_WEIGHTS": ", ".join(description.weights or "unknown" for description in descriptions),
        "SR_INPUT": source,
        **stated,
        IDENTITY_KEY: digest(identity),
    }


def write_record(
    output: Path, options: BaseOptions, notes: Mapping, identity: Mapping, resumed: int, seconds: float
) -> None:
    """Write what the product was made of, beside it; `notes` are those of its journal."""
    content = {
        "arguments": asdict(options),
        "versions": provenance.versions(),
        "input": identity["input"],
        "models": notes["models"],
        "precision": notes["precision"],
        "decisions": notes.get("decisions", []),
        "identity": identity,
        "resumed_regions": resumed,
        "seconds": round(seconds, 2),
    }
    provenance.write(provenance.record_of(output), content)


def add_to_record(output: Path, content: Mapping) -> None:
    """Add to the record of a product."""
    path = provenance.record_of(output)
    provenance.write(path, {**json.loads(path.read_text(encoding="utf-8")), **content})
