# SPDX-License-Identifier: Apache-2.0
"""The main job from STAC query to super-resolved product, on simulated scenes whose truth is known.

Simulates a landscape seen by Spot-7 and Sentinel-2, serves the Sentinel-2 images as the Planetary Computer
does, makes patches with `sr_dataset.py`, trains the small network, super-resolves an area that the training has
not seen, and compares the product with the truth, beside bicubic interpolation. Each step is a command of this
project, printed as it is run; what the command itself prints is in `logs/`.

    python demo.py --output demo
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

BANDS = ("B04", "B03", "B02", "B08")
METRICS = ("l1", "psnr", "ssim", "sam", "ergas")
SCALE = 4
POLLING = 0.5
"""Seconds between two looks at a running command."""
LONGEST_LINE = 100


def run(step: str, command: str, log: Path, environment: dict[str, str] | None = None) -> float:
    """Run one command of this project; print it, and a line that follows it.

    Args:
        step: what the command does.
        command: its arguments after `python`.
        log: file that takes what it prints.
        environment: variables that it needs beside those of this process.

    Returns:
        Its wall time in seconds.

    Raises:
        subprocess.CalledProcessError: it failed; its `output` is the last line that it has printed.
    """
    from tqdm import tqdm

    print(f"\npython {command}", flush=True)
    start = time.monotonic()
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *shlex.split(command)],
            env={**os.environ, **(environment or {})},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        with process, tqdm(desc=step, bar_format="{desc} {elapsed}{postfix}", leave=False, disable=None) as line:
            while process.poll() is None:
                time.sleep(POLLING)
                line.set_postfix_str(last_line(log)[:LONGEST_LINE])
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, last_line(log))
    seconds = round(time.monotonic() - start, 1)
    print(f"{step}: {seconds:.0f} s, {log}", flush=True)
    return seconds


def last_line(log: Path) -> str:
    """Return the last line of a file, or the last state of a progress bar in it."""
    lines = log.read_text(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def read(path: Path):
    """Return a raster as an array (rows, columns, bands), float32, and its GDAL dataset."""
    import numpy as np
    from osgeo import gdal

    dataset = gdal.Open(str(path))
    return np.moveaxis(dataset.ReadAsArray().astype(np.float32), 0, -1), dataset


def bicubic(image: Path, truth):
    """Resample the Sentinel-2 image to the grid of the truth by GDAL's cubic convolution.

    Args:
        image: digital numbers with baseline 04.00's offset of 1000.
        truth: GDAL dataset that gives the grid.

    Returns:
        Array (rows, columns, bands), digital numbers without offset.
    """
    import numpy as np
    from osgeo import gdal

    x, dx, _, y, _, dy = truth.GetGeoTransform()
    bounds = (x, y + dy * truth.RasterYSize, x + dx * truth.RasterXSize, y)
    warped = gdal.Warp(
        "",
        str(image),
        format="MEM",
        outputBounds=bounds,
        xRes=dx,
        yRes=-dy,
        resampleAlg="cubic",
        outputType=gdal.GDT_Float32,
    )
    return np.moveaxis(warped.ReadAsArray(), 0, -1) - 1000.0


def figure(path: Path, images: dict, report: dict) -> None:
    """Draw the same places as bicubic, super-resolved and true, in natural colours, with the scores.

    Args:
        path: the PNG.
        images: title -> array (rows, columns, bands) of digital numbers, red, green, blue first.
        report: as written to `report.json`.
    """
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    truth = images["truth"]
    low, high = np.percentile(truth[..., :3], (1, 99))
    rows, columns = truth.shape[:2]
    side = min(rows, columns) // 3
    corners = [(0, 0), ((rows - side) // 2, (columns - side) // 2), (rows - side, columns - side)]
    canvas, axes = plt.subplots(
        len(corners) + 1, len(images), figsize=(4 * len(images), 4 * (len(corners) + 1)), constrained_layout=True
    )
    for column, (title, image) in enumerate(images.items()):
        shown = np.clip((image[..., :3] - low) / (high - low), 0, 1)
        scores = report.get({"bicubic": "bicubic", "super-resolved": "sr"}.get(title), {})
        caption = "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
        axes[0, column].set_title(f"{title}\n{caption}", fontsize=9)
        axes[0, column].imshow(shown)
        for row, (top, left) in enumerate(corners, start=1):
            axes[row, column].imshow(shown[top : top + side, left : left + side], interpolation="nearest")
    for axis in axes.flat:
        axis.set_axis_off()
    canvas.savefig(path, dpi=80)
    plt.close(canvas)


def report(output: Path, product: Path, held_out: Path, seconds: dict[str, float]) -> dict:
    """Compare the product and bicubic interpolation with the truth; write `report.json` and `report.png`.

    Raises:
        ValueError: the product does not lie on the truth's grid.
    """
    from evaluation.metrics import score

    truth, grid = read(held_out / "truth.tif")
    sr, served = read(product)
    if served.GetGeoTransform() != grid.GetGeoTransform() or sr.shape != truth.shape:
        raise ValueError(
            f"{product}: expected the truth's grid, {grid.GetGeoTransform()} {truth.shape}, "
            f"got {served.GetGeoTransform()} {sr.shape}"
        )
    interpolated = bicubic(held_out / "sentinel2.tif", grid)
    result = {}
    for name, image in (("sr", sr), ("bicubic", interpolated)):
        scores = score(truth / 1e4, image / 1e4, SCALE, BANDS)
        result[name] = {metric: scores[metric] for metric in METRICS}
    result["seconds"] = {**seconds, "total": round(sum(seconds.values()), 1)}
    (output / "report.json").write_text(json.dumps(result, indent=2) + "\n")
    figure(output / "report.png", {"bicubic": interpolated, "super-resolved": sr, "truth": truth}, result)
    return result


def main(argv=None) -> int:
    """Run the demonstration; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("demo"), help="folder for all results (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=3072, help="side of the scene, in 1.5 m pixels (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=16, help="training epochs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of landscape, split and training (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.size < 512 or arguments.size % 4:
        parser.error(f"--size: expected a multiple of 4 from 512 on, got {arguments.size}")
    if arguments.epochs < 1:
        parser.error(f"--epochs: expected at least 1, got {arguments.epochs}")

    from simulate.planetary_computer import LocalPlanetaryComputer

    output, seed, seconds = arguments.output, arguments.seed, {}
    scenes, patches, model, product = (output / name for name in ("scenes", "patches", "model", "sr.tif"))
    (output / "logs").mkdir(parents=True, exist_ok=True)

    def step(name: str, command: str, environment: dict[str, str] | None = None) -> None:
        seconds[name] = run(name, command, output / "logs" / f"{name}.log", environment)

    step("simulate", f"-m simulate.scenes --output '{scenes}' --size {arguments.size} --overwrite --seed {seed}")
    with LocalPlanetaryComputer.of_scenes(scenes) as server:
        step(
            "dataset",
            f"sr_dataset.py --xs '{scenes}/spot7/xs.tif' --pan '{scenes}/spot7/pan.tif' "
            f"--stac-url {server.stac_url} --output '{patches}' --overwrite --seed {seed}",
            server.environment(),
        )
    step(
        "training",
        f"-m train.spot7 --patches '{patches}' --model-dir '{model}' --size small "
        f"--epochs {arguments.epochs} --overwrite --seed {seed}",
    )
    step(
        "inference",
        f"-m inference.spot7 --input '{scenes}/held_out/sentinel2.tif' --model-dir '{model}' "
        f"--output '{product}' --overwrite",
    )
    result = report(output, product, scenes / "held_out", seconds)
    print(f"\n{'':10}" + "".join(f"{name:>12}" for name in result["sr"]))
    for name in ("bicubic", "sr"):
        print(f"{name:10}" + "".join(f"{value:12.5g}" for value in result[name].values()))
    print(
        f"\nproduct {product}, report {output / 'report.json'} and {output / 'report.png'}, "
        f"{result['seconds']['total']:.0f} s"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo.py: error: {shlex.join(error.cmd[1:])} ended with status {error.returncode}: {error.output}")
    except KeyboardInterrupt:
        sys.exit(130)
