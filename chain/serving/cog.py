# SPDX-License-Identifier: Apache-2.0
"""The Cloud-Optimized GeoTIFF that a product's regions become, with overviews, statistics, and what tells its bands."""

import re
from collections.abc import Sequence
from pathlib import Path

from osgeo import gdal

from chain.raster.gdal_memory import configured, reported_errors
from chain.raster.writing import check_whole
from chain.runtime.resources import threads
from chain.sentinel2.bands import WAVELENGTHS
from chain.serving.colours import NATURAL
from chain.serving.creation_options import named
from chain.serving.layout import Layout
from chain.serving.sums import Sums

COLOURS = dict(zip(NATURAL, (gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand)))
OPTIONS = {
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    "BIGTIFF": "IF_SAFER",
    "BLOCKSIZE": "512",
    "OVERVIEW_RESAMPLING": "AVERAGE",
}
"""Of GDAL's COG driver, unless others are given."""
DEFLATE_LEVEL = "1"
"""With predicted numbers of Sentinel-2, files are not larger than at GDAL's level 6, and written faster."""
PREDICTED = ("DEFLATE", "LZW", "ZSTD")
"""Compressions that predict numbers by those beside them."""


def write_cog(
    files: Sequence[Path],
    partial: Path,
    path: Path,
    layout: Layout,
    sums: Sequence[Sums],
    creation: Sequence[str] = (),
) -> None:
    """Write the Cloud-Optimized GeoTIFF of the files of regions.

    Args:
        files: Those of all regions.
        partial: The file to be written, `.tif`; what is made on the way lies beside it, under names that begin alike.
        path: The name that the file is to get, for errors.
        layout: What it is.
        sums: Those of each band's pixels.
        creation: Options of GDAL's COG driver, NAME=VALUE, in place of the project's own.

    Raises:
        OSError: When the disk refuses.
    """
    mosaic = gdal.BuildVRT(str(partial.with_suffix(".vrt")), [str(file) for file in files])
    mosaic.SetMetadata({**layout.metadata, "AREA_OR_POINT": "Area"})
    natural = set(NATURAL) <= set(layout.bands)
    for number, (name, of_band) in enumerate(zip(layout.bands, sums), start=1):
        band = mosaic.GetRasterBand(number)
        band.SetDescription(name)
        band.SetNoDataValue(layout.nodata)
        band.SetColorInterpretation(COLOURS.get(name, gdal.GCI_Undefined) if natural else _first_is_grey(number))
        if layout.scale is not None:
            band.SetScale(layout.scale)
            band.SetOffset(0.0)
        if name in WAVELENGTHS:  # in the words of ENVI, which QGIS and EnMAP-Box read too
            band.SetMetadata({"wavelength": str(WAVELENGTHS[name][0]), "wavelength_units": "nanometers"})
        if of_band.count:
            band.SetStatistics(of_band.minimum, of_band.maximum, of_band.mean, of_band.deviation)
    mosaic.FlushCache()
    if not layout.placed:
        mosaic = _without_place(mosaic)
    options = {**OPTIONS, "NUM_THREADS": str(threads()), **named(creation)}
    if options["COMPRESS"].upper() == "DEFLATE":
        options.setdefault("LEVEL", DEFLATE_LEVEL)
    if options["COMPRESS"].upper() not in PREDICTED:
        del options["PREDICTOR"]
    with reported_errors() as errors:
        try:
            _add_overviews(mosaic, int(options["BLOCKSIZE"]), options["OVERVIEW_RESAMPLING"])
            gdal.GetDriverByName("COG").CreateCopy(
                str(partial), mosaic, strict=False, options=[f"{name}={value}" for name, value in options.items()]
            )
        except RuntimeError as error:
            errors.append(str(error))
    if errors:
        raise OSError(f"--output: expected a disk that takes {path}, got {errors[0]}")
    check_whole(partial)


def _add_overviews(mosaic: gdal.Dataset, block: int, resampling: str) -> None:
    """Give a mosaic overviews for the COG driver to take, down to one block, in a file beside it.

    The driver's own, which are read only once too, are compressed as well as can be: that takes longer.
    """
    side = max(mosaic.RasterXSize, mosaic.RasterYSize)
    factors = [2 << level for level in range(side.bit_length()) if side >> level > block]
    if factors:
        with configured(COMPRESS_OVERVIEW="NONE", INTERLEAVE_OVERVIEW="BAND", BIGTIFF_OVERVIEW="IF_SAFER"):
            mosaic.BuildOverviews(resampling, factors)


def _first_is_grey(number: int) -> int:
    """Return the colour interpretation of a band, counted from 1, of a product without natural colours."""
    return gdal.GCI_GrayIndex if number == 1 else gdal.GCI_Undefined


def _without_place(mosaic: gdal.Dataset) -> gdal.Dataset:
    """Return a mosaic (VRT), which has a file, without the georeference that GDAL cannot make one without."""
    path = Path(mosaic.GetDescription())
    path.write_text(re.sub("<GeoTransform>.*?</GeoTransform>", "", path.read_text(encoding="utf-8")), encoding="utf-8")
    return gdal.Open(str(path))
