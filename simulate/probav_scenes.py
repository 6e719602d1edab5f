# SPDX-License-Identifier: Apache-2.0
"""Write scenes like those of ESA's PROBA-V super-resolution challenge, with their truth.

    python -m simulate.probav_scenes --output probav --scenes 40 --test-scenes 4

writes into `probav/`, in the layout of the challenge (PNG of 16 bits, digital numbers of 14; masks are 255 where clear)

    train/NIR/imgset0000/LR000.png … QM000.png … HR.png SM.png truth.json
    test/NIR/imgset0040/LR000.png … QM000.png … truth.json
    norm.csv           the cPSNR of ESA's baseline, by scene; written last
    simulation.json    the arguments of the simulation

`truth.json` holds for each image: `displacement`, rows and columns of 100 m by which its content is displaced against
HR (positive downwards and to the right: I(p) = HR(p - displacement)); `gain` and `offset` (digital numbers) of its
calibration; `day`; `cloud_cover`; and whether it is `corrupt`.

To resume an interrupted run, give the same command again. Each scene shows a different landscape, or a different window
of the images given by --landscape, with the contrast of a landscape.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from osgeo import gdal

from simulate.challenge_norm import baseline_cpsnr
from simulate.command_line import FAILURES, check_least, failed
from simulate.probav import INSTRUMENTS, LANDSCAPE_GSD, Scene, make_scene

gdal.UseExceptions()

LEAST = 16
"""Fewest rows and columns of an image of 300 m."""


def read_landscape(path: str | Path, band: int = 1) -> np.ndarray:
    """Reads a band of an image, counted from 1: (rows, columns).

    Raises:
        ValueError: the image cannot be read or has no such band.
    """
    try:
        dataset = gdal.Open(str(path))
        if band > dataset.RasterCount:
            raise ValueError(f"landscape-band: expected at most {dataset.RasterCount}, the bands of {path}, got {band}")
        return dataset.GetRasterBand(band).ReadAsArray()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"landscape: expected a readable image, got {path} ({reason})") from error


def write_scenes(
    folder: str | Path,
    scenes: int,
    test_scenes: int = 0,
    band: str = "NIR",
    rows: int = 128,
    columns: int = 128,
    seed: int = 1,
    landscapes: tuple = (),
    landscape_band: int = 1,
) -> None:
    """Simulates scenes and writes the files listed in the module's description, or the missing ones.

    Args:
        folder: folder to write into, created if necessary.
        scenes: number of scenes for training.
        test_scenes: number of test scenes, which have no truth.
        band: `NIR` or `RED`.
        rows: rows of the images of 300 m.
        columns: their columns.
        seed: the same arguments give the same files; scenes do not depend on the numbers of scenes.
        landscapes: image files to observe, in turn; by default landscapes are generated.
        landscape_band: band of these files, counted from 1.

    Raises:
        ValueError: the folder holds finished or other scenes, or as for `read_landscape` and `cut_ground`.
        OSError: the folder cannot be written.
        RuntimeError: an image cannot be written.
    """
    from tqdm import tqdm

    folder = Path(folder)
    images = [read_landscape(path, landscape_band) for path in landscapes] or [None]
    description = {
        "scenes": scenes,
        "test_scenes": test_scenes,
        "band": band,
        "rows": rows,
        "columns": columns,
        "seed": seed,
        "landscapes": [hashlib.sha256(image.tobytes()).hexdigest() for image in images if image is not None],
    }
    _begin(folder, description)
    names = {}
    numbers = [(False, number) for number in range(scenes)] + [(True, number) for number in range(test_scenes)]
    for place, (is_test, number) in enumerate(tqdm(numbers, unit="scene", disable=not sys.stderr.isatty())):
        target = folder / ("test" if is_test else "train") / band / f"imgset{place:04d}"
        if not target.exists():
            scene = make_scene(band, rows, columns, seed, number, is_test, images[number % len(images)])
            _write_scene(target, folder / ".partial", scene, is_test)
        names[target.name] = json.loads((target / "truth.json").read_text(encoding="ascii"))["baseline"]
    _write_text(folder / "norm.csv", "".join(f"{name} {value!r}\n" for name, value in names.items()))


def _begin(folder: Path, description: dict) -> None:
    """Prepares a folder for scenes, or for resuming an interrupted run."""
    record = folder / "simulation.json"
    if (folder / "norm.csv").exists():
        raise ValueError(f"output: expected a folder without finished scenes, got {folder / 'norm.csv'}")
    if record.exists() and json.loads(record.read_text(encoding="ascii")) != description:
        raise ValueError(
            f"output: expected a folder of the same scenes, got {folder}, whose {record.name} describes others"
        )
    for name in ("train", "test"):
        if not record.exists() and (folder / name).exists():
            raise ValueError(f"output: expected a folder without scenes, got {folder / name}")
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(record, json.dumps(description, indent=1) + "\n")


def _write_scene(target: Path, partial: Path, scene: Scene, is_test: bool) -> None:
    """Writes a scene, completely or not at all."""
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for number, (image, mask) in enumerate(zip(scene.lr, scene.qm)):
        _write_png(partial / f"LR{number:03d}.png", image)
        _write_png(partial / f"QM{number:03d}.png", mask * np.uint8(255))
    if not is_test:
        _write_png(partial / "HR.png", scene.hr)
        _write_png(partial / "SM.png", scene.sm * np.uint8(255))
    truth = {"baseline": baseline_cpsnr(scene.lr, scene.qm, scene.hr, scene.sm), **scene.truth}
    _write_text(partial / "truth.json", json.dumps(truth, indent=1) + "\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes an image of one band, uint8 or uint16."""
    code = gdal.GDT_Byte if pixels.dtype == np.uint8 else gdal.GDT_UInt16
    memory = gdal.GetDriverByName("MEM").Create("", pixels.shape[1], pixels.shape[0], 1, code)
    memory.WriteArray(pixels)
    gdal.GetDriverByName("PNG").CreateCopy(str(path), memory)


def _write_text(path: Path, text: str) -> None:
    """Writes a text file, completely or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="ascii")
    partial.replace(path)


def main(argv: list[str] | None = None) -> int:
    """Writes scenes from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulate.probav_scenes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", required=True, metavar="DIR", help="folder to write into")
    add("--scenes", type=int, default=40, metavar="N", help="number of scenes with truth (default: %(default)s)")
    add("--test-scenes", type=int, default=0, metavar="N", help="number of scenes without (default: %(default)s)")
    add("--band", choices=list(INSTRUMENTS), default="NIR", help="band (default: %(default)s)")
    add("--rows", type=int, default=128, metavar="N", help="rows of an image of 300 m (default: %(default)s)")
    add("--columns", type=int, default=128, metavar="N", help="columns of it (default: %(default)s)")
    add("--seed", type=int, default=1, metavar="N", help="seed of everything random (default: %(default)s)")
    add(
        "--landscape",
        nargs="+",
        default=[],
        metavar="IMAGE",
        help=f"images to observe, instead of generated landscapes; a pixel counts as {LANDSCAPE_GSD:g} m, 0 is missing",
    )
    add("--landscape-band", type=int, default=1, metavar="N", help="band of these images (default: %(default)s)")
    arguments = parser.parse_args(argv)
    least = {"scenes": 1, "test_scenes": 0, "rows": LEAST, "columns": LEAST, "seed": 0, "landscape_band": 1}
    check_least(parser, arguments, least)
    try:
        write_scenes(
            arguments.output,
            arguments.scenes,
            arguments.test_scenes,
            arguments.band,
            arguments.rows,
            arguments.columns,
            arguments.seed,
            tuple(arguments.landscape),
            arguments.landscape_band,
        )
    except FAILURES as error:
        return failed(error, "output", arguments.output, "scenes")
    print(
        f"{arguments.output}: {arguments.scenes} scenes and {arguments.test_scenes} for the test, {arguments.band}, "
        f"images of {arguments.rows} x {arguments.columns} pixels"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
