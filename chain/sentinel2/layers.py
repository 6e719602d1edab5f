# SPDX-License-Identifier: Apache-2.0
"""Bands of rasters as GDAL and OTB open them: each a raster of its own whose missing pixels are nodata.

What means that there is no data is told in many ways: declared nodata, a mask in the file or beside it (`.msk`), an
alpha band, a band of another name that is 0 there, numbers that a packing is known for. Where declared nodata does not
say it all, a band becomes a VRT in GDAL's memory, computed when it is read, in which such pixels are 0. So do bands
whose numbers have to be multiplied, and those whose pixel size is 10, 20 or 60 m but for rounding.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

from osgeo import gdal

from chain.raster.gdal_memory import new_name
from chain.raster.http import REMOTE_PREFIXES
from chain.raster.opening import CUT, open_raster
from chain.sentinel2.band_names import esa_band
from chain.sentinel2.bands import BANDS, NODATA

STEM = "sentinel2_"
"""Beginning of the names of bands in GDAL's memory."""
SIZES = tuple(sorted(set(BANDS.values())))
SIZE_TOLERANCE = 1e-5
"""Relative difference from a native pixel size that is rounding."""


@dataclass(frozen=True)
class Layer:
    """A band of a raster, and what is known of its numbers beside what the raster declares."""

    name: str
    """The raster, as a name for GDAL or an address."""
    number: int = 1
    """The band, counted from 1."""
    fill: tuple[float, ...] = ()
    """Numbers that mean no data."""
    validity: tuple[int, ...] = ()
    """Bands of the same raster, alpha bands among them, that are 0 where there is no data."""
    factor: float = 1.0
    """By which numbers become digital numbers."""
    is_unseen: bool = False
    """Whether who makes the layer knows the raster by a document alone: then alpha bands count as `validity`, and the
    raster may not describe the band as another one."""


def alpha_bands(dataset: gdal.Dataset) -> list[int]:
    """Return the numbers of alpha bands: bands that are marked as such, and not described as one of the sensor."""
    return [
        number
        for number in range(1, dataset.RasterCount + 1)
        if dataset.GetRasterBand(number).GetColorInterpretation() == gdal.GCI_AlphaBand
        and not esa_band(dataset.GetRasterBand(number).GetDescription())
    ]


def opened_layer(layer: Layer, band: str) -> str:
    """Return a raster of one band, for GDAL and OTB, whose missing pixels are 0, its declared nodata, or not finite.

    Args:
        layer: the band; its name is one for GDAL. What GDAL's memory holds of it is removed by `release`.
        band: its name.

    Raises:
        RuntimeError: GDAL cannot open it.
        ValueError: the raster has fewer bands, or describes the band as another one of the sensor.
    """
    dataset = open_raster(layer.name)
    if layer.is_unseen:
        alpha = tuple(number for number in alpha_bands(dataset) if number != layer.number)
        layer = replace(layer, validity=(*layer.validity, *alpha))
    if layer.number > dataset.RasterCount:
        raise ValueError(f"{layer.name}: expected {band} as band {layer.number}, got {dataset.RasterCount} bands")
    described = esa_band(dataset.GetRasterBand(layer.number).GetDescription())
    if layer.is_unseen and described not in (None, band):
        raise ValueError(
            f"{layer.name}: expected {band} as band {layer.number}, got one that it describes as {described}"
        )
    place = _rounded(dataset.GetGeoTransform(can_return_null=True))
    masked = has_own_mask(dataset.GetRasterBand(layer.number))
    plain = not masked and not layer.fill and not layer.validity and layer.factor == 1.0
    is_known_to_otb = not layer.name.startswith(REMOTE_PREFIXES) and CUT not in layer.name
    if plain and place is None and dataset.RasterCount == 1 and is_known_to_otb:
        return layer.name
    name = new_name(f"{STEM}{band}", "vrt")
    try:
        if plain:
            made = gdal.Translate(name, dataset, format="VRT", bandList=[layer.number])
        else:
            made = _filled(name, layer, dataset, masked)
        if place is not None:
            made.SetGeoTransform(place)
        made.FlushCache()
    except BaseException:
        release(name)
        raise
    return name


def has_own_mask(band: gdal.Band) -> bool:
    """Return whether a band has a mask that is neither its declared nodata nor an alpha band."""
    flags = band.GetMaskFlags()
    return not flags & (gdal.GMF_ALL_VALID | gdal.GMF_ALPHA) and flags != gdal.GMF_NODATA


def tells_missing(layer: Layer) -> bool:
    """Return whether something tells which pixels of a band are missing, beside 0."""
    dataset = open_raster(layer.name)
    band = dataset.GetRasterBand(layer.number)
    return bool(layer.fill or layer.validity) or band.GetNoDataValue() is not None or has_own_mask(band)


def release(name: str | None) -> None:
    """Remove what `opened_layer` holds in GDAL's memory, if anything."""
    if not name or not name.startswith(f"/vsimem/{STEM}"):
        return
    for each in (name, *(f"{name}.{file}" for file in _inner(name))):
        if gdal.VSIStatL(each) is not None:
            gdal.Unlink(each)


def _inner(name: str) -> list[str]:
    """Return the ends of the names of the steps that a raster in memory is made by."""
    folder, _, own = name.rpartition("/")
    return [file[len(own) + 1 :] for file in gdal.ReadDir(folder) or () if file.startswith(f"{own}.")]


def _rounded(geotransform: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Return a place whose pixel size is a native one, where it is but for rounding; else None."""
    if geotransform is None or geotransform[2] or geotransform[4]:
        return None
    dx, dy = geotransform[1], geotransform[5]
    for size in SIZES:
        if max(abs(dx - size), abs(-dy - size)) < SIZE_TOLERANCE * size and (dx, dy) != (size, -size):
            return geotransform[0], size, 0.0, geotransform[3], 0.0, -size
    return None


def _filled(name: str, layer: Layer, dataset: gdal.Dataset, masked: bool) -> gdal.Dataset:
    """Make a raster in which all that is missing is 0, in as many steps as there are ways to be missing."""
    source, number = layer.name, layer.number
    band = dataset.GetRasterBand(number)
    steps = itertools.count(1)

    def step(**how: Any) -> None:
        nonlocal source, number
        inner = f"{name}.{next(steps)}.vrt"
        _copy(inner, dataset, source, number, band.DataType, **how).FlushCache()
        source, number = inner, 1

    if masked:
        step(masked=True)
    for validity in layer.validity:
        step(validity=(layer.name, validity))
        step(masked=True)
    for fill in layer.fill:
        step(missing=fill)
    kind = band.DataType if layer.factor == 1.0 else gdal.GDT_Float32
    made = _copy(name, dataset, source, number, kind, missing=band.GetNoDataValue(), factor=layer.factor)
    made.GetRasterBand(1).SetDescription(band.GetDescription())
    return made


def _copy(
    name: str,
    like: gdal.Dataset,
    source: str,
    number: int,
    kind: int,
    masked: bool = False,
    missing: float | None = None,
    factor: float = 1.0,
    validity: tuple[str, int] | None = None,
) -> gdal.Dataset:
    """Make a raster, in GDAL's memory, of a band of another.

    Args:
        name: its name.
        like: a raster of its size and place.
        source: the other raster.
        number: the band.
        kind: GDAL's type of its numbers.
        masked: make what the band's mask leaves out 0.
        missing: make this number 0.
        factor: multiply what is not missing.
        validity: raster and band to carry as a mask, without use of it.
    """
    made = gdal.GetDriverByName("VRT").Create(name, like.RasterXSize, like.RasterYSize, 1, kind)
    place = like.GetGeoTransform(can_return_null=True)
    if place is not None:
        made.SetGeoTransform(place)
    made.SetProjection(like.GetProjection())
    band = made.GetRasterBand(1)
    kept = "<UseMaskBand>true</UseMaskBand>" if masked else ""
    if missing is not None:
        kept += f"<NODATA>{missing!r}</NODATA>"
    if factor != 1.0:
        kept += f"<ScaleOffset>0</ScaleOffset><ScaleRatio>{factor!r}</ScaleRatio>"
    band.SetMetadataItem("source_0", _source(like, source, number, "ComplexSource", kept), "new_vrt_sources")
    if validity is None:
        band.SetNoDataValue(NODATA)
    else:
        made.CreateMaskBand(gdal.GMF_PER_DATASET)
        mask = band.GetMaskBand()
        mask.SetMetadataItem("source_0", _source(like, *validity, "SimpleSource"), "new_vrt_sources")
    return made


def _source(like: gdal.Dataset, name: str, number: int, kind: str, content: str = "") -> str:
    """Return the words by which a VRT takes all pixels of a band."""
    size = f'xOff="0" yOff="0" xSize="{like.RasterXSize}" ySize="{like.RasterYSize}"'
    return (
        f'<{kind}><SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename><SourceBand>{number}</SourceBand>'
        f"<SrcRect {size}/><DstRect {size}/>{content}</{kind}>"
    )
