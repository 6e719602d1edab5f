# SPDX-License-Identifier: Apache-2.0
"""Which band each band of a raster is, by the descriptions of all of them together.

One word means different bands in different conventions: FORCE's `NIR` is B8A, that of most others B08; the `swir_2` of
Digital Earth Australia is B11, that of others B12. So a convention is chosen that knows the whole set. A set that fits
two conventions which differ is not decided here, nor is one that holds a band twice (several dates, statistics).

    named = understand(["BLUE", "GREEN", "RED", "BROADNIR", "NIR"])
    named.bands                             # {"B02": 1, "B03": 2, "B04": 3, "B08": 4, "B8A": 5}
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chain.sentinel2.bands import CLASSES_NAME

ESA_NAME = re.compile(r"(?:^|(?<=[_\W]))B(0?8A|0?[1-9]|1[0-2])(?=$|[_\W])", re.IGNORECASE)
RED_EDGE = {"rededge1": "B05", "rededge2": "B06", "rededge3": "B07"}
VISIBLE = {"blue": "B02", "green": "B03", "red": "B04"}
STAC = {
    **VISIBLE,
    **RED_EDGE,
    "coastal": "B01",
    "rededge071": "B05",
    "rededge075": "B06",
    "rededge078": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
"""STAC's common names, and Earth Search's."""
FORCE = {**VISIBLE, **RED_EDGE, "broadnir": "B08", "nir": "B8A", "swir1": "B11", "swir2": "B12"}
AUSTRALIA = {
    **VISIBLE,
    **RED_EDGE,
    "coastalaerosol": "B01",
    "nir1": "B08",
    "nir2": "B8A",
    "swir2": "B11",
    "swir3": "B12",
}
"""Digital Earth Australia's, with or without `nbart_` or `nbar_`."""
AFRICA = {
    **VISIBLE,
    **RED_EDGE,
    "coastalaerosol": "B01",
    "nir1": "B08",
    "nir2": "B8A",
    "nirnarrow": "B8A",
    "watervapour": "B09",
    "swir1": "B11",
    "swir16": "B11",
    "swir2": "B12",
    "swir22": "B12",
}
"""Digital Earth Africa's, and Open Data Cube's."""
WORDS = {
    **VISIBLE,
    **RED_EDGE,
    "coastal": "B01",
    "coastalaerosol": "B01",
    "aerosol": "B01",
    "aerosols": "B01",
    "ultrablue": "B01",
    "re1": "B05",
    "re2": "B06",
    "re3": "B07",
    "vre1": "B05",
    "vre2": "B06",
    "vre3": "B07",
    "vegetationrededge1": "B05",
    "vegetationrededge2": "B06",
    "vegetationrededge3": "B07",
    "nir": "B08",
    "nearinfrared": "B08",
    "broadnir": "B08",
    "widenir": "B08",
    "nirbroad": "B08",
    "nirwide": "B08",
    "narrownir": "B8A",
    "nirnarrow": "B8A",
    "nearinfrarednarrow": "B8A",
    "narrownearinfrared": "B8A",
    "vegetationrededge4": "B8A",
    "rededge4": "B8A",
    "re4": "B8A",
    "watervapour": "B09",
    "watervapor": "B09",
    "cirrus": "B10",
    "swircirrus": "B10",
    "swir1": "B11",
    "swir2": "B12",
}
"""What people write: ESA's words for the bands, and abbreviations of them."""
CONVENTIONS = {
    "STAC's common names": STAC,
    "FORCE": FORCE,
    "Digital Earth Australia": AUSTRALIA,
    "Digital Earth Africa": AFRICA,
    "ESA's words": WORDS,
}
CENTRES = {
    "B01": (441, 446),
    "B02": (488, 498),
    "B03": (558, 562),
    "B04": (663, 668),
    "B05": (702, 708),
    "B06": (738, 743),
    "B07": (779, 786),
    "B08": (832, 843),
    "B8A": (863, 867),
    "B09": (942, 948),
    "B10": (1371, 1378),
    "B11": (1609, 1615),
    "B12": (2184, 2204),
}
"""Between which each band's central wavelengths lie, in nanometres: nominal ones, and those of Sentinel-2A, 2B and 2C.
Other sensors' blue, green and red lie outside."""
FOREIGN_FILE = re.compile(r"^l[cotem]0\d_|^hls\.l30\.", re.IGNORECASE)
"""Beginnings of the names of Landsat's files, whatever they describe."""
FOREIGN = re.compile(rf"^(?:sr|st)_b\d|sur_refl|{FOREIGN_FILE.pattern}", re.IGNORECASE)
"""Beginnings of the names of bands and files of Landsat and MODIS, whose numbers are no Sentinel-2 bands'."""
SURFACE = re.compile(r"^sr_b(0?8a|\d\d?)(?![0-9])", re.IGNORECASE)
"""Beginnings of those that may be Sentinel-2's, and their numbers."""
NOT_LANDSATS = {8, 11, 12}
"""Numbers that no `sr_B` of Landsat has."""
COUNT = re.compile(r"B([1-9]\d?)", re.IGNORECASE)
FEWEST_COUNTED = 3
"""Names that count bands, at least: sets of Sentinel-2's have B8A, or begin elsewhere."""
LENGTH = r"(\d+(?:\.\d+)?)"
WITH_UNIT = re.compile(rf"(?<![\d.]){LENGTH} ?(nm|nanomet|[uµμ]m|micromet)", re.IGNORECASE)
RANGE = re.compile(r"\d\s*[-–]\s*\d")
WITHOUT_UNIT = re.compile(rf"(?:(?:reflectance|refl|rho[st]?|toa|boa|sr|band)[_ ]?)?{LENGTH}", re.IGNORECASE)
"""A wavelength of nanometres in a name, as Acolite writes: `rhos_492`. Its `Rrs_492` is no reflectance."""
LISTED = 4
"""Bands that an error lists."""
PLAIN_NIR = ("nir", "nearinfrared")
"""Words that mean B08 beside one for B8A, and beside the visible bands alone; elsewhere either."""
VALIDITY = ("datamask", "validmask", "validitymask", "valid", "validity", "validdata", "alpha")
"""Bands that are 0 where the others have no data."""
EXTRAS = re.compile(
    "aot|wvp|tci[rgb]?|qa(10|20|60)|msk.*|cld(prb)?|snw(prb)?|cs(cdf)?|fmask|dem|elevation|visual|observations?|"
    "(cloud|snow)(mask|prob(ability)?|s)?|ndvi|evi2?|ndwi|mndwi|ndmi|nbr2?|ndre[12]?|ndsi|savi|msavi|lai|quality.*|"
    "(view|sun|incidence).*|.*(zenith|azimuth).*"
)
"""Bands, as `_key` writes their names, that come with those of the sensor and are not used."""
ANCILLARY = re.compile(
    r"(?:^|[_\W])(?:view|sun|zenith|azimuth|angles?|msk|masks?|detfoo|(?:detector_)?footprint|qualit|quality|cloud|"
    r"opaque|index)(?=$|[_\W])",
    re.IGNORECASE,
)
"""Words beside a band's name that make it one that tells of it: its angles, its masks."""
STATISTIC = re.compile(
    r"(?:^|[_\W])(?:std|stddev|stdev|variance|var|sd|cv|mad|rmse|count|counts|error|uncertainty|unc|skew|kurtosis|"
    r"nobs|diff|anomaly|slope|trend)(?=$|[_\W])",
    re.IGNORECASE,
)
"""Words beside a band's name that make it a statistic that is no reflectance."""


@dataclass(frozen=True)
class NamedBands:
    """What the bands of a raster are, by their numbers, which count from 1."""

    bands: Mapping[str, int] = field(default_factory=dict)
    """Number of each band of Sentinel-2; empty where they cannot be told."""
    convention: str = ""
    """Whose names they are."""
    classes: int | None = None
    """Number of the scene classification."""
    validity: tuple[int, ...] = ()
    """Numbers of bands that are 0 where there is no data."""
    left_out: tuple[str, ...] = ()
    """Names of bands that are none of these."""
    problem: str = ""
    """Why names that are there do not tell the bands: the end of a sentence."""


def esa_band(word: str) -> str | None:
    """Return the band whose number a description holds: `B08` for `20200101_B8` or `B8, central wavelength 833 nm`."""
    match = ESA_NAME.search(word)
    return f"B{match[1].upper().lstrip('0').zfill(2)}" if match else None


def are_foreign(words: Sequence[str]) -> bool:
    """Return whether names are those of Landsat's or MODIS's bands, or files, as a set."""
    foreign = [word for word in words if FOREIGN.search(word)]
    return bool(foreign) and not _are_surface(foreign)


def _are_surface(words: Sequence[str]) -> bool:
    """Return whether names such as `sr_B4` are Sentinel-2's as a set: by 8A, a zero, or numbers that Landsat lacks.

    Numbers without a gap may count any bands.
    """
    found = [match[1].upper() for word in words if (match := SURFACE.search(word))]
    if len(found) < len(words):
        return False
    if any(number.endswith("8A") for number in found) or all(len(number) == 2 for number in found):
        return True
    numbers = sorted({int(number) for number in found})
    return bool(NOT_LANDSATS & set(numbers)) and len(numbers) <= numbers[-1] - numbers[0]


def wavelength(word: str, bare: bool = True) -> float | None:
    """Return the wavelength that a description states, in nanometres, if it states one.

    Args:
        word: the description, such as `443 nm`, `Band 1 (0.443 Micrometers)` or `rhos_443`.
        bare: whether the last form counts too, which states no unit.
    """
    found = [] if RANGE.search(word) else WITH_UNIT.findall(word)
    if len(found) == 1:
        number, unit = found[0]
        return float(number) * (1 if unit.lower().startswith("n") else 1000)
    match = WITHOUT_UNIT.fullmatch(word) if bare and not found else None
    return float(match[1]) if match else None


def band_at(length: float | None) -> str | None:
    """Return the band whose central wavelength, in nanometres, this may be."""
    return next((band for band, (low, high) in CENTRES.items() if length and low <= length <= high), None)


def understand(words: Sequence[str], prefix: str = "", suffix: str = "") -> NamedBands:
    """Tell which band each band of a raster is.

    Args:
        words: descriptions, in the raster's order; empty ones for bands without.
        prefix: beginning of the descriptions of the bands to take; it is no part of their names.
        suffix: end of the descriptions of the bands to take, likewise.
    """
    names = {number: word.strip() for number, word in enumerate(words, 1) if word.strip()}
    taken = {
        number: name[len(prefix) : len(name) - len(suffix)]
        for number, name in names.items()
        if name.startswith(prefix) and name.endswith(suffix)
    }
    keys = {number: _key(name) for number, name in taken.items()}
    classes = next((number for number, key in keys.items() if key == CLASSES_NAME.lower()), None)
    validity = tuple(number for number, key in keys.items() if key in VALIDITY)
    others = {n for n in taken if EXTRAS.fullmatch(keys[n]) or ANCILLARY.search(taken[n])}
    rest = {n: name for n, name in taken.items() if n not in {classes, *validity, *others}}
    found = {number: band for number, name in rest.items() if (band := esa_band(name))}
    convention, problem = "ESA's numbers" if found else "", ""
    spelled = {number: name for number, name in rest.items() if number not in found}
    if found:
        found.update({number: band for number, name in spelled.items() if (band := STAC.get(_key(name)))})
    elif by_length := _by_wavelength(spelled):
        convention, found = "their wavelengths", by_length
    elif spelled:
        convention, found, problem = _by_convention(spelled)
    problem = (
        problem
        or _counted(rest)
        or _other_wavelengths(found, rest)
        or _repeated(found, names)
        or _statistics(found, rest)
    )
    bands = {} if problem else {band: number for number, band in found.items()}
    used = {*bands.values(), classes, *validity}
    left_out = tuple(name for number, name in names.items() if number not in used)
    return NamedBands(bands, "" if problem else convention, classes, validity, left_out, problem)


def _key(word: str) -> str:
    """Return a word without what conventions spell differently: case, blanks, hyphens."""
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _by_convention(names: Mapping[int, str]) -> tuple[str, dict[int, str], str]:
    """Return the convention that knows all names, the bands that it gives them, and why there is none."""
    keys = {number: _key(name) for number, name in names.items()}
    readings = {label: reading for label, table in CONVENTIONS.items() if (reading := _reading(label, table, names))}
    stac = "STAC's common names"
    if stac in readings and all(name == name.lower() for name in names.values()):
        readings = {stac: readings[stac]}
    plain = [number for number, key in keys.items() if key in PLAIN_NIR]
    by_words = readings.get("ESA's words", {})
    if (
        plain
        and by_words
        and "B8A" not in by_words.values()
        and not set(by_words.values()) <= {*VISIBLE.values(), "B08"}
    ):
        readings["narrow near infrared"] = {**by_words, plain[0]: "B8A"}
    distinct = {tuple(sorted(reading.items())): label for label, reading in readings.items()}
    if len(distinct) == 1:
        ((only, label),) = distinct.items()
        return label, dict(only), ""
    if distinct:
        differing = next(n for n in names if len({reading[n] for reading in readings.values()}) > 1)
        meant = " or ".join(sorted({reading[differing] for reading in readings.values()}))
        return "", {}, f"names that fit several conventions, {names[differing]!r} meaning {meant}"
    known = {number for number, key in keys.items() if any(key in table for table in CONVENTIONS.values())}
    if not known:
        return "", {}, ""
    unknown = ", ".join(repr(name) for number, name in names.items() if number not in known)
    return "", {}, f"names that are understood in part{f', not {unknown}' if unknown else ''}"


def _reading(label: str, table: Mapping[str, str], names: Mapping[int, str]) -> dict[int, str]:
    """Return the bands that a convention gives names; none where it does not know them all, or gives a band twice."""
    keys = {number: _key(name) for number, name in names.items()}
    if label == "FORCE" and "broadnir" not in keys.values() and any(name != name.upper() for name in names.values()):
        return {}
    if label == "Digital Earth Australia":
        keys = {number: re.sub("^nbart?", "", key) for number, key in keys.items()}
    if not set(keys.values()) <= table.keys():
        return {}
    reading = {number: table[key] for number, key in keys.items()}
    return reading if len(set(reading.values())) == len(reading) else {}


def _by_wavelength(names: Mapping[int, str]) -> dict[int, str]:
    """Return which bands are meant by wavelengths, by their numbers in the raster; nothing where one name has none."""
    found = {number: band for number, name in names.items() if (band := band_at(wavelength(name)))}
    return found if len(found) == len(names) else {}


def _counted(names: Mapping[int, str]) -> str:
    """Return what is the matter where names count bands, `B1`, `B2`, `B3` and so on, as those of any sensor do."""
    found = [COUNT.fullmatch(name) for name in names.values()]
    counted = [int(match[1]) for match in found if match]
    if len(counted) == len(names) >= FEWEST_COUNTED and counted == list(range(1, len(names) + 1)):
        return f"names that count bands from {next(iter(names.values()))} on, as those of any sensor may"
    return ""


def _other_wavelengths(found: Mapping[int, str], names: Mapping[int, str]) -> str:
    """Return what is the matter where names state wavelengths that are not those of the bands: other sensors' bands.

    One wavelength for several bands tells nothing of them.
    """
    lengths = {number: wavelength(names[number], bare=False) for number in found}
    stated = [length for length in lengths.values() if length]
    if len(set(stated)) < len(stated):
        return ""
    first = min(low for low, _ in CENTRES.values())
    listed = [names[n] for n, length in lengths.items() if length and length >= first and band_at(length) != found[n]]
    return f"wavelengths that are not those of Sentinel-2's bands ({', '.join(listed[:LISTED])})" if listed else ""


def _repeated(found: Mapping[int, str], names: Mapping[int, str]) -> str:
    """Return what is the matter where a band is there several times."""
    groups: dict[str, list[str]] = {}
    for number, band in found.items():
        groups.setdefault(band, []).append(names[number])
    listed = [f"{band} as {', '.join(group)}" for band, group in groups.items() if len(group) > 1]
    more = f"; and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return f"several bands of one name ({'; '.join(listed[:LISTED])}{more})" if listed else ""


def _statistics(found: Mapping[int, str], names: Mapping[int, str]) -> str:
    """Return what is the matter where bands are statistics that are no reflectance."""
    listed = [names[number] for number in found if STATISTIC.search(names[number])]
    return f"statistics that are no reflectance ({', '.join(listed)})" if listed else ""
