# SPDX-License-Identifier: Apache-2.0
"""Say whether the outlines of the frames' masks stand out in what DeepSUM made of a challenge scene.

    python -m inference.deepsum --input probav/train/NIR/imgset0012 --output sr.png
    python -m evaluation.mask_outlines --scene probav/train/NIR/imgset0012 --image sr.png

The gradient of the image within 2 fine pixels of an outline, as a part of the truth's there, is divided by the same
elsewhere, farther than 4 pixels off: 1 where masks have left no trace. The truth is shifted by up to 3 pixels, to where
the image agrees best with it; what is not clear in it does not count.
"""

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress
from datasets.deepsum.cmse import BORDER
from evaluation.cpsnr import cpsnr_matrix

NEAR, FAR = 2, 4
"""Pixels from an outline up to which a pixel lies along it, and from which on elsewhere."""
FEWEST = 50
"""Pixels along outlines, and elsewhere, that are needed."""


def outlines(image: np.ndarray, hr: np.ndarray, clear: np.ndarray, masks: np.ndarray) -> float:
    """Return the gradient of an image along the outlines of masks beside that elsewhere, both as parts of the truth's.

    Args:
        image: what was made, (rows, columns), digital numbers.
        hr: the truth, of the same shape and unit.
        clear: whether a pixel of the truth is clear, of the same shape.
        masks: whether a pixel of a frame is clear, (frames, rows, columns), registered onto the image.

    Returns:
        The ratio; NaN where there are no outlines, or nothing but them.

    Raises:
        ValueError: as `datasets.deepsum.cmse.cmse_matrix`.
    """
    row, column = np.unravel_index(cpsnr_matrix(hr, image, clear).argmax(), (2 * BORDER + 1,) * 2)
    shift = (BORDER - int(row), BORDER - int(column))
    truth, counted = np.roll(hr.astype(np.float64), shift, (0, 1)), np.roll(clear, shift, (0, 1))
    counted = binary_erosion(counted, iterations=2)
    counted[: 2 * BORDER] = counted[-2 * BORDER :] = counted[:, : 2 * BORDER] = counted[:, -2 * BORDER :] = False
    along = np.zeros(image.shape, bool)
    for mask in masks:
        along |= binary_dilation(mask) & binary_dilation(~mask)
    near = binary_dilation(along, iterations=NEAR) & counted
    far = ~binary_dilation(along, iterations=FAR) & counted
    if min(near.sum(), far.sum()) < FEWEST:
        return float("nan")
    made, true = (np.hypot(*np.gradient(each.astype(np.float64))) for each in (image, truth))
    return float(made[near].mean() / true[near].mean() / (made[far].mean() / true[far].mean()))


@dataclass(frozen=True, kw_only=True)
class Command(BaseOptions):
    """The command line."""

    scene: str = option(MISSING, "folder of a scene with HR.png", metavar="DIR", reads=True)
    image: str = option(MISSING, "product of inference.deepsum for this scene", metavar="PNG", reads=True)


def command(options: Command, progress: Progress) -> None:
    """Measure the image of the command line, and print JSON."""
    from pathlib import Path

    from datasets.deepsum.kelvins import open_scene, read_png
    from datasets.deepsum.scenes import prepare_sample
    from evaluation.cpsnr import cpsnr

    sample = prepare_sample(*open_scene(options.scene).read())
    if sample is None:
        raise ValueError(f"--scene: expected nine images that can be registered, found fewer in {options.scene}")
    image = read_png(Path(options.image)).astype(np.float32)
    found = outlines(image, sample.hr, sample.clear, sample.best().frames.registered_masks())
    print(json.dumps({"outlines": round(found, 4), "cpsnr": round(cpsnr(sample.hr, image, sample.clear), 4)}))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.mask_outlines",
        description="Say whether outlines of masks stand out in an image that DeepSUM made.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
