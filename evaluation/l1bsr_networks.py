# SPDX-License-Identifier: Apache-2.0
"""Score L1BSR's models on pairs of detector images, and draw their output for one.

    python -m evaluation.l1bsr_networks --pairs pairs --csr weights/l1bsr/CSR --rec weights/l1bsr/REC \
        --examples 00.tif --scores scores.json --figure figure.png

The scores are described in `evaluation/l1bsr.py`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress

if TYPE_CHECKING:
    import numpy as np

    from models.l1bsr import CSR, REC

Model = TypeVar("Model", "CSR", "REC")

PART = 48
"""Side of the part shown in a figure, in pixels of 10 m."""


def _share(value: float) -> None:
    """Check a share that is neither nothing nor all.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < value < 1:
        raise ValueError(f"expected a number between 0 and 1, got {value}")


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """What is scored and drawn."""

    valid_share: float | None = option(
        None, "score only the last pairs, on which trainings validate", read=float, metavar="SHARE", check=_share
    )
    rec: str | None = option(None, "folder of a super-resolution model", metavar="DIR", reads=True)
    examples: tuple[str, ...] = option(
        (), "images of 4 bands to register and score", many=True, metavar="IMG", reads=True
    )
    scores: str | None = option(None, "file of the scores", metavar="JSON", writes=(".json",), replaces=True)
    figure: str | None = option(
        None, "file of a figure of the middle of the first pair", metavar="PNG", writes=(".png",), replaces=True
    )


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    pairs: tuple[str, ...] = option(
        MISSING, "folders with NAME_left and NAME_right", many=True, metavar="DIR", reads=True
    )
    csr: str = option(MISSING, "folder of a registration model", metavar="DIR", reads=True)


def score_networks(
    pairs: str | Path | Sequence[str | Path],
    csr: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score networks on pairs, and write the scores and a figure where they are asked for.

    Args:
        pairs: folders with `NAME_left` and `NAME_right`.
        csr: folder of a registration model.
        options: what is scored and drawn.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        `csr` and `rec`: what `evaluation.l1bsr.score_csr` and `score_rec` return.

    Raises:
        ValueError: pairs or examples cannot be read, or a folder is of another model.
        OSError: a file cannot be written.
    """
    from chain.runtime.files import whole_file
    from datasets.l1bsr.folders import read_pairs
    from evaluation.l1bsr import read_example, score_csr, score_rec
    from evaluation.scene_table import by_name
    from evaluation.side_by_side import draw
    from models.l1bsr import CSR, REC

    told = Progress(progress, cancelled)
    told(0, "models")
    read = read_pairs(pairs)
    if options.valid_share:
        read = read.split(options.valid_share)[1]
    registering = open_model(CSR, csr)
    rec = open_model(REC, options.rec) if options.rec else None
    examples = {path.name: read_example(path) for path in by_name(options.examples, "--examples").values()}
    told(0.1, "registration")
    report = {"csr": score_csr(registering, read, examples)}
    if rec:
        told(0.5, "super-resolution")
        report["rec"] = score_rec(rec, registering, read)
    if options.scores:
        with whole_file(Path(options.scores), "--scores") as partial:
            partial.write_text(f"{json.dumps(report, indent=2)}\n", encoding="utf-8")
    if options.figure:
        draw(options.figure, _pictures(registering, rec, read.left[0], read.truth[0]))
    told(1, "done")
    return report


def _pictures(
    csr: "CSR", rec: "REC | None", image: "np.ndarray", truth: "Mapping[str, np.ndarray] | None"
) -> "dict[str, np.ndarray]":
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
        pictures["truth"] = truth["sharp_left" if rec and rec.arguments["sharp"] else "hr_left"]
    top, left = (length - min(PART, length // 2) for length in image.shape[:2])
    middle = np.s_[top : top + 2 * PART, left : left + 2 * PART]
    colours = [BANDS.index(band) for band in ("B04", "B03", "B02")]
    return {title: picture[middle][..., colours] for title, picture in pictures.items()}


def open_model(kind: "type[Model]", path: str | Path) -> "Model":
    """Load a model from a folder.

    Args:
        kind: `models.l1bsr.CSR` or `REC`.
        path: the folder.

    Raises:
        ValueError: it is none, or of another kind.
    """
    from models.base import read_description
    from models.weights_file import load_weights

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


def command(options: Command, progress: Progress) -> None:
    """Score, and print the scores."""
    print(json.dumps(score_networks(options.pairs, options.csr, options, progress=progress), indent=2))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.l1bsr_networks",
        description="Score the networks of L1BSR on pairs of images.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
