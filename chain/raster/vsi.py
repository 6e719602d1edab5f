# SPDX-License-Identifier: Apache-2.0
"""Files as GDAL names them: on the disk, in archives, at addresses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from osgeo import gdal

from chain.runtime.files import is_device

ARCHIVES = ("/vsizip/", "/vsitar/", "/vsigzip/", "/vsi7z/", "/vsirar/")
"""Beginnings of GDAL's names of files in archives."""

State = tuple[int, ...]
BESIDE = (
    *(".aux.xml", ".ovr", ".msk", ".aux", ".hdr", ".tfw", ".wld", ".rpb", ".imd", ".xml"),
    *(".prj", ".shx", ".dbf", ".cpg"),
)
"""Endings of files beside a raster, or a vector, that GDAL reads with it."""


@dataclass
class File:
    """A file that is open for reading."""

    stream: object
    size: int

    def at(self, offset: int, count: int) -> bytes:
        """Return bytes at a place, fewer where the file ends before."""
        gdal.VSIFSeekL(self.stream, offset, 0)
        return bytes(gdal.VSIFReadL(1, count, self.stream) or b"")


def local_file(name: str) -> str:
    """Return the local file behind one of GDAL's names: an archive for what lies in one; empty where there is none."""
    for prefix in ARCHIVES:
        if name.startswith(prefix):
            path = name[len(prefix) :]
            if path.startswith("{"):
                path = path[1:].partition("}")[0]
            while path and not os.path.isfile(path):
                path = path.rpartition("/")[0]
            return path
    return name if os.path.isfile(name) else ""


def state(name: str) -> State | None:
    """Return what changes when a file is written or replaced; None where there is no file."""
    status = gdal.VSIStatL(name)
    if status is None or status.IsDirectory():
        return None
    local = local_file(name)
    return (status.size, *(on_disk(local) or ())) if local else (status.size, status.mtime)


def on_disk(path: str) -> State | None:
    """Return what changes when a file on the disk is written or replaced; None where it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def refuse_devices(name: str) -> None:
    """Refuse devices and pipes, which GDAL would wait for: a name, files beside it that GDAL reads, files of a folder.

    Raises:
        ValueError: there is one.
    """
    stem = os.path.splitext(name)[0]
    asked = [name, *(f"{start}{ending}" for start in (name, stem) for ending in BESIDE)]
    if os.path.isdir(name):
        asked += [entry.path for entry in os.scandir(name)]
    for each in asked:
        if is_device(each):
            raise ValueError(f"{each}: expected a readable raster, got a device or a pipe")


@contextmanager
def opened(name: str) -> Iterator[File]:
    """Open a file.

    Raises:
        OSError: it cannot be opened.
    """
    if os.path.exists(name) and not os.path.isfile(name):
        raise OSError(f"{name}: expected a readable file, got a folder, a device or a pipe")
    status = gdal.VSIStatL(name)
    stream = gdal.VSIFOpenL(name, "rb") if status is not None else None
    if stream is None:
        raise OSError(f"{name}: expected a readable file, got one that cannot be opened")
    try:
        yield File(stream, status.size)
    finally:
        gdal.VSIFCloseL(stream)
