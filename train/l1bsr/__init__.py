# SPDX-License-Identifier: Apache-2.0
"""Train L1BSR's networks on what two neighbouring detectors of Sentinel-2 see of the same ground, without a truth.

First `CSR`, which registers, then `REC`, which super-resolves, by means of the first one, which is left as it is:

    python -m simulate.detector_pairs --output pairs --pairs 60
    python -m train.l1bsr --network csr --pairs pairs --model-dir csr --size small
    python -m train.l1bsr --network rec --pairs pairs --csr csr --model-dir rec --size small

Pairs are laid out like the authors' set (Zenodo 7826696), see `datasets/l1bsr/folders.py`. Losses are in
`train/l1bsr/csr.py` and `train/l1bsr/rec.py`, options in `train/l1bsr/options.py`. Scores are those of the pairs for
validation, or of --test: end-point errors and PSNR to the truth where pairs are simulated, and what can be measured
without.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.command_line import run_program
from chain.runtime.progress import Progress
from train.l1bsr.options import Command, Options
from train.training import History, System, Training, run_training

if TYPE_CHECKING:
    import tensorflow as tf

    from datasets.l1bsr.pairs import Pairs
    from models.l1bsr import CSR, REC

__all__ = ["Command", "Options", "main", "train"]


@dataclass(frozen=True)
class Crops:
    """Samples of some pairs, as a training asks for them."""

    pairs: "Pairs"
    crop: int
    per_pair: int
    seed: int
    fixed: bool = False
    """Whether each pass has the same samples."""
    truths: tuple[str, ...] = ()
    """Names of the truths that are the targets."""

    @property
    def size(self) -> int:
        """Number of samples of an epoch."""
        return self.pairs.size * self.per_pair

    def identity(self) -> dict[str, str]:
        """Say what the pairs are."""
        return self.pairs.identity()

    def dataset(self, batch_size: int, *, augmentation: bool = False, first_epoch: int = 0) -> "tf.data.Dataset":
        """Give batches of both detectors' crops."""
        return self.pairs.dataset(
            batch_size,
            self.crop,
            augmentation,
            first_epoch,
            self.seed,
            self.per_pair,
            fixed=self.fixed,
            truths=self.truths,
        )


def train(
    pairs: str | Path | Sequence[str | Path],
    model_dir: str | Path,
    options: Options,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Training:
    """Train, export and score a network; an interrupted training goes on.

    Args:
        pairs: folders with `NAME_left` and `NAME_right`.
        model_dir: folder to be made: SavedModel, weights and scores.
        options: which network, and how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Raises:
        ValueError: the pairs, the weights, or the checkpoint are not what the training needs.
        RuntimeError: another training uses the checkpoint folder, or the model could not be scored.
        OSError: a folder cannot be made, or a file cannot be written.
        Cancelled: `cancelled` said so; the epochs that are done are kept.
    """
    import tensorflow as tf

    from datasets.l1bsr.checks import check_other_pairs, check_pairs
    from datasets.l1bsr.folders import read_pairs
    from datasets.l1bsr.pairs import FLOWS, HR, SHARP
    from evaluation import l1bsr as evaluation
    from evaluation.l1bsr_networks import open_model
    from models.l1bsr import CSR, CSR_SIZES, REC, REC_SIZES
    from train.l1bsr.csr import RegistrationObjective
    from train.l1bsr.rec import SuperResolution

    folders = [str(pairs)] if isinstance(pairs, str | Path) else [str(folder) for folder in pairs]
    kind, sizes = (CSR, CSR_SIZES) if options.network == "csr" else (REC, REC_SIZES)
    options = options.with_defaults(sizes)
    tests = read_pairs(options.test) if options.test else None
    if tests:
        check_pairs(tests, "--test")
    examples = {Path(name).name: evaluation.read_example(name) for name in options.examples}
    csr: CSR | None = open_model(CSR, options.csr) if options.csr else None

    @cache
    def parts() -> "tuple[Pairs, Pairs]":
        pairs = read_pairs(folders)
        check_pairs(pairs, "--pairs")
        training, validation = pairs.split(options.valid_share)
        check_other_pairs(validation, training, "--pairs")
        if tests:
            check_other_pairs(tests, pairs, "--test")
        return training, validation

    def find() -> dict[str, Crops]:
        training, validation = (seen(part) for part in parts())
        fine = SHARP if options.sharp else HR
        truths = (FLOWS if kind is CSR else fine) if options.supervised else ()
        sample: dict[str, Any] = {
            "crop": options.crop,
            "per_pair": options.crops_per_pair,
            "seed": options.seed,
            "truths": truths,
        }
        return {"train": Crops(training, **sample), "valid": Crops(validation, fixed=True, **sample)}

    def seen(pairs: "Pairs") -> "Pairs":
        if not csr or not options.registered:
            return pairs
        flow_of = tf.function(csr.pair_model(), reduce_retracing=True)  # a fifth of the time, for hundreds of images
        return pairs.map(lambda image: evaluation.register(image, evaluation.band_flows(flow_of, image)))

    def build(element_spec: tuple) -> "CSR | REC":
        return kind.from_bands(**options.architecture(sizes))

    def score(folder: Path, samples: dict[str, Crops], history: History) -> dict:
        from models.base import WEIGHTS_NAME
        from models.weights_file import load_weights

        model = build(())
        load_weights(model.model, folder / WEIGHTS_NAME)
        scored = tests or parts()[1]
        if csr:
            scores = evaluation.score_rec(model, csr, scored)
        else:
            scores = evaluation.score_csr(model, scored, examples)
        (folder / "scores.json").write_text(f"{json.dumps(scores, indent=2)}\n", encoding="utf-8")
        return scores

    learning = SuperResolution(options, csr) if csr else RegistrationObjective(options)
    system = System(find, build, score, learning)
    return run_training(options, model_dir, {"pairs": folders}, system, Progress(progress, cancelled))


def command(options: Command, progress: Progress) -> None:
    """Train, and print the scores."""
    training = train(options.pairs, options.model_dir, options, progress=progress)
    if training.scores:
        print(json.dumps(training.scores, indent=2))
        print(f"{training.path}: the model and its scores")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m train.l1bsr",
        description="Train, export and score a network that registers or super-resolves Sentinel-2 L1B.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)
