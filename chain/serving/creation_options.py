# SPDX-License-Identifier: Apache-2.0
"""What users may ask of the driver that writes products, GDAL's COG: how blocks are compressed and laid out.

What would change pixels, the grid or the overviews is refused: a product is its network's output, without loss, with
overviews.

    options = creation_options(("COMPRESS=ZSTD", "LEVEL=9"))
"""

from collections.abc import Sequence
from xml.etree import ElementTree

DRIVER = "COG"
LOSSLESS = ("NONE", "LZW", "DEFLATE", "LZMA", "ZSTD", "LERC", "LERC_DEFLATE", "LERC_ZSTD")
"""Compressions that keep numbers as they are; those by LERC do with their default, an error of 0."""
ALLOWED = {
    "COMPRESS": LOSSLESS,
    "OVERVIEW_COMPRESS": LOSSLESS,
    "LEVEL": None,
    "PREDICTOR": ("YES", "NO", "STANDARD"),
    "OVERVIEW_PREDICTOR": ("YES", "NO", "STANDARD"),
    "BLOCKSIZE": None,
    "BIGTIFF": None,
    "OVERVIEW_RESAMPLING": ("NEAREST", "AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS", "MODE", "RMS"),
    "NUM_THREADS": None,
    "GEOTIFF_VERSION": None,
    "SPARSE_OK": None,
    "INTERLEAVE": None,
}
"""Options that leave pixels as they are, whatever their type, and those of their values that do, where not all do."""
BLOCK = 16
"""Blocks of TIFF are whole multiples of it."""
SIDE = 16
"""Pixels along the side of the raster on which options are tried."""


def named(words: Sequence[str]) -> dict[str, str]:
    """Return options, `NAME=VALUE`, by their names in capitals."""
    return {name.strip().upper(): value for name, _, value in (word.partition("=") for word in words)}


def check_creation_options(words: Sequence[str]) -> None:
    """Refuse options that the driver does not know, or that a product cannot keep its promises with.

    Args:
        words: `NAME=VALUE`.

    Raises:
        ValueError: one is such, or given twice.
    """
    seen: set[str] = set()
    known = _known()
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().upper()
        if not equals or not name or not value:
            raise ValueError(f"expected NAME=VALUE, got {word!r}")
        if name in seen:
            raise ValueError(f"expected each only once, got {name} twice")
        seen.add(name)
        _check_one(name, value, known)
    _try(words)


def _check_one(name: str, value: str, known: dict[str, ElementTree.Element]) -> None:
    """Refuse an option, or its value."""
    if name not in known:
        raise ValueError(f"expected options of GDAL's {DRIVER} driver ({', '.join(_offered(known))}), got {name}")
    if name not in ALLOWED:
        raise ValueError(
            f"expected options that leave pixels, grid and overviews as they are ({', '.join(_offered(known))}), "
            f"got {name}"
        )
    listed = [each.text or "" for each in known[name].findall("Value")]
    offered = [each for each in ALLOWED[name] or listed if each in listed or not listed]
    if offered and value.upper() not in offered:
        lossless = " (compressions without loss)" if "COMPRESS" in name else ""
        raise ValueError(f"{name}: expected one of {', '.join(offered)}{lossless}, got {value}")
    if known[name].get("type") == "int":
        least = int(known[name].get("min") or 0)
        step = BLOCK if name == "BLOCKSIZE" else 1
        if not value.isdigit() or int(value) < least or int(value) % step:
            whole = f" that is a multiple of {step}" if step > 1 else ""
            raise ValueError(f"{name}: expected an integer of at least {least}{whole}, got {value}")


def _known() -> dict[str, ElementTree.Element]:
    """Return the options that the driver of this GDAL has, by name."""
    from osgeo import gdal

    listed = ElementTree.fromstring(gdal.GetDriverByName(DRIVER).GetMetadataItem("DMD_CREATIONOPTIONLIST"))
    return {each.get("name", ""): each for each in listed.findall("Option")}


def _offered(known: dict[str, ElementTree.Element]) -> list[str]:
    """Return the options that may be given."""
    return [name for name in ALLOWED if name in known]


def _try(words: Sequence[str]) -> None:
    """Write a small raster with options: what GDAL says of their values, and of these together, is said.

    Raises:
        ValueError: GDAL refuses, or warns.
    """
    from osgeo import gdal

    from chain.raster.gdal_memory import new_name, reported_errors

    name = new_name("options", "tif")
    small = gdal.GetDriverByName("MEM").Create("", SIDE, SIDE, 1, gdal.GDT_UInt16)
    with reported_errors() as errors:
        try:
            gdal.GetDriverByName(DRIVER).CreateCopy(name, small, options=list(words))
        except RuntimeError as error:
            errors.append(str(error))
        finally:
            gdal.Unlink(name)
    if errors:
        raise ValueError(f"expected options that GDAL takes, got {' '.join(words)} ({errors[0]})")
