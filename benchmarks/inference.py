# SPDX-License-Identifier: Apache-2.0
"""Spot-7 inference at several sizes: time should grow with the number of pixels, memory should not.

Each size is a run of `python -m inference.spot7 --box` over the same simulated 10 m image, with an untrained network
(`--size small`), in its own process.

    python -m benchmarks.inference --output benchmarks/output
"""

import argparse
import sys
from pathlib import Path

from benchmarks.measure import Measurement, measure

SIDES = (1000, 2000, 4000)


def image(path: Path, side: int) -> Path:
    """Write a Sentinel-2-like image of smooth fields and noise once; return its path."""
    if path.exists():
        return path
    import numpy as np
    from osgeo import gdal, osr

    gdal.UseExceptions()
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), side, side, 4, gdal.GDT_UInt16, ["TILED=YES", "COMPRESS=DEFLATE"]
    )
    dataset.SetGeoTransform((300000.0, 10.0, 0.0, 5000040.0, 0.0, -10.0))
    dataset.SetProjection(crs.ExportToWkt())
    generator = np.random.default_rng(0)
    for number, name in enumerate(("B04", "B03", "B02", "B08"), start=1):
        fields = np.kron(generator.integers(400, 3000, (-(-side // 25),) * 2), np.ones((25, 25)))[:side, :side]
        band = dataset.GetRasterBand(number)
        band.WriteArray((fields + generator.normal(0, 30, fields.shape)).astype("uint16"))
        band.SetDescription(name)
    return path


def model(folder: Path) -> Path:
    """Export an untrained small network once; return its folder."""
    if not folder.exists():
        command = "import sys; from models.base import export; from models.spot7 import SIZES, SRModel; "
        command += "export(SRModel.from_bands(**SIZES['small']), sys.argv[1])"
        measure([[sys.executable, "-c", command, str(folder)]], folder.parent)
    return folder


def table(rows: dict[int, Measurement]) -> str:
    """Markdown table of time, rate and memory by size."""
    lines = [
        "| input at 10 m | product at 1.5 m | wall time, s | input Mpixel/s | output Mpixel/s | peak memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for side, run in rows.items():
        product = -(-side * 10 // 6) * 4
        lines.append(
            f"| {side}² | {product}² | {run.seconds:.1f} | {side**2 / run.seconds / 1e6:.3f} "
            f"| {product**2 / run.seconds / 1e6:.2f} | {run.peak_memory / 2**20:.0f} |"
        )
    return "\n".join(lines)


def run(output: Path, sides: tuple[int, ...] = SIDES) -> str:
    """Measure each size; return the table."""
    work = output / "inference"
    source, network = image(work / f"sentinel2_{max(sides)}.tif", max(sides)), model(work / "model")
    rows = {}
    for side in sides:
        command = [sys.executable, "-m", "inference.spot7", "--input", str(source), "--offset", "0", "--overwrite"]
        command += [
            "--model-dir",
            str(network),
            "--output",
            str(work / f"sr{side}.tif"),
            "--box",
            f"0,0,{side},{side}",
        ]
        rows[side] = measure([command], work / f"inference{side}")
    return table(rows)


def main(argv=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output"), help="work folder")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="sides of the input, in pixels of 10 m")
    arguments = parser.parse_args(argv)
    print(run(arguments.output, tuple(arguments.sides)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
