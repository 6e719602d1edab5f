# SPDX-License-Identifier: Apache-2.0
"""Opening Sentinel-2: whatever the container, the same bands, the same harmonised digital numbers.

`open_product` takes a SAFE folder or zip, a STAC item (Planetary Computer, Earth Search), rasters with one or
several bands each, or a folder of them, and says which file holds which band, and by which offset its digital
numbers (DN) have to be harmonised. The offset is read from the metadata, never guessed from the date, because
archives are reprocessed and some catalogues have removed it already. Where nothing states it, many numbers far
below 1000 prove that there is none; otherwise an input which does not say it is an error.

    product = open_product("S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE")
    image = product.image(("B04", "B03", "B02", "B08"))     # pyotb, in memory: DN = 10 000 x reflectance
"""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from osgeo import gdal

from chain.raster import http
from chain.raster.gdal_memory import new_name
from chain.runtime.provenance import record_of
from chain.sentinel2 import stac_item
from chain.sentinel2.bands import (
    BANDS,
    CLASSES_NAME,
    COMMON_NAMES,
    NODATA,
    OFFSET_HELP,
    band_in_name,
    companion_in_name,
    level_in_name,
    scene_in_name,
    wanted,
)
from chain.sentinel2.offset import FLOATING, LARGEST, check_digital_numbers, raster_offset
from chain.sentinel2.safe import read_safe

RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")


@dataclass
class Sentinel2Image:
    """A Sentinel-2 image whose bands GDAL and OTB can open by name."""

    bands: dict[str, str]
    """For each band, a name for GDAL and OTB; remote ones are VRTs in GDAL's memory (`/vsimem`)."""
    offset: int
    """Added to valid digital numbers to obtain 10 000 x reflectance."""
    level: str
    """`L1C`, `L2A`, or `unknown`."""
    identity: dict
    """Where the pixels come from: what a run records."""
    nodata: int = NODATA
    """Digital number which means that there is no data."""
    hrefs: dict[str, str] = field(default_factory=dict)
    """For each remote band, its URL without signature."""
    signed: dict[str, str] = field(default_factory=dict)
    """For each remote band, its URL as last signed."""
    classes: str | None = None
    """Scene classification (SCL), where there is one: a URL, or a name for GDAL."""
    originals: dict[str, str] = field(default_factory=dict)
    """For each band that was brought to another grid for the time being, the name of what it was made of."""

    def refresh(self, force: bool = False) -> bool:
        """Sign the remote bands again if their signatures are about to expire.

        Args:
            force: drop the present tokens, and what GDAL remembers of failures, in any case.

        Returns:
            Whether names changed: images made before hold signatures which expire.

        Raises:
            RemoteError: there is no token, or a band cannot be opened.
        """
        if not self.hrefs:
            return False
        if force:
            http.forget_tokens()
            http.forget_failures()
        signed = {band: http.sign(href) for band, href in self.hrefs.items()}
        if signed == self.signed and not force:
            return False
        previous = [self.bands[band] for band in self.signed]
        self.bands.update({band: _remote_vrt(band, href) for band, href in signed.items()})
        self.signed = signed
        for name in previous:
            gdal.Unlink(name)
        return True

    def image(self, bands: Sequence[str]):
        """Return a `pyotb` image of harmonised digital numbers, in memory, on the bands' own grid.

        Valid pixels are `max(DN + offset, 1)`, so that a dark one does not become nodata. Nodata is 0: what is 0,
        not finite, or the nodata value that the raster declares.

        Args:
            bands: names, in the wanted order; all of one ground sampling distance.

        Raises:
            ValueError: a band is missing, or the bands are not on one grid.
        """
        import pyotb

        names = [self.bands[band] for band in wanted(self.bands, bands, "bands")]
        grids = {_grid(name) for name in names}
        if len(grids) != 1:
            raise ValueError(f"bands {', '.join(bands)}: one grid is wanted. Received: {sorted(grids)}")
        expressions = {name: self._expression(name) for name in names}
        return pyotb.ConcatenateImages(
            il=[pyotb.BandMath(il=[name], exp=expressions[name]) if expressions[name] else name for name in names]
        )

    def _expression(self, name: str) -> str:
        """Return what harmonises a band, in BandMath's words; nothing where its numbers are right as they are."""
        dataset = gdal.Open(name)
        band = dataset.GetRasterBand(1)
        declared, floating = band.GetNoDataValue(), band.DataType in FLOATING
        declared = None if declared in (None, self.nodata) or not abs(declared) < LARGEST else declared
        if self.offset == 0 and declared is None and not floating:
            return ""
        valid = [f"im1b1 != {self.nodata}"]
        valid += [f"im1b1 != ({declared})"] if declared is not None else []
        valid += [f"abs(im1b1) < {LARGEST}"] if floating else []
        return f"{' && '.join(valid)} ? max(im1b1 + ({self.offset}), 1) : {self.nodata}"

    def close(self) -> None:
        """Release what the product holds in GDAL's memory, if it is still there."""
        for name in self.bands.values():
            if name.startswith("/vsimem/") and gdal.VSIStatL(name) is not None:
                gdal.Unlink(name)


def open_product(source, bands: Sequence[str] | None = None, offset: int | None = None) -> Sentinel2Image:
    """Open a Sentinel-2 image.

    Args:
        source: a SAFE folder, its zip or its MTD_MSI*.xml; a raster with several bands; a list or a folder of
            rasters, of several described bands, or of one that the name tells (`…_B04_10m.jp2`); a STAC item
            (`pystac.Item`, mapping, JSON file or URL).
        bands: bands wanted (all by default); of a raster which does not describe its bands, their names in
            order.
        offset: offset of the digital numbers, 0 or -1000, which overrides the metadata.

    Raises:
        ValueError: the source is of no known kind, a band is missing, or the offset cannot be known.
        RemoteError: an item's images cannot be reached.
    """
    http.configure()
    for band in bands or ():
        if band not in BANDS:
            raise ValueError(f"--bands: names among {', '.join(BANDS)} are wanted. Received: {band}")
    if isinstance(source, Mapping) or hasattr(source, "assets"):
        return _open_item(source, bands, offset)
    if isinstance(source, str | Path):
        return _open_path(str(source), bands, offset)
    names = [str(name) for name in source]
    return _open_path(names[0], bands, offset) if len(names) == 1 else open_files(names, bands, offset)


def _open_path(path: str, bands: Sequence[str] | None, offset: int | None) -> Sentinel2Image:
    """Open a path or URL by what it is."""
    if path.split("?")[0].endswith((".json", ".geojson")) or ("://" in path and "/collections/" in path):
        return _open_item(path, bands, offset)
    if path.startswith(("http://", "https://", "/vsi", "s3://", "gs://")):
        return _open_raster(path, bands, offset)
    if not Path(path).exists():
        raise ValueError(f"{path}: a file or folder is wanted. Received: one which does not exist")
    if Path(path).name.startswith("MTD_MSI"):
        path = str(Path(path).parent)
    if Path(path).is_dir():
        rasters = [str(file) for file in rasters_in(Path(path))]
        return open_files(rasters, bands, offset) if rasters else _open_safe(path, bands, offset)
    return _open_safe(path, bands, offset) if path.lower().endswith(".zip") else _open_raster(path, bands, offset)


def rasters_in(folder: Path) -> list[Path]:
    """Return the rasters of a folder, but hidden ones and products of this project, beside which a record lies."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in RASTER_SUFFIXES
        and not file.name.startswith(".")
        and not record_of(file).exists()
        and not record_of(file.with_name(f"{scene_in_name(file)}{file.suffix}")).exists()
    ]


def _open_safe(path: str, bands: Sequence[str] | None, offset: int | None) -> Sentinel2Image:
    """Open a SAFE product, folder or zip."""
    safe = read_safe(path)
    files = {band: safe.files[band] for band in wanted(safe.files, bands, path)}
    identity = {"kind": "SAFE", "path": path, "id": safe.identifier, "baseline": safe.baseline}
    offset = safe.offset(files) if offset is None else offset
    return Sentinel2Image(files, offset, safe.level, identity, classes=safe.classes)


def _open_item(source, bands: Sequence[str] | None, offset: int | None) -> Sentinel2Image:
    """Open a STAC item; its URLs are signed now."""
    item = stac_item.read_item(source)
    assets = stac_item.band_assets(item)
    names = {band: assets[band]["href"] for band in wanted(assets, bands, item["id"])}
    offset = stac_item.offset(item, list(names)) if offset is None else offset
    remote = {band: href for band, href in names.items() if "://" in href}
    classes = (stac_item.classes_asset(item) or {}).get("href")
    product = Sentinel2Image(
        names, offset, stac_item.level(item), stac_item.identity(item), hrefs=remote, classes=classes
    )
    attempts = itertools.count()
    http.retry(lambda: product.refresh(force=next(attempts) > 0), (http.RemoteError,), http.TRIES)
    return product


def _remote_vrt(band: str, href: str) -> str:
    """Wrap a URL in a VRT in GDAL's memory, because OTB 8.1 cuts names at the `?` of a signature."""
    name = new_name(f"sentinel2_{band}", "vrt")
    try:
        gdal.Translate(name, gdal.Open(http.gdal_name(href)), format="VRT")
    except RuntimeError as error:
        raise http.RemoteError(f"{band}: {href.split('?')[0]} cannot be opened: {http.reason(error)}") from error
    return name


def _open_raster(path: str, bands: Sequence[str] | None, offset: int | None, alone: bool = True) -> Sentinel2Image:
    """Open a raster with several bands, known by their descriptions, or named by `bands` in order.

    Only a raster that is not `alone` may leave its offset open, None.
    """
    try:
        dataset = gdal.Open(http.gdal_name(path))
    except RuntimeError as error:
        raise ValueError(f"{path}: a raster is wanted. Received: {error}") from error
    numbers = _band_numbers(dataset, path, bands)
    names = wanted(numbers, bands, path)
    opened = [numbers[band] for band in names]
    check_digital_numbers(dataset, opened, path)
    if offset is None:
        offset = raster_offset(dataset, opened, path)
        if offset is None and alone:
            raise ValueError(f"{path}: the offset of its digital numbers is not stated: {OFFSET_HELP}")
    identity = {"kind": "raster", "path": path, "id": Path(path).name}
    product = Sentinel2Image({}, offset, level_in_name(Path(path).name), identity)
    for band in names:
        product.bands[band] = new_name(f"sentinel2_{band}", "vrt")
        gdal.Translate(product.bands[band], dataset, format="VRT", bandList=[numbers[band]])
    return product


def _band_numbers(dataset: gdal.Dataset, path: str, bands: Sequence[str] | None) -> dict[str, int]:
    """Return the number of each band of a raster, from descriptions, the file's name, or the names given."""
    numbers = {}
    for number in range(1, dataset.RasterCount + 1):
        description = dataset.GetRasterBand(number).GetDescription().strip()
        stated = band_in_name(description)
        band = stated[0] if stated else COMMON_NAMES.get(description.lower())
        if band:
            numbers[band] = number
    stated = band_in_name(Path(path).stem)
    if not numbers and dataset.RasterCount == 1 and stated:
        return {stated[0]: 1}
    if not numbers and (bands is None or len(bands) != dataset.RasterCount):
        raise ValueError(
            f"{path}: its {dataset.RasterCount} bands are not described: --bands (of inference.dsen2: --bands-10m, "
            f"-20m, -60m) has to name them in order. Received: {' '.join(bands or ()) or 'nothing'}"
        )
    return numbers or {band: number for number, band in enumerate(bands, 1)}


def open_files(
    paths: Sequence[str],
    bands: Sequence[str] | None = None,
    offset: int | None = None,
    naming: Mapping[str, Sequence[str]] | None = None,
) -> Sentinel2Image:
    """Open rasters, of one scene, of one or several bands each; names of files or descriptions say which.

    Args:
        paths: the rasters; of companions of the bands, only the scene classification is used.
        bands: bands wanted (all by default).
        offset: offset of the digital numbers, which overrides the metadata. Without it, what some of the rasters state
            or prove holds for all.
        naming: bands, in order, of rasters that do not describe them, by their paths.

    Raises:
        ValueError: a band is missing or there twice, or offsets or levels differ, or no offset is known.
    """
    companions = {path: companion_in_name(Path(path).stem) for path in paths}
    classes = next((path for path, companion in companions.items() if companion == CLASSES_NAME), None)
    with ExitStack() as stack:
        products = []
        for path in paths:
            if not companions[path]:
                products.append((path, _open_raster(path, (naming or {}).get(path), offset, alone=False)))
                stack.callback(products[-1][1].close)
        product = _merged(products, paths, bands, classes)
        stack.pop_all()
    return product


def _merged(
    products: Sequence[tuple[str, Sentinel2Image]],
    paths: Sequence[str],
    bands: Sequence[str] | None,
    classes: str | None,
) -> Sentinel2Image:
    """Return the product that several make, each given with its path, among all paths given."""
    merged: dict[str, str] = {}
    for path, product in products:
        twice = set(product.bands) & set(merged)
        if twice:
            raise ValueError(f"{path}: one file for each band is wanted. Received: {twice.pop()} twice")
        merged.update(product.bands)
    names = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    levels = sorted({product.level for _, product in products} - {"unknown"})
    offsets = sorted({product.offset for _, product in products} - {None})
    for what, found in (("offset", offsets), ("level", levels)):
        if len(found) > 1:
            raise ValueError(f"{names}: one {what} is wanted. Received: {found}")
    if products and not offsets:
        raise ValueError(f"{names}: the offset of their digital numbers is not stated: {OFFSET_HELP}")
    opened = {band: merged[band] for band in wanted(merged, bands, names)}
    identity = {"kind": "files", "paths": [path for path, _ in products], "id": scene_in_name(Path(products[0][0]))}
    return Sentinel2Image(opened, offsets[0], levels[0] if levels else "unknown", identity, classes=classes)


def _grid(name: str) -> tuple:
    """Return what makes the grid of a raster: geotransform, columns and rows."""
    dataset = gdal.Open(name)
    return dataset.GetGeoTransform(), dataset.RasterXSize, dataset.RasterYSize
