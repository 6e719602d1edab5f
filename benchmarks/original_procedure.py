# SPDX-License-Identifier: Apache-2.0
"""DSen2 as its authors ran it in 2018, reimplemented: the whole image in memory, all patches predicted in one call.

Images are padded and cut into overlapping patches; scikit-image interpolates each band of each patch; Keras' `predict`
processes all of them; their centres are joined and written as an uncompressed GeoTIFF of 64-bit numbers. The weights
are those of this project's networks.

    python -m benchmarks.original_procedure --input S1998_10m.tif S1998_20m.tif S1998_60m.tif --model-dir networks \
        --output original.tif
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

SCALE = 2000
"""Digital numbers that the networks take for 1."""
RANGE = 30000
"""Digital numbers are divided by it while they are interpolated."""
PATCH_AND_BORDER = {2: (128, 8), 6: (192, 12)}
"""Side and border of patches, in 10 m pixels, by the ratio of the coarsest image."""
RATIOS = {"2x": (1, 2), "6x": (1, 2, 6)}
"""For each network, 10 m pixels along a pixel of each of its images."""
BANDS = {1: ("B04", "B03", "B02", "B08"), 2: ("B05", "B06", "B07", "B8A", "B11", "B12"), 6: ("B01", "B09")}
"""Bands of the images, by ratio."""


def corners(length: int, step: int) -> list[int]:
    """Return the starts of tiles along an axis; the last one is moved back to end with the image."""
    whole = [index * step for index in range(length // step)]
    return whole + [length - step] * (length % step > 0)


def cut(image: np.ndarray, ratio: int, scale: int) -> np.ndarray:
    """Cut an image into patches with borders.

    Args:
        image: (rows, columns, bands).
        ratio: number of 10 m pixels along one of its pixels.
        scale: ratio of the coarsest image, on whose pixels tiles begin.

    Returns:
        float32 (patches, side, side, bands).
    """
    patch, border = PATCH_AND_BORDER[scale]
    side, margin, step = patch // ratio, border // ratio, (patch - 2 * border) // scale
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    rows, columns = (length * ratio // scale for length in image.shape[:2])
    places = [(i * scale // ratio, j * scale // ratio) for i in corners(rows, step) for j in corners(columns, step)]
    return np.stack([padded[i : i + side, j : j + side] for i, j in places]).astype(np.float32)


def interpolate(patches: np.ndarray, ratio: int) -> np.ndarray:
    """Interpolate patches (patches, side, side, bands) to 10 m, each band of each patch separately."""
    from skimage.transform import resize

    count, rows, columns, bands = patches.shape
    result = np.zeros((count, rows * ratio, columns * ratio, bands), np.float32)
    for index in range(count):
        for band in range(bands):
            fine = resize(patches[index, ..., band] / RANGE, result.shape[1:3], order=1, mode="reflect")
            result[index, ..., band] = fine * RANGE
    return result


def put_together(patches: np.ndarray, rows: int, columns: int, scale: int) -> np.ndarray:
    """Join the centres of patches (patches, side, side, bands) to an image at 10 m, (rows, columns, bands)."""
    patch, border = PATCH_AND_BORDER[scale]
    side = patch - 2 * border
    result = np.zeros((rows, columns, patches.shape[3]), np.float32)
    centres = iter(patches[:, border:-border, border:-border])
    for i in corners(rows // scale, side // scale):
        for j in corners(columns // scale, side // scale):
            result[i * scale : i * scale + side, j * scale : j * scale + side] = next(centres)
    return result


def super_resolve(images: Sequence[np.ndarray], ratios: Sequence[int], network) -> np.ndarray:
    """Sharpen the last image.

    Args:
        images: digital numbers, each (rows, columns, bands) at its resolution.
        ratios: number of 10 m pixels along one pixel of each.
        network: the Keras model.

    Returns:
        float32 (rows, columns, bands) at 10 m, digital numbers.
    """
    scale = ratios[-1]
    tensors = []
    for image, ratio in zip(images, ratios):
        patches = cut(image, ratio, scale)
        tensors.append((patches if ratio == 1 else interpolate(patches, ratio)) / SCALE)
    made = network.predict(tensors, verbose=0)
    return put_together(made, *images[0].shape[:2], scale) * SCALE


def make_network(arguments: Mapping, weights: Path):
    """Make the Keras model of the paper, with all inputs at 10 m and the weights of a model of this project.

    Args:
        arguments: `role`, `depth` and `num_blocks`.
        weights: folder of an exported model.
    """
    from tensorflow.keras import Input, Model, layers

    from models.weights_file import load_weights

    depth = arguments["depth"]

    def convolution(tensor, bands, name):
        return layers.Conv2D(bands, 3, padding="same", name=name)(tensor)

    inputs = [Input((None, None, len(BANDS[ratio]))) for ratio in RATIOS[arguments["role"]]]
    features = layers.ReLU()(convolution(layers.Concatenate()(inputs), depth, "first"))
    for number in range(1, arguments["num_blocks"] + 1):
        branch = layers.ReLU()(convolution(features, depth, f"block{number}_1"))
        branch = layers.Rescaling(0.1)(convolution(branch, depth, f"block{number}_2"))
        features = layers.Add()([features, branch])
    details = convolution(features, inputs[-1].shape[-1], "last")
    model = Model(inputs, layers.Add()([inputs[-1], details]))
    load_weights(model, weights)
    return model


def read(path: Path) -> np.ndarray:
    """Read a raster, (rows, columns, bands)."""
    from osgeo import gdal

    return np.moveaxis(gdal.Open(str(path)).ReadAsArray(), 0, 2)


def write(path: Path, bands: Mapping[str, np.ndarray], like: Path) -> None:
    """Write bands (rows, columns) as an uncompressed GeoTIFF of 64-bit numbers, on the grid of a raster."""
    from osgeo import gdal

    reference = gdal.Open(str(like))
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), reference.RasterXSize, reference.RasterYSize, len(bands), gdal.GDT_Float64, ["BIGTIFF=IF_SAFER"]
    )
    dataset.SetGeoTransform(reference.GetGeoTransform())
    dataset.SetProjection(reference.GetProjection())
    for number, (name, values) in enumerate(bands.items(), start=1):
        dataset.GetRasterBand(number).SetDescription(name)
        dataset.GetRasterBand(number).WriteArray(values)
    dataset.FlushCache()


def main(argv=None) -> int:
    """Super-resolve an image."""
    from models.description import read_description

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, nargs=3, required=True, help="the images of 10, 20 and 60 m")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the networks 2x and 6x")
    parser.add_argument("--output", type=Path, required=True, help="the GeoTIFF")
    arguments = parser.parse_args(argv)
    images = dict(zip(BANDS, map(read, arguments.input)))
    fine = {1: images[1]}
    for role, ratios in sorted(RATIOS.items(), reverse=True):
        folder = arguments.model_dir / role
        network = make_network(read_description(folder).arguments, folder)
        fine[ratios[-1]] = super_resolve([images[ratio] for ratio in ratios], ratios, network)
    bands = {name: fine[ratio][..., index] for ratio in BANDS for index, name in enumerate(BANDS[ratio])}
    write(arguments.output, bands, arguments.input[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
