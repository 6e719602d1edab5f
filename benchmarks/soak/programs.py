# SPDX-License-Identifier: Apache-2.0
"""The programs that are killed and starved: how each is run on a small input, and what it is to make."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

from benchmarks.soak import inputs

gdal.UseExceptions()

FILES, NETWORK, WORKERS = "files", "network", "workers"
"""What a program gets its work by, and so the faults that it may meet."""
DAY = ("--start-date", "2022-06-15", "--end-date", "2022-09-15")


@dataclass(frozen=True)
class Program:
    """A program, with an input."""

    module: str
    """Its module."""
    prepare: Callable[[Path], None]
    """Makes what it reads, in a folder."""
    words: Callable[[Path, Path, Any], list[str]]
    """Returns its command line, given that folder, what it is to make, and what serves it."""
    made: str
    """Name of what it makes: a file, with others beside it, or a folder."""
    by: str = FILES
    """What it gets its work by."""
    served: str = ""
    """What it gets by HTTP from the stand-in for Planetary Computer, of that folder."""
    several: bool = False
    """Whether it makes several products, of which each of several processes may be refused another."""


def content_of(folder: Path) -> dict[str, str]:
    """Return what has to be the same in all that lies in a folder: names, and digests of pixels, weights and records.

    What tells times, places and versions is known by its name alone, and so are figures of scores.
    """
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() or path.is_symlink()
    }


def _digest(path: Path) -> str:
    """Return a digest of what has to be the same in a file."""
    digest = hashlib.sha256()
    if path.suffix in (".tif", ".png") and path.stem != "scores":
        try:
            dataset = gdal.Open(str(path))
            pixels = dataset.ReadAsArray()
        except RuntimeError:
            return "no whole raster"
        names = [dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1)]
        place = dataset.GetProjection(), dataset.GetGeoTransform()
        digest.update(str((*place, names)).encode() + pixels.tobytes())
    elif path.suffix == ".h5":
        import h5py

        def add(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                digest.update(name.encode() + np.ascontiguousarray(item[()]).tobytes())

        with h5py.File(path) as file:
            file.visititems(add)
    elif path.suffix == ".tfrecord":
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _product(*words: str, of: tuple[str, ...] = ("image.tif",)) -> Callable:
    """Return the command line of a program that makes a product of files; words with `./` are names beside it."""

    def line(folder: Path, output: Path, _: Any) -> list[str]:
        named = ["--input", *(str(folder / name) for name in of), "--output", str(output)]
        found = [str(output.parent / word) if word.startswith("./") else word for word in words]
        return [*named, "--model-dir", str(folder / "model"), "--threads", "1", *found]

    return line


def _training(option: str, names: str, *words: str) -> Callable:
    """Return the command line of a training; words that begin with `./` are names in the folder of its input."""

    def line(folder: Path, output: Path, _: Any) -> list[str]:
        found = [str(folder / word) if word.startswith("./") else word for word in words]
        short = ["--epochs", "2", "--batch-size", "1", "--steps-per-epoch", "1"]
        read = [str(folder / name) for name in names.split(" ")]
        return [option, *read, "--model-dir", str(output), *short, *found]

    return line


def _of_item(folder: Path, output: Path, _: Any) -> list[str]:
    line = _product("--tile-size", "64", "--timeout", "60", of=("item.json",))
    return line(folder, output, None)


def _on_workers(folder: Path, output: Path, cluster: Any) -> list[str]:
    return [*_product("--offset", "0", "--tile-size", "16")(folder, output, None), "--scheduler", cluster.address]


def _of_scenes(folder: Path, output: Path, _: Any) -> list[str]:
    words = ["--model-dir", str(folder / "model"), "--threads", "1", "--offset", "0", "--tile-size", "64"]
    images = [str(folder / name) for name in ("image.tif", "other.tif")]
    return ["--input", *images, "--output-dir", str(output), *words]


def _dataset(folder: Path, output: Path, server: Any) -> list[str]:
    spot = [f"--{name}={folder / 'landscape' / 'spot7' / name}.tif" for name in ("xs", "pan")]
    sizes = ["--lr-patch-size", "8", "--hr-patch-size", "32"]
    return [*spot, *sizes, "--output", str(output), "--stac-url", server.stac_url, *DAY]


SPOT7 = ("--offset", "0", "--tile-size", "64", "--quicklook", "./sr.png")
DSEN2 = _product("--offset", "0", "--tile-size", "24", "--separate", of=("a_10m.tif", "a_20m.tif"))
DEEPSUM = _product("--unmasked", "--block-size", "8", of=tuple(f"date{n}.tif" for n in range(inputs.DATES)))
SCENE = ("--offset", "0", "--role", "2x", "--depth", "4", "--blocks", "1", "--patch-size", "6", "--samples", "4")
PAIRS = ("--crop", "32", "--crops-per-pair", "1", "--valid-share", "0.4")
RECORDS = ("--depth", "2")
SCENES = " ".join(f"scene_{gsd}m.tif" for gsd in (10, 20, 60))


PROGRAMS = {
    "inference.spot7": Program("inference.spot7", inputs.one_image, _product(*SPOT7), "sr.tif"),
    "inference.spot7, item": Program("inference.spot7", inputs.remote_image, _of_item, "sr.tif", NETWORK, "blobs"),
    "inference.spot7, scenes": Program("inference.spot7", inputs.two_images, _of_scenes, "products", several=True),
    "inference.spot7, workers": Program("inference.spot7", inputs.one_image, _on_workers, "sr.tif", WORKERS),
    "inference.dsen2": Program("inference.dsen2", inputs.scene, DSEN2, "sr.tif"),
    "inference.l1bsr": Program("inference.l1bsr", inputs.raw_image, _product(), "sr.tif"),
    "inference.deepsum": Program("inference.deepsum", inputs.dates, DEEPSUM, "sr.tif"),
    "sr_dataset.py": Program("sr_dataset", inputs.landscape, _dataset, "patches", NETWORK, "landscape"),
    "train.spot7": Program(
        "train.spot7",
        inputs.patches,
        _training("--patches", "", "--size", "small", "--depth", "4", "--blocks", "1"),
        "model",
    ),
    "train.dsen2": Program("train.dsen2", inputs.training_scene, _training("--input", SCENES, *SCENE), "model"),
    "train.l1bsr, CSR": Program(
        "train.l1bsr", inputs.pairs, _training("--pairs", "pairs", "--network", "csr", "--depth", "4", *PAIRS), "model"
    ),
    "train.l1bsr, REC": Program(
        "train.l1bsr",
        inputs.pairs,
        _training(
            *(
                "--pairs",
                "pairs",
                "--network",
                "rec",
                "--csr",
                "./model",
                "--blocks",
                "1",
                "--groups",
                "1",
                "--depth",
                "16",
                *PAIRS,
            )
        ),
        "model",
    ),
    "train.deepsum, SISRNet": Program(
        "train.deepsum", inputs.records, _training("--records", "records", "--stage", "sisrnet", *RECORDS), "model"
    ),
    "train.deepsum, RegNet": Program(
        "train.deepsum",
        inputs.records_and_features,
        _training("--records", "records", "--stage", "regnet", "--sisrnet", "./sisrnet", *RECORDS),
        "model",
    ),
    "train.deepsum, joint": Program(
        "train.deepsum", inputs.records, _training("--records", "records", "--stage", "joint", *RECORDS), "model"
    ),
    "datasets.deepsum.records": Program(
        "datasets.deepsum.records",
        inputs.challenge,
        lambda folder, output, _: [
            *("--input", str(folder / "scenes"), "--output", str(output), "--band", "NIR"),
            *("--chunks", "1", "--patches", "2"),
        ],
        "records",
    ),
    "weights.convert_dsen2": Program(
        "weights.convert_dsen2",
        inputs.published,
        lambda folder, output, _: ["--input", str(folder / "state_dict_2x.pt"), "--output", str(output)],
        "models",
    ),
}
"""Programs by name."""
