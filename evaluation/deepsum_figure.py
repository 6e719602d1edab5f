# SPDX-License-Identifier: Apache-2.0
"""Draw part of a challenge scene: its clearest image, the mean of the registered images, a product, and the truth.

    python -m inference.deepsum --input probav/train/NIR/imgset0012 --output sr.png
    python -m evaluation.deepsum_figure --scene probav/train/NIR/imgset0012 --image sr.png --figure figure.png

Titles give the cPSNR of the whole scene. Differences that it ignores are removed: images are adjusted to the brightness
of the truth, and the truth is shifted, by up to 3 pixels, to where the product agrees best with it.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, BaseOptions, at_least, option
from chain.runtime.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """What is drawn."""

    part: int = option(128, "side of the central part to draw, in fine pixels", metavar="N", check=at_least(1))


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    scene: str = option(MISSING, "folder of a scene with HR.png", metavar="DIR", reads=True)
    image: str = option(MISSING, "product of inference.deepsum for this scene", metavar="PNG", reads=True)
    figure: str = option(MISSING, "file of the figure", metavar="PNG", writes=(".png",), replaces=True)


def draw_scene(scene: str | Path, product: str | Path, figure: str | Path, options: Options = Options()) -> None:
    """Draw part of a scene.

    Args:
        scene: folder of a scene with `HR.png`.
        product: image that `inference.deepsum` has made of it.
        figure: file to be written, PNG.
        options: what is drawn.

    Raises:
        ValueError: the scene has no truth or too few usable images, or the product does not match it.
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

    sample = prepare_sample(*open_scene(scene).read())
    if sample is None:
        raise ValueError(f"--scene: expected nine images that can be registered, found fewer in {scene}")
    best = sample.best()
    images = {
        "clearest": clearest(best.frames),
        "mean_of_registered": mean_of_registered(best.frames),
        "sr": read_png(Path(product)).astype(np.float32),
    }
    if images["sr"].shape != sample.hr.shape:
        size, other = (" x ".join(map(str, shape)) for shape in (images["sr"].shape, sample.hr.shape))
        raise ValueError(f"--image: expected {other} pixels, like HR.png, got {size} in {product}")
    scores = score_scene(sample.hr, sample.clear, images)
    pictures = {f"{METHODS[name]}\n{scores[name]['cpsnr']:.2f} dB": image for name, image in images.items()}
    bias = {title: (sample.hr - image)[sample.clear].mean() for title, image in pictures.items()}
    begins = [max(length - options.part, 0) // 2 for length in sample.hr.shape]
    middle = tuple(slice(begin, begin + options.part) for begin in begins)
    shown = {title: (image + bias[title])[middle] for title, image in pictures.items()}
    positions = cpsnr_matrix(sample.hr, images["sr"], sample.clear)
    row, column = np.unravel_index(positions.argmax(), positions.shape)
    truth = np.roll(sample.hr, (BORDER - row, BORDER - column), axis=(0, 1))
    draw(figure, {**shown, "truth\n": truth[middle].astype(np.float32)})


def command(options: Command, progress: Progress) -> None:
    """Draw the figure of the command line."""
    draw_scene(options.scene, options.image, options.figure, options)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.deepsum_figure",
        description="Draw a super-resolved scene beside its truth.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
