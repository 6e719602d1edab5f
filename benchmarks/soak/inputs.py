# SPDX-License-Identifier: Apache-2.0
"""Small inputs and small networks for the programs that are disturbed: made in seconds, read in less."""

import datetime
import json
import shutil
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

gdal.UseExceptions()

SIDE = 72
DATES = 10
BANDS = ("B04", "B03", "B02", "B08")
COARSE_BANDS = ("B05", "B06", "B07", "B8A", "B11", "B12")
REMOTE = "S2A_MSIL2A_20210714T105629_N0213_R094_T31UDQ_20210714T182657"


def raster(
    path: Path, bands: tuple[str, ...], side: int, gsd: float, seed: int = 0, top: int = 9000, noise: float = 0.0
) -> None:
    """Write bands of random pixels, of a place; pictures of one seed differ by noise."""
    pixels = np.random.default_rng((side, seed)).integers(top // 10, top, (len(bands), side, side))
    pixels = (pixels + np.random.default_rng(int(noise)).normal(0, noise, pixels.shape)).clip(1).astype(np.uint16)
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), side, side, len(bands), gdal.GDT_UInt16)
    dataset.SetGeoTransform((300000.0, gsd, 0.0, 5000040.0, 0.0, -gsd))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    dataset.SetProjection(crs.ExportToWkt())
    dataset.WriteArray(pixels)
    for number, band in enumerate(bands, 1):
        dataset.GetRasterBand(number).SetDescription(band)


def model(folder: Path, module: str, name: str, **arguments: object) -> None:
    """Export a small network."""
    import importlib

    from models.base import export

    export(getattr(importlib.import_module(f"models.{module}"), name).from_bands(**arguments), folder / "model")


def one_image(folder: Path) -> None:
    """Make an image at 6 m, and a network of Spot-7."""
    raster(folder / "image.tif", BANDS, SIDE, 6.0)
    model(folder, "spot7", "SRModel", depth=2, num_blocks=1)


def two_images(folder: Path) -> None:
    """Make another image beside it."""
    one_image(folder)
    raster(folder / "other.tif", BANDS, SIDE, 6.0, seed=1)


def remote_image(folder: Path) -> None:
    """Make an item of images that are served, and a network of Spot-7."""
    from simulate.items import make_item

    images = folder / "blobs" / REMOTE
    images.mkdir(parents=True)
    for number, band in enumerate(BANDS):
        raster(images / f"{band}.tif", (band,), SIDE, 6.0, number)
    when = datetime.datetime(2021, 7, 14, 10, 56, 29)
    item = make_item(REMOTE, images, when, {}, [], {"s2:processing_baseline": "02.13"})
    (folder / "item.json").write_text(json.dumps(item))
    model(folder, "spot7", "SRModel", depth=2, num_blocks=1)


def scene(folder: Path) -> None:
    """Make bands of 10 and 20 m, and a network of DSen2."""
    raster(folder / "a_10m.tif", BANDS, SIDE, 10.0)
    raster(folder / "a_20m.tif", COARSE_BANDS, SIDE // 2, 20.0)
    model(folder, "dsen2", "DSen2", role="2x", depth=2, num_blocks=1)


def raw_image(folder: Path) -> None:
    """Make an image of level 1B, and weights of L1BSR, of which a program makes the SavedModel in its cache."""
    raster(folder / "image.tif", ("B02", "B03", "B04", "B08"), 96, 10.0, top=900)
    model(folder, "l1bsr", "REC", num_groups=1, num_blocks=1, depth=4, reduction=2)
    for name in ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb"):
        (folder / "model" / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "model" / "variables")


def dates(folder: Path) -> None:
    """Make images of several dates, which are of one place, and a network of DeepSUM."""
    for number in range(DATES):
        raster(folder / f"date{number}.tif", ("nir",), 24, 300.0, noise=5.0 * number)
    model(folder, "deepsum", "DeepSUM", depth=2)


def training_scene(folder: Path) -> None:
    """Make a scene of 10, 20 and 60 m, to train on."""
    for gsd, bands in ((10, BANDS), (20, COARSE_BANDS), (60, ("B01", "B09"))):
        raster(folder / f"scene_{gsd}m.tif", bands, 1200 // gsd, float(gsd))


def patches(folder: Path) -> None:
    """Make images of patches of 8 and 32 pixels."""
    for name, count in (("train", 3), ("valid", 2), ("test", 2)):
        for source, size in (("lr", 8), ("hr", 32)):
            draw = np.random.default_rng(count)
            driver = gdal.GetDriverByName("GTiff")
            image = driver.Create(str(folder / f"{name}_{source}.tif"), size, count * size, 4, gdal.GDT_UInt16)
            image.WriteArray(draw.integers(500, 3000, (4, count * size, size)).astype(np.uint16))


def pairs(folder: Path) -> None:
    """Make pairs of detectors, and a network that registers."""
    from simulate.detector_pairs import write_pairs

    write_pairs(folder / "pairs", 3, rows=48, columns=40)
    model(folder, "l1bsr", "CSR", depth=4)


def challenge(folder: Path) -> None:
    """Make scenes of the challenge."""
    from simulate.probav_scenes import write_scenes

    write_scenes(folder / "scenes", 7, rows=36, columns=36, seed=11)


def records(folder: Path) -> None:
    """Make records of such scenes."""
    from datasets.deepsum.options import Options
    from datasets.deepsum.records import make_records

    challenge(folder)
    make_records(folder / "scenes", folder / "records", Options(chunks=1, patches=2))


def records_and_features(folder: Path) -> None:
    """Make records, and train the first part of DeepSUM."""
    from train.deepsum import Options, train

    records(folder)
    short = Options(stage="sisrnet", depth=2, epochs=1, steps_per_epoch=1, batch_size=1)
    train(str(folder / "records"), folder / "sisrnet", short)


def landscape(folder: Path) -> None:
    """Make images of Spot-7, and items of Sentinel-2 that are served."""
    from simulate.scenes import ACQUISITIONS, write_scenes

    write_scenes(folder / "landscape", 256, 40, 3, ACQUISITIONS[:2])


def published(folder: Path) -> None:
    """Make a file of weights that torch has written."""
    shutil.copy(Path(__file__).resolve().parents[2] / "tests" / "weights" / "data" / "state_dict_2x.pt", folder)
