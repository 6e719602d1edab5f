# SPDX-License-Identifier: Apache-2.0
"""DSen2 as run by the package RSP (remote-sensing-processor 0.3), reimplemented: torch, with tiles mirrored separately.

The 20 m bands are interpolated over the whole image. Tiles that do not overlap are cut, mirrored at their own edges,
stacked, and passed in batches to a scripted torch module, which returns the residuals to the interpolated bands. Each
band is written to its own file. The weights are those of this project's networks.

    python -m benchmarks.rsp_procedure --input S1998_10m.tif S1998_20m.tif --model-dir networks/2x --output folder
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SCALE = 2000
"""Digital numbers that the network takes for 1."""
PATCH, BORDER = 128, 8
"""Side of tiles with their borders, and the borders, in 10 m pixels."""
BATCH = 32
"""Tiles that the network is given at once."""


def read_stack(fine: Path, coarse: Path) -> np.ndarray:
    """Read the 10 m bands, and the 20 m bands interpolated to 10 m (bilinear), float32 (bands, rows, columns)."""
    from osgeo import gdal

    reference = gdal.Open(str(fine))
    left, dx, _, top, _, dy = reference.GetGeoTransform()
    right, bottom = left + dx * reference.RasterXSize, top + dy * reference.RasterYSize
    interpolated = gdal.Warp(
        "",
        str(coarse),
        format="MEM",
        outputBounds=(left, bottom, right, top),
        xRes=dx,
        yRes=-dy,
        resampleAlg="bilinear",
        outputType=gdal.GDT_Float32,
    )
    return np.concatenate([reference.ReadAsArray().astype(np.float32), interpolated.ReadAsArray()])


def cut(image: np.ndarray) -> np.ndarray:
    """Cut an image (bands, rows, columns) into tiles with mirrored borders, (tiles, bands, side, side)."""
    step = PATCH - 2 * BORDER
    bands, rows, columns = image.shape
    padded = np.pad(image, ((0, 0), (0, -rows % step), (0, -columns % step)))
    down, across = (length // step for length in padded.shape[1:])
    tiles = padded.reshape(bands, down, step, across, step).transpose(1, 3, 0, 2, 4).reshape(-1, bands, step, step)
    return np.pad(tiles, ((0, 0), (0, 0), (BORDER, BORDER), (BORDER, BORDER)), mode="symmetric")


def put_together(tiles: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Join the centres of tiles (tiles, bands, side, side) to an image, (bands, rows, columns)."""
    step = PATCH - 2 * BORDER
    down, across, bands = -(-rows // step), -(-columns // step), tiles.shape[1]
    centres = tiles[:, :, BORDER:-BORDER, BORDER:-BORDER].reshape(down, across, bands, step, step)
    return centres.transpose(2, 0, 3, 1, 4).reshape(bands, down * step, across * step)[:, :rows, :columns]


def kernels(weights: Path, blocks: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read the kernels (outputs, inputs, rows, columns) and biases of the convolutions, in order."""
    import h5py

    names = ["first", *(f"block{number}_{part}" for number in range(1, blocks + 1) for part in (1, 2)), "last"]
    with h5py.File(weights, "r") as file:
        for name in names:
            yield file[f"{name}/kernel"][()].transpose(3, 2, 0, 1), file[f"{name}/bias"][()]


def make_network(folder: Path):
    """Make the scripted torch module of an exported model: (batch, bands, rows, columns) to coarse residuals."""
    import torch

    from chain.serving.exported_models import WEIGHTS
    from models.description import read_description

    class Residual(torch.nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first, second

        def forward(self, features):
            return features + 0.1 * self.second(torch.relu(self.first(features)))

    convolutions = []
    for kernel, bias in kernels(folder / WEIGHTS, read_description(folder).arguments["num_blocks"]):
        convolution = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding="same")
        convolution.load_state_dict({"weight": torch.tensor(kernel), "bias": torch.tensor(bias)})
        convolutions.append(convolution)
    first, *inner, last = convolutions
    blocks = [Residual(*pair) for pair in zip(inner[::2], inner[1::2])]
    return torch.jit.freeze(torch.jit.script(torch.nn.Sequential(first, torch.nn.ReLU(), *blocks, last).eval()))


def super_resolve(image: np.ndarray, network, coarse: int, batch: int) -> np.ndarray:
    """Sharpen the last bands.

    Args:
        image: float32 (bands, rows, columns), digital numbers.
        network: the torch module.
        coarse: number of bands to sharpen.
        batch: number of tiles per run of the network.

    Returns:
        uint16 (coarse, rows, columns), truncated digital numbers.
    """
    import torch

    tiles = cut(image) / SCALE
    with torch.no_grad():
        lacking = [network(torch.from_numpy(tiles[first : first + batch])) for first in range(0, len(tiles), batch)]
    made = tiles[:, -coarse:] + torch.cat(lacking).numpy()
    return (put_together(made, *image.shape[1:]) * SCALE).astype(np.uint16)


def write(folder: Path, bands: np.ndarray, like: Path, names: tuple[str, ...]) -> None:
    """Write bands (bands, rows, columns) as compressed files on the grid of a raster."""
    from osgeo import gdal

    reference = gdal.Open(str(like))
    options = ["TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2", "BIGTIFF=IF_SAFER"]
    for name, values in zip(names, bands):
        dataset = gdal.GetDriverByName("GTiff").Create(
            str(folder / f"{name}.tif"), values.shape[1], values.shape[0], 1, gdal.GDT_UInt16, options
        )
        dataset.SetGeoTransform(reference.GetGeoTransform())
        dataset.SetProjection(reference.GetProjection())
        dataset.GetRasterBand(1).SetDescription(name)
        dataset.GetRasterBand(1).WriteArray(values)
        dataset.FlushCache()


def main(argv=None) -> int:
    """Super-resolve an image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, nargs=2, required=True, help="the images of 10 and 20 m")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the network 2x")
    parser.add_argument("--output", type=Path, required=True, help="folder of the files")
    parser.add_argument("--batch", type=int, default=BATCH, help="tiles at once (default: %(default)s)")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    network = make_network(arguments.model_dir)
    names = ("B05", "B06", "B07", "B8A", "B11", "B12")
    made = super_resolve(read_stack(*arguments.input), network, len(names), arguments.batch)
    write(arguments.output, made, arguments.input[0], names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
