# SPDX-License-Identifier: Apache-2.0
"""Score L1BSR's models on pairs of detector images, and draw their output for one.

    python -m evaluation.l1bsr_networks --pairs pairs --csr weights/l1bsr/CSR --rec weights/l1bsr/REC \
        --examples 00.tif --scores scores.json --figure figure.png

The scores are described in `evaluation/l1bsr.py`.
"""

import argparse
import json
import sys
from pathlib import Path

from chain.runtime.command_line import add_program_arguments, run

PART = 48
"""Side of the part shown in a figure, in pixels of 10 m."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.l1bsr_networks", description="Score the networks of L1BSR on pairs of images."
    )
    add = parser.add_argument
    add("--pairs", required=True, nargs="+", metavar="DIR", help="folders with NAME_left and NAME_right")
    add("--valid-share", type=float, metavar="SHARE", help="score only the last pairs, on which trainings validate")
    add("--csr", required=True, metavar="DIR", help="folder of a registration model")
    add("--rec", metavar="DIR", help="folder of a super-resolution model")
    add("--examples", nargs="+", default=[], metavar="IMG", help="images of 4 bands to register and score")
    add("--scores", metavar="JSON", help="file of the scores")
    add("--figure", metavar="PNG", help="file of a figure of the middle of the first pair")
    add_program_arguments(parser)
    return parser


def score(arguments: argparse.Namespace) -> None:
    """Compute, print and write the scores."""
    from datasets.l1bsr.folders import read_pairs
    from evaluation.l1bsr import read_example, score_csr, score_rec
    from evaluation.side_by_side import draw
    from models.l1bsr import CSR, REC

    pairs = read_pairs(arguments.pairs)
    if arguments.valid_share:
        pairs = pairs.split(arguments.valid_share)[1]
    csr = open_model(CSR, arguments.csr)
    rec = open_model(REC, arguments.rec) if arguments.rec else None
    report = {"csr": score_csr(csr, pairs, {Path(name).name: read_example(name) for name in arguments.examples})}
    if rec:
        report["rec"] = score_rec(rec, csr, pairs)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.scores:
        Path(arguments.scores).write_text(f"{text}\n", encoding="utf-8")
    if arguments.figure:
        draw(arguments.figure, _pictures(csr, rec, pairs.left[0], pairs.truth[0]))


def _pictures(csr, rec, image, truth) -> dict:
    """Return the centre of an image in true colours at 5 m, for each method."""
    import numpy as np

    from evaluation.l1bsr import band_flows, baselines, register
    from models.l1bsr import BANDS

    flows = band_flows(csr.pair_model(), image)
    made = baselines(image, flows)
    pictures = {"input, interpolated": made["bicubic"], "CSR, interpolated": made["registered_bicubic"]}
    if rec:
        seen = register(image, flows) if rec.arguments["registered"] else image
        pictures["REC"] = rec.training_model()({"x10": seen[np.newaxis].astype(np.float32)}, training=False)[0].numpy()
    if truth is not None:
        pictures["truth"] = truth["hr_left"]
    top, left = (length - min(PART, length // 2) for length in image.shape[:2])
    middle = np.s_[top : top + 2 * PART, left : left + 2 * PART]
    colours = [BANDS.index(band) for band in ("B04", "B03", "B02")]
    return {title: picture[middle][..., colours] for title, picture in pictures.items()}


def open_model(kind: type, path: str):
    """Load a model from a folder.

    Args:
        kind: `models.l1bsr.CSR` or `REC`.
        path: the folder.

    Raises:
        ValueError: it is none, or of another kind.
    """
    from models.base import load_weights, read_description

    description = read_description(path)
    if (description.system, description.model) != ("l1bsr", kind.__name__):
        received = f"{description.system} {description.model}".strip()
        raise ValueError(
            f"--{kind.__name__.lower()}: expected the folder of an l1bsr {kind.__name__}, "
            f"got {path}, a model of {received}"
        )
    model = kind.from_bands(**description.arguments)
    load_weights(model.model, path)
    return model


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    return run(parser, arguments, score)


if __name__ == "__main__":
    sys.exit(main())
