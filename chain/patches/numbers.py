# SPDX-License-Identifier: Apache-2.0
"""Whether a Spot image holds digital numbers, of which patches of 16 bits can be made, and no undeclared fill."""

import numpy as np
from osgeo import gdal

from chain.raster.gdal_memory import new_name
from chain.sentinel2.digital_numbers import REFLECTANCES, check_not_filled
from chain.sentinel2.sampling import FLOATING, sampled_numbers

WAY_OUT = "--match-radiometry brings it to Sentinel-2's"


def check_numbers(option: str, path: str, nodata: float | None, matched: bool) -> None:
    """Refuse an image of reflectance or of 8 bits, unless it is brought to another radiometry, and undeclared fill.

    Args:
        option: the option that names it, for errors.
        path: its path.
        nodata: digital number of nodata, or None.
        matched: whether its bands are brought to Sentinel-2's radiometry.

    Raises:
        ValueError: it is one.
    """
    source = gdal.Open(path)
    bands = {str(number): new_name("spot_band", "vrt") for number in range(1, source.RasterCount + 1)}
    try:
        for number, name in bands.items():
            gdal.Translate(name, source, format="VRT", bandList=[int(number)], noData=nodata).FlushCache()
        kind = source.GetRasterBand(1).DataType
        values = np.concatenate([sampled_numbers(gdal.Open(name)) for name in bands.values()])
        if not matched and kind == gdal.GDT_Byte:
            raise ValueError(f"{option}: expected digital numbers of 16 bits, got 8 bits in {path}; {WAY_OUT}")
        if not matched and kind in FLOATING and values.size and values.max() <= REFLECTANCES[1]:
            raise ValueError(
                f"{option}: expected digital numbers, got numbers up to {values.max():g} in {path}, which would all be "
                f"0 or 1 in patches of 16 bits; {WAY_OUT}"
            )
        check_not_filled(bands, f"{option} {path}", 1.0)
    finally:
        for name in bands.values():
            gdal.Unlink(name)
