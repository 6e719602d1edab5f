# SPDX-License-Identifier: Apache-2.0
"""The files of a product: its regions, and the one that they become.

Regions are GeoTIFFs that carry the statistics of their pixels (`chain.serving.journal` says where they lie). When all
are there they become one Cloud-Optimized GeoTIFF, with statistics, overviews and band names, which is flushed to the
disk and renamed: a product that exists is complete.

    write_product(Path("sr.tif"), layout, regions, maker, identity={"input": ...})
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from osgeo import gdal

from chain.raster.gdal_memory import small_cache
from chain.raster.grids import Region, raster_grid, shifted
from chain.runtime.files import name_new, replace
from chain.runtime.provenance import record_of
from chain.serving.cog import write_cog
from chain.serving.encoding import encode
from chain.serving.journal import WHOLE, Journal, Share, opened_journal, sealed, write_whole
from chain.serving.layout import Layout
from chain.serving.outdated import remove_outdated
from chain.serving.pipeline import Blocks, run_pipeline
from chain.serving.product import DONE, MADE, Product
from chain.serving.product_names import classes_file
from chain.serving.provenance import IDENTITY_KEY
from chain.serving.sums import Sums
from chain.serving.super_resolution import Bands

TYPES = {"uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
SUMS_KEY = "SUMS"
"""Metadata of a region: the sums of each of its bands."""
BESIDE = ".aux.xml", ".msk", ".ovr"
"""Ends of the names of files that GDAL reads with a raster: those of an older one of that name go."""
CLASSES_PART = "classes.tif"
"""Name, beside the regions, of the scene classification that gets its own with the product."""


def product_of(path: Path, layout: Layout, outcome: str = MADE, record: bool = True) -> Product:
    """Return the product that a file with a layout is.

    Args:
        path: the file.
        layout: its layout.
        outcome: what became of it.
        record: whether its record lies beside it.
    """
    written = record_of(path) if record else None
    return Product(path, layout.grid, layout.bands, layout.dtype, layout.nodata, written, outcome)


def existing_product(path: Path, outcome: str = DONE) -> Product:
    """Return the product that a finished file is.

    Raises:
        RuntimeError: GDAL cannot open it.
    """
    dataset = gdal.Open(str(path))
    band = dataset.GetRasterBand(1)
    names = tuple(dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1))
    dtype = gdal.GetDataTypeName(band.DataType).lower()
    record = record_of(path)
    return Product(
        path, raster_grid(dataset), names, dtype, band.GetNoDataValue(), record if record.exists() else None, outcome
    )


class Maker(Protocol[Blocks]):
    """What makes the regions of a product, counted from its first pixel."""

    def read(self, region: Region, /) -> Blocks:
        """Read what a region needs."""

    def compute(self, region: Region, blocks: Blocks, /) -> Bands:
        """Compute a region of what was read: its bands, in the order of the layout."""


def make_regions(journal: Journal, regions: Sequence[Region], maker: Maker[Blocks]) -> Iterator[Region]:
    """Make regions of a product, and write their files.

    Yields:
        Each region that is written.

    Raises:
        OSError: When the disk refuses.
    """
    begun: dict[Region, float] = {}

    def read(region: Region) -> Blocks:
        begun[region] = time.perf_counter()
        return maker.read(region)

    def write(region: Region, bands: Bands) -> None:
        keep_region(journal, region, bands, time.perf_counter() - begun.pop(region))

    yield from run_pipeline(regions, read, maker.compute, write)


def keep_region(journal: Journal, region: Region, bands: Bands, seconds: float) -> None:
    """Write the file of a region that was computed, and log it.

    Raises:
        OSError: When the disk refuses.
    """
    layout = Layout.from_json(journal.notes["layout"])
    write_region(journal.file(region), encode(bands, layout.dtype, layout.nodata), region, layout)
    journal.log(region, seconds)


def write_product(
    path: Path,
    layout: Layout,
    regions: Sequence[Region],
    maker: object,
    identity: Mapping,
    notes: Mapping | None = None,
    overwrite: bool = False,
    restart: bool = False,
    share: Share | None = None,
    advance: Callable[[Region], None] = lambda region: None,
    make: Callable[[Journal, Sequence[Region], Any], Iterator[Region]] = make_regions,
    check: Callable[[Path], None] = lambda folder: None,
    creation: Sequence[str] = (),
) -> int:
    """Make the regions of a product that are not there yet and, unless only a share is asked for, the product.

    Args:
        path: The file, `.tif`.
        layout: Grid, bands, type, metadata.
        regions: Regions that cover the grid, counted from its first pixel.
        maker: Makes them: a `Maker`, or what `make` takes for one.
        identity: All that the pixels depend on, as JSON can hold it; an interrupted product is only resumed
            when it is the same.
        notes: What the journal holds beside.
        overwrite: Replace the file if it exists.
        restart: Begin anew if an interrupted product has another identity.
        share: Share of the regions to be made, beside other processes; by default all, and the product is assembled.
        advance: Called after each region, computed or found.
        make: Makes regions and writes their files, as `make_regions` does.
        check: Called with the regions' folder when all is made, before the file gets its name; raises
            InputChangedError if that must not be.
        creation: Options of GDAL's COG driver, NAME=VALUE, in place of the project's own.

    Returns:
        Number of regions that were there.

    Raises:
        FileExistsError: When the file exists, another process is writing it, or one of another identity was begun.
        ValueError: When no pixel of the product is valid.
        OSError: When the disk refuses.
    """
    check_output(path, overwrite)
    notes = {"layout": layout.to_json(), **(notes or {})}
    with opened_journal(path, identity, regions, notes, restart, shared=share is not None) as journal:
        check_output(path, overwrite)
        mine = (share or WHOLE).of(journal.regions)
        todo = journal.remaining(share or WHOLE)
        for region in set(mine) - set(todo):
            advance(region)
        for region in make(journal, todo, maker):
            advance(region)
        lost = journal.remaining(share or WHOLE)
        if lost:  # the disk has not kept them
            list(make(journal, lost, maker))
        check(journal.folder)
        if share is None:
            assemble(journal, overwrite, creation)
    return len(mine) - len(todo)


def check_output(path: Path, overwrite: bool, argument: str = "--output") -> None:
    """Refuse an output that exists, or whose folder cannot be written.

    Raises:
        FileExistsError: When it exists and must not be replaced.
        OSError: When its folder is missing or read-only.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise FileExistsError(f"{argument}: {path} exists; --overwrite replaces it")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OSError(f"{argument}: expected a folder that exists and can be written, got {path.parent}")


def write_region(file: Path, pixels: np.ndarray, region: Region, layout: Layout) -> None:
    """Write one region as a GeoTIFF. Python writes the bytes: it reports a full disk where GDAL may only log it.

    Args:
        file: The file.
        pixels: (bands, rows, columns), as `encode` makes them.
        region: Their place in the product.
        layout: That of the product.

    Raises:
        OSError: When the disk refuses.
    """
    name = f"/vsimem/part_{os.getpid()}_{threading.get_ident()}_{file.name}"
    bands, rows, columns = pixels.shape
    driver = gdal.GetDriverByName("GTiff")
    options = ["TILED=YES", *_compression(driver), f"PREDICTOR={_predictor(layout)}", "INTERLEAVE=BAND"]
    dataset = driver.Create(name, columns, rows, bands, TYPES[layout.dtype], options)
    dataset.SetGeoTransform(shifted(layout.grid, region).geotransform)
    dataset.SetProjection(layout.grid.projection)
    dataset.SetMetadataItem(SUMS_KEY, json.dumps([astuple(Sums.of(band, layout.nodata)) for band in pixels]))
    dataset.WriteArray(pixels)
    dataset.FlushCache()
    del dataset
    try:
        stream = gdal.VSIFOpenL(name, "rb")
        content = gdal.VSIFReadL(1, gdal.VSIStatL(name).size, stream)
        gdal.VSIFCloseL(stream)
    finally:
        gdal.Unlink(name)
    write_whole(file, sealed(bytes(content)))


def _compression(driver: gdal.Driver) -> list[str]:
    """Return the fastest compression that GDAL was built with, as options: regions are read once, by this project."""
    if "ZSTD_LEVEL" in driver.GetMetadataItem("DMD_CREATIONOPTIONLIST"):
        return ["COMPRESS=ZSTD", "ZSTD_LEVEL=1"]
    return ["COMPRESS=DEFLATE", "ZLEVEL=1"]


def _predictor(layout: Layout) -> int:
    """Return TIFF's predictor for the type: differences of integers, or of floating point bytes."""
    return 2 if layout.dtype == "uint16" else 3


def assemble(journal: Journal, overwrite: bool = False, creation: Sequence[str] = ()) -> None:
    """Make the Cloud-Optimized GeoTIFF of the regions of a product, give it its name, and remove the journal.

    Args:
        journal: That of the product, held alone, all of whose regions are made.
        overwrite: Replace a file of that name.
        creation: Options of GDAL's COG driver, NAME=VALUE, in place of the project's own.

    Raises:
        FileExistsError: When a file of that name has appeared; the regions stay.
        ValueError: When no pixel of the product is valid.
        OSError: When the disk refuses, or has not kept the regions.
    """
    layout = Layout.from_json(journal.notes["layout"])
    missing = journal.remaining()
    if missing:
        raise OSError(f"--output: expected a disk that keeps what is written, got {journal.file(missing[0])}, damaged")
    files = [journal.file(region) for region in journal.regions]
    with small_cache():
        sums = _sums(files, len(layout.bands))
        if not any(band.count for band in sums):
            journal.remove()
            raise ValueError("input: expected valid pixels, got nodata only")
        partial = journal.folder / f"product.{secrets.token_hex(8)}.partial.tif"
        write_cog(files, partial, journal.product, layout, sums, creation)
    if overwrite:
        remove_outdated(journal.product, layout.metadata.get(IDENTITY_KEY))
    try:
        (replace if overwrite else name_new)(partial, journal.product)
    except FileExistsError:
        partial.unlink()
        raise FileExistsError(
            f"--output: {journal.product} has appeared meanwhile; the same command with --overwrite replaces it"
        ) from None
    for suffix in BESIDE:
        Path(f"{journal.product}{suffix}").unlink(missing_ok=True)
    if (journal.folder / CLASSES_PART).exists():
        replace(journal.folder / CLASSES_PART, classes_file(journal.product))
    journal.remove()


def _sums(files: Sequence[Path], bands: int) -> list[Sums]:
    """Return the sums of each band over all regions."""
    sums = [Sums()] * bands
    for file in files:
        of_region = json.loads(gdal.Open(str(file)).GetMetadataItem(SUMS_KEY))
        sums = [one + Sums(*other) for one, other in zip(sums, of_region, strict=True)]
    return sums
