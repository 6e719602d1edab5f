# SPDX-License-Identifier: Apache-2.0
"""Opening Sentinel-2: whatever the container, the same bands, the same harmonised digital numbers.

`open_product` takes a SAFE folder or zip, a STAC item of any catalogue, rasters with one or several bands each, or a
folder of them, and says which file holds which band, and by which offset its digital numbers (DN) have to be
harmonised. The offset is read from the metadata and held against the pixels, never guessed from the date, because
archives are reprocessed and some catalogues have removed it already. Where nothing states it, many numbers far below
1000 prove that there is none; otherwise an input which does not say it is an error.

    product = open_product("S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE")
    image = product.image(("B04", "B03", "B02", "B08"))     # pyotb, in memory: DN = 10 000 x reflectance
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from osgeo import gdal

from chain.raster import addresses, http, signatures
from chain.runtime.progress import LOG
from chain.sentinel2 import stac_item
from chain.sentinel2.bands import BANDS, CLASSES_NAME, NODATA, REFLECTANCE, wanted
from chain.sentinel2.clipped import check_not_clipped
from chain.sentinel2.contents import Contents
from chain.sentinel2.decision import Decision
from chain.sentinel2.digital_numbers import check_not_filled, numbers_of
from chain.sentinel2.integrity import verify
from chain.sentinel2.layers import Layer, opened_layer, release, tells_missing
from chain.sentinel2.mixed_offsets import check_mixed_offsets
from chain.sentinel2.offset import Statement, check_asked_offset, decided_offset
from chain.sentinel2.one_offset import check_one_offset
from chain.sentinel2.packings import folder_contents, zip_contents
from chain.sentinel2.pixel_evidence import DARK_BANDS, Evidence, evidence_of
from chain.sentinel2.place import check_one_map
from chain.sentinel2.rasters import read_raster, read_rasters
from chain.sentinel2.reading import Reading
from chain.sentinel2.safe import is_safe, safe_contents
from chain.sentinel2.same_pixels import same_pixels
from chain.sentinel2.sampling import FLOATING, LARGEST, samples_kept

SIGNED_INTEGERS = (gdal.GDT_Int16, gdal.GDT_Int32)
TOLD = ("offset", "scale", "files")
"""Subjects of the decisions that are told when an image is opened, but for those that the user took."""
DOUBTFUL = "pixels"
"""Subject of the decisions that are told as warnings."""
SAFE_SUFFIX = ".SAFE"
RASTERS = ("raster", "files")
"""Kinds of images of which no format prescribes what their numbers are."""
LOOKED_AT_REMOTELY = 4
"""Bands of a remote image, at most, whose pixels are looked at before it is opened."""


@dataclass
class Sentinel2Image:
    """A Sentinel-2 image whose bands GDAL and OTB can open by name: a `chain.sentinel2.opened_image.OpenedImage`."""

    bands: dict[str, str]
    """For each band, a name for GDAL and OTB: its file, or a VRT in GDAL's memory (`/vsimem`)."""
    offset: int
    """Added to valid digital numbers to obtain 10 000 x reflectance."""
    level: str
    """`L1C`, `L2A`, or `unknown`."""
    identity: dict[str, Any]
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
    layers: dict[str, Layer] = field(default_factory=dict)
    """For each band, what it was opened from."""
    decisions: list[Decision] = field(default_factory=list)
    """What was decided about the input, and why."""

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
            signatures.forget_tokens()
            http.forget_failures()
        signed = {band: signatures.sign(href) for band, href in self.hrefs.items()}
        if signed == self.signed and not force:
            return False
        previous = [self.bands[band] for band in self.signed]
        self.bands.update({band: self._remote(band, href) for band, href in signed.items()})
        self.signed = signed
        for name in previous:
            release(name)
        return True

    def _remote(self, band: str, href: str) -> str:
        """Return a signed band as a VRT in GDAL's memory, because OTB 8.1 cuts names at the `?` of a signature."""
        layer = self.layers.get(band, Layer(href))
        try:
            return opened_layer(replace(layer, name=http.gdal_name(href)), band)
        except RuntimeError as error:
            raise http.RemoteError(f"{band}: cannot open {href.split('?')[0]} ({http.why(href, error)})") from error

    def image(self, bands: Sequence[str]) -> Any:
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
            raise ValueError(f"bands {', '.join(bands)}: expected one grid, got {sorted(grids)}")
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
        if self.offset == 0 and declared is None and not floating and band.DataType not in SIGNED_INTEGERS:
            return ""
        valid = [f"im1b1 != {self.nodata}"]
        valid += [f"im1b1 != ({declared})"] if declared is not None else []
        valid += [f"abs(im1b1) < {LARGEST}"] if floating else []
        return f"{' && '.join(valid)} ? max(im1b1 + ({self.offset}), 1) : {self.nodata}"

    def close(self) -> None:
        """Release what the product holds in GDAL's memory, if it is still there."""
        for name in (*self.bands.values(), self.classes):
            release(name)


def open_product(
    source: Any, bands: Sequence[str] | None = None, offset: int | None = None, reading: Reading = Reading()
) -> Sentinel2Image:
    """Open a Sentinel-2 image.

    Args:
        source: a SAFE folder, its zip or its MTD_MSI*.xml; a raster with several bands; a list or a folder of
            rasters, of several described bands, or of one that the name tells (`…_B04_10m.jp2`); a STAC item
            (`pystac.Item`, mapping, JSON file or URL).
        bands: bands wanted (all by default); of a raster which does not describe its bands, their names in
            order.
        offset: offset of the digital numbers, 0 or -1000, which overrides the metadata.
        reading: how else it is to be read.

    Raises:
        ValueError: the source is of no known kind, a band is missing, or the offset cannot be known.
        RemoteError: an item's images cannot be reached.
    """
    http.configure()
    for band in bands or ():
        if band not in BANDS:
            raise ValueError(f"--bands: expected names among {', '.join(BANDS)}, got {band}")
    reading = reading if offset is None else replace(reading, offset=offset)
    if isinstance(source, Mapping) or hasattr(source, "assets"):
        return _open_item(source, bands, reading)
    if isinstance(source, str | Path):
        return _open_path(str(source), bands, reading)
    names = [str(name) for name in source]
    if len(names) == 1:
        return _open_path(names[0], bands, reading)
    return open_files(names, bands, reading=reading)


def _open_path(path: str, bands: Sequence[str] | None, reading: Reading) -> Sentinel2Image:
    """Open a path or URL by what it is."""
    if path.split("?")[0].endswith((".json", ".geojson")) or ("://" in path and "/collections/" in path):
        return _open_item(path, bands, reading)
    if "://" in path or path.startswith("/vsi"):
        return opened(read_raster(path, None, bands, reading), bands, reading)
    file = Path(path)
    if not file.exists():
        raise ValueError(f"{path}: expected a file or folder, got a name that does not exist")
    if file.name.startswith("MTD_MSI"):
        file = file.parent
    if file.is_dir() and (is_safe(file) or file.suffix == SAFE_SUFFIX):
        return opened(safe_contents(str(file), bands, reading.offset), bands, reading)
    if file.is_dir():
        return opened(folder_contents(file, reading), bands, reading)
    if file.suffix.lower() == ".zip":
        return opened(zip_contents(str(file), bands, reading), bands, reading)
    return opened(read_raster(path, None, bands, reading), bands, reading)


def open_files(
    paths: Sequence[str],
    bands: Sequence[str] | None = None,
    offset: int | None = None,
    naming: Mapping[str, Sequence[str]] | None = None,
    reading: Reading = Reading(),
) -> Sentinel2Image:
    """Open rasters, of one scene, of one or several bands each; names of files or descriptions say which.

    Args:
        paths: the rasters; of companions of the bands, only the scene classification is used.
        bands: bands wanted (all by default).
        offset: offset of the digital numbers, which overrides the metadata. Without it, what some of the rasters state
            or prove holds for all.
        naming: bands, in order, of rasters that do not describe them, by their paths.
        reading: how else they are to be read.

    Raises:
        ValueError: a band is missing or there twice, or offsets or levels differ, or no offset is known.
    """
    http.configure()
    reading = reading if offset is None else replace(reading, offset=offset)
    return opened(read_rasters(paths, naming, bands, reading), bands, reading)


def _open_item(source: Any, bands: Sequence[str] | None, reading: Reading) -> Sentinel2Image:
    """Open a STAC item; its URLs are signed now."""
    contents, remote = stac_item.item_contents(source, bands, reading.offset)
    return opened(contents, bands, reading, remote)


def opened(
    contents: Contents,
    bands: Sequence[str] | None,
    reading: Reading,
    remote: Mapping[str, str] | None = None,
) -> Sentinel2Image:
    """Open what an input holds.

    Args:
        contents: what it holds.
        bands: bands wanted, all by default.
        reading: how it is to be read.
        remote: the address of each remote band.

    Raises:
        ValueError: a band is missing, or the offset cannot be known.
        RemoteError: a remote band cannot be reached.
    """
    names = wanted(contents.layers, bands, contents.name)
    hrefs = {band: href for band, href in (remote or {}).items() if band in names}
    by_classes = contents.level == "unknown" and contents.classes is not None
    image = Sentinel2Image(
        {},
        reading.offset or 0,
        "L2A" if by_classes else contents.level,
        {**contents.identity, **reading.to_json()},
        hrefs=hrefs,
        layers={band: contents.layers[band] for band in names},
        decisions=list(contents.decisions),
    )
    if by_classes:
        image.decisions.append(Decision("level", "L2A", "it has a scene classification"))
    with samples_kept(), ExitStack() as stack:
        stack.callback(image.close)
        files = {band: contents.layers[band].name for band in names if band not in hrefs}
        if contents.classes:
            files[CLASSES_NAME] = contents.classes.name
        image.decisions += verify(files, contents.listed)
        for band in names:
            image.bands[band] = hrefs.get(band) or opened_layer(contents.layers[band], band)
        if hrefs:
            for href in dict.fromkeys(hrefs.values()):
                addresses.check_reached(signatures.sign(href), contents.document, (http.CONNECT, http.SILENCE))
            attempts = itertools.count()
            http.retry(
                lambda: image.refresh(force=next(attempts) > 0), (http.RemoteError,), http.TRIES, seconds=http.TIMEOUT
            )
        check_one_map(image.bands, contents.name)
        statements = list(contents.statements)
        if not contents.are_numbers_known:
            statements += _tell_numbers(image, contents.name, reading)
        looked_at = {band: image.bands[band] for band in files if band in image.bands}
        told = any(tells_missing(image.layers[band]) for band in looked_at)
        factor = _factor(image, contents)
        image.decisions += check_not_filled(looked_at, contents.name, factor, told)
        if factor is not None:
            is_guessed = reading.scale is None and factor == 1 / REFLECTANCE
            image.decisions += check_not_clipped(contents.name, looked_at, factor, is_guessed)
        several: list[Decision] = []
        if contents.identity["kind"] in RASTERS:
            image.decisions += same_pixels(looked_at)
            several = check_one_offset(contents.name, looked_at, contents.stated, reading.offset)
            several += check_mixed_offsets(contents.name, looked_at, reading.offset)
            image.decisions += several
        look = functools.partial(_evidence, image, contents, hrefs)
        image.offset, decision = decided_offset(contents.name, statements, look, reading.offset)
        image.decisions.append(decision)
        if reading.offset is not None and not several:
            image.decisions += check_asked_offset(reading.offset, look())
        factors = {image.layers[band].factor for band in names}
        if image.offset and len(factors) > 1:
            raise ValueError(
                f"{contents.name}: expected bands of one kind where an offset of {image.offset} holds for all, got "
                "reflectance and digital numbers"
            )
        if contents.classes:
            remote_classes = "://" in contents.classes.name
            image.classes = contents.classes.name if remote_classes else opened_layer(contents.classes, "classes")
        stack.pop_all()
    for decided in image.decisions:
        if decided.subject == DOUBTFUL or (decided.subject in TOLD and not decided.reason.startswith("--")):
            tell = LOG.warning if decided.subject == DOUBTFUL else LOG.info
            tell("%s: %s", Path(contents.name.split("?")[0]).name, decided)
    return image


def _tell_numbers(image: Sentinel2Image, name: str, reading: Reading) -> list[Statement]:
    """Look at what the numbers of bands are that are no counts of 16 bits; return what that says of the offset.

    Raises:
        ValueError: they are no digital numbers, and no reflectance.
    """
    kinds = {band: gdal.Open(raster).GetRasterBand(1).DataType for band, raster in image.bands.items()}
    looked_at = [band for band, kind in kinds.items() if kind != gdal.GDT_UInt16 or reading.scale is not None]
    if not looked_at:
        return []
    numbers = numbers_of({band: image.bands[band] for band in looked_at}, name, reading.scale)
    image.decisions += numbers.decisions
    if numbers.factor == 1.0 and not numbers.fill:
        return []
    for band in looked_at:
        layer = image.layers[band]
        layer = replace(layer, fill=(*layer.fill, *numbers.fill), factor=numbers.factor)
        previous, image.layers[band] = image.bands[band], layer
        if band in image.signed:
            image.bands[band] = image._remote(band, image.signed[band])
        else:
            image.bands[band] = opened_layer(layer, band)
        release(previous)
    return [Statement(0, "reflectance", firm=False)] if numbers.factor == 1 / REFLECTANCE else []


def _factor(image: Sentinel2Image, contents: Contents) -> float | None:
    """Return by which factor numbers became digital numbers; None where a format states what they are."""
    if contents.identity["kind"] not in RASTERS:
        return None
    return min(layer.factor for layer in image.layers.values())


def _evidence(image: Sentinel2Image, contents: Contents, hrefs: Mapping[str, str]) -> Evidence:
    """Look at the pixels of an image: of some of its bands where it is remote, else of all that the input holds."""
    if hrefs:
        order = sorted(image.bands, key=lambda band: band not in DARK_BANDS)
        return evidence_of({band: image.bands[band] for band in order[:LOOKED_AT_REMOTELY]})
    others = {}
    try:
        if contents.identity["kind"] in RASTERS:
            for band in contents.layers:
                if band not in image.bands:
                    others[band] = opened_layer(contents.layers[band], band)
        return evidence_of({**image.bands, **others})
    finally:
        for name in others.values():
            release(name)


def _grid(name: str) -> tuple:
    """Return what makes the grid of a raster: geotransform, columns and rows."""
    dataset = gdal.Open(name)
    return dataset.GetGeoTransform(), dataset.RasterXSize, dataset.RasterYSize
