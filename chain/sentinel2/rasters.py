# SPDX-License-Identifier: Apache-2.0
"""Rasters of one or several bands: which band each is, what their numbers are, where they lie.

The bands of a raster are told by their descriptions (`chain.sentinel2.band_names`), that of a raster with one band by
its name too. Names that the user gives overrule descriptions that are understood in part only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from osgeo import gdal

from chain.raster import http
from chain.raster.opening import open_raster
from chain.sentinel2 import dimap
from chain.sentinel2.band_names import FOREIGN, FOREIGN_FILE, LISTED, NamedBands, are_foreign, understand
from chain.sentinel2.bands import (
    CLASSES_NAME,
    NODATA,
    REFLECTANCE,
    band_in_name,
    companion_in_name,
    level_in_name,
)
from chain.sentinel2.contents import Contents, UnknownBands, merge
from chain.sentinel2.decision import Decision
from chain.sentinel2.digital_numbers import SCALE_HELP, numbers_of
from chain.sentinel2.hidden_mask import check_no_hidden_mask
from chain.sentinel2.layers import Layer, alpha_bands, has_own_mask, opened_layer, release
from chain.sentinel2.offset import Statement, statement_of_tags, statements_of_raster
from chain.sentinel2.one_scene import check_one_scene
from chain.sentinel2.place import check_place
from chain.sentinel2.reading import Reading

NOT_TAKEN = "-"
"""Stands for a band that is not to be read, among names that the user gives."""
NAMING_HELP = (
    "--bands-10m, --bands-20m or --bands-60m (of inference.spot7: --band-names) has to name them in order, - for "
    "one to leave out"
)
BY_USER = "named by the user"
BY_LAST_WORD = "by the last word of its name"
LAST_WORD = re.compile(r"[^\W_]+_\d{3,4}$|[^\W_]*$")
"""The end of a file's name that tells its band: `red`, `rhos_492`."""


@dataclass(frozen=True)
class _Packing:
    """What the makers of a file say of its numbers outside of it."""

    source: str = ""
    """Whose it is, where its numbers carry no offset."""
    fill: tuple[float, ...] = ()
    """Numbers that mean no data."""


PACKINGS = {
    re.compile(r"_(?:FRE|SRE)_B(?:\d+|8A)\.", re.IGNORECASE): _Packing("MAJA's reflectance", (-10000.0,)),
    re.compile(r"Sentinel-2_mosaic_"): _Packing("a mosaic of the Copernicus Data Space", (-32768.0,)),
}
"""What paths tell of files."""


def _packing(path: str) -> _Packing:
    """Return what a path tells of a file."""
    return next((packing for pattern, packing in PACKINGS.items() if pattern.search(path)), _Packing())


def opened_raster(path: str) -> gdal.Dataset:
    """Open a raster.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return open_raster(http.gdal_name(path))
    except RuntimeError as error:
        raise ValueError(f"{path}: expected a readable raster ({http.why(path, error)})") from error


def read_raster(
    path: str,
    given: Sequence[str] | None = None,
    bands: Sequence[str] | None = None,
    reading: Reading = Reading(),
    fill: Sequence[float] = (),
) -> Contents:
    """Tell what a raster holds.

    Args:
        path: its path, or an address.
        given: names of its bands, in order, from the user; they overrule descriptions that are understood in part.
        bands: the bands that are needed, all by default; where the raster does not tell its bands, and has as many,
            their names in order.
        reading: how it is to be read.
        fill: numbers that are known to mean no data, beside what it declares.

    Raises:
        UnknownBands: it does not tell its bands.
        ValueError: it cannot be read, or holds something else.
    """
    if path.lower().endswith(dimap.SUFFIX):
        return _read_dimap(path, reading)
    dataset = opened_raster(path)
    parts = dataset.GetSubDatasets()
    if not dataset.RasterCount and not parts:
        raise ValueError(f"{path}: expected a raster with bands, got none")
    if not dataset.RasterCount:
        return _read_parts(path, [name for name, _ in parts], bands, reading)
    check_place(dataset, path)
    named, numbers, decision = _numbers(dataset, path, given, bands, reading)
    needed = [band for band in numbers if bands is None or band in bands] or list(numbers)
    alpha = tuple(number for number in alpha_bands(dataset) if number not in numbers.values())
    validity = (*named.validity, *alpha)
    name = http.gdal_name(path)
    if decision.reason != BY_USER:
        check_no_hidden_mask(dataset, {*numbers.values(), *validity, named.classes}, path)
    packing = _packing(path)
    layers = {band: Layer(name, number, (*packing.fill, *fill), validity) for band, number in numbers.items()}
    layers, decisions = _with_numbers(layers, needed, dataset, path, reading)
    statements = []
    if reading.offset is None:
        used = [numbers[band] for band in needed]
        statements = statements_of_raster(dataset, used, path, by_tags=reading.scale is None)
        if layers[needed[0]].factor == 1 / REFLECTANCE:
            statements.append(Statement(0, "reflectance", firm=False))
    decisions = [decision, *decisions, *_nodata(dataset, named.validity, alpha, next(iter(numbers.values())))]
    if reading.offset is None and packing.source:
        statements.append(Statement(0, packing.source))
    if named.left_out and decision.reason != BY_USER:
        decisions.append(Decision("bands", f"left out {', '.join(named.left_out)}", "no bands of Sentinel-2"))
    return Contents(
        path,
        {"kind": "raster", "path": path, "id": Path(path).name},
        layers,
        level_in_name(Path(path).name),
        statements,
        Layer(name, named.classes) if named.classes else None,
        decisions,
    )


def described(dataset: gdal.Dataset, path: str, reading: Reading = Reading()) -> NamedBands:
    """Return what a raster tells of its bands by their descriptions, or by its name where it has one."""
    if FOREIGN_FILE.search(Path(path).name):
        return NamedBands(problem=f"a product of Landsat by its name, {Path(path).name}")
    words = []
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        words.append(band.GetDescription() or band.GetMetadataItem("NETCDF_VARNAME") or "")
    if are_foreign(words):
        words = ["" if FOREIGN.search(word) else word for word in words]
    named = understand(words, reading.prefix, reading.suffix)
    data = [
        number for number in range(1, dataset.RasterCount + 1) if number not in (*named.validity, *alpha_bands(dataset))
    ]
    stated = band_in_name(Path(path).stem)
    if len(data) == 1 and stated and not named.bands and not named.problem and not are_foreign([Path(path).name]):
        return NamedBands({stated[0]: data[0]}, "its name", None, named.validity)
    return named


def data_bands(dataset: gdal.Dataset) -> int:
    """Return how many bands a raster has beside alpha bands."""
    return dataset.RasterCount - len(alpha_bands(dataset))


def _numbers(
    dataset: gdal.Dataset, path: str, given: Sequence[str] | None, bands: Sequence[str] | None, reading: Reading
) -> tuple[NamedBands, dict[str, int], Decision]:
    """Return what the raster tells of its bands, the number of each, and how these were told.

    Raises:
        UnknownBands: neither the raster nor the user tells them.
        ValueError: they contradict each other, or are there several times.
    """
    named = described(dataset, path, reading)
    every = list(range(1, dataset.RasterCount + 1))
    data = [number for number in every if number not in (*named.validity, *alpha_bands(dataset))]
    user = given
    if given is None and bands and not set(bands) <= set(named.bands) and len(bands) in (len(every), len(data)):
        user = bands
    if user is not None and len(user) in (len(every), len(data)):
        order = every if len(user) == len(every) else data
        numbers = {name: number for number, name in zip(order, user) if name != NOT_TAKEN}
        told = {number: band for band, number in named.bands.items()}
        if len(numbers) < len([name for name in user if name != NOT_TAKEN]):
            raise ValueError(f"{path}: expected each band named once, got {','.join(user)}")
        if set(told) >= set(order) and any(told[number] != name for name, number in numbers.items()):
            raise ValueError(
                f"{path}: expected names as it describes its bands itself, {','.join(told[n] for n in order)}, or "
                f"none, got {','.join(user)}"
            )
        return named, numbers, Decision("bands", ", ".join(numbers), BY_USER)
    if named.bands:
        return named, dict(named.bands), Decision("bands", ", ".join(named.bands), f"described, by {named.convention}")
    way_out = NAMING_HELP
    if "several" in named.problem:
        way_out = f"--band-prefix or --band-suffix chooses, or {NAMING_HELP}"
    received = f"; got {' '.join(user)}" if user else ""
    words = [word for number in data if (word := dataset.GetRasterBand(number).GetDescription())]
    shown = f"{', '.join(words[:LISTED])}{', …' * (len(words) > LISTED)}"
    known = f"are described as {shown}, which tell nothing" if words else "are not described"
    problem = named.problem or f"its {len(data)} bands {known}"
    if named.problem:
        problem = f"expected bands that tell what they are, got {named.problem}"
    raise UnknownBands(f"{path}: {problem}: {way_out}{received}")


def _with_numbers(
    layers: Mapping[str, Layer], needed: Sequence[str], dataset: gdal.Dataset, path: str, reading: Reading
) -> tuple[dict[str, Layer], list[Decision]]:
    """Return the layers with what their numbers are.

    Raises:
        ValueError: they are no digital numbers, and no reflectance.
    """
    views = {}
    try:
        for band in needed:
            views[band] = opened_layer(layers[band], band)
        numbers = numbers_of(views, path, reading.scale)
    finally:
        for name in views.values():
            release(name)
    scales = {dataset.GetRasterBand(layers[band].number).GetScale() for band in needed}
    if reading.scale is None and numbers.factor != 1.0 and not scales <= {None, 1.0}:
        raise ValueError(
            f"{path}: its scale of {REFLECTANCE:g} says that its numbers are no reflectance, but they lie from 0 to 1: "
            f"{SCALE_HELP}"
        )
    made = {
        band: replace(layer, fill=(*layer.fill, *numbers.fill), factor=numbers.factor) for band, layer in layers.items()
    }
    return made, list(numbers.decisions)


def _nodata(dataset: gdal.Dataset, validity: Sequence[int], alpha: Sequence[int], number: int) -> list[Decision]:
    """Return what was decided about missing pixels, beside those of 0."""
    band = dataset.GetRasterBand(number)
    found = []
    if has_own_mask(band):
        found.append(Decision("nodata", "0 and where the mask is 0", "the raster has a mask, in it or beside it"))
    if alpha:
        found.append(Decision("nodata", "0 and where alpha is 0", f"band {alpha[0]} is an alpha band"))
    if validity:
        name = dataset.GetRasterBand(validity[0]).GetDescription()
        found.append(Decision("nodata", f"0 and where {name} is 0", f"band {validity[0]} tells where there is data"))
    declared = band.GetNoDataValue()
    if declared is not None:
        found.append(Decision("nodata", f"0 and {declared:g}" if declared != NODATA else "0", "declared"))
    return found or [Decision("nodata", "0", "the raster declares none")]


def _read_parts(path: str, parts: Sequence[str], bands: Sequence[str] | None, reading: Reading) -> Contents:
    """Tell what a file of several rasters holds, such as a netCDF file whose variables are the bands.

    Raises:
        UnknownBands: the names of the rasters do not tell the bands.
        ValueError: a band is there at several dates, or its numbers are something else.
    """
    words = [part.rsplit(":", 1)[-1].strip('/"') for part in parts]
    named = understand(words, reading.prefix, reading.suffix)
    if not named.bands:
        problem = f"; got {named.problem}" if named.problem else ""
        raise UnknownBands(f"{path}: expected variables named as bands, got {', '.join(words)}{problem}")
    found = []
    for band, number in named.bands.items():
        count = gdal.Open(parts[number - 1]).RasterCount
        if count != 1:
            raise ValueError(f"{path}: expected one date, got {count} of {words[number - 1]}: extract one")
        needed = [band] if bands is None or band in bands else []
        if needed or not set(bands or ()) & set(named.bands):
            found.append(read_raster(parts[number - 1], [band], None, reading))
    merged = merge(found, path)
    merged.identity = {"kind": "raster", "path": path, "id": Path(path).name}
    merged.level = level_in_name(Path(path).name)
    merged.classes = Layer(parts[named.classes - 1]) if named.classes else None
    merged.decisions.insert(0, Decision("bands", ", ".join(named.bands), f"variables, by {named.convention}"))
    return merged


def _read_dimap(path: str, reading: Reading) -> Contents:
    """Tell what a product of SNAP's holds.

    Raises:
        UnknownBands: the names of its bands do not tell them.
        ValueError: a raster is missing, or its numbers are something else.
    """
    bands = dimap.read_dimap(path)
    named = understand([band.name for band in bands], reading.prefix, reading.suffix)
    if not named.bands:
        raise UnknownBands(f"{path}: expected bands of Sentinel-2, got {', '.join(band.name for band in bands)}")
    found = []
    for band, number in named.bands.items():
        part = bands[number - 1]
        contents = read_raster(part.path, [band], None, reading, (part.nodata,) if part.nodata else ())
        stated = statement_of_tags(part.scale, part.offset, path)
        if reading.offset is None and reading.scale is None and stated:
            contents.statements = [*contents.statements, stated]
        found.append(contents)
    merged = merge(found, path)
    merged.identity = {"kind": "raster", "path": path, "id": Path(path).name}
    merged.level = level_in_name(Path(path).name)
    classes = next((band.path for band in bands if band.name in dimap.CLASSES_NAMES), None)
    merged.classes = Layer(classes) if classes else None
    return merged


def read_rasters(
    paths: Sequence[str],
    naming: Mapping[str, Sequence[str]] | None = None,
    bands: Sequence[str] | None = None,
    reading: Reading = Reading(),
    foreign: bool = False,
) -> Contents:
    """Tell what rasters of one scene hold.

    Args:
        paths: the rasters; of companions of the bands, only the scene classification is used.
        naming: names of the bands, in order, of rasters that do not tell them, by their paths.
        bands: the bands that are needed, all by default.
        reading: how they are to be read.
        foreign: leave out rasters that do not tell which bands they hold, if others do.

    Raises:
        ValueError: a raster cannot be read or does not tell its bands, a band is there twice, or the files are of
            several scenes.
    """
    companions = {path: companion_in_name(Path(path).stem) for path in paths}
    classes = next((path for path, companion in companions.items() if companion == CLASSES_NAME), None)
    rasters = [path for path in paths if not companions[path]]
    naming = naming or {}
    words = _by_last_word([path for path in rasters if path not in naming], reading)
    found, left_out = [], {}
    for path in rasters:
        try:
            found.append(read_raster(path, {**words, **naming}.get(path), None, reading))
        except UnknownBands as error:
            left_out[path] = error
            continue
        if path in words:
            found[-1].decisions[0] = Decision("bands", ", ".join(words[path]), BY_LAST_WORD)
    if left_out and not (foreign and found):
        raise next(iter(left_out.values()))
    check_one_scene([each.name for each in found] + ([classes] if classes else []))
    name = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    merged = merge(found, name)
    if classes:
        merged.classes = Layer(http.gdal_name(classes))
    named = ", ".join(Path(path).name for path in left_out)
    if left_out:
        merged.decisions.append(Decision("files", f"left out {named}", "they do not tell which bands they hold"))
    return merged


def _by_last_word(paths: Sequence[str], reading: Reading) -> dict[str, list[str]]:
    """Return the names of the bands of rasters whose own names end with words for them: `…_red.tif`, `…_nir.tif`."""
    silent = []
    for path in paths:
        try:
            dataset = opened_raster(path)
        except ValueError:  # reading it says so
            return {}
        named = described(dataset, path, reading)
        if dataset.RasterCount == 1 and not named.bands and not named.problem:
            silent.append(path)
    if are_foreign([Path(path).name for path in silent]):
        silent = [path for path in silent if not FOREIGN.search(Path(path).name)]
    named = understand([LAST_WORD.findall(Path(path).stem)[0] for path in silent])
    if len(named.bands) != len(silent):
        return {}
    return {silent[number - 1]: [band] for band, number in named.bands.items()}
