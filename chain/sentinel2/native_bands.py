# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2's 20 m and 60 m bands on their native grid, from an image in which all bands were brought to 10 m.

Many users hold a stack of 12 or 13 bands on one 10 m grid, its coarse bands resampled by gdalwarp, rasterio, Earth
Engine, SNAP, OTB or the like. `native_product` recognises from the pixels how each was resampled, inverts that
(`chain.raster.resampling`) and writes the bands at 20 m and 60 m; it refuses those which no known interpolation
explains, as no network makes sense of such pixels, unless the user states how they were made. Where the stack was cut,
native pixels can begin before it: the pixels tell. Native pixels that the stack's do not determine have no data.

Full tiles are read strip by strip, and restored in blocks with margins.

    product = open_product("stack_12_bands_10m.tif", offset=0)
    native, methods = native_product(product, folder)           # methods: {"B05": "bilinear", ...}
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.resampling.decision import Ambiguous, Decision, decide
from chain.raster.resampling.integers import SURE
from chain.raster.resampling.interpolation import FORCED, OPEN, Resampling
from chain.raster.resampling.recognition import Candidate, TooLittle, alike_image, candidates_of, stated_image
from chain.raster.resampling.restoration import Gaps, Mismatch, restore
from chain.raster.resampling.tiles import Tile, native_shape, tiles
from chain.runtime.progress import LOG
from chain.runtime.resources import one_blas_thread
from chain.sentinel2.bands import BANDS
from chain.sentinel2.image import Sentinel2Image
from chain.sentinel2.sampling import FLOATING, LARGEST

gdal.UseExceptions()

BLOCK = 512
"""Fine pixels along a block, about."""
ATTEMPTS = 3
"""Times to recognise a band anew, with what contradicted the last time."""
NO_SIDES = (0, 0, 0, 0)
CREATION = ("TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER")
Part = tuple[int, int, int, int]
"""First row, first column, rows, columns."""


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
    if resampled is not None and resampled not in FORCED:
        raise ValueError(f"--resampled: expected one of {', '.join(FORCED)}, got '{resampled}'")
    ratios = {band: _ratio(gdal.Open(name), band, unit * BANDS[band]) for band, name in product.bands.items()}
    sources = {
        band: _Source(product.bands[band], product.nodata, unit * BANDS[band], ratio)
        for band, ratio in ratios.items()
        if ratio > 1
    }
    methods: dict[str, str] = {}
    failures: dict[str, ValueError] = {}
    bands = dict(product.bands)
    with one_blas_thread():
        for ratio in sorted({*ratios.values()} - {1}, reverse=True):  # the larger it is, the surer it is recognised
            group = [band for band in BANDS if ratios.get(band) == ratio]
            likely = list(dict.fromkeys(methods.values()))
            for band, found in _recognised({band: sources[band] for band in group}, likely, resampled).items():
                bands[band] = str(Path(folder) / f"{band}_{BANDS[band]:.0f}m.tif")
                try:
                    methods[band] = _restore_band(sources[band], band, found, bands[band], likely, resampled)
                except ValueError as error:
                    failures[band] = error
        _restore_alike(sources, bands, methods, failures)
    if failures:
        raise ValueError(_refusal(failures, unit, ratios))
    if not methods:
        return product, {}
    methods = {band: methods[band] for band in product.bands if band in methods}
    remaining = replace(
        product,
        bands=bands,
        identity={**product.identity, "resampled": methods},
        hrefs={band: url for band, url in product.hrefs.items() if band not in methods},
        signed={band: url for band, url in product.signed.items() if band not in methods},
    )
    return remaining, methods


def _refusal(failures: Mapping[str, ValueError], unit: float, ratios: Mapping[str, int]) -> str:
    """Return what is the matter with bands that cannot be brought back, and what can be done about it."""
    first, error = next(iter(failures.items()))
    step = unit * BANDS[first] / ratios[first]
    return (
        f"{', '.join(failures)}: expected native pixels, or ones brought to {step:g} m by nearest, bilinear, cubic, "
        f"cubic-spline or Lanczos interpolation, got {error}; --drop-bands {','.join(failures)} leaves them out, "
        f"--resampled {'|'.join(FORCED)} says how they were made"
    )


def _ratio(dataset: gdal.Dataset, band: str, gsd: float) -> int:
    """Return how many pixels of a raster lie along a native one of a band, of `gsd` metres.

    Raises:
        ValueError: it is no whole number, or the raster is not in metres and north up.
    """
    crs = dataset.GetSpatialRef()
    if crs is None or not crs.IsProjected() or crs.GetLinearUnits() != 1.0:
        received = (crs.GetName() if crs else None) or "none"
        raise ValueError(f"{band}: expected a projected coordinate system in metres, got {received}")
    _, dx, row_turn, _, column_turn, dy = dataset.GetGeoTransform()
    if dx <= 0 or dy >= 0 or row_turn or column_turn or abs(dx + dy) > 1e-6 * dx:
        raise ValueError(f"{band}: expected square pixels, north up, got {dx:g} x {dy:g} m")
    ratio = gsd / dx
    if ratio < 1 - 1e-6:
        raise ValueError(f"{band}: expected pixels of {gsd:g} m or finer, got {dx:g} m")
    if abs(ratio - round(ratio)) > 1e-6 * ratio:
        raise ValueError(f"{band}: expected pixels by a whole ratio finer than {gsd:g} m, got {dx:g} m")
    return round(ratio)


class _Source:
    """A band to read in parts, and what means in it that there is no data."""

    def __init__(self, name: str, nodata: int, gsd: float, ratio: int):
        self.dataset = gdal.Open(name)
        self.band = self.dataset.GetRasterBand(1)
        self.nodata, self.declared = nodata, self.band.GetNoDataValue()
        self.fill = nodata if self.declared is None else self.declared
        """What means in a restored band that there is no data."""
        self.shape = self.dataset.RasterYSize, self.dataset.RasterXSize
        self.floating = self.band.DataType in FLOATING
        self.ratio = ratio
        left, dx, _, top, _, _ = self.dataset.GetGeoTransform()
        self.expected = round(-top / dx) % ratio, round(left / dx) % ratio
        """Phase of the native grid, whose lines are at multiples of its pixels in Sentinel-2's tiles."""
        self.placed = self.dataset.GetSpatialRef().GetAuthorityCode(None) is not None
        """Whether that is known: images without georeference have a grid of their own."""

    def read(self, row: int, column: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Read pixels; return them and where they are missing."""
        pixels = self.band.ReadAsArray(column, row, columns, rows)
        missing = pixels == self.nodata
        if self.declared is not None:
            missing |= pixels == self.declared
        if self.floating:
            missing |= ~(np.abs(pixels) < LARGEST)
        return pixels, missing

    def absent(self, pixels: np.ndarray, missing: np.ndarray) -> float | None:
        """Return the number of missing pixels, where it can have been interpolated as one."""
        return self.nodata if not missing.any() or np.any(pixels[missing] == self.nodata) else self.declared

    def empty(self) -> bool:
        """Return whether no pixel has data."""
        rows, columns = self.shape
        return all(self.read(row, 0, min(BLOCK, rows - row), columns)[1].all() for row in range(0, rows, BLOCK))

    def candidates(self, besides: Sequence[Part] = ()) -> list[Candidate]:
        """Return the interpolations that explain the band."""
        return candidates_of(self.read, self.shape, self.ratio, self.expected, besides, self.absent)


def _recognised(
    sources: Mapping[str, _Source], likely: Sequence[str], resampled: str | None
) -> dict[str, Decision | ValueError]:
    """Recognise how bands of one resolution were resampled; a band without any data counts as `nearest`.

    A band whose own pixels are too few to tell was resampled as others were.
    """
    found: dict[str, Decision | ValueError] = {}
    candidates: dict[str, list[Candidate]] = {}
    for band, source in sources.items():
        try:
            candidates[band] = _placed(source.candidates(), source)
        except ValueError as error:
            found[band] = Decision(Resampling("nearest")) if source.empty() else error
    for band, decided in decide(candidates, likely).items():
        found[band] = _as_stated(decided, candidates[band], resampled)
    sure = [
        each.found
        for band, each in found.items()
        if band in candidates and isinstance(each, Decision) and _is_placed(each.found, sources[band], candidates[band])
    ]
    for band, each in found.items():
        lent = _lent(sure or _likely(likely, sources[band]))
        if isinstance(each, TooLittle):
            found[band] = lent or each
        elif isinstance(each, Decision) and band in candidates:
            if not _is_placed(each.found, sources[band], candidates[band]):
                found[band] = lent or _Shifted(each.found, sources[band])
    return {band: found[band] for band in sources}


def _as_stated(
    decided: Decision | Ambiguous, candidates: Sequence[Candidate], resampled: str | None
) -> Decision | Ambiguous:
    """Return what was decided, or what the user states where pixels leave it open and do not contradict it."""
    stated = [Decision(one.found) for one in candidates if one.found.method == resampled]
    return stated[0] if stated and isinstance(decided, Ambiguous) else decided


def _likely(methods: Sequence[str], source: _Source) -> list[Resampling]:
    """Return how other bands were made, if all were by one method."""
    return [Resampling(method, source.expected) for method in methods if len(methods) == 1]


def _lent(alike: Sequence[Resampling]) -> Decision | None:
    """Return how most of some bands were made, without what was beyond their borders; None where there is none."""
    if not alike:
        return None
    opened = [_opened(one) for one in alike]
    return Decision(max(opened, key=opened.count))


def _opened(found: Resampling) -> Resampling:
    """Return how an image was made, without what was beyond its borders."""
    return replace(found, top=OPEN, bottom=OPEN, left=OPEN, right=OPEN, hidden=NO_SIDES, trimmed=NO_SIDES)


def _placed(candidates: list[Candidate], source: _Source) -> list[Candidate]:
    """Return the candidates whose native pixels lie where Sentinel-2's do; all where none does."""
    return [each for each in candidates if _is_placed(each.found, source, candidates)] or candidates


def _is_placed(found: Resampling, source: _Source, candidates: Sequence[Candidate]) -> bool:
    """Return whether native pixels lie where Sentinel-2's do, or are surely whole numbers where they lie."""
    if found.method == "nearest" or found.phase == source.expected or not source.placed:
        return True
    return next(each.integers.score for each in candidates if each.found == found) > SURE


def _restore_band(
    source: _Source,
    band: str,
    found: Decision | ValueError,
    path: str,
    likely: Sequence[str],
    resampled: str | None,
) -> str:
    """Write the native pixels of a band. Return how it was resampled.

    Raises:
        ValueError: no interpolation explains the band, and none is stated.
    """
    try:
        return _write_recognised(source, band, found, path, likely)
    except (Mismatch, Ambiguous, TooLittle, _Shifted) as error:
        if resampled is None:
            raise
        LOG.warning("%s: %s; taken as %s, as stated", band, error, resampled)
    _write_native(source, stated_image(source.read, source.shape, source.ratio, resampled, source.expected), path)
    return resampled


def _restore_alike(
    sources: Mapping[str, _Source], bands: Mapping[str, str], methods: dict[str, str], failures: dict[str, ValueError]
) -> None:
    """Write bands that do not tell how they were made as all others were, at any resolution, if that explains them.

    Args:
        sources: the bands.
        bands: where to write them.
        methods: how others were made; theirs are added.
        failures: what is the matter with each; those that are written are taken out.
    """
    alike = {*methods.values()}
    alike = alike if len(alike) == 1 else alike - {"nearest"}  # which bands without data count as
    if len(alike) != 1:
        return
    (method,) = alike
    for band in [*failures]:
        source = sources[band]
        found = alike_image(source.read, source.shape, source.ratio, method, source.expected, source.absent)
        for each in (found, _opened(found)):
            try:
                if not _write_native(source, each, bands[band]):
                    continue
            except Mismatch:
                continue
            LOG.info("%s: %s; taken as %s, as all other bands, which explains its pixels", band, failures[band], method)
            methods[band] = method
            del failures[band]
            break


def _write_recognised(
    source: _Source, band: str, found: Decision | ValueError, path: str, likely: Sequence[str]
) -> str:
    """Write the native pixels of a band that tells how it was made, anew where a block contradicts; return the method.

    Raises:
        ValueError: no interpolation explains the band.
    """
    contradicting: list[Part] = []
    while isinstance(found, Decision):
        try:
            _write_native(source, found.found, path)
            return _told(band, found)
        except _BlockMismatch as error:
            if len(contradicting) == ATTEMPTS - 1:
                raise
            contradicting.append(error.part)
        found = decide({band: source.candidates(contradicting)}, likely)[band]
        if isinstance(found, Decision):  # a border rule may have been taken for another one
            found = Decision(replace(found.found, top=OPEN, bottom=OPEN, left=OPEN, right=OPEN), found.others)
    raise found


def _told(band: str, decided: Decision) -> str:
    """Return the method that was decided on; tell of others that explain the pixels as well."""
    method = decided.found.method
    if decided.others:
        others = " or ".join(decided.others)
        LOG.info(
            "%s: %s explains the pixels as well as %s, and gives the same native pixels to 2 DN", band, others, method
        )
    return method


class _Shifted(ValueError):
    """Pixels that an interpolation gives on another grid than Sentinel-2's only."""

    def __init__(self, found: Resampling, source: _Source):
        shift = tuple((each - other) % source.ratio for each, other in zip(found.phase, source.expected))
        super().__init__(f"pixels that {found.method} gives on a grid shifted by {shift[0]} x {shift[1]} pixels only")


class _BlockMismatch(Mismatch):
    """Pixels of a block that an interpolation does not give."""

    def __init__(self, error: Mismatch, part: Part):
        super().__init__(error.method, error.off)
        self.part = part


def _write_native(source: _Source, found: Resampling, path: str) -> bool:
    """Restore a band block by block; return whether any native pixel is known."""
    ratio = source.ratio
    left, dx, _, top, _, dy = source.dataset.GetGeoTransform()
    rows, columns = native_shape(source.shape, ratio, found.phase)
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
    gaps, known = Gaps(), False
    for row in range(0, rows, size):
        strip = [
            _restore_block(source, tile, gaps)
            for tile in tiles(found, ratio, source.shape, size, (row, min(row + size, rows)))
        ]
        written.WriteArray(np.concatenate(strip, axis=1), 0, row)
        known |= any(np.any(np.isfinite(block) & (block != source.fill)) for block in strip)
    target.FlushCache()
    return known


def _restore_block(source: _Source, tile: Tile, gaps: Gaps) -> np.ndarray:
    """Return a block of native pixels in the type to write."""
    (row, column), (rows, columns) = zip(*((span.start, span.stop - span.start) for span in tile.fine))
    ratio = source.ratio
    pixels, missing = source.read(row, column, rows, columns)
    dtype = np.float32 if source.floating else pixels.dtype
    if missing.all():
        return np.full(tuple(span.stop - span.start for span in tile.native), source.fill, dtype)
    try:
        fitted = restore(pixels, ratio, tile.found, missing, source.absent(pixels, missing), tile.checked, gaps)
    except Mismatch as error:
        inset = 0 if min(rows, columns) < 12 * ratio else 3 * ratio
        part = (row + inset, column + inset, rows - 2 * inset, columns - 2 * inset)
        raise _BlockMismatch(error, part) from error
    native, valid = fitted.native[tile.kept], fitted.valid[tile.kept]
    if not source.floating:
        limits = np.iinfo(dtype)
        native = np.clip(native, limits.min, limits.max)
        native = np.where(valid & np.isin(native, (source.nodata, source.fill)), native + 1, native)
    return np.where(valid, native, source.fill).astype(dtype)
