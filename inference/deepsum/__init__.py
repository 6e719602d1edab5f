# SPDX-License-Identifier: Apache-2.0
"""Make one image of three times the resolution of nine or more unregistered ones, with DeepSUM (Molini et al. 2020).

Of a scene of the PROBA-V challenge, or all scenes of a folder:

    python -m inference.deepsum --input probav_data/test/NIR/imgset1306 --model-dir model --output sr.png
    python -m inference.deepsum --input probav_data --model-dir models/deepsum --output-dir predictions \
        --submission submission.zip
    python -m inference.deepsum --input probav_data --split validation --model-dir model --metrics m.json

Of images of several dates, rasters with masks, SAFE products or STAC items:

    python -m inference.deepsum --input 2022*.tif --masks clear_2022*.tif --model-dir model --output sr.tif
    python -m inference.deepsum --input S2*.SAFE --band B08 --bbox 2.2,48.8,2.3,48.9 --model-dir model --output sr.tif

Such images are brought to the grid of the clearest one, and by a linear map to the mean and the deviation of the data
that the model is made for (`inference/deepsum/stack.py`). The product has their numbers, and pixels a third as large,
from the same corner; it is nodata where no image is clear.

Frames are enlarged, registered in whole fine pixels, and chosen as the authors did (doi:10.1109/TGRS.2019.2959248);
`inference/deepsum/windows.py` tells how windows of nine are chosen, and where that differs from their program
(`--original-windows` does as it did). Images are scored as they are written: 16 bits, rounded.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

from chain.runtime.command_line import add_offset_argument, add_program_arguments, run
from chain.runtime.resources import prepare_process
from chain.serving.options import bbox, box, positive

IMAGES = (".png", ".tif", ".tiff")
SUFFIXES = {"output": IMAGES, "submission": (".zip",), "metrics": (".json",)}
"""What names of files end with."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.deepsum",
        description="Make one image of three times the resolution of nine or more unregistered ones.",
    )
    add = parser.add_argument
    add(
        "--input",
        nargs="+",
        metavar="IMG",
        help="a scene's folder of the PROBA-V challenge (LR, QM), or folders of scenes: of imgset…, of NIR and RED, or "
        "of test and train; or images of nine or more dates: rasters, SAFE folders or zips, STAC items, collections of "
        "items, lists (.txt) of these",
    )
    add("--output", metavar="IMG", help="image of one scene, 16 bits (.png or .tif), or of several dates (.tif)")
    add(
        "--output-dir",
        metavar="DIR",
        help="folder of the images of all scenes, imgsetNNNN.png; those that are done stay",
    )
    add(
        "--band",
        metavar="NAME",
        help="of scenes, NIR or RED (default: both); of images, name or number of their band (default: the only one)",
    )
    add(
        "--on-error",
        choices=["fail", "skip"],
        default="fail",
        help="what one of several scenes, or images, that cannot be used does (default: %(default)s)",
    )
    add(
        "--model-dir",
        metavar="DIR",
        help="folder of the exported model; or of several, NIR and RED, of which that of a scene's band is taken "
        "(default: the project's)",
    )
    add("--overwrite", action="store_true", help="replace --output, or images of --output-dir, that exist")
    windows = parser.add_argument_group("windows of nine frames")
    windows.add_argument(
        "--windows",
        type=positive,
        default=2,
        metavar="N",
        help="number of nines whose results are averaged, at most (default: %(default)s, the authors' n_slide + 1)",
    )
    windows.add_argument(
        "--original-windows",
        action="store_true",
        help="move masks by the shifts that the authors' program takes, which are those of other frames",
    )
    scenes = parser.add_argument_group("scenes of the challenge")
    scenes.add_argument(
        "--split",
        choices=["test", "train", "validation"],
        default="test",
        help="which scenes; validation: those of train that the authors have not trained with (default: %(default)s)",
    )
    scenes.add_argument(
        "--submission",
        metavar="ZIP",
        help="pack the 290 images of --output-dir for the challenge, imgset1160.png to imgset1449.png",
    )
    scenes.add_argument(
        "--metrics",
        metavar="JSON",
        help="file of cPSNR (dB), cSSIM and challenge score of scenes with HR, beside simple methods; also printed",
    )
    scenes.add_argument("--norm", metavar="CSV", help="ESA's baselines (default: norm.csv above the scenes, if any)")
    dates = parser.add_argument_group("images of several dates")
    clear = dates.add_mutually_exclusive_group()
    clear.add_argument(
        "--masks", nargs="+", metavar="IMG", help="a raster for each image, in their order: not 0 where it is clear"
    )
    clear.add_argument("--qa", metavar="BAND", help="name or number of the rasters' band of classes")
    clear.add_argument("--unmasked", action="store_true", help="all pixels with data are clear")
    dates.add_argument(
        "--qa-concealed",
        type=classes,
        metavar="N,...",
        help="classes of --qa, or of Sentinel-2's scene classification, that are not clear (default: 0,3,8,9,10,11)",
    )
    add_offset_argument(dates)
    part = dates.add_mutually_exclusive_group()
    part.add_argument(
        "--box", type=box, metavar="X,Y,W,H", help="part of images on one grid, in pixels: corner, width and height"
    )
    part.add_argument("--bbox", type=bbox, metavar="W,S,E,N", help="part: box of longitudes and latitudes, in degrees")
    dates.add_argument(
        "--statistics",
        choices=["data", "model"],
        default="data",
        help="data: numbers are brought to the mean and deviation of the model's data; model: they are such already "
        "(default: %(default)s)",
    )
    dates.add_argument(
        "--float", action="store_true", help="write float32, nodata NaN (default: uint16, nodata 0, of whole numbers)"
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--block-size",
        type=positive,
        metavar="N",
        help="side of blocks to compute in, in input pixels, beside a margin of 8; they differ where they meet, by as "
        "much as is printed (default: all at once, or as large as memory allows)",
    )
    work.add_argument(
        "--engine",
        choices=["tensorflow", "otbtf"],
        default="tensorflow",
        help="what runs the network: TensorFlow, or OTBTF's TensorflowModelServe (default: %(default)s)",
    )
    work.add_argument(
        "--threads", type=positive, metavar="N", help="threads to compute with (default: the cores there are)"
    )
    add_program_arguments(parser)
    return parser


def classes(text: str) -> tuple[int, ...]:
    """Read numbers of classes."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers separated by commas are wanted. Received: {text}") from None


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when an argument cannot be right, before anything heavy is loaded."""
    for wrong, argument, wanted in (
        (not arguments.input and not arguments.submission, "--input", "it, or --submission,"),
        (arguments.output and arguments.output_dir, "--output", "it or --output-dir"),
        (
            arguments.input and not (arguments.output or arguments.output_dir or arguments.metrics),
            "--output",
            "it, --output-dir or --metrics",
        ),
        (arguments.submission and not arguments.output_dir, "--submission", "--output-dir beside it"),
        (arguments.norm and not arguments.metrics, "--norm", "--metrics beside it"),
        (not arguments.input and arguments.metrics, "--metrics", "--input beside it"),
    ):
        if wrong:
            parser.error(f"argument {argument}: {wanted} is wanted")
    for option, suffixes in SUFFIXES.items():
        name = getattr(arguments, option)
        if name and not name.lower().endswith(suffixes):
            parser.error(f"argument --{option}: a name that ends with {suffixes[0]} is wanted. Received: {name}")
        if name and option != "metrics" and Path(name).exists() and not arguments.overwrite:
            parser.error(f"argument --{option}: a file that does not exist is wanted, or --overwrite. Received: {name}")


def infer(arguments: argparse.Namespace) -> None:
    """Make what the command line asks for.

    Raises:
        ValueError: images, the model or the options do not suit each other.
        FileExistsError: an image is there that must not be replaced.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
    """
    prepare_process(arguments.threads)
    from chain.serving.product_file import check_output
    from inference.deepsum.scenes import make_all, make_one, pack

    for option in SUFFIXES:
        name = getattr(arguments, option)
        if name:
            check_output(Path(name), arguments.overwrite or option == "metrics", f"--{option}")
    folders = _folders(arguments)
    if arguments.output and len(folders) > 1:
        raise ValueError(f"--output: --output-dir is wanted for several scenes. Received: {len(folders)}")
    if folders and arguments.output:
        make_one(arguments, folders[0], _way_of(arguments)(folders[0]))
    elif folders:
        make_all(arguments, folders, _way_of(arguments))
    elif arguments.input:
        _make_product(arguments)
    if arguments.submission:
        pack(arguments)


def _folders(arguments: argparse.Namespace) -> list[Path]:
    """Return the folders of the scenes of --input, none where it is images of several dates.

    Raises:
        ValueError: it is both, or the options do not suit scenes.
    """
    from inference.deepsum.scenes import BANDS, scene_folders

    found = {name: scene_folders(Path(name), arguments.split, arguments.band) for name in arguments.input or ()}
    others = [name for name, folders in found.items() if not folders]
    if len(others) == len(found) and arguments.output:
        return []
    if others:
        raise ValueError(
            "--input: a scene (LR000.png, QM000.png, …), or folders imgset… of them, are wanted for --output-dir and "
            f"--metrics, and not beside other images. Received: {others[0]}"
        )
    if arguments.input and arguments.band and arguments.band not in BANDS:
        raise ValueError(f"--band: one of {', '.join(BANDS)} is wanted for scenes. Received: {arguments.band}")
    for option in ("masks", "qa", "unmasked", "qa_concealed", "box", "bbox", "float", "offset"):
        if found and getattr(arguments, option):
            raise ValueError(
                f"--{option.replace('_', '-')}: images of several dates are wanted with it. Received: a scene"
            )
    return [folder for folders in found.values() for folder in folders]


def _make_product(arguments: argparse.Namespace) -> None:
    """Make the product of images of several dates."""
    from inference.deepsum.network import find_network
    from inference.deepsum.product import make_product

    if arguments.metrics:
        raise ValueError(f"--metrics: scenes with HR.png are wanted with it. Received: {arguments.input[0]}")
    if Path(arguments.output).suffix.lower() == ".png":
        raise ValueError(f"--output: a name that ends with .tif is wanted. Received: {arguments.output}")
    make_product(arguments, find_network(arguments.model_dir, arguments.engine), _settings(arguments))


def _way_of(arguments: argparse.Namespace) -> Callable:
    """Return what gives the way in which the image of a scene is made: by the model of its band."""
    from inference.deepsum.network import find_network
    from inference.deepsum.scenes import SceneProcessor, band_of

    @functools.cache
    def of_band(band: str | None) -> SceneProcessor:
        return SceneProcessor(find_network(arguments.model_dir, arguments.engine, band), _settings(arguments))

    return lambda folder: of_band(band_of(folder) or arguments.band)


def _settings(arguments: argparse.Namespace):
    """Return how the network is used."""
    from inference.deepsum.super_resolution import Settings

    return Settings(arguments.windows, arguments.original_windows, arguments.block_size)


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments of the command line.

    Returns:
        Exit status: 0, or 1 when it failed. Wrong usage ends the program with status 2.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check(parser, arguments)
    return run(parser, arguments, infer)
