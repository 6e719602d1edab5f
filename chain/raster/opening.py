# SPDX-License-Identifier: Apache-2.0
"""Opening rasters that users name: of the formats that the docs name, and whole as far as it can be told."""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from osgeo import gdal

from chain.raster import jpeg2000
from chain.raster.gdal_memory import new_name
from chain.raster.http import REMOTE_PREFIXES
from chain.raster.vsi import refuse_devices

DRIVERS = (
    *("GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "netCDF", "ENVI", "EHdr", "HFA", "PNG"),
    *("VRT", "DIMAP"),
)
"""GDAL's drivers of the rasters that are read. Others reach servers, databases and programs."""
SOURCES = ("SourceFilename", "SourceDataset")
"""Elements of a VRT that name other rasters."""
CUT = "?"
"""Where OTB cuts names, and takes what follows for options: it would open another file."""
RAW = "VRTRawRasterBand"


def open_raster(name: str) -> gdal.Dataset:
    """Open a raster.

    Args:
        name: its name for GDAL.

    Raises:
        RuntimeError: GDAL cannot open it, or it is of another format.
        chain.raster.jpeg2000.Damaged: it is JPEG 2000, or made of it, and not whole.
        ValueError: it is a device or a pipe, or a remote mosaic (VRT) of files of this machine.
    """
    return _open(name, frozenset())


def name_for_otb(name: str) -> str:
    """Return a name by which OTB opens a raster, given its name for GDAL: a VRT in memory where OTB would cut it."""
    if CUT not in name:
        return name
    made = new_name("named", "vrt")
    gdal.Translate(made, open_raster(name), format="VRT").FlushCache()
    return made


def _open(name: str, outer: frozenset[str]) -> gdal.Dataset:
    """Open a raster, and what it is made of, which is none of the mosaics that it is a part of."""
    refuse_devices(name)
    jpeg2000.check_whole(name)
    try:
        dataset = gdal.OpenEx(name, gdal.OF_RASTER, allowed_drivers=list(DRIVERS))
    except RuntimeError as error:
        if name in str(error):
            raise
        raise RuntimeError(f"{name}: expected a readable raster, got one of which GDAL says: {error}") from error
    kind = dataset.GetDriver().ShortName
    if kind == "DIMAP":
        for file in dataset.GetFileList() or ():
            jpeg2000.check_whole(file)
    if kind == "VRT":
        is_remote = name.startswith(REMOTE_PREFIXES)
        for source, is_raster in sorted(set(_sources(dataset, name))):
            if source in outer or source == name:
                raise ValueError(f"{name}: expected a mosaic of other rasters, got one of itself")
            if is_remote and not source.startswith(REMOTE_PREFIXES):
                raise ValueError(f"{name}: expected a remote mosaic of remote rasters, got one of {source}")
            if is_raster and (is_remote or not source.startswith(REMOTE_PREFIXES)):
                _open(source, outer | {name})
    return dataset


def _sources(dataset: gdal.Dataset, name: str) -> Iterator[tuple[str, bool]]:
    """Yield what a mosaic (VRT) names, and whether it is a raster, not the bytes of one.

    Raises:
        ValueError: it is damaged: GDAL takes what is no XML.
    """
    try:
        root = ElementTree.fromstring(dataset.GetMetadata_List("xml:VRT")[0])
    except ElementTree.ParseError as error:
        raise ValueError(f"{name}: expected a mosaic (VRT) in XML ({error})") from error
    raw = {element for band in root.iter("VRTRasterBand") if band.get("subClass") == RAW for element in band}
    for element in root.iter():
        if element.tag in SOURCES and element.text:
            is_relative = "1" in (element.get("relativeToVRT"), element.get("relativetoVRT"))
            source = os.path.join(os.path.dirname(name), element.text) if is_relative else element.text
            yield source, element not in raw
