# SPDX-License-Identifier: Apache-2.0
"""What the pixels of rasters are read from: which files, members of archives and addresses, and in which state.

`stamps` tells it in words that hold from one run to the next: a folder that was moved, and an address that was signed
anew, are the same; a file that was replaced is not. `InputWatch` notices what is replaced while a product is made.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

from osgeo import gdal

from chain.raster import http
from chain.raster.vsi import ARCHIVES, local_file, on_disk
from chain.runtime.credentials import without_credentials

END = 1 << 16
"""Bytes at the beginning and at the end of a file of which its stamp holds a digest."""
BLOCK, BLOCKS = 1 << 12, 16
"""Bytes of the parts between them, and their number."""
LARGEST_DESCRIPTION = 1 << 20
"""Bytes of the largest description beside a raster that is looked into."""
RETRIEVED = {"etag": "etag", "last-modified": "modified", "content-length": "bytes"}
"""Headers of what lies at an address, and what stamps call them."""


class InputChangedError(RuntimeError):
    """An input was replaced while it was read."""


def names_behind(names: Iterable[str]) -> list[str]:
    """Return GDAL's names of all that rasters are read from, in order; mosaics (VRT) are followed to theirs."""
    found: set[str] = set()
    asked = list(names)
    while asked:
        name = asked.pop()
        if _is_remote(name) and not name.lower().endswith(".vrt"):
            found.add(name)
            continue
        dataset = gdal.Open(name)
        listed = set(dataset.GetFileList() or ()) - found
        if dataset.GetDriver().ShortName == "VRT":
            asked += [each for each in listed if _is_remote(each) or _is_raster(each)]
        found |= listed
    return sorted(name for name in found if not name.startswith("/vsimem/") and not _holds_statistics_alone(name))


def _holds_statistics_alone(name: str) -> bool:
    """Return whether a file is an .aux.xml with statistics and names of bands alone, as QGIS writes beside rasters.

    Names of bands count elsewhere: they are part of what an input is taken for.
    """
    if not name.endswith(".aux.xml") or not os.path.isfile(name) or os.path.getsize(name) > LARGEST_DESCRIPTION:
        return False
    try:
        root = ElementTree.parse(name).getroot()
    except ElementTree.ParseError:
        return False
    described = [part for band in root.iter("PAMRasterBand") for part in band]
    others = [part for part in root if part.tag != "PAMRasterBand"]
    keys = [str(item.get("key")) for part in described if part.tag == "Metadata" for item in part]
    return (
        bool(described)
        and not others
        and {part.tag for part in described} <= {"Description", "Histograms", "Metadata"}
        and all(key.startswith("STATISTICS_") for key in keys)
    )


def _is_raster(name: str) -> bool:
    """Return whether GDAL reads a file as a raster."""
    return gdal.IdentifyDriverEx(name, gdal.OF_RASTER) is not None


def files_behind(names: Iterable[str]) -> list[str]:
    """Return the local files that rasters are read from: archives for what lies in them."""
    return local_files(names_behind(names))


def local_files(names: Iterable[str]) -> list[str]:
    """Return the local files that GDAL's names are of: archives for what lies in them."""
    return sorted({file for name in names if (file := local_file(name))})


def stamps(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the stamps of what rasters are read from, given GDAL's names of it, by where it lies.

    Returns:
        For a file: its name, size, time of change, and a digest of parts of it; for a member of a zip: its name, size
        and checksum; for an address: itself without credentials, and the size, ETag and time that the server tells.
    """
    archives: dict[str, dict[str, zipfile.ZipInfo]] = {}
    return {place(name): _stamp(name, archives) for name in names}


def place(name: str) -> str:
    """Return where lies what GDAL calls by a name: a path without links, or an address without credentials."""
    return os.path.realpath(name) if os.path.isfile(name) else without_credentials(name)


def unplaced(found: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return stamps without the places, in an order that does not depend on these."""
    return sorted(found.values(), key=lambda stamp: sorted(map(str, stamp.items())))


def _stamp(name: str, archives: dict[str, dict[str, zipfile.ZipInfo]]) -> dict[str, Any]:
    """Return the stamp of one file, member or address; `archives` holds what zips list."""
    if _is_remote(name):
        return {"address": without_credentials(name), **_retrieved(name)}
    file = local_file(name)
    if not file:
        return {"name": without_credentials(name)}
    if not name.startswith(ARCHIVES):
        status = os.stat(file)
        stated = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sample": _sample(file, status.st_size)}
        return {"name": os.path.basename(file), **stated}
    member = name.partition(os.path.basename(file))[2].strip("/}")
    if name.startswith("/vsizip/"):
        if file not in archives:
            with zipfile.ZipFile(file) as archive:
                archives[file] = {info.filename: info for info in archive.infolist()}
        info = archives[file].get(member)
        if info:
            return {"name": member, "bytes": info.file_size, "crc": info.CRC}
    return {**_stamp(file, archives), "member": member}


def _sample(path: str, size: int) -> str:
    """Return a digest of the beginning, the end, and parts between them of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        digest.update(stream.read(END))
        for number in range(BLOCKS):
            stream.seek(max(size - 2 * END, 0) * (number + 1) // (BLOCKS + 1) + END)
            digest.update(stream.read(BLOCK))
        stream.seek(max(size - END, 0))
        digest.update(stream.read(END))
    return digest.hexdigest()


def _retrieved(name: str) -> dict[str, str]:
    """Return what a server tells of what lies at an address; nothing where it does not answer such a question."""
    for _ in range(2):
        with http.quiet_gdal():
            headers = gdal.GetFileMetadata(name, "HEADERS") or {}
        told = {header.lower(): value for header, value in headers.items()}
        if told:
            return {key: told[header] for header, key in RETRIEVED.items() if header in told}
    return {}


def retrieved(name: str) -> dict[str, str]:
    """Return what a server tells now of what lies at an address, and not what GDAL remembers of before."""
    gdal.VSICurlPartialClearCache(name)
    return _retrieved(name)


class InputWatch:
    """Notices that what rasters are read from is replaced.

    Args:
        names: GDAL's names of it.
        argument: name of the option, for errors.
    """

    def __init__(self, names: Iterable[str], argument: str = "--input"):
        self.argument = argument
        self.names = tuple(names)
        """GDAL's names of what is watched."""
        self._files = {file: on_disk(file) for name in self.names if (file := local_file(name))}
        self._remote = {without_credentials(name): _retrieved(name) for name in self.names if _is_remote(name)}

    @cached_property
    def stamps(self) -> dict[str, dict[str, Any]]:
        """Stamps of what is watched, as of `stamps`."""
        return stamps(self.names)

    def check(self) -> None:
        """Hold files against what they were.

        Raises:
            InputChangedError: one was replaced, changed or removed.
        """
        for file, before in self._files.items():
            if on_disk(file) != before:
                raise InputChangedError(
                    f"{self.argument}: expected a file that stays as it is, got {file}, which has changed"
                )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold files against what they were when a reading ends, also when it fails, as it does from half a file.

        Raises:
            InputChangedError: one was replaced, changed or removed.
        """
        try:
            yield
        except (OSError, RuntimeError, ValueError):
            self.check()
            raise
        self.check()

    def check_all(self, names: Iterable[str] | None = None) -> None:
        """Hold files, and what servers tell of addresses, against what they were.

        Args:
            names: GDAL's present names of what is watched, if some were signed anew.

        Raises:
            InputChangedError: one was replaced, changed or removed.
        """
        self.check()
        for name in self.names if names is None else names:
            before = self._remote.get(without_credentials(name))
            if not before:
                continue
            now = retrieved(name)
            if any(now.get(key, value) != value for key, value in before.items()):
                address = without_credentials(name)
                raise InputChangedError(
                    f"{self.argument}: expected an image that stays as it is, got {address}, which has changed"
                )


def _is_remote(name: str) -> bool:
    """Return whether one of GDAL's names is of a remote file."""
    return name.startswith(http.REMOTE_PREFIXES)
