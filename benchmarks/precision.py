# SPDX-License-Identifier: Apache-2.0
"""Difference of other precisions from float32, with this project's networks of DSen2 on real scenes.

Each scene is divided into tiles like a chessboard. int8 is calibrated on one half; all are measured on the other half.
Differences are in digital numbers (DN, reflectance x 10000), before rounding. The last table gives their effect: errors
against the truth by Wald's protocol, on scenes degraded as by `evaluation.wald`.

    python -m benchmarks.precision --data ../shared/data --output benchmarks/output
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import otbApplication  # noqa: F401 (before tensorflow, whose copy of sqlite lacks rtree)
from osgeo import gdal

from chain.serving.engines.opening import open_engine
from chain.serving.exported_models import served_folder
from chain.serving.precision.quantization import quantized_folder
from datasets.wald import degrade
from models.description import ModelDescription, read_description

gdal.UseExceptions()

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "dsen2"
ROLES = ("2x", "6x")
SCENES = {
    "s2_l2a_majortom_48QUE_native/T48QUE_20200223": "L2A, villages, fields, a lake (Thailand)",
    "s2_l1c_dsen2_native/S2A_MSIL1C_20170527_T33UUB": "L1C, fields, villages (Germany)",
    "s2_l1c_coastal_iceland_native/coastalA": "L1C, sea, shore, fields",
    "s2_l1c_ssl4eo_brazil_native/l1c_T24KVE_20180710": "L1C, forest, fields, a cloud (Brazil)",
    "s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200813": "L2A, small fields (Pakistan)",
}
"""Scenes by their files, and what they are."""
WAYS = {
    "bfloat16": ("tensorflow", "bfloat16"),
    "float32 on OpenVINO": ("openvino", "float32"),
    "int8 on OpenVINO": ("openvino", "int8"),
}
"""What is compared with float32 on TensorFlow: engines and precisions."""
SIDE = 144
"""Side of a tile at least, in pixels of 10 m."""
DIGITAL_NUMBERS = np.float32(1e4)

Images = Mapping[str, np.ndarray]


def read(stem: Path, description: ModelDescription) -> dict[str, np.ndarray]:
    """Read the sources of a network from a scene's three files: float32 (rows, columns, bands), of the same ground."""
    images = {}
    for source in description.sources:
        dataset = gdal.Open(f"{stem}_{source.gsd:g}m.tif")
        bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
        found = {band.GetDescription().split()[0]: band.ReadAsArray().astype(np.float32) for band in bands}
        images[source.name] = np.stack([found[band] for band in source.bands], axis=2)
    return cut(images, description, 0, 0, *whole(images, description))


def whole(images: Images, description: ModelDescription) -> tuple[int, int]:
    """Return the rows and columns, in output pixels, that all images cover with whole pixels of the coarsest."""
    coarsest = description.sources[-1]
    ratio = round(coarsest.gsd / description.gsd)
    return tuple(
        min(images[s.name].shape[axis] * round(s.gsd / description.gsd) for s in description.sources) // ratio * ratio
        for axis in (0, 1)
    )


def cut(images: Images, description: ModelDescription, y: int, x: int, rows: int, columns: int) -> dict:
    """Return a part of images, with its position in output pixels."""
    parts = {}
    for source in description.sources:
        ratio = round(source.gsd / description.gsd)
        parts[source.name] = images[source.name][y // ratio : (y + rows) // ratio, x // ratio : (x + columns) // ratio]
    return parts


def halves(images: Images, description: ModelDescription) -> tuple[list, list]:
    """Return the tiles of the two halves of a scene, like a chessboard."""
    step = round(description.sources[-1].gsd / description.gsd)
    edges = []
    for length in whole(images, description):
        count = max(length // SIDE, 2)
        edges.append([length * number // count // step * step for number in range(count + 1)])
    found = ([], [])
    for row, (top, bottom) in enumerate(zip(edges[0], edges[0][1:])):
        for column, (left, right) in enumerate(zip(edges[1], edges[1][1:])):
            tile = cut(images, description, top, left, bottom - top, right - left)
            found[(row + column) % 2].append(tile)
    return found


def folders_of(role: str, tiles: list, cache: Path) -> dict[str, Path]:
    """Return the folder of a role's network for each way, int8 made from tiles."""
    exact = served_folder(WEIGHTS / role, cache)
    return {
        "bfloat16": served_folder(WEIGHTS / role, cache, "bfloat16"),
        "float32 on OpenVINO": exact,
        "int8 on OpenVINO": quantized_folder(exact, tiles, cache),
    }


def made(engine: str, folder: Path, tile: Images, description: ModelDescription) -> np.ndarray:
    """Return the output of a network for a tile, mirrored at its borders, in unrounded digital numbers."""
    padded = {}
    for source in description.sources:
        margin = description.crop // round(source.gsd / description.gsd)
        padded[source.name] = np.pad(tile[source.name], ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    return open_engine(engine, str(folder)).run(padded, description.outputs["float"]) * DIGITAL_NUMBERS


def differences(role: str, stem: Path, cache: Path) -> dict[str, np.ndarray]:
    """Return the differences from float32 on one half of a scene, (pixels, bands), for each way."""
    exact = served_folder(WEIGHTS / role, cache)
    description = read_description(exact)
    calibration, test = halves(read(stem, description), description)
    folders = folders_of(role, calibration, cache)
    truth = [made("tensorflow", exact, tile, description) for tile in test]
    found = {}
    for way, (engine, _) in WAYS.items():
        parts = [made(engine, folders[way], tile, description) - right for tile, right in zip(test, truth)]
        found[way] = np.concatenate([part.reshape(-1, part.shape[2]) for part in parts])
    return found


def against_truth(role: str, stem: Path, cache: Path) -> dict[str, float]:
    """Return the errors of all ways by Wald's protocol on a scene: root mean square over all bands, in DN."""
    exact = served_folder(WEIGHTS / role, cache)
    description = read_description(exact)
    scale = round(description.sources[-1].gsd / description.gsd)
    images = read(stem, description)
    truth = images[description.sources[-1].name]
    images = {name: degrade(image, scale) for name, image in images.items()}
    rows, columns = whole(images, description)
    truth, images = truth[:rows, :columns], cut(images, description, 0, 0, rows, columns)
    folders = {"float32": exact, **folders_of(role, halves(images, description)[0], cache)}
    errors = {}
    for way, folder in folders.items():
        found = made(WAYS[way][0] if way in WAYS else "tensorflow", folder, images, description)
        errors[way] = float(np.sqrt(np.mean(np.square(found - truth, dtype=np.float64))))
    return errors


def rms(values: np.ndarray, axis=None) -> np.ndarray:
    """Return the root of the mean square."""
    return np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=axis))


def run(output: Path, data: Path | None = None) -> str:
    """Measure; return three tables.

    Args:
        output: work folder.
        data: folder of real scenes; by default `SR_TEST_DATA`, or `shared/data` beside the checkout.
    """
    data = data or Path(os.environ.get("SR_TEST_DATA", WEIGHTS.parents[2] / "shared" / "data"))
    cache = output / "precision"
    by_scene, by_band, truth = [], [], []
    for role in ROLES:
        bands = read_description(WEIGHTS / role).bands
        all_scenes: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
        for scene, what in SCENES.items():
            found = differences(role, data / scene, cache)
            cells = []
            for way, errors in found.items():
                all_scenes[way].append(errors)
                size = np.abs(errors)
                cells.append(f"{rms(errors):.2f}, {np.quantile(size, 0.9999):.1f}, {size.max():.1f}")
            by_scene.append(f"| {role} | {scene.split('/')[1]}: {what} | {' | '.join(cells)} |")
        for way, parts in all_scenes.items():
            errors = np.concatenate(parts)
            cells = [f"{value:.2f} ({bias:+.3f})" for value, bias in zip(rms(errors, 0), errors.mean(axis=0))]
            text = ", ".join(f"{band} {cell}" for band, cell in zip(bands, cells))
            by_band.append(f"| {role} | {way} | {rms(errors):.2f} | {text} |")
        for scene in list(SCENES)[: 2 if role == "2x" else 1]:
            errors = against_truth(role, data / scene, cache)
            cells = [f"{errors[way]:.2f}" for way in ("float32", *WAYS)]
            truth.append(f"| {role} | {scene.split('/')[1]} | {' | '.join(cells)} |")
    ways = " | ".join(WAYS)
    return "\n".join(
        [
            "Differences from float32 on TensorFlow, DN: root mean square, largest of 9,999 in 10,000, largest of all.",
            "",
            f"| network | scene | {ways} |",
            "|---|---|---|---|---|",
            *by_scene,
            "",
            "All scenes together, DN: root mean square, and that of each band, with the mean difference.",
            "",
            "| network | precision | all bands | each band |",
            "|---|---|---|---|",
            *by_band,
            "",
            "Errors against the truth by Wald's protocol, DN, root mean square over all bands.",
            "",
            f"| network | scene | float32 | {ways} |",
            "|---|---|---|---|---|---|",
            *truth,
        ]
    )


def main(argv=None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    parser.add_argument("--data", type=Path, help="folder of real scenes (default: $SR_TEST_DATA, or ../shared/data)")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, arguments.data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
