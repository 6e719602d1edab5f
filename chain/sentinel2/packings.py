# SPDX-License-Identifier: Apache-2.0
"""Folders and zips that hold one scene of Sentinel-2 otherwise than as a SAFE product.

Theia's and MAJA's, whose flat reflectance (FRE) is taken; tiles as they lie in the buckets of Sinergise and AWS
(`R10m/B04.jp2`, or `B04.jp2`); mosaics of the Copernicus Data Space; SNAP's BEAM-DIMAP; rasters of one scene. Rasters
that do not tell which bands they hold are left out where others do.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from osgeo import gdal

from chain.runtime.files import is_device, read_document
from chain.runtime.provenance import record_of
from chain.sentinel2 import dimap
from chain.sentinel2.bands import BANDS, CLASSES_NAME, band_in_name, companion_in_name, level_in_name, scene_in_name
from chain.sentinel2.contents import Contents
from chain.sentinel2.decision import Decision
from chain.sentinel2.offset import statements_of_name
from chain.sentinel2.rasters import data_bands, described, opened_raster, read_raster, read_rasters
from chain.sentinel2.reading import Reading
from chain.sentinel2.safe import METADATA, is_safe, safe_contents

RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".dat", ".bsq", ".bil", ".bip", ".nc", ".dim")
HEADER_SUFFIX = ".hdr"
"""End of the header of a raster of ENVI's, which tells rasters of endings that other files have too."""
ENVI_SUFFIXES = (".img", ".dat", ".bsq", ".bil", ".bip")
ERDAS_SUFFIX = ".img"
"""End of a raster of Erdas Imagine's, whose header is in it."""
REFLECTANCE_OF_MAJA = re.compile(r"_(FRE|SRE)_B(?:\d+|8A)\.tif$", re.IGNORECASE)
PREFERRED = "FRE"
"""MAJA's reflectance with the slopes taken out, before the one without (SRE): what others call L2A."""
RESOLUTIONS = ("R10m", "R20m", "R60m")
"""Folders of a tile of Sinergise's."""
TILE_FILES = ("tileInfo.json", "productInfo.json")
SHOWN = 8
"""Entries of a folder that an error lists."""


def rasters_in(folder: Path) -> list[Path]:
    """Return the rasters of a folder, but hidden ones and products of this project, beside which a record lies."""
    return [
        file
        for file in sorted(folder.iterdir())
        if _is_raster(file)
        and not file.name.startswith(".")
        and not record_of(file).exists()
        and not record_of(file.with_name(f"{scene_in_name(file)}{file.suffix}")).exists()
    ]


def _is_raster(file: Path) -> bool:
    """Return whether a file is a raster by its name; rasters of ENVI's and Erdas's by their headers too."""
    suffix = file.suffix.lower()
    if suffix not in ENVI_SUFFIXES:
        return suffix in RASTER_SUFFIXES
    if file.with_suffix(HEADER_SUFFIX).exists() or Path(f"{file}{HEADER_SUFFIX}").exists():
        return True
    is_readable = suffix == ERDAS_SUFFIX and not is_device(file)
    return is_readable and gdal.IdentifyDriverEx(str(file), gdal.OF_RASTER, ["HFA"]) is not None


def is_packed(folder: Path) -> bool:
    """Return whether the files and folders in a folder are one scene, whatever their names: MAJA's, a tile's."""
    names = [entry.name for entry in folder.iterdir()]
    is_tile = any((folder / name).is_dir() for name in RESOLUTIONS) or set(TILE_FILES) & set(names)
    return bool(is_tile) or any(REFLECTANCE_OF_MAJA.search(name) for name in names)


def is_scene(folder: Path) -> bool:
    """Return whether a folder is one scene, whatever the names in it: SAFE, MAJA's, a tile's, the data of SNAP's."""
    return is_safe(folder) or is_packed(folder) or _is_dimap_data(folder)


def _is_dimap_data(folder: Path) -> bool:
    """Return whether a folder holds the rasters of a product of SNAP's that lies beside it."""
    return folder.suffix == dimap.DATA_SUFFIX and folder.with_suffix(dimap.SUFFIX).exists()


def holds_scenes(entry: Path) -> bool:
    """Return whether an entry of a folder may hold a scene of its own, rasters aside: a folder or a zip."""
    return (entry.is_dir() and not _is_dimap_data(entry)) or entry.suffix.lower() == ".zip"


def scenes_among(rasters: Sequence[Path]) -> dict[str, list[str]]:
    """Return the scenes that rasters of one folder are, by their names.

    Rasters whose names differ in band and resolution only are one scene, unless some hold the same bands: names such
    as `field_B1.tif` and `field_B2.tif` may count fields, not bands.
    """
    groups: dict[str, list[Path]] = {}
    for raster in rasters:
        groups.setdefault(scene_in_name(raster), []).append(raster)
    scenes = {}
    for name, files in groups.items():
        if len(files) > 1 and _hold_the_same(files):
            scenes.update({file.stem: [str(file)] for file in files})
        else:
            scenes[name] = [str(file) for file in files]
    return scenes


def _hold_the_same(files: Sequence[Path]) -> bool:
    """Return whether two of several rasters hold several bands each, and the same ones or of the same pixels."""
    seen: list[tuple[set[str], float]] = []
    for file in files:
        try:
            dataset = opened_raster(str(file))
        except ValueError:  # opening the scene says so
            continue
        if data_bands(dataset) < 2:
            continue
        bands, spacing = set(described(dataset, str(file)).bands), dataset.GetGeoTransform()[1]
        for others, other_spacing in seen:
            if bands & others if bands and others else spacing == other_spacing:
                return True
        seen.append((bands, spacing))
    return False


def folder_contents(folder: Path, reading: Reading = Reading()) -> Contents:
    """Tell what a folder holds.

    Raises:
        ValueError: it holds no scene, or several.
    """
    if _is_dimap_data(folder):
        return read_raster(str(folder.with_suffix(dimap.SUFFIX)), reading=reading)
    rasters = [str(file) for file in rasters_in(folder)]
    for name in RESOLUTIONS:
        if (folder / name).is_dir():
            rasters += [str(file) for file in rasters_in(folder / name)]
    if rasters:
        return _scene(str(folder), rasters, reading)
    nested = gdal.ReadDirRecursive(str(folder)) or ()
    if any(METADATA.fullmatch(Path(name).name) for name in nested):
        return safe_contents(str(folder), offset=reading.offset)
    raise ValueError(f"{folder}: expected a scene of Sentinel-2 or its rasters, got {_listed(folder)}")


def _listed(folder: Path) -> str:
    """Return in words what a folder holds."""
    names = sorted(f"{entry.name}{'/' * entry.is_dir()}" for entry in folder.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}" if names else "an empty folder"


def zip_contents(path: str, bands: Sequence[str] | None = None, reading: Reading = Reading()) -> Contents:
    """Tell what a zip holds: a SAFE product, or rasters of one scene.

    Raises:
        ValueError: it holds neither.
    """
    root = f"/vsizip/{Path(path).resolve()}"
    names = gdal.ReadDirRecursive(root) or ()
    rasters = [f"{root}/{name}" for name in names if Path(name).suffix.lower() in RASTER_SUFFIXES]
    if any(METADATA.fullmatch(Path(name).name) for name in names) or not rasters:
        return safe_contents(path, bands, reading.offset)
    return _scene(path, rasters, reading)


def _scene(root: str, rasters: Sequence[str], reading: Reading) -> Contents:
    """Tell what the rasters of one folder or zip hold."""
    decisions = []
    of_maja = [name for name in rasters if REFLECTANCE_OF_MAJA.search(name)]
    if of_maja:
        kinds = {match[1].upper() for name in of_maja if (match := REFLECTANCE_OF_MAJA.search(name))}
        kind = PREFERRED if PREFERRED in kinds else min(kinds)
        rasters = [name for name in of_maja if f"_{kind}_" in Path(name).name.upper()]
        others = "; SRE is there too" if len(kinds) > 1 else ""
        decisions.append(Decision("files", kind, f"MAJA's reflectance{others}"))
    else:
        rasters = _native(rasters)
    contents = read_rasters(rasters, reading=reading, foreign=True)
    contents.name = root
    contents.decisions += decisions
    for name in TILE_FILES:
        _add_tile_file(contents, Path(root) / name)
    if len(contents.identity["paths"]) > 1:
        contents.identity = {**contents.identity, "id": Path(root).stem}
    return contents


def _native(rasters: Sequence[str]) -> list[str]:
    """Return rasters without those of a band that is there at a resolution nearer to its native one."""
    by_band: dict[str, list[tuple[float, str]]] = {}
    kept = []
    for name in rasters:
        path = Path(name)
        stated = band_in_name(path.stem)
        place = next((part for part in (path.parent.name,) if part in RESOLUTIONS), "")
        gsd = float(place[1:-1]) if place else stated[1] if stated else 0.0
        words = companion_in_name(path.stem)
        if stated and not words and place:
            by_band.setdefault(stated[0], []).append((abs(gsd - BANDS[stated[0]]), name))
        elif words == CLASSES_NAME and place:
            by_band.setdefault(CLASSES_NAME, []).append((gsd, name))
        else:
            kept.append(name)
    return [*kept, *(min(images)[1] for images in by_band.values())]


def _add_tile_file(contents: Contents, path: Path) -> None:
    """Add what the description of a tile of Sinergise's says of its product: baseline and level."""
    if not path.is_file():
        return
    try:
        document = json.loads(read_document(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON ({error})") from error
    name = str(document.get("name") or document.get("productName") or "")
    contents.statements = [*contents.statements, *statements_of_name(name)]
    if contents.level == "unknown":
        contents.level = level_in_name(name)
