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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Command(BaseOptions):
    """The command line."""

    model_dir: str = option(MISSING, "folder of a model", metavar="DIR", reads=True)
    scenes: tuple[str, ...] = option(MISSING, "scenes of simulate.probav_scenes", many=True, metavar="DIR", reads=True)


def score_registration(
    model_dir: str | Path,
    scenes: Sequence[str | Path],
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, dict[str, float]]:
    """Score how well a model registers.

    Args:
        model_dir: folder of a model of DeepSUM.
        scenes: folders of simulated scenes.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        Of `network` and `cross-correlation`: the number of `frames`, shares `nearest` and `within_a_pixel`, and
        `mean_distance` in fine pixels.

    Raises:
        ValueError: the model is not a DeepSUM, or a scene has no true displacements or too few images.
    """
    import numpy as np
    import tensorflow as tf

    from datasets.deepsum.example import to_batch
    from datasets.deepsum.kelvins import open_scene
    from datasets.deepsum.scenes import prepare_sample
    from models.base import read_description
    from models.deepsum import DeepSUM
    from models.weights_file import load_weights

    told = Progress(progress, cancelled)
    description = read_description(model_dir)
    if description.system != DeepSUM.system:
        raise ValueError(f"--model-dir: expected a deepsum model, got a {description.system} model")
    model = DeepSUM.from_bands(**description.arguments)
    load_weights(model.model, model_dir)
    network = model.training_model()
    errors: dict[str, list[np.ndarray]] = {"network": [], "cross-correlation": []}
    for number, folder in enumerate(map(Path, scenes)):
        told(number / len(scenes), folder.name)
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
    return {method: _summary(np.concatenate(values)) for method, values in errors.items()}


def _displacements(folder: Path, lr: "np.ndarray", frames: "np.ndarray") -> "np.ndarray":
    """Return the true displacements of frames from the first one, (frames - 1, 2); frames are identified by pixels."""
    import numpy as np

    from datasets.deepsum.preparation import enlarge

    try:
        stated = json.loads((folder / "truth.json").read_text(encoding="ascii"))["images"]
    except OSError as error:
        raise ValueError(f"--scenes: expected a scene with truth.json, got {folder}") from error
    images = [enlarge(image) for image in lr]
    indices = [next(i for i, image in enumerate(images) if np.array_equal(image, frame)) for frame in frames]
    places = np.array([stated[index]["displacement"] for index in indices])
    return places[1:] - places[0]


def _whole_displacements(logits: "np.ndarray") -> "np.ndarray":
    """Return the displacements of the largest filter weights: rows and columns, (frames, 2)."""
    import numpy as np

    from models.deepsum import FILTER

    return np.stack(np.divmod(logits.argmax(axis=-1), FILTER), axis=-1) - FILTER // 2


def _summary(errors: "np.ndarray") -> dict[str, float]:
    """Return the shares and the mean distance of errors (frames, 2)."""
    import numpy as np

    largest = np.abs(errors).max(axis=1)
    return {
        "frames": len(errors),
        "nearest": float(np.mean(largest <= 0.5)),
        "within_a_pixel": float(np.mean(largest < 1)),
        "mean_distance": float(np.hypot(*errors.T).mean()),
    }


def command(options: Command, progress: Progress) -> None:
    """Score, and print the scores."""
    print(json.dumps(score_registration(options.model_dir, options.scenes, progress=progress), indent=2))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.deepsum_registration",
        description="Score the registration of a DeepSUM.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
