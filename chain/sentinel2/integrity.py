# SPDX-License-Identifier: Apache-2.0
"""Whether files of an input are those that were packed: by checksums, or else by their structure.

A SAFE product lists sizes and checksums of its files in `manifest.safe`, a zip keeps the checksum of each member. What
has no checksum is said in the record: bits of it may have flipped.
"""

import functools
import hashlib
import posixpath
import re
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from chain.raster.jpeg2000 import Damaged, is_jpeg2000
from chain.raster.vsi import State, local_file, opened, state
from chain.sentinel2.decision import Decision

MANIFEST = "manifest.safe"
ALGORITHMS = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA-512": "sha512"}
"""Names of checksums in manifests, and what `hashlib` calls them."""
CHUNK = 1 << 22
ZIP = "/vsizip/"


@dataclass(frozen=True)
class Listed:
    """What a manifest says of a file."""

    bytes: int
    algorithm: str
    """As manifests call it."""
    digest: str
    """In hexadecimal digits."""


def listed_files(text: bytes, root: str) -> dict[str, Listed]:
    """Return what a manifest says of files, by their names for GDAL.

    Planetary Computer's manifests tell one size for all images, and checksums of something else: they say nothing.

    Args:
        text: the manifest.
        root: the folder that holds it, as a name for GDAL.

    Raises:
        ValueError: it is no XML.
    """
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{root}/{MANIFEST}: expected the manifest of a SAFE product ({error})") from error
    found = {}
    for stream in tree.iter("byteStream"):
        place, checksum, size = stream.find("fileLocation"), stream.find("checksum"), stream.get("size", "")
        if place is None or checksum is None or not re.fullmatch("[0-9]{1,18}", size):
            continue
        name = posixpath.normpath(f"{root}/{place.get('href', '')}")
        digest = (checksum.text or "").strip().lower()
        found[name] = Listed(int(size), checksum.get("checksumName", "").upper(), digest)
    sizes = [listed.bytes for name, listed in found.items() if name.lower().endswith((".jp2", ".tif"))]
    return {} if len(sizes) > 1 and len(set(sizes)) == 1 else found


def verify(names: Mapping[str, str], listed: Mapping[str, Listed] = MappingProxyType({})) -> list[Decision]:
    """Hold files against their checksums; return what was verified by which, and what has none.

    Args:
        names: files by what they are (bands), as names for GDAL; remote ones among them are left out.
        listed: what a manifest says.

    Raises:
        chain.raster.jpeg2000.Damaged: a file is not the one that its checksum is of.
    """
    by: dict[str, list[str]] = {}
    for what, name in names.items():
        checked = _verified_by(name, listed.get(posixpath.normpath(name)))
        if checked:
            by.setdefault(checked, []).append(what)
    return [Decision("integrity", ", ".join(whats), reason) for reason, whats in by.items()]


def _verified_by(name: str, listed: Listed | None) -> str:
    """Verify a file; return in words by what, or that there is nothing; empty for formats that tell damage.

    Raises:
        Damaged: it is not the one that its checksum is of.
    """
    found = state(name) if local_file(name) else None
    if not found:
        return ""
    if listed and listed.algorithm in ALGORITHMS:
        _check_listed(listed, name, found)
        return f"verified by the {listed.algorithm} in {MANIFEST}"
    if name.startswith(ZIP):
        _check_member(name, found)
        return "verified by the checksums of the zip"
    return "whole by its structure, not verified: no checksum" if is_jpeg2000(name) else ""


@functools.lru_cache(1024)
def _check_listed(listed: Listed, name: str, _: State) -> None:
    """Hold a file against a manifest, once for each state of it."""
    expected = f"the file that {MANIFEST} lists, {listed.bytes} bytes, {listed.algorithm} {listed.digest}"
    way_out = f"download the product again, or remove {MANIFEST} if the file was changed on purpose"
    digest = hashlib.new(ALGORITHMS[listed.algorithm])
    with opened(name) as file:
        if file.size != listed.bytes:
            raise Damaged(f"{name}: expected {expected}, got {file.size} bytes: {way_out}")
        for start in range(0, file.size, CHUNK):
            digest.update(file.at(start, CHUNK))
    if digest.hexdigest() != listed.digest:
        raise Damaged(f"{name}: expected {expected}, got {digest.hexdigest()}: {way_out}")


@functools.lru_cache(1024)
def _check_member(name: str, _: State) -> None:
    """Read a member of a zip to its end, which tells whether its checksum is right, once for each state of it."""
    file = local_file(name)
    member = name.partition(file)[2].strip("/}")
    try:
        with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
            while stream.read(CHUNK):
                pass
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Damaged(f"{name}: expected a member of a whole zip, got a damaged one ({error})") from error
