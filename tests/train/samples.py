# SPDX-License-Identifier: Apache-2.0
"""Tiny samples of each kind that trainings take, by the name of the argument that takes them.

`SAMPLES[name](folder, model)` makes the samples of a system, given a class of its models, and returns the argument and
the options that go with samples so small.
"""

from pathlib import Path

import numpy as np
from osgeo import gdal, osr
from scipy.ndimage import gaussian_filter, zoom

SIDE = 120
"""Rows and columns of scenes, in pixels of 10 m."""


def write_raster(path, pixels, gsd, bands):
    """Write (rows, columns, bands) as a raster of a place, with the bands' names."""
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), pixels.shape[1], pixels.shape[0], pixels.shape[2], gdal.GDT_UInt16
    )
    dataset.SetGeoTransform((300000.0, gsd, 0.0, 5000040.0, 0.0, -gsd))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    dataset.SetProjection(crs.ExportToWkt())
    for number, name in enumerate(bands):
        dataset.GetRasterBand(number + 1).WriteArray(pixels[..., number])
        dataset.GetRasterBand(number + 1).SetDescription(name)
    dataset.FlushCache()


def write_scene(folder, seed=0, side=SIDE):
    """Write rasters of 10, 20 and 60 m whose bands mix the same three materials, and return their names."""
    from models.dsen2 import SOURCES

    rng = np.random.default_rng(seed)
    cover = np.stack([gaussian_filter(rng.normal(size=(side, side)), width) for width in (0.8, 1.5, 3.0)], axis=-1)
    cover = np.abs(cover) / np.abs(cover).mean(axis=(0, 1))
    spectra, names = np.random.default_rng(99), []
    for source in SOURCES.values():
        ratio = round(source.gsd / 10)
        fine = 300 + cover @ spectra.uniform(100, 500, (3, len(source.bands)))
        coarse = fine.reshape(side // ratio, ratio, side // ratio, ratio, -1).mean(axis=(1, 3))
        names.append(str(folder / f"scene{seed}_{source.gsd:.0f}m.tif"))
        write_raster(names[-1], np.round(coarse), source.gsd, source.bands)
    return names


def write_patches(path, patches):
    """Write (patches, size, size, bands) as a patches image."""
    count, size, _, bands = patches.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), size, count * size, bands, gdal.GDT_UInt16)
    for band in range(bands):
        dataset.GetRasterBand(band + 1).WriteArray(patches[..., band].reshape(count * size, size))
    dataset.FlushCache()


def patches(folder: Path, model: type):
    """Make patches images of a model's sources and of its target, `hr`."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 3), ("valid", 2), ("test", 2)):
        coarse = rng.integers(500, 3000, (count, 8, 8, len(model.bands)))
        for source in (*model.sources, None):
            gsd = source.gsd if source else model.gsd
            ratio = model.sources[0].gsd / gsd
            fine = zoom(coarse.astype("float32"), (1, ratio, ratio, 1), order=1)
            write_patches(folder / f"{name}_{source.name if source else 'hr'}.tif", fine.astype("uint16"))
    return str(folder), {}


def scenes(folder: Path, model: type):
    """Make a scene of Sentinel-2."""
    return [write_scene(folder)], {"offset": 0, "patch_size": 6, "samples": 4}


def pairs(folder: Path, model: type):
    """Make pairs of two detectors' images."""
    from simulate.detector_pairs import write_pairs

    write_pairs(folder / "set", 3, rows=48, columns=40)
    return str(folder / "set"), {"crop": 32, "crops_per_pair": 1, "valid_share": 0.4, "supervised": True}


def records(folder: Path, model: type):
    """Make records of DeepSUM."""
    from datasets.deepsum.options import Options
    from datasets.deepsum.records import make_records
    from simulate.probav_scenes import write_scenes

    write_scenes(folder / "scenes", 7, rows=36, columns=36, seed=11)
    make_records(folder / "scenes", folder / "records", Options(chunks=1, patches=2))
    return str(folder / "records"), {}


SAMPLES = {"patches": patches, "input": scenes, "pairs": pairs, "records": records}
