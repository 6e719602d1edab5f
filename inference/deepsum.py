# SPDX-License-Identifier: Apache-2.0
"""Make one image of three times the resolution of nine or more unregistered ones, with DeepSUM (Molini et al. 2020).

Of a scene of the PROBA-V challenge, or all scenes of a folder:

    python -m inference.deepsum --input probav_data/test/NIR/imgset1306 --model-dir model --output sr.png
    python -m inference.deepsum --input probav_data --band NIR --model-dir model --output-dir predictions
    python -m inference.deepsum --output-dir predictions --submission submission.zip
    python -m inference.deepsum --input probav_data --split train --band NIR --model-dir model --metrics m.json

Frames are enlarged, registered in whole fine pixels, and chosen as the authors did (doi:10.1109/TGRS.2019.2959248);
`inference/deepsum_windows.py` tells how windows of nine are chosen, and where that differs from their program
(`--original-windows` does as it did). Images are scored as they are written: 16 bits, rounded.
"""

import argparse
import sys
from pathlib import Path

from chain.command_line import run
from inference.common import begin, positive

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
        "of test and train",
    )
    add("--output", metavar="IMG", help="image of one scene, 16 bits (.png or .tif)")
    add(
        "--output-dir",
        metavar="DIR",
        help="folder of the images of all scenes, imgsetNNNN.png; those that are done stay",
    )
    add("--model-dir", metavar="DIR", help="folder of the exported model (default: the project's)")
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
    scenes.add_argument("--band", metavar="NAME", help="band of the scenes, NIR or RED (default: both)")
    scenes.add_argument(
        "--split",
        choices=["test", "train"],
        default="test",
        help="which scenes, of a folder of both (default: %(default)s)",
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
    scenes.add_argument(
        "--on-error",
        choices=["fail", "skip"],
        default="fail",
        help="what a scene that cannot be used does, of several (default: %(default)s)",
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
    add("--debug", action="store_true", help="show the messages of OTB and TensorFlow, and tracebacks")
    return parser


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
    begin(arguments)
    from chain.product import check_output
    from inference.deepsum_scenes import make_all, make_one, pack

    for option in SUFFIXES:
        name = getattr(arguments, option)
        if name:
            check_output(Path(name), arguments.overwrite or option == "metrics", f"--{option}")
    if arguments.input:
        folders, network, settings = _folders(arguments), _network(arguments), _settings(arguments)
        if arguments.output and len(folders) > 1:
            raise ValueError(f"--output: --output-dir is wanted for several scenes. Received: {len(folders)}")
        if arguments.output:
            make_one(arguments, folders[0], network, settings)
        else:
            make_all(arguments, folders, network, settings)
    if arguments.submission:
        pack(arguments)


def _folders(arguments: argparse.Namespace) -> list[Path]:
    """Return the folders of the scenes of --input."""
    from inference.deepsum_scenes import BANDS, scene_folders

    if arguments.band and arguments.band not in BANDS:
        raise ValueError(f"--band: one of {', '.join(BANDS)} is wanted for scenes. Received: {arguments.band}")
    found = []
    for name in arguments.input:
        folders = scene_folders(Path(name), arguments.split, arguments.band)
        if not folders:
            raise ValueError(
                f"--input: a scene (LR000.png, QM000.png, …) or folders of them are wanted. Received: {name}"
            )
        found += folders
    return found


def _network(arguments: argparse.Namespace):
    """Return the network of the command line."""
    from inference.deepsum_network import find_network

    return find_network(arguments.model_dir, arguments.engine)


def _settings(arguments: argparse.Namespace):
    """Return how the network is used."""
    from inference.deepsum_super_resolution import Settings

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


if __name__ == "__main__":
    sys.exit(main())
