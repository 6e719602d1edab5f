# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2's 20 m and 60 m bands on their native grid, from an image in which all bands were brought to 10 m.

Many users hold a stack of 12 or 13 bands on one 10 m grid, its coarse bands resampled by gdalwarp, SNAP, OTB or the
like. `native_product` recognises from the pixels how each was resampled, inverts that (`chain.raster.resampling`) and
writes the bands at 20 m and 60 m; it refuses those which no known interpolation explains, as no network makes sense of
such pixels. Where the stack was cut, native pixels can begin before it: the pixels tell. What was cut so near to the
border of a cubic or Lanczos resampling that its border rule still shows in part is refused, too.

Full tiles are read strip by strip, and restored in blocks with margins of `MARGIN` native pixels: the inverse of an
interpolation looks no further.

    product = open_product("stack_12_bands_10m.tif", offset=0)
    native, methods = native_product(product, folder)           # methods: {"B05": "bilinear", ...}
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.resampling.interpolation import METHODS, OPEN, Resampling
from chain.raster.resampling.recognition import recognise_image, stated_image
from chain.raster.resampling.restoration import TELLING, Mismatch, restore
from chain.sentinel2.bands import BANDS
from chain.sentinel2.image import Sentinel2Image
from chain.sentinel2.sampling import FLOATING, LARGEST

gdal.UseExceptions()

MARGIN = 12
"""Native pixels around a block that its own ones are fitted with. Errors at a cut fall to a third from one to the next
for bilinear by 2, which is the slowest."""
BLOCK = 512
"""Fine pixels along a block, about."""
ATTEMPTS = 3
"""Times to recognise a band anew, with what contradicted the last time."""
CREATION = ("TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER")


def native_product(
    product: Sentinel2Image, folder: Path, unit: float = 1.0, resampled: str | None = None
) -> tuple[Sentinel2Image, dict[str, str]]:
    """Bring bands to their native grid that were resampled to a finer one.

    Args:
        product: the image; it stays as it is.
        folder: where to write restored bands, `B05_20m.tif` and so on.
        unit: by how much all native pixels are larger than Sentinel-2's, where the whole image was made coarser.
        resampled: how bands were resampled whose pixels do not tell it, one of `FORCED`.

    Returns:
        The image with restored bands in place of resampled ones, or `product` itself if none is; and the method of each
        that was, by band. A restored band begins at the upper-left corner of the native pixel which holds the
        source's.

    Raises:
        ValueError: a band's pixels are coarser than its native ones, or finer by no whole ratio, or not in metres, or
            no interpolation gives them.
    """
    ratios = {band: _ratio(gdal.Open(name), band, unit * BANDS[band]) for band, name in product.bands.items()}
    methods: dict[str, str] = {}
    bands = dict(product.bands)
    for band in sorted(ratios, key=lambda band: -ratios[band]):  # the larger the ratio, the surer it is recognised
        if ratios[band] > 1:
            bands[band] = str(Path(folder) / f"{band}_{BANDS[band]:.0f}m.tif")
            source = _Source(product.bands[band], product.nodata)
            likely = list(dict.fromkeys(methods.values()))
            gsd = unit * BANDS[band]
            methods[band] = _restore_band(source, band, gsd, ratios[band], bands[band], likely, resampled).method
    if not methods:
        return product, {}
    methods = {band: methods[band] for band in product.bands if band in methods}
    remote = {
        name: {band: url for band, url in getattr(product, name).items() if band not in methods}
        for name in ("hrefs", "signed")
    }
    return replace(product, bands=bands, identity={**product.identity, "resampled": methods}, **remote), methods


def _ratio(dataset: gdal.Dataset, band: str, gsd: float) -> int:
    """Return how many pixels of a raster lie along a native one of a band, of `gsd` metres.

    Raises:
        ValueError: it is no whole number, or the raster is not in metres and north up.
    """
    crs = dataset.GetSpatialRef()
    if crs is None or not crs.IsProjected() or crs.GetLinearUnits() != 1.0:
        received = (crs.GetName() if crs else None) or "none"
        raise ValueError(f"{band}: a projected coordinate system in metres is wanted. Received: {received}")
    _, dx, row_turn, _, column_turn, dy = dataset.GetGeoTransform()
    if dx <= 0 or dy >= 0 or row_turn or column_turn or abs(dx + dy) > 1e-6 * dx:
        raise ValueError(f"{band}: square pixels, north up, are wanted. Received: pixels of {dx:g} x {dy:g} m")
    ratio = gsd / dx
    if ratio < 1 - 1e-6:
        raise ValueError(f"{band}: pixels of {gsd:g} m or finer are wanted. Received: {dx:g} m")
    if abs(ratio - round(ratio)) > 1e-6 * ratio:
        raise ValueError(f"{band}: pixels by a whole ratio finer than {gsd:g} m are wanted. Received: {dx:g} m")
    return round(ratio)


class _Source:
    """A band to read in parts, and what means in it that there is no data."""

    def __init__(self, name: str, nodata: int):
        self.dataset = gdal.Open(name)
        self.band = self.dataset.GetRasterBand(1)
        self.nodata, self.declared = nodata, self.band.GetNoDataValue()
        self.shape = self.dataset.RasterYSize, self.dataset.RasterXSize
        self.floating = self.band.DataType in FLOATING

    def read(self, row: int, column: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Read pixels; return them and where they are missing."""
        pixels = self.band.ReadAsArray(column, row, columns, rows)
        missing = pixels == self.nodata
        if self.declared is not None:
            missing |= pixels == self.declared
        if self.floating:
            missing |= ~(np.abs(pixels) < LARGEST)
        return pixels, missing

    def empty(self) -> bool:
        """Return whether no pixel has data."""
        rows, columns = self.shape
        return all(self.read(row, 0, min(BLOCK, rows - row), columns)[1].all() for row in range(0, rows, BLOCK))


def _restore_band(
    source: _Source, band: str, gsd: float, ratio: int, path: str, likely: list[str], resampled: str | None
) -> Resampling:
    """Recognise how a band was resampled, or take what is stated, and write its native pixels, of `gsd` metres."""
    try:
        return _restore_recognised(source, band, gsd, ratio, path, likely)
    except ValueError:
        if resampled is None:
            raise
    found = stated_image(source.read, source.shape, ratio, resampled)
    _write_native(source, ratio, found, path)
    return found


def _restore_recognised(source: _Source, band: str, gsd: float, ratio: int, path: str, likely: list[str]) -> Resampling:
    """Recognise how a band was resampled, and write its native pixels, of `gsd` metres."""
    step = gsd / ratio
    contradicting: list[tuple[int, int, int, int]] = []
    try:
        for attempt in range(ATTEMPTS):
            found = _recognise_band(source, ratio, likely, contradicting)
            if attempt:  # a border rule may have been taken for another one
                found = replace(found, top=OPEN, bottom=OPEN, left=OPEN, right=OPEN)
            try:
                _write_native(source, ratio, found, path)
                return found
            except _BlockMismatch as error:
                if attempt == ATTEMPTS - 1:
                    raise
                contradicting.append(error.part)
    except Mismatch as error:
        raise ValueError(
            f"{band}: a band at {gsd:g} m, or one resampled to {step:g} m by nearest, bilinear or cubic "
            f"interpolation, is wanted. Received: {step:g} m {error}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{band}: {error}") from error


def _recognise_band(source: _Source, ratio: int, likely: list[str], besides: list) -> Resampling:
    """Recognise how a band was resampled; a band without any data counts as `nearest`."""
    try:
        return recognise_image(source.read, source.shape, ratio, likely, besides)
    except Mismatch:
        raise
    except ValueError:
        if source.empty():
            return Resampling("nearest")
        raise


class _BlockMismatch(Mismatch):
    """Pixels of a block that an interpolation does not give."""

    def __init__(self, error: Mismatch, part: tuple[int, int, int, int]):
        super().__init__(error.method, error.off)
        self.part = part


def _write_native(source: _Source, ratio: int, found: Resampling, path: str) -> None:
    """Restore a band block by block."""
    left, dx, _, top, _, dy = source.dataset.GetGeoTransform()
    rows, columns = (-(-(size + phase) // ratio) for size, phase in zip(source.shape, found.phase))
    kind = gdal.GDT_Float32 if source.floating else source.band.DataType
    options = CREATION if source.floating else (*CREATION, "PREDICTOR=2")
    target = gdal.GetDriverByName("GTiff").Create(path, columns, rows, 1, kind, list(options))
    target.SetGeoTransform((left - found.phase[1] * dx, dx * ratio, 0.0, top - found.phase[0] * dy, 0.0, dy * ratio))
    target.SetSpatialRef(source.dataset.GetSpatialRef())
    written = target.GetRasterBand(1)
    written.SetDescription(source.band.GetDescription())
    if source.declared is not None:
        written.SetNoDataValue(source.declared)
    size = max(1, BLOCK // ratio)
    for row in range(0, rows, size):
        strip = []
        for part, kept in _blocks(row, min(row + size, rows), columns, size, source.shape, ratio, found):
            block, gaps = _restore_block(source, ratio, found, part, kept)
            strip.append(block)
            found = replace(found, gaps=gaps) if gaps in TELLING else found
        written.WriteArray(np.concatenate(strip, axis=1), 0, row)
    target.FlushCache()


def _span(first: int, last: int, length: int, ratio: int, phase: int, margin: int) -> tuple[int, int, int]:
    """Return first and last fine pixel to fit native ones with, and the first native one that this gives."""
    begin = max(0, first - margin)
    return max(0, begin * ratio - phase), min(length, (last + margin) * ratio - phase), begin


def _blocks(
    row: int, last_row: int, columns: int, size: int, shape: tuple[int, int], ratio: int, found: Resampling
) -> Iterator[tuple[tuple[int, int, int, int], tuple[int, int, int, int]]]:
    """Cut a strip of native rows into blocks.

    Yields:
        First row, first column, rows, columns of the fine pixels to read, and of the native pixels to keep among those
        that these give.
    """
    margin = MARGIN if METHODS[found.method].reach else 0
    top, bottom, first_row = _span(row, last_row, shape[0], ratio, found.phase[0], margin)
    for column in range(0, columns, size):
        last = min(column + size, columns)
        left, right, first = _span(column, last, shape[1], ratio, found.phase[1], margin)
        kept = (row - first_row, column - first, last_row - row, last - column)
        yield (top, left, bottom - top, right - left), kept


def _restore_block(source: _Source, ratio: int, found: Resampling, part: tuple, kept: tuple) -> tuple[np.ndarray, str]:
    """Return a block of native pixels in the type to write, and the treatment of those without data in it."""
    row, column, rows, columns = part
    pixels, missing = source.read(*part)
    nodata = source.nodata if source.declared is None else source.declared
    kept_part = np.s_[kept[0] : kept[0] + kept[2], kept[1] : kept[1] + kept[3]]
    dtype = np.float32 if source.floating else pixels.dtype
    if missing.all():
        return np.full(kept[2:], nodata, dtype), ""
    block = replace(
        found,
        phase=(found.phase[0] if row == 0 else 0, found.phase[1] if column == 0 else 0),
        top=found.top if row == 0 else OPEN,
        left=found.left if column == 0 else OPEN,
        bottom=found.bottom if row + rows == source.shape[0] else OPEN,
        right=found.right if column + columns == source.shape[1] else OPEN,
    )
    absent = source.nodata if not missing.any() or np.any(pixels[missing] == source.nodata) else source.declared
    checked = tuple(
        slice(max(0, first * ratio - phase), (first + count) * ratio - phase)
        for first, count, phase in zip(kept[:2], kept[2:], block.phase)
    )
    try:
        fitted = restore(pixels, ratio, block, missing, absent, checked)
    except Mismatch as error:
        inset = 0 if min(rows, columns) < 12 * ratio else 3 * ratio
        raise _BlockMismatch(error, (row + inset, column + inset, rows - 2 * inset, columns - 2 * inset)) from error
    native, valid = fitted.native[kept_part], fitted.valid[kept_part]
    if not source.floating:
        limits = np.iinfo(dtype)
        native = np.clip(native, limits.min, limits.max)
        native = np.where(valid & np.isin(native, (source.nodata, nodata)), native + 1, native)
    return np.where(valid, native, nodata).astype(dtype), fitted.gaps
