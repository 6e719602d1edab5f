# SPDX-License-Identifier: Apache-2.0
"""The four 10 m bands of an image, in one raster or several: which bands they are, where they lie, of which level.

L1B images come as plain TIFFs without georeference, with their bands in the order B02, B03, B04, B08, or with a band in
each file. Bands are known by the names given, else by descriptions, names of files, or colours (red, green, blue, NIR).

    image = open_image(["00.tif"])
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from chain.raster import opening
from chain.raster.grids import Grid, Region, shifted
from chain.sentinel2.bands import COMMON_NAMES, band_in_name, level_in_name
from chain.sentinel2.one_scene import check_one_scene
from chain.serving.provenance import SYSTEM_KEY
from inference.l1bsr.options import REGISTRATION
from models.l1bsr import BANDS

gdal.UseExceptions()

LEVEL_KEYS = ("PROCESSING_LEVEL", "PRODUCT_TYPE", "PRODUCT_URI")
"""Metadata by which a raster states its processing level."""
COLOURS = {"Blue": "B02", "Green": "B03", "Red": "B04", "NIR": "B08"}
"""Bands of GDAL's colour interpretations."""
GIVEN, DESCRIBED, IN_FILE_NAME, COLOURED = "--band-names", "its description", "its file's name", "its colour"
LEFT_OVER, BY_ORDER = "being the one band without a name", "the usual order"
"""By what a band is known."""
OPAQUE = (0, 255, 65535)
"""Values of an alpha band."""
GSD, OTHER_GSD = 10.0, 0.1
"""Pixels that the networks are made for, in metres, and the part of them by which others may differ."""
STATES_REFLECTANCE = 0.01
"""Scale tags up to this one make reflectance of digital numbers; larger ones make radiance of counts."""
TASK_KEY = "SR_TASK"
"""Metadata by which a product says what was done."""
ROWS = 512
"""Rows that are read at once."""


@dataclass(frozen=True)
class L1BImage:
    """The bands of an image, in files."""

    bands: dict[str, tuple[str, int]]
    """For each band, its file and its number in it."""
    named_by: dict[str, str]
    """For each band, by what it is known."""
    grid: Grid
    """Where its pixels lie; of an image without georeference, pixels of size 1."""
    placed: bool
    """Whether it has a georeference."""
    level: str
    """`L1B`, `L1C`, `L2A` or `unknown`."""
    colours: tuple[str, ...]
    """Colours that the first of its files states of its bands."""
    contradicted: dict[str, str]
    """Bands that were named against what they state themselves, and what that is."""
    scale: float | None
    """Scale tag of a band, if it states reflectance."""
    corner: tuple[int, int] = (0, 0)
    """Column and row of its files at which it begins."""

    def part(self, region: Region) -> "L1BImage":
        """Return a part of it, an image like any other."""
        corner = self.corner[0] + region.x, self.corner[1] + region.y
        return replace(self, grid=shifted(self.grid, region), corner=corner)

    @property
    def files(self) -> list[str]:
        """Names of its files."""
        return list(dict.fromkeys(file for file, _ in self.bands.values()))

    @property
    def warnings(self) -> list[str]:
        """What may make its product another one than expected."""
        found = []
        if BY_ORDER in self.named_by.values():
            text = f"nothing names the bands of {self.files[0]}: they are taken for {', '.join(BANDS)}, in this order"
            if "Red" in self.colours:
                text += f" (writers of plain TIFFs state {', '.join(self.colours)} of any four)"
            found.append(f"{text}; --band-names names others")
        for band, reason in self.named_by.items():
            if reason == LEFT_OVER:
                file, number = self.bands[band]
                found.append(
                    f"nothing names band {number} of {file}: it is taken for {band}; --band-names names others"
                )
        if self.level not in ("L1B", "unknown"):
            found.append(
                f"{self.level}: the networks are made for counts of L1B, whose bands are neither resampled nor laid "
                "onto each other; --count-scale and --count-offset make such counts of other numbers"
            )
        if self.contradicted:
            stated = ", ".join(f"{other} for {band}" for band, other in self.contradicted.items())
            found.append(f"--band-names takes {stated}, as descriptions or names of files state them")
        if self.scale is not None:
            found.append(f"a scale tag of {self.scale:g} states numbers of reflectance, and no counts of L1B")
        if self.placed and not osr.SpatialReference(self.grid.projection).IsGeographic():
            off = max(self.grid.dx, self.grid.dy, key=lambda size: abs(np.log(size / GSD)))
            if abs(np.log(off / GSD)) > OTHER_GSD:
                found.append(f"pixels of {off:g} m: the networks are made for pixels of {GSD:g} m, as L1B has them")
        return found


def open_image(names: Sequence[str], band_names: Sequence[str] | None = None) -> L1BImage:
    """Open an image.

    Args:
        names: one raster, or several.
        band_names: names of all bands of all rasters, in order, whatever the rasters say.

    Raises:
        ValueError: a raster cannot be read, a band is missing or there twice, rasters are of different scenes or grids,
            or only ground control points or RPCs say where they lie.
    """
    datasets = {name: open_raster(name) for name in names}
    places = [(name, number) for name in names for number in range(1, datasets[name].RasterCount + 1)]
    stated = _names(datasets, places, band_names)
    found: dict[str, tuple[str, int]] = {}
    named_by: dict[str, str] = {}
    for place, (band, reason) in zip(places, stated):
        if band in found:
            raise ValueError(f"--input: expected each band only once, got {band} twice; --band-names names them")
        if band:
            found[band], named_by[band] = place, reason
    missing = [band for band in BANDS if band not in found]
    if missing:
        raise ValueError(
            f"--input: expected the bands {', '.join(BANDS)}, named by descriptions, names of files, colours or "
            f"--band-names, got {', '.join(found) or f'{len(places)} without names'}"
        )
    found = {band: found[band] for band in BANDS}
    used = {name: datasets[name] for name, _ in found.values()}
    check_one_scene(list(used))
    _check_files(used)
    grid, placed = _common_grid(used)
    levels = {_level(dataset, name) for name, dataset in used.items()} - {"unknown"}
    level = " and ".join(sorted(levels)) or "unknown"
    colours = tuple(_colours(next(iter(used.values()))))
    own = {band: _stated(datasets[name], name, number)[0] for band, (name, number) in found.items()}
    contradicted = {band: stated for band, stated in own.items() if stated and stated != band}
    tags = [datasets[name].GetRasterBand(number).GetScale() for name, number in found.values()]
    scale = next((tag for tag in tags if tag is not None and 0 < tag <= STATES_REFLECTANCE), None)
    reasons = {band: named_by[band] for band in BANDS}
    return L1BImage(found, reasons, grid, placed, level, colours, contradicted, scale)


def _check_files(datasets: dict[str, gdal.Dataset]) -> None:
    """Refuse products, and numbers of 8 bits in some of several rasters.

    Raises:
        ValueError: there are such.
    """
    for name, dataset in datasets.items():
        if dataset.GetMetadataItem(SYSTEM_KEY) and dataset.GetMetadataItem(TASK_KEY) != REGISTRATION:
            raise ValueError(f"--input: expected an image of L1B, got {name}, which is a product of super-resolution")
    eight = [name for name, dataset in datasets.items() if dataset.GetRasterBand(1).DataType == gdal.GDT_Byte]
    if eight and len(eight) < len(datasets):
        other = next(name for name in datasets if name not in eight)
        raise ValueError(f"--input: expected numbers of one kind in all bands, got 8 bits in {eight[0]} beside {other}")


def open_raster(name: str) -> gdal.Dataset:
    """Open a raster.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return opening.open_raster(name)
    except RuntimeError as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: RuntimeError) -> ValueError:
    """Return what to say of a raster that cannot be read."""
    return ValueError(f"--input: expected a raster that can be read, got {name} ({error})")


def _names(
    datasets: dict[str, gdal.Dataset], places: Sequence[tuple[str, int]], given: Sequence[str] | None
) -> list[tuple[str | None, str]]:
    """Return the name of each band of rasters, None where it is not known, and by what it is known.

    Raises:
        ValueError: the names given are not as many, or one of four nameless bands is an alpha band.
    """
    if given:
        if len(given) != len(places):
            raise ValueError(
                f"--band-names: expected names of the {len(places)} bands of --input, in order, got {','.join(given)}"
            )
        return [(band, GIVEN) for band in given]
    stated = [_stated(datasets[name], name, number) for name, number in places]
    colours = [_colours(datasets[name])[number - 1] for name, number in places]
    if len(datasets) == 1 and len(places) == len(BANDS) and not any(band for band, _ in stated):
        # Writers that know nothing of bands state red, green, blue and alpha of any four.
        if "Alpha" in colours or not set(colours) & set(COLOURS):
            name, dataset = next(iter(datasets.items()))
            if "Alpha" in colours and _is_opacity(dataset.GetRasterBand(colours.index("Alpha") + 1)):
                raise ValueError(
                    f"--input: expected the bands {', '.join(BANDS)}, got three and an alpha band in {name}"
                )
            return [(band, BY_ORDER) for band in BANDS]
    named = [
        (band, reason) if band else (COLOURS.get(colour), COLOURED) for (band, reason), colour in zip(stated, colours)
    ]
    nameless = [index for index, (band, _) in enumerate(named) if not band and colours[index] != "Alpha"]
    known = {band for band, _ in named}
    if len(nameless) == 1 and set(BANDS) - known == {"B08"}:
        named[nameless[0]] = ("B08", LEFT_OVER)
    return named


def _stated(dataset: gdal.Dataset, name: str, number: int) -> tuple[str | None, str]:
    """Return the band that a raster's description states, or the name of a raster of one band; and which of them."""
    description = dataset.GetRasterBand(number).GetDescription().strip()
    found = band_in_name(description)
    band = found[0] if found else COMMON_NAMES.get(description.lower())
    if band or dataset.RasterCount > 1:
        return band, DESCRIBED
    found = band_in_name(Path(name).stem)
    return (found[0] if found else None), IN_FILE_NAME


def _colours(dataset: gdal.Dataset) -> list[str]:
    """Return what a raster states of the colours of its bands."""
    return [
        gdal.GetColorInterpretationName(dataset.GetRasterBand(number).GetColorInterpretation())
        for number in range(1, dataset.RasterCount + 1)
    ]


def _is_opacity(band: gdal.Band) -> bool:
    """Return whether a band that is declared to be an alpha band has the values of one."""
    return all(
        np.isin(band.ReadAsArray(0, top, band.XSize, min(ROWS, band.YSize - top)), OPAQUE).all()
        for top in range(0, band.YSize, ROWS)
    )


def _level(dataset: gdal.Dataset, name: str) -> str:
    """Return the processing level that a raster's metadata, its name, or that of a product's folder states."""
    metadata = dataset.GetMetadata()
    for key in LEVEL_KEYS:
        found = re.search(r"(?:LEVEL-|MSIL?)(1B|1C|2A)", metadata.get(key, "").upper())
        if found:
            return f"L{found[1]}"
    path = Path(name).resolve()
    folders = re.findall(r"MSIL(?:1B|1C|2A)", str(path.parent).upper())
    stated = level_in_name(re.sub("L1BSR", "", path.name.upper()))
    return stated if stated != "unknown" else level_in_name(folders[-1] if folders else "")


def _common_grid(datasets: dict[str, gdal.Dataset]) -> tuple[Grid, bool]:
    """Return the one grid of rasters, and whether it has a place."""
    grids = {
        name: (
            dataset.GetGeoTransform(can_return_null=True),
            dataset.GetProjection(),
            dataset.RasterXSize,
            dataset.RasterYSize,
        )
        for name, dataset in datasets.items()
    }
    first, (geotransform, projection, columns, rows) = next(iter(grids.items()))
    other = next((name for name, grid in grids.items() if grid != grids[first]), None)
    if other:
        raise ValueError(f"--input: expected bands on one grid, got {other}, which is not on that of {first}")
    if geotransform is None:
        if datasets[first].GetGCPCount() or datasets[first].GetMetadata("RPC"):
            raise ValueError(
                f"--input: {first} is placed by ground control points or RPCs only, which a product cannot carry; a "
                "copy without them gives a product without georeference"
            )
        return Grid(0.0, 0.0, 1.0, 1.0, columns, rows, ""), False
    left, dx, skew, top, other_skew, dy = geotransform
    if skew or other_skew or dx <= 0 or dy >= 0:
        raise ValueError(f"--input: expected a north-up image, got geotransform {geotransform} of {first}")
    return Grid(left, top, dx, -dy, columns, rows, projection), True
