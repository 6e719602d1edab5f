# SPDX-License-Identifier: Apache-2.0
"""Write pairs of overlapping detector images of Sentinel-2, at level L1B, with their true displacements.

    python -m simulate.detector_pairs --output pairs --pairs 20

writes, for each pair k, into `pairs/`

    simulated_left/k.tif, simulated_right/k.tif   B02, B03, B04, B08 as counts, uint16, at 10 m
    simulated_truth/k.npz                         float32, without noise:
      flow_left, flow_right         (rows, columns, 4, 2) flow from green to each band: band k at p + flow[p, k] sees
                                    the ground that green sees at p; x (columns) first, in pixels
      cross                         (rows, columns, 2) flow from the left to the right green band
      hr_left, hr_right             (2 rows, 2 columns, 4) all bands on the detector's green grid at half the pixel,
                                    counts, as sharp as the images; pixel (2 y, 2 x) is centred on pixel (y, x)
      sharp_left, sharp_right       the same, as sharp as a sensor with pixels of 5 m sees it
      registered_left, registered_right   the same as hr at 10 m, hr[::2, ::2]

Each pair shows a different landscape, or a different window of the images given by --landscape: 4 bands of counts whose
pixels are treated as 5 m pixels, and which are the sharp truth as they are.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from osgeo import gdal

from simulate.command_line import FAILURES, check_least, failed
from simulate.detectors import BANDS, COUNTS, DETECTORS, MTF, simulate_pair

gdal.UseExceptions()

NAME = "simulated"
REFLECTANCE = 1e-4
"""Reflectance of one digital number of L1C and L2A."""
LEAST = 16
"""Fewest rows and columns of an image."""


def read_landscape(path: str | Path, is_reflectance: bool = False) -> np.ndarray:
    """Reads the four bands of an image, by description, or all bands of an image with four.

    Args:
        path: the file.
        is_reflectance: whether digital numbers are reflectance x 10 000, to be converted to counts.

    Returns:
        Counts, (rows, columns, 4); 0 is a missing pixel.

    Raises:
        ValueError: the file cannot be read, or has other bands.
    """
    try:
        dataset = gdal.Open(str(path))
        pixels = dataset.ReadAsArray()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"landscape: expected a readable image, got {path} ({reason})") from error
    names = [dataset.GetRasterBand(number + 1).GetDescription() for number in range(dataset.RasterCount)]
    if set(BANDS) <= set(names):
        pixels = pixels[[names.index(band) for band in BANDS]]
    elif dataset.RasterCount != len(BANDS):
        raise ValueError(f"landscape: expected 4 bands ({', '.join(BANDS)}), got {dataset.RasterCount} in {path}")
    if is_reflectance:
        radiometry = [COUNTS[band] for band in BANDS]
        seen = [REFLECTANCE * gain * image + offset for image, (offset, gain, _) in zip(pixels, radiometry)]
        pixels = np.where(pixels > 0, seen, 0)
    return np.moveaxis(pixels, 0, -1)


def write_pairs(
    folder: str | Path,
    pairs: int,
    rows: int = 400,
    columns: int = 160,
    seed: int = 1,
    landscapes: tuple = (),
    are_reflectance: bool = False,
    mtf_range: tuple[float, float] | None = None,
) -> None:
    """Simulates pairs and writes the files listed in the module's description: all of them or none.

    Args:
        folder: folder to write into, created if necessary.
        pairs: number of pairs.
        rows: rows of the images.
        columns: columns of the images.
        seed: the same arguments give the same files; the first pairs do not depend on the number of pairs.
        landscapes: image files to observe, in turn; by default landscapes are generated.
        are_reflectance: whether their digital numbers are reflectance x 10 000 instead of counts.
        mtf_range: as for `simulate_pair`.

    Raises:
        ValueError: the folder already has pairs, or as for `read_landscape` and `cut_ground`.
        OSError: the folder cannot be written.
        RuntimeError: an image cannot be written.
    """
    folder = Path(folder)
    kinds = [f"{NAME}_{kind}" for kind in (*DETECTORS, "truth")]
    for kind in kinds:
        if (folder / kind).exists():
            raise ValueError(f"output: expected a folder without simulated pairs, got {folder / kind}")
    images = [read_landscape(path, are_reflectance) for path in landscapes] or [None]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial", dir=folder) as name:
        partial = Path(name)
        for kind in kinds:
            (partial / kind).mkdir()
        for number in range(pairs):
            pair = simulate_pair(rows, columns, seed, number, images[number % len(images)], mtf_range)
            for kind, image in zip(kinds, (pair.left, pair.right)):
                _write(partial / kind / f"{number:04}.tif", image)
            np.savez(partial / kinds[-1] / f"{number:04}.npz", **pair.truth)
        for kind in kinds:
            shutil.move(partial / kind, folder / kind)


def _write(path: Path, image: np.ndarray) -> None:
    """Writes an image (rows, columns, 4), uint16, without georeference."""
    rows, columns, bands = image.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, bands, gdal.GDT_UInt16)
    dataset.WriteArray(np.moveaxis(image, -1, 0))
    for number, name in enumerate(BANDS, start=1):
        dataset.GetRasterBand(number).SetDescription(name)


def main(argv: list[str] | None = None) -> int:
    """Writes pairs from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulate.detector_pairs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", required=True, metavar="DIR", help="folder to write into")
    add("--pairs", type=int, default=20, metavar="N", help="number of pairs (default: %(default)s)")
    add("--rows", type=int, default=400, metavar="N", help="rows of an image (default: %(default)s)")
    add("--columns", type=int, default=160, metavar="N", help="columns of an image (default: %(default)s)")
    add("--seed", type=int, default=1, metavar="N", help="seed of everything random (default: %(default)s)")
    add(
        "--landscape", nargs="+", default=[], metavar="IMAGE", help="images to observe, instead of generated landscapes"
    )
    add(
        "--reflectance",
        action="store_true",
        help="pixels of --landscape are reflectance x 10 000, as in L1C and L2A without offset, instead of counts",
    )
    add(
        "--mtf",
        nargs=2,
        type=float,
        metavar=("LEAST", "MOST"),
        help="draw each band's modulation transfer at the Nyquist frequency of 10 m from this range "
        f"(default: {', '.join(f'{band} {mtf:g}' for band, mtf in zip(BANDS, MTF))})",
    )
    arguments = parser.parse_args(argv)
    if arguments.mtf and not 0 < arguments.mtf[0] <= arguments.mtf[1] < 1:
        parser.error(f"argument --mtf: expected two numbers between 0 and 1, the lesser first, got {arguments.mtf}")
    check_least(parser, arguments, {"pairs": 1, "rows": LEAST, "columns": LEAST, "seed": 0})
    try:
        write_pairs(
            arguments.output,
            arguments.pairs,
            arguments.rows,
            arguments.columns,
            arguments.seed,
            tuple(arguments.landscape),
            arguments.reflectance,
            tuple(arguments.mtf) if arguments.mtf else None,
        )
    except FAILURES as error:
        return failed(error, "output", arguments.output, "pairs")
    print(f"{arguments.output}: {arguments.pairs} pairs of {arguments.rows} x {arguments.columns} pixels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
