# SPDX-License-Identifier: Apache-2.0
"""A synthetic Sentinel-2 scene for measurements: three GeoTIFFs of 10, 20 and 60 m, of any size.

It consists of fields, relief and noise, correlated between bands and resolutions, so that compression and computation
cost as much as with a real scene. It is written window by window and never held completely.

    python -m benchmarks.scene --side 1998 --output benchmarks/output/scenes
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from chain.runtime.files import whole_file
from chain.sentinel2.bands import BANDS

gdal.UseExceptions()

FILES = {10: ("B04", "B03", "B02", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}
"""Bands of each file, by its spacing in metres."""
FULL_TILE = 10980
"""Side of a tile of Sentinel-2, in pixels of 10 m."""
WINDOW = 1536
"""Side of a window, in pixels of 10 m: whole blocks of each file."""
SPACINGS = (384, 96, 24, 6)
"""Distances between the points of the fields of noise, in pixels of 10 m."""
FIELD = 30
"""Side of a field of the landscape, in pixels of 10 m."""
NOISE = 25.0
"""Standard deviation of the sensor's noise, in digital numbers."""
LEVELS = {"B01": 1300, "B02": 1100, "B03": 1050, "B04": 950, "B05": 1300, "B06": 2200, "B07": 2600}
LEVELS |= {"B08": 2700, "B8A": 2900, "B09": 900, "B11": 2000, "B12": 1300}
"""Mean of each band, in digital numbers."""


class Landscape:
    """Fields of random numbers over a square of ground, independent of the windows.

    Args:
        side: its side, in pixels of 10 m.
        seed: seed of the random numbers.
    """

    def __init__(self, side: int, seed: int = 0):
        generator = np.random.default_rng(seed)
        self._seed = seed
        self._points = {
            spacing: generator.standard_normal((2, side // spacing + 2, side // spacing + 2), np.float32)
            for spacing in SPACINGS
        }
        self._fields = generator.standard_normal((2, side // FIELD + 1, side // FIELD + 1), np.float32)

    def window(self, x: int, y: int, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return two layers of a window, each float32 (rows, columns): brightness and greenness of the ground."""
        layers = []
        for index in range(2):
            across, down = (np.arange(start, start + count) // FIELD for start, count in ((x, columns), (y, rows)))
            layer = 0.6 * self._fields[index][np.ix_(down, across)]
            for spacing, points in self._points.items():
                weights_down, weights_across = (
                    _weights(start, count, spacing, points.shape[1]) for start, count in ((y, rows), (x, columns))
                )
                layer += (0.5 if spacing > 24 else 0.2) * (weights_down @ points[index] @ weights_across.T)
            layers.append(layer)
        return layers[0], layers[1]

    def band(self, name: str, layers: tuple[np.ndarray, np.ndarray], place: tuple[int, int]) -> np.ndarray:
        """Return a band, uint16 (rows, columns), from the layers at its spacing and position-dependent noise."""
        order = list(BANDS).index(name)
        bright, green = layers
        generator = np.random.default_rng((self._seed, order, *place))
        noise = generator.standard_normal(bright.shape, np.float32) * np.float32(NOISE)
        share = np.float32(np.cos(order))
        values = LEVELS[name] * np.exp(np.float32(0.22) * (bright + share * green)) + noise
        return np.rint(np.clip(values, 1, 65535)).astype(np.uint16)


def _weights(start: int, count: int, spacing: int, points: int) -> np.ndarray:
    """Return the matrix (count, points) that interpolates points linearly to pixels, starting at a first one."""
    positions = np.arange(start, start + count) / spacing
    before = positions.astype(int)
    weights = np.zeros((count, points), np.float32)
    weights[np.arange(count), before] = 1 - (positions - before)
    weights[np.arange(count), before + 1] = positions - before
    return weights


def _mean(layer: np.ndarray, ratio: int) -> np.ndarray:
    """Return the means of blocks of `ratio` x `ratio` pixels."""
    rows, columns = layer.shape
    return layer.reshape(rows // ratio, ratio, columns // ratio, ratio).mean(axis=(1, 3), dtype=np.float32)


def write_scene(folder: Path, side: int) -> list[Path]:
    """Write a scene, unless it exists.

    Args:
        folder: folder to write into.
        side: its side, in pixels of 10 m, a multiple of 6.

    Returns:
        The files of 10, 20 and 60 m.

    Raises:
        ValueError: the side is not a multiple of 6.
    """
    if side % 6 or side < 6:
        raise ValueError(f"--side: expected a multiple of 6, got {side}")
    paths = [folder / f"S{side}_{spacing}m.tif" for spacing in FILES]
    if all(path.exists() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(paths[0]) as fine, whole_file(paths[1]) as medium, whole_file(paths[2]) as coarse:
        datasets = {spacing: _create(path, side, spacing) for spacing, path in zip(FILES, (fine, medium, coarse))}
        landscape = Landscape(side)
        for y in range(0, side, WINDOW):
            for x in range(0, side, WINDOW):
                layers = landscape.window(x, y, min(WINDOW, side - x), min(WINDOW, side - y))
                for spacing, bands in FILES.items():
                    ratio = spacing // 10
                    coarser = (_mean(layers[0], ratio), _mean(layers[1], ratio))
                    for number, name in enumerate(bands, start=1):
                        values = landscape.band(name, coarser, (x, y))
                        datasets[spacing].GetRasterBand(number).WriteArray(values, x // ratio, y // ratio)
        while datasets:
            datasets.popitem()[1].FlushCache()
    return paths


def _create(path: Path, side: int, spacing: int) -> gdal.Dataset:
    """Create the file of the bands of a spacing."""
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    size, bands = side * 10 // spacing, FILES[spacing]
    options = ["TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2", "BIGTIFF=IF_SAFER"]
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), size, size, len(bands), gdal.GDT_UInt16, options)
    dataset.SetGeoTransform((300000.0, float(spacing), 0.0, 5000040.0, 0.0, -float(spacing)))
    dataset.SetProjection(crs.ExportToWkt())
    for number, name in enumerate(bands, start=1):
        dataset.GetRasterBand(number).SetDescription(name)
    return dataset


def main(argv=None) -> int:
    """Write a scene, and print the names of its files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output/scenes"), help="folder")
    parser.add_argument("--side", type=int, default=FULL_TILE, help="side in pixels of 10 m (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        paths = write_scene(arguments.output, arguments.side)
    except ValueError as error:
        parser.error(str(error))
    print(*paths, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
