# SPDX-License-Identifier: Apache-2.0
"""Scenes like those of ESA's PROBA-V super-resolution challenge, whose truth is known.

Within a month, an instrument of 300 m sees the same ground 9 to 20 times, each time from a little elsewhere: by up to
2.5 pixels of 100 m, so that its samples, which are aliased, fall between those of the other times. Calibration drifts,
the ground changes slowly, clouds hide it and throw shadows, and the masks miss their thin edges. Few images hold
corrupt values. Another instrument of 100 m sees the ground once.

    python -m simulate.probav_scenes --output probav --scenes 40 --test-scenes 4

writes into `probav/`, in the layout of the challenge (PNG of 16 bits, digital numbers of 14; masks are 255 where clear)

    train/NIR/imgset0000/LR000.png … QM000.png … HR.png SM.png truth.json
    test/NIR/imgset0040/LR000.png … QM000.png … truth.json
    norm.csv           the cPSNR of ESA's baseline, by scene; written last
    simulation.json    what the scenes were made with

`truth.json` says for each image: `displacement`, by how many rows and columns of 100 m its content lies from where it
is in HR (downwards and to the right are positive; I(p) = HR(p - displacement)); `gain` and `offset` (digital numbers)
of its calibration; `day`; `cloud_cover`; and whether it is `corrupt`.

A run that was interrupted goes on when the same command is given again. Each scene shows another landscape; or another
window of the images that --landscape names, brought to the contrast of a landscape.
"""

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from osgeo import gdal

from simulate.challenge_norm import baseline_cpsnr
from simulate.clouds import GSD as CLOUDS_GSD
from simulate.clouds import Clouds, clouds, veil
from simulate.command_line import FAILURES, check_least, failed
from simulate.illumination import Sun
from simulate.landscape import generate
from simulate.noise import fractal_noise
from simulate.sensors import Band, ImageGrid, add_noise, discrete_deviation, sample

gdal.UseExceptions()

SCALE = 3
GSD, FINE_GSD = 300.0, 100.0
LANDSCAPE_GSD = 50.0
"""Metres that a landscape's pixel stands for: its parcels are 1 to 9 km wide, its roads and rivers are thin."""
MARGIN = 12
"""Ground around the images, in pixels of 100 m: more than displacements and the instruments' blur reach."""
LEAST = 16
"""Fewest rows and columns of an image of 300 m."""
FEWEST, MOST = 9, 20
"""Number of images of a scene."""
LARGEST_SHIFT = 2.5
"""Largest displacement along rows and columns, in pixels of 100 m."""
DAYS = 30.0
GAIN, OFFSET = 0.03, 60.0
"""Largest drift of the calibration: relative, and in digital numbers."""
CHANGE = 0.02
"""Deviation of the ground's relative change in a month."""
LARGEST_NUMBER = 2**14 - 1
REFLECTANCES = 0.002, 0.9
"""Darkest and brightest ground."""
CORRUPT_SHARE = 0.03
"""Share of images with corrupt values, in scenes of more than `SPARE` images."""
SPARE = 11
CORRUPT_NUMBERS = 60001, 65536
"""Range of corrupt values."""
CLEAR_SHARE, CLOUDY_SCENES = 0.5, 0.1
"""Share of images without clouds, and of scenes where there is none such."""
CLOUD_COVER = 0.25
LEAST_CLEAR, HR_LEAST_CLEAR = 0.60, 0.75
"""Shares of an image that the challenge guarantees to be clear."""
HR_CLEAR_SHARE, HR_CLOUD_COVER = 0.6, 0.15
DETECTED_CLOUD, DETECTED_SHADE = 0.04, 0.2
"""Opacity and shade from which the masks know of them."""
TRIES = 100


class Instrument(NamedTuple):
    """How a band sees and counts."""

    interval: tuple[float, float]
    """Wavelengths, in nm."""
    offset: float
    """Digital number of black ground under the atmosphere."""
    gain: float
    """Digital numbers per unit of reflectance."""
    means: tuple[float, float]
    """Range of the scenes' mean reflectances."""
    deviations: tuple[float, float]
    """Range of the deviations of reflectance within a scene."""
    mtf: float = 0.3
    """Modulation transfer of the images of 300 m at their Nyquist frequency."""
    fine_mtf: float = 0.2
    """The same of the image of 100 m."""
    snr: float = 150.0
    """Signal-to-noise ratio at `reference`."""
    reference: float = 0.28
    """Reflectance at which `snr` is given."""


INSTRUMENTS = {
    "NIR": Instrument((777.0, 893.0), 400.0, 26000.0, (0.17, 0.37), (0.05, 0.10)),
    "RED": Instrument((610.0, 690.0), 1100.0, 42000.0, (0.03, 0.15), (0.02, 0.06), reference=0.09),
}
"""PROBA-V's bands; such that digital numbers are like those of the challenge."""


@dataclass(frozen=True)
class Scene:
    """Images of a place, and their truth."""

    lr: np.ndarray
    """Digital numbers, uint16 (images, rows, columns)."""
    qm: np.ndarray
    """Whether a pixel is clear, of the same shape."""
    hr: np.ndarray
    """Digital numbers, uint16 (rows x 3, columns x 3)."""
    sm: np.ndarray
    """Whether a pixel of `hr` is clear."""
    truth: dict
    """As the module's description tells."""


def ground_shape(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns, in pixels of the landscape, of the ground that images of this size in 300 m want."""
    factor = round(FINE_GSD / LANDSCAPE_GSD)
    return factor * (SCALE * rows + 2 * MARGIN), factor * (SCALE * columns + 2 * MARGIN)


def see(ground: np.ndarray, displacement: tuple[float, float], mtf: float, gsd: float = GSD) -> np.ndarray:
    """Looks at the ground, without noise.

    Args:
        ground: any quantity on the landscape's grid, float32, of a size that `ground_shape` gives.
        displacement: rows and columns of 100 m by which the content moves in the image.
        mtf: modulation transfer at the image's Nyquist frequency.
        gsd: side of the image's pixels, in metres.

    Returns:
        float32, rows and columns of `gsd`.
    """
    rows, columns = (round((length * LANDSCAPE_GSD - 2 * MARGIN * FINE_GSD) / gsd) for length in ground.shape)
    top, left = ((MARGIN - step) * FINE_GSD for step in displacement)
    deviation = discrete_deviation(mtf, gsd, LANDSCAPE_GSD)
    return sample(ground, deviation, ImageGrid(left, top, rows, columns, gsd), LANDSCAPE_GSD)


def draw_ground(image: np.ndarray, band: str, rng: np.random.Generator) -> np.ndarray:
    """Makes the ground of a scene: an image of any linear unit, brought to a mean and a contrast drawn at random.

    Scenes of the challenge differ more than their pixels do: most are of less contrast than a landscape close by.

    Args:
        image: on the landscape's grid.
        band: `NIR` or `RED`.
        rng: source of randomness.

    Returns:
        Reflectance, float32, of the same shape.
    """
    mean, deviation = (rng.uniform(*limits) for limits in (INSTRUMENTS[band].means, INSTRUMENTS[band].deviations))
    contrast = deviation / max(float(image.std()), 1e-9)
    return np.clip(mean + contrast * (image - image.mean()), *REFLECTANCES).astype(np.float32)


def simulate_scene(ground: np.ndarray, band: str, rng: np.random.Generator) -> Scene:
    """Simulates a scene.

    Args:
        ground: reflectance on the landscape's grid, float32, of a size that `ground_shape` gives.
        band: `NIR` or `RED`.
        rng: source of randomness.
    """
    instrument = INSTRUMENTS[band]
    change = CHANGE / DAYS * fractal_noise(ground.shape, 160.0, 8.0, rng, 0.7)
    truth_day = float(rng.uniform(0.0, DAYS))
    count = int(rng.integers(FEWEST, MOST + 1))
    is_cloudy = rng.uniform() < CLOUDY_SCENES
    images, masks, frames = [], [], []
    for _ in range(count):
        day, displacement = float(rng.uniform(0.0, DAYS)), rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2).tolist()
        has_clouds = rng.uniform() >= CLEAR_SHARE or is_cloudy
        cover = float(rng.uniform(0.1 if is_cloudy else 0.0, CLOUD_COVER)) if has_clouds else 0.0
        changed = ground * (1.0 + np.float32(day - truth_day) * change)
        image, mask, frame = _take(changed, instrument, displacement, cover, GSD, LEAST_CLEAR, rng)
        frame["corrupt"] = bool(count > SPARE and rng.uniform() < CORRUPT_SHARE)
        if frame["corrupt"]:
            _corrupt(image, rng)
        images.append(image)
        masks.append(mask)
        frames.append({"displacement": displacement, "day": day, **frame})
    cover = 0.0 if rng.uniform() < HR_CLEAR_SHARE else float(rng.uniform(0.0, HR_CLOUD_COVER))
    hr, sm, own = _take(ground, instrument, (0.0, 0.0), cover, FINE_GSD, HR_LEAST_CLEAR, rng)
    truth = {"band": band, "hr": {"day": truth_day, **own}, "images": frames}
    return Scene(np.stack(images), np.stack(masks), hr, sm, truth)


def _take(
    ground: np.ndarray,
    instrument: Instrument,
    displacement: tuple[float, float],
    cover: float,
    gsd: float,
    least_clear: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Takes an image, and its mask, of which `least_clear` is clear at least; tells of calibration and clouds."""
    mtf = instrument.mtf if gsd == GSD else instrument.fine_mtf
    while True:
        sky = _sky(ground.shape, cover, rng)
        opacity, shade = (see(layer, displacement, mtf, gsd) for layer in sky)
        mask = (opacity < DETECTED_CLOUD) & (shade < DETECTED_SHADE)
        if mask.mean() >= least_clear:
            break
        cover *= 0.7
    wavelength = sum(instrument.interval) / 2.0
    seen = see(veil(ground, sky, wavelength, CLOUDS_GSD) if cover else ground, displacement, mtf, gsd)
    band = Band("", instrument.interval, gsd, mtf, instrument.snr, instrument.reference)
    gain, offset = float(rng.uniform(1.0 - GAIN, 1.0 + GAIN)), float(rng.uniform(-OFFSET, OFFSET))
    counts = gain * (instrument.offset + instrument.gain * add_noise(seen, band, rng)) + offset
    image = np.clip(np.rint(counts), 0, LARGEST_NUMBER).astype(np.uint16)
    return image, mask, {"gain": gain, "offset": offset, "cloud_cover": cover}


def _sky(shape: tuple[int, int], cover: float, rng: np.random.Generator) -> Clouds:
    """Makes clouds over the ground; their pixels stand for the landscape's."""
    return clouds(shape, cover, (slice(None), slice(None)), Sun(), rng)


def _corrupt(image: np.ndarray, rng: np.random.Generator) -> None:
    """Puts corrupt values into part of a row of an image."""
    row, start = (int(rng.integers(length)) for length in image.shape)
    part = image[row, start : start + int(rng.integers(1, image.shape[1]))]
    part[:] = rng.integers(*CORRUPT_NUMBERS, part.shape)


def cut_ground(image: np.ndarray, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts a window out of a given image, at random.

    Args:
        image: any linear unit, on the landscape's grid; 0 is a missing pixel.
        rows: rows of the images of 300 m that are to show it.
        columns: their columns.
        rng: source of randomness.

    Returns:
        float32 of `ground_shape(rows, columns)`.

    Raises:
        ValueError: the image is too small, or no window without missing pixels is found.
    """
    height, width = ground_shape(rows, columns)
    room = image.shape[0] - height, image.shape[1] - width
    if min(room) < 0:
        raise ValueError(
            f"landscape: expected at least {height} x {width} pixels for images of {rows} x {columns}, "
            f"got {image.shape[0]} x {image.shape[1]}"
        )
    for _ in range(TRIES):
        top, left = (int(rng.integers(free + 1)) for free in room)
        window = image[top : top + height, left : left + width]
        if window.all():
            return window.astype(np.float32)
    raise ValueError(f"landscape: expected windows without missing pixels (0), found none in {TRIES} tries")


def make_scene(
    band: str, rows: int, columns: int, seed: int, number: int, is_test: bool = False, landscape=None
) -> Scene:
    """Makes a scene of a set.

    Args:
        band: `NIR` or `RED`.
        rows: rows of the images of 300 m.
        columns: their columns.
        seed: seed of the whole set.
        number: the scene's number among those for training, or for the test.
        is_test: whether it is for the test.
        landscape: image to look at, as `cut_ground` takes it; by default a landscape is made.

    Raises:
        ValueError: as `cut_ground`.
    """
    rng = np.random.default_rng((seed, int(is_test), number))
    if landscape is None:
        made = generate(ground_shape(rows, columns), int(rng.integers(2**63)))
        image = made.reflectance(INSTRUMENTS[band].interval)
    else:
        image = cut_ground(landscape, rows, columns, rng)
    return simulate_scene(draw_ground(image, band, rng), band, rng)


def read_landscape(path: str | Path, band: int = 1) -> np.ndarray:
    """Reads a band, counted from 1, of an image: (rows, columns).

    Raises:
        ValueError: it cannot be read, or has no such band.
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
    """Makes scenes and writes everything the module's description lists, or what is lacking of it.

    Args:
        folder: where to write; made if need be.
        scenes: number of scenes for training.
        test_scenes: number of scenes for the test, which have no truth.
        band: `NIR` or `RED`.
        rows: rows of the images of 300 m.
        columns: their columns.
        seed: the same arguments give the same files; scenes do not depend on the numbers of scenes.
        landscapes: files of images to look at, in turn; by default landscapes are made.
        landscape_band: their band to look at, counted from 1.

    Raises:
        ValueError: the folder holds scenes that are whole or other ones, or as `read_landscape` and `cut_ground`.
        OSError: nothing can be written there.
        RuntimeError: an image cannot be written there.
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
    """Prepares a folder for scenes, or for those which an interrupted run has left."""
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
    """Writes a scene, all of it or nothing."""
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
    """Writes a text file, all of it or nothing."""
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
        help=f"images to look at, instead of landscapes made; a pixel stands for {LANDSCAPE_GSD:g} m, 0 for none",
    )
    add("--landscape-band", type=int, default=1, metavar="N", help="their band to look at (default: %(default)s)")
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
