# SPDX-License-Identifier: Apache-2.0
"""The programs that are killed and starved: small inputs for them, and what they are to make."""

import datetime
import hashlib
import importlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from simulate.items import make_item

gdal.UseExceptions()

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
SIDE = 72
LOADED = ("tensorflow", "pyotb", "h5py")
"""Modules that all programs import: once, here, since what runs them is a copy of this process."""


@dataclass(frozen=True)
class Program:
    """A program, with an input."""

    module: str
    """Its module."""
    prepare: Callable[[Path], None]
    """Makes what it reads, in a folder."""
    words: Callable[[Path, Path], list[str]]
    """Returns its command line, given that folder and what it is to make."""
    made: str
    """Name of what it makes."""
    digest: Callable[[Path], str]
    """Returns what has to be the same in what it makes."""
    served: str | None = None
    """Folder, among what it reads, that it gets by HTTP from the stand-in for Planetary Computer."""


def raster(path: Path, bands: tuple[str, ...], side: int, gsd: float, low: int = 1001, high: int = 9000) -> None:
    """Write bands of random pixels."""
    pixels = np.random.default_rng(side).integers(low, high, (len(bands), side, side)).astype(np.uint16)
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), side, side, len(bands), gdal.GDT_UInt16)
    dataset.SetGeoTransform((300000.0, gsd, 0.0, 5000040.0, 0.0, -gsd))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    dataset.SetProjection(crs.ExportToWkt())
    dataset.WriteArray(pixels)
    for number, band in enumerate(bands, 1):
        dataset.GetRasterBand(number).SetDescription(band)


def pixels_of(path: Path) -> str:
    """Return a digest of all pixels of a raster."""
    return hashlib.sha256(gdal.Open(str(path)).ReadAsArray().tobytes()).hexdigest()


def weights_of(folder: Path) -> str:
    """Return a digest of all weights of a model, to four digits: sums are rounded in any order."""
    from models.weights_file import read_weights

    digest = hashlib.sha256()
    for name, array in sorted(read_weights(folder).items()):
        digest.update(name.encode() + np.char.mod("%.3e", array.ravel()).tobytes())
    return digest.hexdigest()


def _spot7(folder: Path) -> None:
    from models.base import export
    from models.spot7 import SRModel

    raster(folder / "image.tif", ("B04", "B03", "B02", "B08"), SIDE, 6.0)
    export(SRModel.from_bands(depth=2, num_blocks=1), folder / "model")


def _remote(folder: Path) -> None:
    from models.base import export
    from models.spot7 import SRModel

    name = "S2A_MSIL2A_20220714T105629_N0213_R094_T31UDQ_20220714T182657"
    images = folder / "blobs" / name
    images.mkdir(parents=True)
    for number, band in enumerate(("B04", "B03", "B02", "B08")):
        raster(images / f"{band}.tif", (band,), SIDE, 6.0, 1001 + number)
    when = datetime.datetime(2022, 7, 14, 10, 56, 29)
    item = make_item(name, images, when, {}, [], {"s2:processing_baseline": "02.13"})
    (folder / "item.json").write_text(json.dumps(item))
    export(SRModel.from_bands(depth=2, num_blocks=1), folder / "model")


def _dsen2(folder: Path) -> None:
    from models.base import export
    from models.dsen2 import DSen2

    raster(folder / "a_10m.tif", ("B04", "B03", "B02", "B08"), SIDE, 10.0)
    raster(folder / "a_20m.tif", ("B05", "B06", "B07", "B8A", "B11", "B12"), SIDE // 2, 20.0)
    export(DSen2.from_bands(role="2x", depth=2, num_blocks=1), folder / "model")


def _l1bsr(folder: Path) -> None:
    raster(folder / "image.tif", ("B02", "B03", "B04", "B08"), 96, 10.0, 50, 900)


def _patches(folder: Path) -> None:
    for name, count in (("train", 3), ("valid", 2), ("test", 2)):
        for source, size in (("lr", 8), ("hr", 32)):
            draw = np.random.default_rng(count)
            driver = gdal.GetDriverByName("GTiff")
            patches = driver.Create(str(folder / f"{name}_{source}.tif"), size, count * size, 4, gdal.GDT_UInt16)
            patches.WriteArray(draw.integers(500, 3000, (4, count * size, size)).astype(np.uint16))


PROGRAMS = {
    "inference.spot7": Program(
        "inference.spot7",
        _spot7,
        lambda folder, output: [
            *("--input", str(folder / "image.tif"), "--model-dir", str(folder / "model"), "--offset", "0"),
            *("--output", str(output), "--tile-size", "64", "--threads", "1"),
        ],
        "sr.tif",
        pixels_of,
    ),
    "inference.spot7, remote": Program(
        "inference.spot7",
        _remote,
        lambda folder, output: [
            *("--input", str(folder / "item.json"), "--model-dir", str(folder / "model"), "--output", str(output)),
            *("--tile-size", "64", "--threads", "1", "--timeout", "60"),
        ],
        "sr.tif",
        pixels_of,
        served="blobs",
    ),
    "inference.dsen2": Program(
        "inference.dsen2",
        _dsen2,
        lambda folder, output: [
            *("--input", str(folder / "a_10m.tif"), str(folder / "a_20m.tif"), "--offset", "0"),
            *("--model-dir", str(folder / "model"), "--output", str(output), "--tile-size", "24", "--threads", "1"),
        ],
        "sr.tif",
        pixels_of,
    ),
    "inference.l1bsr": Program(
        "inference.l1bsr",
        _l1bsr,
        lambda folder, output: [
            *("--input", str(folder / "image.tif"), "--model-dir", str(WEIGHTS / "l1bsr" / "REC")),
            *("--output", str(output), "--threads", "1"),
        ],
        "sr.tif",
        pixels_of,
    ),
    "train.spot7": Program(
        "train.spot7",
        _patches,
        lambda folder, output: [
            *("--patches", str(folder), "--model-dir", str(output), "--epochs", "4", "--batch-size", "2"),
            *("--size", "small"),
        ],
        "model",
        weights_of,
    ),
}
"""Programs by name."""


def load() -> None:
    """Import what programs import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in (*LOADED, *(program.module for program in PROGRAMS.values())):
        importlib.import_module(name)


def begin(action: Callable[[], int], said: Path, before: Callable[[], None] | None = None) -> int:
    """Start a copy of this process that acts, in a session of its own; return its number.

    Args:
        action: what it does; returns its exit status.
        said: file of what it writes.
        before: what it does to itself first.
    """
    number = os.fork()
    if number:
        return number
    status = 70
    try:
        os.setsid()
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(file, 1)
        os.dup2(file, 2)
        if before:
            before()
        status = action()
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


def end(number: int, seconds: float) -> int | None:
    """Wait for a process; return its status, negative for a signal, or None, when it takes too long and is killed."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    kill(number)
    return None


def kill(number: int) -> None:
    """Kill a process, and all that it has started."""
    os.killpg(number, signal.SIGKILL)
    os.waitpid(number, 0)
