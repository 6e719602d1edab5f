# SPDX-License-Identifier: Apache-2.0
"""Score a DeepSUM's registration on simulated scenes, whose true displacements are known (`truth.json`).

    python -m evaluation.deepsum_registration --model-dir weights/deepsum/NIR --scenes probav/train/NIR/imgset0006 …

For the nine best frames of each scene, except the reference, the displacement given by the largest weight of the
frame's filter is compared with the truth. True displacements are fractions of pixels, those of filters are integers.
The scores are the share of frames with the `nearest` integer displacement, the share of frames less than a pixel off
along rows and columns (`within_a_pixel`), and the mean distance from the truth, in pixels of the fine grid. The same
scores are given for the cross-correlation of the preparation.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from chain.runtime.command_line import add_program_arguments, run


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.deepsum_registration", description="Score the registration of a DeepSUM."
    )
    add = parser.add_argument
    add("--model-dir", required=True, metavar="DIR", help="folder of a model")
    add("--scenes", required=True, nargs="+", metavar="DIR", help="scenes of simulate.probav_scenes")
    add_program_arguments(parser)
    return parser


def score(arguments: argparse.Namespace) -> None:
    """Score the model of the command line, and print the scores.

    Raises:
        ValueError: the model is not a DeepSUM, or a scene has no true displacements or too few images.
    """
    import tensorflow as tf

    from datasets.deepsum.example import to_batch
    from datasets.deepsum.kelvins import open_scene
    from datasets.deepsum.scenes import prepare_sample
    from models.base import load_weights, read_description
    from models.deepsum import DeepSUM

    description = read_description(arguments.model_dir)
    if description.system != DeepSUM.system:
        raise ValueError(f"--model-dir: expected a deepsum model, got a {description.system} model")
    model = DeepSUM.from_bands(**description.arguments)
    load_weights(model.model, arguments.model_dir)
    network, errors = model.training_model(), {"network": [], "cross-correlation": []}
    for folder in map(Path, arguments.scenes):
        lr, qm, hr, clear = open_scene(folder).read()
        sample = prepare_sample(lr, qm, hr, clear)
        if sample is None:
            raise ValueError(f"--scenes: expected nine images that can be registered, found fewer in {folder}")
        best = sample.best()
        true = _displacements(folder, lr, best.frames.images)
        inputs, targets = to_batch([best], description.arguments["variant"] == "P")
        _, logits = network({name: tf.constant(value) for name, value in inputs.items()}, training=False)
        errors["network"].append(_whole_displacements(logits[0].numpy()) - true)
        errors["cross-correlation"].append(np.asarray(targets["shifts"])[0] - true)
    print(json.dumps({method: _summary(np.concatenate(values)) for method, values in errors.items()}, indent=2))


def _displacements(folder: Path, lr: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the true displacements of frames from the first one, (frames - 1, 2); frames are identified by pixels."""
    from datasets.deepsum.preparation import enlarge

    try:
        stated = json.loads((folder / "truth.json").read_text(encoding="ascii"))["images"]
    except OSError as error:
        raise ValueError(f"--scenes: expected a scene with truth.json, got {folder}") from error
    images = [enlarge(image) for image in lr]
    indices = [next(i for i, image in enumerate(images) if np.array_equal(image, frame)) for frame in frames]
    places = np.array([stated[index]["displacement"] for index in indices])
    return places[1:] - places[0]


def _whole_displacements(logits: np.ndarray) -> np.ndarray:
    """Return the displacements of the largest filter weights: rows and columns, (frames, 2)."""
    from models.deepsum import FILTER

    return np.stack(np.divmod(logits.argmax(axis=-1), FILTER), axis=-1) - FILTER // 2


def _summary(errors: np.ndarray) -> dict[str, float]:
    """Return the shares and the mean distance of errors (frames, 2)."""
    largest = np.abs(errors).max(axis=1)
    return {
        "frames": len(errors),
        "nearest": float(np.mean(largest <= 0.5)),
        "within_a_pixel": float(np.mean(largest < 1)),
        "mean_distance": float(np.hypot(*errors.T).mean()),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    return run(parser, arguments, score)


if __name__ == "__main__":
    sys.exit(main())
