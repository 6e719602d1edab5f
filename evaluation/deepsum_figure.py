# SPDX-License-Identifier: Apache-2.0
"""Draw part of a challenge scene: its clearest image, the mean of the registered images, a product, and the truth.

    python -m inference.deepsum --input probav/train/NIR/imgset0012 --output sr.png
    python -m evaluation.deepsum_figure --scene probav/train/NIR/imgset0012 --image sr.png --figure figure.png

Titles give the cPSNR of the whole scene. Differences that it ignores are removed: images are adjusted to the brightness
of the truth, and the truth is shifted, by up to 3 pixels, to where the product agrees best with it.
"""

import argparse
import sys
from pathlib import Path

from chain.runtime.command_line import add_program_arguments, run

PART = 128
"""Side of the drawn part, in fine pixels."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.deepsum_figure", description="Draw a super-resolved scene beside its truth."
    )
    add = parser.add_argument
    add("--scene", required=True, metavar="DIR", help="folder of a scene with HR.png")
    add("--image", required=True, metavar="PNG", help="product of inference.deepsum for this scene")
    add("--figure", required=True, metavar="PNG", help="file of the figure")
    add(
        "--part",
        type=int,
        default=PART,
        metavar="N",
        help="side of the central part to draw, in pixels (default: %(default)s)",
    )
    add_program_arguments(parser)
    return parser


def draw_scene(arguments: argparse.Namespace) -> None:
    """Draw the figure of the command line.

    Raises:
        ValueError: the scene has no truth or too few usable images, or the image does not match it.
        OSError: the figure cannot be written.
    """
    import numpy as np

    from datasets.deepsum.cmse import BORDER
    from datasets.deepsum.kelvins import open_scene, read_png
    from datasets.deepsum.preparation import mean_of_registered
    from datasets.deepsum.scenes import prepare_sample
    from evaluation.cpsnr import cpsnr_matrix
    from evaluation.deepsum import METHODS, score_scene
    from evaluation.multi_frame import clearest
    from evaluation.side_by_side import draw

    sample = prepare_sample(*open_scene(arguments.scene).read())
    if sample is None:
        raise ValueError(f"--scene: expected nine images that can be registered, found fewer in {arguments.scene}")
    best = sample.best()
    images = {
        "clearest": clearest(best.frames),
        "mean_of_registered": mean_of_registered(best.frames),
        "sr": read_png(Path(arguments.image)).astype(np.float32),
    }
    if images["sr"].shape != sample.hr.shape:
        size, other = (" x ".join(map(str, shape)) for shape in (images["sr"].shape, sample.hr.shape))
        raise ValueError(f"--image: expected {other} pixels, like HR.png, got {size} in {arguments.image}")
    scores = score_scene(sample.hr, sample.clear, images)
    pictures = {f"{METHODS[name]}\n{scores[name]['cpsnr']:.2f} dB": image for name, image in images.items()}
    bias = {title: (sample.hr - image)[sample.clear].mean() for title, image in pictures.items()}
    begins = [max(length - arguments.part, 0) // 2 for length in sample.hr.shape]
    middle = tuple(slice(begin, begin + arguments.part) for begin in begins)
    shown = {title: (image + bias[title])[middle] for title, image in pictures.items()}
    positions = cpsnr_matrix(sample.hr, images["sr"], sample.clear)
    row, column = np.unravel_index(positions.argmax(), positions.shape)
    truth = np.roll(sample.hr, (BORDER - row, BORDER - column), axis=(0, 1))
    draw(arguments.figure, {**shown, "truth\n": truth[middle].astype(np.float32)})


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.part < 1:
        parser.error(f"--part: expected 1 or more, got {arguments.part}")
    return run(parser, arguments, draw_scene)


if __name__ == "__main__":
    sys.exit(main())
