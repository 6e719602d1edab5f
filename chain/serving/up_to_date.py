# SPDX-License-Identifier: Apache-2.0
"""Whether a product is done: what it was made of has not changed since.

`is_done` tells it without opening the scene, by a fingerprint; `differences` tells it of an open scene, by the identity
of all that pixels depend on, and names what has changed.

A fingerprint is taken of the command, before the scene is opened, and kept in the record beside the product, with the
product's own size and time:

    found = fingerprint(options, names, models)
    if not is_done(output, found):
        ...                                     # opens the scene, compares it with the product, or makes it
        record.write(record_of(output), {..., **mark(output, found)})

Files are known by where they really lie, their size and time of change; items by what they say; what lies at an
address by the address, and by what its server tells without being given a signature: ETag, time and size. Options on
which pixels depend count, and files that they name; what only GDAL knows how to find (`/vsizip/…`, `NETCDF:…`) counts
as changed each time. So "no" may be said of a product that would be made again as it is (its files were moved, an
option was put in other words), but not "yes" of one whose files have changed.
"""

import functools
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from osgeo import gdal

from chain.raster import http
from chain.runtime.options import BaseOptions, paths_read, values_for_pixels
from chain.runtime.provenance import read, record_of, software_version
from chain.sentinel2.stac_item import DOCUMENT, FileOrItem, band_assets, classes_asset, read_item, stacked_asset
from chain.serving.input_files import retrieved
from chain.serving.inputs import is_item
from chain.serving.provenance import IDENTITY_KEY, digest

FINGERPRINT, PRODUCT = "fingerprint", "product"
"""Keys of a record."""
REMOTE = ("http://", "https://", "s3://", "gs://")
"""Beginnings of addresses."""
SIGNATURES = re.compile("x-(amz|goog)-.*", re.IGNORECASE)
SIGNATURES_OF_AZURE = frozenset("sig se sp spr sr ss srt st sv skoid sktid skt ske sks skv".split())
"""Parameters of addresses that tell who may read, until when, and not what."""

_software = functools.cache(software_version)


def fingerprint(options: BaseOptions, names: Sequence[FileOrItem], models: Iterable[str | Path]) -> str:
    """Return a digest of all that the pixels of a product depend on, as far as it is told without opening the scene.

    Args:
        options: those of the program.
        names: files of the scene, or its item, as `chain.serving.batch.scenes_of` returns them.
        models: files or folders of the weights, also those that no option names.

    Raises:
        ValueError: an item cannot be read.
    """
    read = paths_read(options)
    content = {
        "options": sorted([name, value] for name, value in values_for_pixels(options).items()),
        "files": [[name, [_stamps(str(each)) for each in _each(value)]] for name, value in sorted(read.items())],
        "input": [_input(name) for name in names],
        "models": [_stamps(str(model)) for model in models],
        "software": _software(),
    }
    return hashlib.sha256(json.dumps(_unsigned(content), sort_keys=True, default=repr).encode()).hexdigest()


def is_done(output: Path, found: str) -> bool:
    """Return whether a product is there, untouched since it was recorded with a fingerprint.

    Args:
        output: the product.
        found: the fingerprint of what would be made.
    """
    record = read(record_of(output))
    try:
        return {key: record.get(key) for key in (FINGERPRINT, PRODUCT)} == mark(output, found)
    except OSError:
        return False


def is_marked(output: Path) -> bool:
    """Return whether the record of a product has a fingerprint."""
    return FINGERPRINT in read(record_of(output))


def mark(output: Path, found: str) -> dict:
    """Return the entries of a record by which `is_done` knows a product, which has to be whole.

    Args:
        output: the product.
        found: the fingerprint that was taken before the scene was opened.

    Raises:
        OSError: there is no product.
    """
    status = os.stat(output)
    return {FINGERPRINT: found, PRODUCT: {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}}


def identity_in(output: Path) -> str | None:
    """Return the digest of the identity that a product carries; None for what is no product of this project."""
    try:
        dataset = gdal.OpenEx(str(output), gdal.OF_RASTER, allowed_drivers=["GTiff"])
    except RuntimeError:
        return None
    return dataset.GetMetadataItem(IDENTITY_KEY)


def differences(output: Path, identity: dict) -> list[str]:
    """Return in what an existing product differs from the one of an identity, by the words of the identity.

    Args:
        output: the product.
        identity: what would be made.
    """
    if identity_in(output) == digest(identity):
        return []
    before = read(record_of(output)).get("identity")
    if not isinstance(before, Mapping):
        return ["unknown"]
    now = json.loads(json.dumps(identity, default=str))
    return [name for name in {**now, **before} if before.get(name) != now.get(name)] or ["unknown"]


def check_same(output: Path, identity: dict, argument: str = "--output-dir") -> None:
    """Refuse to leave a product alone that would be made otherwise.

    Args:
        output: the product.
        identity: what would be made.
        argument: name of the option that names it, for errors.

    Raises:
        FileExistsError: it is of another identity.
    """
    changed = differences(output, identity)
    if changed:
        raise FileExistsError(
            f"{argument}: {output} exists, made of other {', '.join(changed)}; --overwrite replaces it"
        )


def _each(value: Any) -> Sequence:
    """Return the values that an option has."""
    return value if isinstance(value, list | tuple) else [value]


def _input(name: FileOrItem) -> list:
    """Return what identifies an input: the stamps of its files, and what it says if it is an item."""
    if not isinstance(name, str) or is_item(name):
        item = read_item(name)
        item.pop(DOCUMENT)
        return [item, [_stamps(href.removeprefix("file://")) for href in _hrefs(item)]]
    is_metadata = os.path.basename(name).startswith("MTD_MSI")
    return _stamps(os.path.dirname(name) or "." if is_metadata else name)


def _hrefs(item: Mapping[str, Any]) -> list[str]:
    """Return the addresses of what a product may be made of: all of an item that are local, and those of its bands."""
    hrefs = [asset["href"] for asset in item["assets"].values() if asset.get("href")]
    try:
        stack, _ = stacked_asset(item) or ({}, None)
        bands = [*band_assets(item).values(), classes_asset(item) or {}, stack]
    except ValueError:  # what opens the scene tells it
        return hrefs
    used = {asset.get("href") for asset in bands}
    return [href for href in hrefs if href in used or not href.lower().startswith(REMOTE)]


def _stamps(path: str) -> list:
    """Return where a file really lies, its size and its time of change, for all files that a path is or holds.

    A file stands with those beside it that have its name and another suffix, which may describe it; a folder with all
    below it; a mosaic (VRT) with the files that it is made of.

    Args:
        path: the file or folder. An address is told by itself and its server; what does not exist is nothing.

    Returns:
        For each file or folder, how it is reached, and its stamp.
    """
    if path.lower().startswith(REMOTE):
        return [path, sorted(retrieved(http.gdal_name(path)).items())]
    if not os.path.exists(path):
        return [_never()] if ":" in path or path.startswith("/vsi") else []
    try:
        return _walk(path)
    except OSError:
        return [_never()]


def _never() -> int:
    """Return the stamp of what cannot be told from what it was: another one each time."""
    return time.time_ns()


def _walk(path: str) -> list:
    """Return the stamps of a file or folder that exists, and of all that belongs to it."""
    found = []
    opened: set[str] = set()
    asked = [(path, "" if os.path.isdir(path) else os.path.basename(path))]
    asked += [(name, f"/{os.path.basename(name)}") for name in _beside(path)]
    while asked:
        name, way = asked.pop()
        real = os.path.realpath(name)
        found.append([way, _stamp(real)])
        if real in opened:
            continue
        opened.add(real)
        if os.path.isdir(real):
            asked += [(os.path.join(real, entry), f"{way}/{entry}") for entry in sorted(os.listdir(real))]
        elif _is_mosaic(real):
            files = [each for source in _sources(real) for each in (source, *_beside(source))]
            asked += [(each, f"{way}//{number}") for number, each in enumerate(files)]
    return found


def _stamp(real: str) -> list | int | None:
    """Return the stamp of one file or folder, by the path at which it really lies; None where nothing does."""
    if real.startswith("/vsi"):
        return _never()
    if not os.path.exists(real):
        return None
    status = os.stat(real)
    return [real] if os.path.isdir(real) else [real, status.st_size, status.st_mtime_ns]


def _beside(path: str) -> list[str]:
    """Return a file and those beside it that have its name and another suffix; nothing for a folder."""
    if not os.path.isfile(path):
        return []
    stem = os.path.splitext(os.path.basename(path))[0]
    with os.scandir(os.path.dirname(path) or ".") as entries:
        return sorted(entry.path for entry in entries if entry.name.startswith(f"{stem}.") and entry.is_file())


def _is_mosaic(real: str) -> bool:
    """Return whether a file is a VRT, as GDAL does: by its beginning; those named so are, whatever they begin with."""
    if not os.path.isfile(real):
        return False
    with open(real, "rb") as stream:
        return real.lower().endswith(".vrt") or b"<VRTDataset" in stream.read(1024)


def _sources(mosaic: str) -> list[str]:
    """Return the files that a mosaic is made of; one that cannot be opened is made of none."""
    try:
        return sorted(gdal.Open(mosaic).GetFileList() or ())
    except RuntimeError:
        return []


def _unsigned(value: Any) -> Any:
    """Return a value of JSON whose addresses have lost their signatures."""
    if isinstance(value, Mapping):
        return {key: _unsigned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_unsigned(each) for each in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    address, _, query = value.partition("?")
    parameters = [(parameter.partition("=")[0], parameter) for parameter in query.split("&")]
    of_azure = SIGNATURES_OF_AZURE if "sig" in dict(parameters) else ()
    kept = [each for key, each in parameters if each and key not in of_azure and not SIGNATURES.fullmatch(key)]
    return [address, kept]
