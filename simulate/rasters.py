# SPDX-License-Identifier: Apache-2.0
"""Writing images as Cloud-Optimized GeoTIFFs."""

from pathlib import Path

import numpy as np
from osgeo import gdal, gdal_array, osr

gdal.UseExceptions()


def write_cog(
    path: Path,
    image: np.ndarray,
    origin: tuple[float, float],
    gsd: float,
    epsg: int,
    descriptions: list[str],
    metadata: dict[str, str] | None = None,
    resampling: str = "AVERAGE",
) -> None:
    """Writes a north-up image as a Cloud-Optimized GeoTIFF with blocks of 512, overviews and nodata 0.

    Args:
        path: file to write; its folder is made.
        image: (rows, columns) or (bands, rows, columns), of GDAL's pixel types.
        origin: easting and northing of the upper left corner, in metres.
        gsd: side of a pixel, in metres.
        epsg: code of the coordinate reference system.
        descriptions: of the bands.
        metadata: of the image.
        resampling: how overviews are made.
    """
    image = image.reshape(-1, *image.shape[-2:])
    bands, rows, columns = image.shape
    pixel_type = gdal_array.NumericTypeCodeToGDALTypeCode(image.dtype.type)
    memory = gdal.GetDriverByName("MEM").Create("", columns, rows, bands, pixel_type)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    memory.SetProjection(reference.ExportToWkt())
    memory.SetGeoTransform((origin[0], gsd, 0.0, origin[1], 0.0, -gsd))
    memory.SetMetadata({"AREA_OR_POINT": "Area", **(metadata or {})})
    for number, description in enumerate(descriptions, start=1):
        band = memory.GetRasterBand(number)
        band.SetDescription(description)
        band.SetNoDataValue(0)
        band.WriteArray(image[number - 1])
    levels = [2**power for power in range(1, 8) if max(rows, columns) // 2**power >= 32]
    if levels:
        memory.BuildOverviews(resampling, levels)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = ["COMPRESS=DEFLATE", "PREDICTOR=YES", "BLOCKSIZE=512", "OVERVIEWS=AUTO", "BIGTIFF=IF_SAFER"]
    gdal.GetDriverByName("COG").CreateCopy(str(path), memory, options=options)
