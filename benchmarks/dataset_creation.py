# SPDX-License-Identifier: Apache-2.0
"""Patches from Sentinel-2 and Spot-7: one in-memory chain against the same chain run step by step with files.

Both ways use the same local Sentinel-2 bands, XS and PAN (4096 x 4096 pixels at 1.5 m) and write the same kind of
patches. The step-by-step way is that of an OTB user: `otbcli` once per application, with a GeoTIFF for each result.
They are run alternately, twice, and the ratio is that of the sums.

    python -m benchmarks.dataset_creation --output benchmarks/output
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from benchmarks.measure import Measurement, measure

LAUNCHER = Path(__file__).resolve().parents[1] / "native" / "bin" / "otbcli"
PATCH = {"lr": 32, "hr": 128}


def scene(folder: Path, size: int) -> Path:
    """Simulate a scene once; return its folder."""
    if not (folder / "items.json").exists():
        measure(
            [[sys.executable, "-m", "simulate.scenes", "--output", str(folder), "--size", str(size), "--seed", "7"]],
            folder,
        )
    return folder


def sentinel2_bands(scenes: Path) -> list[Path]:
    """The 10 m bands, red, green, blue and near infrared, of the scene's clearest image, which is its first."""
    item = json.loads((scenes / "scene.json").read_text())["items"][0]
    return [scenes / "sentinel2" / item / f"{band}.tif" for band in ("B04", "B03", "B02", "B08")]


def in_memory(scenes: Path, output: Path) -> list[list[str]]:
    """The command of this project."""
    return [
        [
            sys.executable,
            "sr_dataset.py",
            "--xs",
            str(scenes / "spot7/xs.tif"),
            "--pan",
            str(scenes / "spot7/pan.tif"),
            "--sentinel2",
            *map(str, sentinel2_bands(scenes)),
            "--offset",
            "-1000",
            "--output",
            str(output / "patches"),
        ]
    ]


def step_by_step(scenes: Path, output: Path) -> list[list[str]]:
    """The same chain as `otbcli` commands with a file between each two."""
    xs, pan = str(scenes / "spot7/xs.tif"), str(scenes / "spot7/pan.tif")
    sentinel2, harmonised, lr, hr = (str(output / f"{name}.tif") for name in ("sentinel2", "harmonised", "lr", "hr"))

    def otbcli(application, **parameters):
        words = [str(LAUNCHER), application]
        for key, value in parameters.items():
            key = key.replace("_", ".").rstrip(".")
            words += [f"-{key}", *(value if isinstance(value, list) else [str(value)])]
        return words

    expression = "bands(im1, {1, 2, 3, 4}) - {1000, 1000, 1000, 1000}"
    points = {name: str(output / f"{name}.geojson") for name in ("train", "valid", "test")}
    commands = [
        otbcli("ConcatenateImages", il=list(map(str, sentinel2_bands(scenes))), out=[sentinel2, "uint16"]),
        otbcli("BandMathX", il=[sentinel2], exp=expression, out=[harmonised, "uint16"]),
        otbcli("Superimpose", inr=xs, inm=harmonised, out=[lr, "uint16"]),
        otbcli("BundleToPerfectSensor", inp=pan, inxs=xs, out=[hr, "uint16"]),
        otbcli(
            "PatchesSelection",
            **{"in": lr},
            grid_step=PATCH["lr"],
            grid_psize=PATCH["lr"],
            strategy="split",
            strategy_split_trainprop=80,
            strategy_split_validprop=10,
            strategy_split_testprop=10,
            outtrain=points["train"],
            outvalid=points["valid"],
            outtest=points["test"],
        ),
    ]
    for name, vector in points.items():
        commands.append(
            otbcli(
                "PatchesExtraction",
                source1_il=lr,
                source1_out=[str(output / f"{name}_lr.tif"), "uint16"],
                source1_patchsizex=PATCH["lr"],
                source1_patchsizey=PATCH["lr"],
                source1_nodata=0,
                source2_il=hr,
                source2_out=[str(output / f"{name}_hr.tif"), "uint16"],
                source2_patchsizex=PATCH["hr"],
                source2_patchsizey=PATCH["hr"],
                source2_nodata=0,
                vec=vector,
                field="id",
            )
        )
    return commands


def table(rows: dict[str, list[Measurement]]) -> str:
    """A Markdown table of the sums of times and the largest memory and disk, with the ratios to the first row."""
    lines = ["| way | wall time, s | peak memory, MiB | largest folder, MiB | time, ratio |", "|---|---|---|---|---|"]
    first = sum(run.seconds for run in next(iter(rows.values())))
    for name, runs in rows.items():
        seconds = sum(run.seconds for run in runs)
        lines.append(
            f"| {name} | {' + '.join(f'{run.seconds:.1f}' for run in runs)} "
            f"| {max(run.peak_memory for run in runs) / 2**20:.0f} "
            f"| {max(run.disk for run in runs) / 2**20:.0f} | {seconds / first:.2f} |"
        )
    return "\n".join(lines)


def run(output: Path, size: int = 4096, repetitions: int = 2) -> str:
    """Measure both ways in turn; return the table."""
    work = output / "dataset_creation"
    scenes = scene(work / "scenes", size)
    rows = {"`sr_dataset.py`, in memory": [], "`otbcli`, file by file": []}
    for repetition in range(repetitions):
        for name, commands in zip(rows, (in_memory, step_by_step)):
            folder = work / f"{commands.__name__}_{repetition}"
            shutil.rmtree(folder, ignore_errors=True)
            rows[name].append(measure(commands(scenes, folder), folder, {"OTB_TF_NSOURCES": "2"}))
    return table(rows)


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    parser.add_argument("--size", type=int, default=4096, help="scene size, in pixels of 1.5 m (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, arguments.size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
