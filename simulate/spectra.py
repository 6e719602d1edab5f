# SPDX-License-Identifier: Apache-2.0
"""Surface reflectance of the landscape's materials, from 400 to 2300 nm.

Each material is a curve through a few wavelengths; a band sees the mean of the curve over its interval.
The values are typical ones, rounded, of the kind published in the USGS and ECOSTRESS spectral libraries
(crops, soils, roofing, asphalt, water); they are not measurements of one sample. What matters here is what
ties bands together: the red edge and the water absorption of vegetation, soils that rise with wavelength,
water that is dark beyond 700 nm, tiles that are red, metal and concrete that are flat.
"""

import numpy as np

_TABLE = """
nm             400  450  490  520  560  600  640  675  700  720  740  780  865  945 1100 1375 1610 2190 2300
crop_green     2.2  2.6    3  4.6  7.6  5.2  3.8    3  9.5   21   35   44   47   46   47   28   24 10.5    8
crop_ripe      5.3  7.2    9 11.2 14.2 16.6 18.2 18.8   22 25.5 28.5 31.5   35   36 39.5   37   38 26.5 22.5
crop_olive       3  3.8  4.6  6.4  9.4  8.2    7    6   12   20   28   34   37 36.5   38   27   26   14   11
grass          2.6  3.2  3.9  5.6  8.8  6.8  5.4  4.6 11.5 20.5   31 37.5   40 39.5   41   27   25 12.5  9.5
dry_grass      4.5    6  7.4  9.4 12.2 13.6 14.6 14.8 18.5   22 25.5 28.5   31 31.5   34   31 31.5 20.5   17
broadleaf      1.7    2  2.3  3.3  5.4  3.8  2.8  2.4    7   16   28 36.5 39.5   39   40   23   19    8  6.2
conifer        1.4  1.6  1.9  2.5  3.7  2.9  2.3  2.1  4.6  9.8 16.5   21   23 22.5 23.5   13 10.5  4.4  3.5
soil_brown       4  5.2  6.3  7.5  9.6   12 13.8   15 15.9 16.5 17.1 18.3 20.6 22.4 25.5   27   30 27.5 25.5
soil_light     7.6 10.2 12.5 14.6 17.8 20.8 22.8   24 24.9 25.5 26.1 27.4   30   32 35.5 36.5   40   37   34
soil_dark        3  3.7  4.3    5  6.1  7.4  8.4  9.1  9.6   10 10.4 11.2 12.8   14 16.5   17   20 18.5 17.2
gravel          13 15.5 17.4   19 21.4 23.6   25   26 26.6   27 27.4 28.2 29.6 30.4   32 32.2   34   32 30.5
asphalt        6.8  7.6  8.2  8.7  9.4   10 10.5 10.9 11.2 11.4 11.6   12 12.8 13.3 14.2 14.8   16 15.6   15
concrete        16 19.5   22 23.8 26.2 28.2 29.4 30.2 30.6 30.9 31.2 31.8 32.8 33.2   34   33 34.2 30.5   29
tile_red       4.6  5.6  6.6  7.8 10.8 18.5 23.5 25.5 26.8 27.6 28.3 29.6 30.8 31.2 34.5   37   40   38 36.5
tile_brown     4.4  5.2    6  6.9  8.8 12.6 15.2 16.6 17.5 18.1 18.7 19.8 21.4 22.2   25 26.8 29.5 28.5 27.4
slate            7  7.6    8  8.3  8.7    9  9.2  9.4  9.5  9.6  9.7  9.9 10.4 10.7 11.5   12 13.2   13 12.5
metal           30 33.5   36 37.2 38.4   39 39.2 39.3 39.2 39.1   39 38.8 38.2   38 38.5   38 38.5   36   35
membrane        42   52 55.5   57 58.5 59.2 59.4 59.4 59.2   59 58.8 58.4   57 55.5   53   46   42   27   24
blue_steel      14 19.5 20.5 18.5   15   12 10.8 10.6 11.2 12.2 13.6 16.5   20 21.5   24   25   26   24   23
water          3.4  3.9  4.3  4.6  4.8  3.7  2.9  2.5  2.1  1.6  1.3  1.2  0.9  0.7  0.5  0.4  0.3  0.2  0.2
water_turbid   4.2  5.2  6.1  7.2  8.6  7.8  6.9  6.2  5.6  4.4  3.4  3.1  2.2  1.6    1  0.7  0.5  0.3  0.3
pool            22   33   35   32   25   14    9    7  5.5  4.2  3.4    3  2.2  1.6  0.9  0.6  0.5  0.3  0.3
"""
"""Reflectance in percent at some wavelengths: vegetation of full cover, soils, what is built, water."""

_ROWS = [line.split() for line in _TABLE.strip().splitlines()]

WAVELENGTHS = np.array(_ROWS[0][1:], dtype=np.float64)
"""Wavelengths at which the curves are given, in nm."""

MATERIALS = tuple(row[0] for row in _ROWS[1:])
"""Names of the materials; a material's code is its place here."""

CODE = {name: code for code, name in enumerate(MATERIALS)}
"""Code of each material."""

_REFLECTANCE = np.array([row[1:] for row in _ROWS[1:]], dtype=np.float64) / 100.0


def band_reflectance(interval: tuple[float, float]) -> np.ndarray:
    """Reflectance of every material in a band.

    Args:
        interval: shortest and longest wavelength of the band, in nm, within 400-2300.

    Returns:
        float32 array, one reflectance (0-1) per material, in the order of `MATERIALS`.

    Raises:
        ValueError: the interval is empty or leaves the range of the curves.
    """
    shortest, longest = interval
    if not WAVELENGTHS[0] <= shortest < longest <= WAVELENGTHS[-1]:
        raise ValueError(f"interval: expected 400 <= shortest < longest <= 2300 nm, got {interval}")
    wavelengths = np.linspace(shortest, longest, 33)
    curves = [np.interp(wavelengths, WAVELENGTHS, curve).mean() for curve in _REFLECTANCE]
    return np.asarray(curves, dtype=np.float32)


def diffuse_fraction(wavelength: float) -> float:
    """Share of the sky's diffuse light in the illumination of flat ground, under a clear sky.

    Falls with wavelength as molecular and aerosol scattering do: about 0.22 in the blue, 0.07 in the near
    infrared. It is what lights the shadows.

    Args:
        wavelength: in nm.
    """
    return float(0.03 + 0.12 * (550.0 / wavelength) ** 2)
