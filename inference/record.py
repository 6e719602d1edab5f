# SPDX-License-Identifier: Apache-2.0
"""What a product was made of: the identity by which an interrupted run is resumed, and the record beside the file."""

import argparse
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from chain import record

NOT_IDENTITY = ("input", "output", "model_dir", "quicklook", "overwrite", "debug")
"""Arguments that the pixels do not depend on, or that are recorded by content."""
IDENTITY_KEY = "SR_IDENTITY"
"""Metadata of a product: the digest of its identity."""


def identity_of(arguments: argparse.Namespace, product, recipe, not_identity: tuple[str, ...] = NOT_IDENTITY) -> dict:
    """Return all that the pixels depend on."""
    return {
        "input": {
            **product.identity,
            "bands": list(product.bands),
            "offset": product.offset,
            "hrefs": product.hrefs,
            "files": _stamps(Path(name) for name in files_of(product)),
        },
        "models": [
            {**network.description.to_json(), "files": _stamps(_model_files(network.model_dir))}
            for network in recipe.networks
        ],
        "masks": _stamps(Path(mask.name) for mask in recipe.masks if os.path.isfile(mask.name)),
        "geometry": _stamps(Path(name) for name in (arguments.geometry,) if name and os.path.isfile(name)),
        "bands": list(recipe.bands),
        "arguments": {name: value for name, value in vars(arguments).items() if name not in not_identity},
    }


def digest(identity: dict) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def _model_files(model_dir: str) -> list[Path]:
    """Return the files of an exported model that its output depends on."""
    return [path for path in Path(model_dir).rglob("*") if path.is_file() and path.suffix != ".json"]


def files_of(product) -> list[str]:
    """Return the local files that a product's bands are read from; mosaics (VRT) are followed to theirs."""
    from osgeo import gdal

    found, asked = set(), list({**product.bands, **product.originals}.values())
    while asked:
        names = set(gdal.Open(asked.pop()).GetFileList() or ()) - found
        asked += [name for name in names if name.lower().endswith(".vrt")]
        found |= names
    return sorted(name for name in found if os.path.isfile(name))


def _stamps(paths: Iterable[Path]) -> dict[str, dict]:
    """Return size and modification time of files."""
    return {
        str(path.resolve()): {"bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
        for path in sorted(paths)
    }


def product_metadata(product, recipe, identity: dict) -> dict[str, str]:
    """Return the metadata that a product file carries."""
    descriptions = [network.description for network in recipe.networks]
    return {
        "TIFFTAG_SOFTWARE": f"otb-super-resolution {record.software_version()}",
        "SR_SYSTEM": ", ".join(dict.fromkeys(description.system for description in descriptions)),
        "SR_WEIGHTS": ", ".join(description.weights or "unknown" for description in descriptions),
        "SR_INPUT": str(product.identity.get("id", "")),
        "SR_OFFSET": str(product.offset),
        IDENTITY_KEY: digest(identity),
    }


def write_record(output: Path, arguments: argparse.Namespace, identity: dict, resumed: int, seconds: float) -> None:
    """Write what the product was made of, beside it."""
    content = {
        "arguments": vars(arguments),
        "versions": record.versions(),
        "input": identity["input"],
        "models": identity["models"],
        "resumed_regions": resumed,
        "seconds": round(seconds, 2),
    }
    record.write(output.with_name(f"{output.name}.json"), content)
