# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2's bands, how files and catalogues name them, and the offset of their digital numbers.

Since processing baseline 04.00, DN = 10 000 x reflectance + 1000 (ESA, "Sentinel-2 Products Specification
Document" 14.9, BOA_ADD_OFFSET and RADIO_ADD_OFFSET).
"""

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path

BANDS = {
    "B01": 60.0,
    "B02": 10.0,
    "B03": 10.0,
    "B04": 10.0,
    "B05": 20.0,
    "B06": 20.0,
    "B07": 20.0,
    "B08": 10.0,
    "B8A": 20.0,
    "B09": 60.0,
    "B10": 60.0,
    "B11": 20.0,
    "B12": 20.0,
}
"""Ground sampling distance of each band, in metres, in the order of ESA's band numbers."""
FINEST = min(BANDS.values())
"""Ground sampling distance of the finest bands, in metres."""
SURFACE_BANDS = tuple(band for band in BANDS if band != "B10")
"""Bands that see the ground, in ESA's order: those of L2A."""
WAVELENGTHS = {
    "B01": (443, 20),
    "B02": (490, 65),
    "B03": (560, 35),
    "B04": (665, 30),
    "B05": (705, 15),
    "B06": (740, 15),
    "B07": (783, 20),
    "B08": (842, 115),
    "B8A": (865, 20),
    "B09": (945, 20),
    "B10": (1375, 30),
    "B11": (1610, 90),
    "B12": (2190, 180),
}
"""Nominal central wavelength and bandwidth of each band, in nanometres (ESA, Sentinel-2 User Handbook, table 1)."""
COMMON_NAMES = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
"""Band of each asset name of Earth Search."""
NODATA = 0
OFFSET = -1000
OFFSET_BASELINE = (4, 0)
RESERVED_BASELINE = 99
"""First number of the baselines that software outside ESA's ground segment writes: Sen2Cor run at home, sen2like, and
data sets made by them, such as reBEN. They tell nothing of the offset."""
OFFSET_HELP = "pass --offset -1000 (DN = 10000 x reflectance + 1000, baseline 04.00 on) or --offset 0"
REFLECTANCE = 1e-4
"""Reflectance of a digital number, but for the offset."""
CLASSES_NAME = "SCL"
"""Name of the scene classification, in files, descriptions and catalogues."""
CLASSES = (
    ("no data", "000000"),
    ("saturated or defective", "ff0000"),
    ("dark area", "2f2f2f"),
    ("cloud shadow", "643200"),
    ("vegetation", "00a000"),
    ("not vegetated", "ffe65a"),
    ("water", "0000ff"),
    ("unclassified", "808080"),
    ("cloud, medium probability", "c0c0c0"),
    ("cloud, high probability", "ffffff"),
    ("thin cirrus", "64c8ff"),
    ("snow or ice", "ff96ff"),
)
"""Name and colour of each class of the scene classification, from 0 on, as ESA shows them."""
COMPANIONS = ("AOT", "WVP", "TCI", "PVI", "CLD", "CLDPRB", "SNW", "SNWPRB", "VISUAL", "PREVIEW", "THUMBNAIL")
"""Names of images that come with the bands and are not used."""
BAND_IN_NAME = re.compile(r"(?:^|[_\W])B(0?8A|0?[1-9]|1[0-2])(?:_(\d\d)m)?(?=$|[_\W])", re.IGNORECASE)
SCENE_TOKENS = re.compile(
    rf"[_\W]*(?<![A-Za-z0-9])(?:B(?:0?8A|0?[1-9]|1[0-2])|[126]0m|{CLASSES_NAME}|{'|'.join(COMPANIONS)})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
"""Parts of a file's name that tell its band or its resolution, not its scene."""
GRANULE_OF_L1B = r"MSI_L1B_GR_\w{4}_\d{8}T\d{6}_S"
TIME_IN_NAME = re.compile(
    rf"(?:MSIL(?:1B|1C|2A)_|(?<![A-Z0-9])T\d\d[A-Z]{{3}}_|_V|SENTINEL2[A-D]_|{GRANULE_OF_L1B})(\d{{8}})[T-](\d{{6}})"
    r"(?=$|[_\W])"
)
DETECTOR_IN_NAME = re.compile(rf"{GRANULE_OF_L1B}\d{{8}}T\d{{6}}_(D\d\d)(?=$|[_\W])")
TILE_IN_NAME = re.compile(r"(?:^|(?<=[_\W]))T(\d\d)[C-HJ-NP-X][A-HJ-NP-Z]{2}(?=$|[_\W])")
"""Sentinel-2's tile in a name, and its UTM zone: `T31UDQ`."""
BASELINE_IN_NAME = re.compile(r"_N(\d\d)\.?(\d\d)(?=$|[_\W])")


def band_in_name(name: str) -> tuple[str, float] | None:
    """Return the band that a file name or a description states, with its resolution in metres, or None.

    `T31UDQ_20220714T105629_B8A_20m` is ("B8A", 20.0); `B4, central wavelength 665 nm` is ("B04", 10.0).
    """
    match = BAND_IN_NAME.search(name)
    if not match:
        return None
    band = f"B{match[1].upper().lstrip('0').zfill(2)}"
    return band, float(match[2] or BANDS[band])


def scene_in_name(path: Path) -> str:
    """Return the name of the scene that a file belongs to: its own without band and resolution, else its folder's."""
    return SCENE_TOKENS.sub("", path.stem).strip("_-. ") or path.resolve().parent.name


def companion_in_name(name: str) -> str | None:
    """Return which companion of the bands a file name states: `SCL`, `AOT`, `TCI`…, or None."""
    words = re.split(r"[_\W]", name.upper())
    return next((word for word in (CLASSES_NAME, *COMPANIONS) if word in words), None)


def baseline_in_name(name: str) -> str | None:
    """Return the processing baseline in the name of a product of ESA: `04.00` for `…_N0400_…`."""
    match = BASELINE_IN_NAME.search(name)
    return f"{match[1]}.{match[2]}" if match else None


def time_in_name(name: str) -> datetime | None:
    """Return when a scene was acquired, in UTC, by a name of ESA's or MAJA's: of a product, or of an image in it."""
    match = TIME_IN_NAME.search(name)
    try:
        return datetime.strptime(f"{match[1]}T{match[2]}", "%Y%m%dT%H%M%S") if match else None
    except ValueError:
        return None


def tile_in_name(name: str) -> str | None:
    """Return the tile that a name states, such as `T31UDQ`; None where it states none, or several."""
    found = {match[0] for match in TILE_IN_NAME.finditer(name)}
    return found.pop() if len(found) == 1 else None


def detector_in_name(name: str) -> str | None:
    """Return the detector that the name of a granule of L1B, or of an image in it, states, such as `D05`."""
    match = DETECTOR_IN_NAME.search(name)
    return match[1] if match else None


def level_in_name(name: str) -> str:
    """Return the processing level that a name states, or `unknown`."""
    match = re.search(r"L1B|L1C|L2A", name.upper())
    return match[0] if match else "unknown"


def offset_of_baseline(baseline: str) -> int | None:
    """Return the offset of products of a processing baseline, given as `04.00`; None for one that does not tell it."""
    match = re.fullmatch(r"[Nn]?(\d{1,2})\.(\d{1,2})|[Nn]?(\d\d)(\d\d)", baseline.strip())
    if not match:
        return None
    numbers = int(match[1] or match[3]), int(match[2] or match[4])
    if not 1 <= numbers[0] < RESERVED_BASELINE:
        return None
    return OFFSET if numbers >= OFFSET_BASELINE else 0


def wanted(found: Iterable[str], bands: Collection[str] | None, source: str) -> list[str]:
    """Return the bands to open, in order: those asked, or all of those found.

    Raises:
        ValueError: one of those asked is not among those found, or none is found.
    """
    found = list(found)
    missing = [band for band in bands or () if band not in found]
    if missing or not found:
        raise ValueError(f"{source}: expected bands {' '.join(missing or BANDS)}, got {' '.join(found) or 'none'}")
    return list(bands or sorted(found, key=list(BANDS).index))
