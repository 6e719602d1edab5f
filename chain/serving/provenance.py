# SPDX-License-Identifier: Apache-2.0
"""What a product was made of: the identity by which an interrupted run is resumed, and the record beside the file."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.raster.grids import Grid
from chain.runtime import provenance
from chain.runtime.credentials import cleaned, without_credentials
from chain.runtime.options import BaseOptions
from chain.sentinel2.bands import time_in_name
from chain.sentinel2.opened_image import OpenedImage
from chain.sentinel2.stac_item import ADDRESS_KEY
from chain.serving.input_files import InputWatch, files_behind, names_behind, place, stamps, unplaced
from chain.serving.product_names import CLASSES_KEY, DATE_KEY, LAST_DATE_KEY

if TYPE_CHECKING:
    from chain.serving.network import Network
    from chain.serving.recipe import Recipe

PLACES = ("path", "paths", ADDRESS_KEY)
"""What an image's identity says of where it lies, on which no pixel depends."""
SYSTEM_KEY = "SR_SYSTEM"
"""Metadata of a product that tells the system that made it."""
IDENTITY_KEY = "SR_IDENTITY"
"""Metadata of a product: the digest of its identity."""
WARNINGS_KEY = "warnings"
"""In a record: what the user should look at, in sentences."""


def identity_of(
    product: OpenedImage,
    recipe: "Recipe",
    grid: Grid,
    floating: bool,
    naming: object = None,
    watch: InputWatch | None = None,
) -> dict[str, Any]:
    """Return all that the pixels of a product depend on, and nothing else.

    Args:
        product: the open input.
        recipe: how the product is made.
        grid: where its pixels lie.
        floating: whether it holds reflectance.
        naming: names given to bands that nothing describes.
        watch: what notices that the input is replaced; None for a new one.
    """
    stated = {name: value for name, value in product.identity.items() if name not in PLACES}
    behind = {band: names_behind([name]) for band, name in rasters_of(product).items()}
    found = (watch or InputWatch(names_of(product))).stamps
    return {
        "input": {
            **cleaned(stated),
            "bands": {
                band: digest([found[place(name)] for name in names])[:16] for band, names in sorted(behind.items())
            },
            "naming": naming,
            "offset": product.offset,
            "hrefs": cleaned(product.hrefs),
            "files": unplaced(found),
        },
        "models": [weights_of(network) for network in recipe.networks],
        "masks": [mask.digest() for mask in recipe.masks],
        "method": type(recipe).__name__,
        "bands": list(recipe.bands),
        "grid": [*grid.geotransform, grid.columns, grid.rows],
        "float": floating,
    }


def weights_of(network: "Network") -> dict[str, Any]:
    """Return what a network's output depends on: its description with the weights' digest, or the files without one."""
    stated = {name: value for name, value in network.description.to_json().items() if name != "software"}
    stated["engine"] = network.engine
    if network.description.precision == "int8":
        stated["made_of"] = Path(network.model_dir).name  # a digest of the weights and of the tiles
    if network.description.weights:
        return stated
    files = (path for path in Path(network.model_dir).rglob("*") if path.is_file() and path.suffix != ".json")
    return {**stated, "files": unplaced(stamps(map(str, files)))}


def digest(identity: Any) -> str:
    """Return the SHA-256 of an identity, or of another content of JSON."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def rasters_of(product: OpenedImage) -> dict[str, str]:
    """Return the raster that each band of a product comes from, by names for GDAL."""
    return {**product.bands, **product.originals}


def names_of(product: OpenedImage) -> list[str]:
    """Return GDAL's names of all that a product's bands are read from."""
    return names_behind(rasters_of(product).values())


def files_of(product: OpenedImage) -> list[str]:
    """Return the local files that a product's bands are read from."""
    return files_behind(rasters_of(product).values())


def product_metadata(product: OpenedImage, recipe: "Recipe", identity: Mapping) -> dict[str, str]:
    """Return the metadata that the product of a Sentinel-2 image carries."""
    source, offset = str(product.identity.get("id", "")), str(product.offset)
    dates = dated([acquired(product.identity)])
    return file_metadata(recipe.networks, source, identity, SR_LEVEL=product.level, SR_OFFSET=offset, **dates)


def dated(moments: Sequence[datetime | None]) -> dict[str, str]:
    """Return the metadata that say when inputs were acquired; none where that is not known of all.

    Args:
        moments: times in UTC, one for each input.
    """
    known = sorted(moment for moment in moments if moment)
    if not known or len(known) < len(moments):
        return {}
    first, last = (f"{moment:%Y:%m:%d %H:%M:%S}" for moment in (known[0], known[-1]))
    return {DATE_KEY: first} if first == last else {DATE_KEY: first, LAST_DATE_KEY: last}


def acquired(identity: Mapping) -> datetime | None:
    """Return when an image was acquired, in UTC, as its item or its name says; None where neither does.

    Args:
        identity: that of an opened image.
    """
    stated = identity.get("datetime")
    if not stated:
        return time_in_name(str(identity.get("id", "")))
    from pystac.utils import str_to_datetime

    moment = str_to_datetime(str(stated))
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment


def file_metadata(networks: "Iterable[Network]", source: str, identity: Mapping, **stated: str) -> dict[str, str]:
    """Return the metadata that a product file carries.

    Args:
        networks: those that made it.
        source: what it was made of.
        identity: all that its pixels depend on.
        **stated: further metadata.
    """
    descriptions = [network.description for network in networks]
    stated = {
        "TIFFTAG_SOFTWARE": provenance.software(),
        SYSTEM_KEY: ", ".join(dict.fromkeys(description.system for description in descriptions)),
        "SR_WEIGHTS": ", ".join(description.weights or "unknown" for description in descriptions),
        "SR_INPUT": source,
        **stated,
    }
    return {**{name: without_credentials(value) for name, value in stated.items()}, IDENTITY_KEY: digest(identity)}


def write_record(
    output: Path, options: BaseOptions, notes: Mapping, identity: Mapping, resumed: int, seconds: float
) -> None:
    """Write what the product was made of, beside it; `notes` are those of its journal."""
    content = {
        "arguments": asdict(options),
        "versions": provenance.versions(),
        "input": {**identity["input"], **notes["input"]},
        "models": notes["models"],
        "precision": notes["precision"],
        "decisions": notes.get("decisions", []),
        "derived_from": notes.get("derived_from", []),
        CLASSES_KEY: notes.get(CLASSES_KEY, False),
        "identity": identity,
        "resumed_regions": resumed,
        "seconds": round(seconds, 2),
    }
    provenance.write(provenance.record_of(output), content)


def add_to_record(output: Path, content: Mapping) -> None:
    """Add to the record of a product."""
    path = provenance.record_of(output)
    provenance.write(path, {**provenance.read(path), **content})
