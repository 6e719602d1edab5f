# SPDX-License-Identifier: Apache-2.0
"""Writing a product: region by region, resumable, and whole when it bears its name.

The regions of `product.tif` are written one by one into the folder `product.tif.parts/`, each under a
temporary name and renamed. When all are there they become one Cloud-Optimized GeoTIFF, with statistics,
overviews and band names, which is flushed to the disk and renamed: a product that exists is complete. A
killed process leaves the folder; the same command goes on from there, and begins anew when an input, the
model or an option has changed. An error leaves nothing.

    write_product("sr.tif", layout, regions, compute, identity={"input": ...})
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.grids import Grid, Region
from chain.lock import locked

PLAN_NAME = "plan.json"
LOCK_NAME = "lock"
TYPES = {"uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
BLOCK_SIZE = 512
"""Side of the blocks of the file, in pixels."""
CACHE_BYTES = 64 * 2**20
"""GDAL's block cache while the file is made: blocks are read once, more would only fill the memory."""


@dataclass(frozen=True)
class Layout:
    """What a product file is, apart from its pixels."""

    grid: Grid
    """Its pixels' places."""
    bands: tuple[str, ...]
    """Names of the bands."""
    dtype: str = "uint16"
    """`uint16` (missing pixels: 0) or `float32` (missing pixels: NaN)."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """GDAL metadata of the file."""

    @property
    def nodata(self) -> float:
        """Value of missing pixels."""
        return 0.0 if self.dtype == "uint16" else float("nan")


def encode(values: np.ndarray, valid: np.ndarray, dtype: str) -> np.ndarray:
    """Turn computed values into a product's: rounded and clipped, never wrapped; missing pixels are nodata.

    Args:
        values: float32 (rows, columns, bands).
        valid: (rows, columns).
        dtype: `uint16`, whose valid pixels are 1 at least since 0 is nodata, or `float32`.

    Returns:
        Array (rows, columns, bands) of that type.
    """
    encoded = np.rint(values) if dtype == "uint16" else values.astype(np.float32)
    if dtype == "uint16":
        np.clip(encoded, 1, 65535, out=encoded)
    encoded[~valid] = 0 if dtype == "uint16" else np.nan
    return encoded.astype(dtype, copy=False)


def write_product(
    path: str | os.PathLike,
    layout: Layout,
    regions: Sequence[Region],
    compute: Callable[[Region], tuple[np.ndarray, np.ndarray]],
    identity: Mapping,
    overwrite: bool = False,
    advance: Callable[[Region], None] = lambda region: None,
) -> int:
    """Write a product.

    Args:
        path: The file, `.tif`.
        layout: Grid, bands, type, metadata.
        regions: Regions that cover the grid, counted from its first pixel.
        compute: Gives the values, float32 (rows, columns, bands), and the validity (rows, columns) of a
            region.
        identity: All that the pixels depend on, as JSON can hold it; an interrupted product is only resumed
            when it is the same.
        overwrite: Replace the file if it exists.
        advance: Called after each region, computed or found.

    Returns:
        Number of regions that an interrupted run had left and that were not computed again.

    Raises:
        FileExistsError: When the file exists, or another process is writing it.
        ValueError: When no pixel of the product is valid.
        OSError: When the disk refuses.
    """
    path = Path(path)
    check_output(path, overwrite)
    with _parts_folder(path) as folder:
        check_output(path, overwrite)
        found = _resume(folder, identity)
        files, filled = [], False
        for region in regions:
            file = folder / f"{region.x}_{region.y}.tif"
            if file not in found:
                values, valid = compute(region)
                _write_part(file, encode(values, valid, layout.dtype), region, layout)
            filled = filled or _is_filled(file)
            files.append(file)
            advance(region)
        if not filled:
            raise ValueError("input: valid pixels are wanted. Received: nodata only")
        with _small_cache():
            _assemble(files, folder, path, layout)
    return len(found)


def check_output(path: Path, overwrite: bool, argument: str = "--output") -> None:
    """Refuse an output that exists, or whose folder cannot be written.

    Raises:
        FileExistsError: When it exists and must not be replaced.
        OSError: When its folder is missing or read-only.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise FileExistsError(f"{argument}: a file that does not exist is wanted, or --overwrite. Received: {path}")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OSError(f"{argument}: a folder that exists and can be written is wanted. Received: {path.parent}")


@contextmanager
def _parts_folder(path: Path) -> Iterator[Path]:
    """Hold the folder of the product's parts, alone; it is removed at the end, except on an interruption."""
    folder = path.with_name(f"{path.name}.parts")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OSError(f"--output: a folder that can be written is wanted. Received: {path.parent} ({error})") from error
    refusal = FileExistsError(f"--output: a file that no other process is writing is wanted. Received: {path}")
    with locked(folder / LOCK_NAME, refusal):
        try:
            yield folder
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def _resume(folder: Path, identity: Mapping) -> set[Path]:
    """Return the parts that an interrupted run of the same identity left; remove all else."""
    plan = json.dumps(identity, sort_keys=True)
    file = folder / PLAN_NAME
    if file.exists() and file.read_text() == plan:
        for leftover in folder.glob("*.partial*"):
            leftover.unlink()
        return set(folder.glob("*_*.tif"))
    for leftover in folder.iterdir():
        if leftover.name != LOCK_NAME:
            leftover.unlink()
    _write_bytes(file, plan.encode())
    return set()


def _write_bytes(file: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk and rename it."""
    partial = file.with_name(f"{file.name}.partial")
    with open(partial, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)


def _write_part(file: Path, pixels: np.ndarray, region: Region, layout: Layout) -> None:
    """Write one region as a GeoTIFF. Python writes the bytes: it reports a full disk where GDAL may only log it."""
    name = f"/vsimem/part_{os.getpid()}_{file.name}"
    rows, columns, bands = pixels.shape
    options = ["TILED=YES", "COMPRESS=DEFLATE", "ZLEVEL=1", f"PREDICTOR={_predictor(layout)}", "INTERLEAVE=BAND"]
    dataset = gdal.GetDriverByName("GTiff").Create(name, columns, rows, bands, TYPES[layout.dtype], options)
    grid = layout.grid
    dataset.SetGeoTransform((grid.left + region.x * grid.dx, grid.dx, 0, grid.top - region.y * grid.dy, 0, -grid.dy))
    dataset.SetProjection(grid.projection)
    dataset.SetMetadataItem("FILLED", str(int(_present(pixels, layout).any())))
    dataset.WriteArray(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
    dataset.FlushCache()
    del dataset
    try:
        stream = gdal.VSIFOpenL(name, "rb")
        content = gdal.VSIFReadL(1, gdal.VSIStatL(name).size, stream)
        gdal.VSIFCloseL(stream)
    finally:
        gdal.Unlink(name)
    _write_bytes(file, bytes(content))


def _present(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    """Return which values are not nodata."""
    return pixels != 0 if layout.dtype == "uint16" else ~np.isnan(pixels)


def _predictor(layout: Layout) -> int:
    """Return TIFF's predictor for the type: differences of integers, or of floating point bytes."""
    return 2 if layout.dtype == "uint16" else 3


def _is_filled(file: Path) -> bool:
    """Return whether a part has valid pixels."""
    return gdal.Open(str(file)).GetMetadataItem("FILLED") == "1"


def _assemble(files: Sequence[Path], folder: Path, path: Path, layout: Layout) -> None:
    """Make the Cloud-Optimized GeoTIFF of the parts, and give it its name."""
    mosaic = gdal.BuildVRT(str(folder / "mosaic.partial.vrt"), [str(file) for file in files])
    mosaic.SetMetadata({**layout.metadata, "AREA_OR_POINT": "Area"})
    for number, name in enumerate(layout.bands, start=1):
        band = mosaic.GetRasterBand(number)
        band.SetDescription(name)
        band.SetNoDataValue(layout.nodata)
    mosaic.FlushCache()
    for number in range(1, len(layout.bands) + 1):
        _set_statistics(mosaic.GetRasterBand(number))
    partial = folder / "product.partial.tif"
    options = [
        "COMPRESS=DEFLATE",
        "PREDICTOR=YES",
        "BIGTIFF=IF_SAFER",
        f"BLOCKSIZE={BLOCK_SIZE}",
        "OVERVIEW_RESAMPLING=AVERAGE",
        "NUM_THREADS=ALL_CPUS",
    ]
    with _reported_errors() as errors:
        try:
            gdal.GetDriverByName("COG").CreateCopy(str(partial), mosaic, strict=False, options=options)
        except RuntimeError as error:
            errors.append(str(error))
    if errors:
        raise OSError(f"--output: a disk that takes {path} is wanted. Received: {errors[0]}")
    with open(partial, "rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(partial, path)
    Path(f"{path}.aux.xml").unlink(missing_ok=True)


@contextmanager
def _small_cache() -> Iterator[None]:
    """Bound GDAL's caches for a while: the one of blocks, and the one that VSI_CACHE gives to each of the parts."""
    size, of_files = gdal.GetCacheMax(), gdal.GetConfigOption("VSI_CACHE")
    gdal.SetCacheMax(min(size, CACHE_BYTES))
    gdal.SetConfigOption("VSI_CACHE", "FALSE")
    try:
        yield
    finally:
        gdal.SetConfigOption("VSI_CACHE", of_files)
        gdal.SetCacheMax(size)


def _set_statistics(band: gdal.Band) -> None:
    """State the statistics of the valid pixels in the band's metadata; a band may have none valid."""
    try:
        minimum, maximum, mean, deviation = band.ComputeStatistics(False)
    except RuntimeError as error:
        if "no valid pixels" not in str(error):
            raise
        return
    band.SetStatistics(minimum, maximum, mean, deviation)


@contextmanager
def _reported_errors() -> Iterator[list[str]]:
    """Collect the errors that GDAL reports, also where it does not fail."""
    errors: list[str] = []

    def collect(severity, number, message):
        if severity >= gdal.CE_Failure:
            errors.append(message)

    gdal.PushErrorHandler(collect)
    try:
        yield errors
    finally:
        gdal.PopErrorHandler()
