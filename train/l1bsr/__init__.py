# SPDX-License-Identifier: Apache-2.0
"""Train L1BSR's networks on what two neighbouring detectors of Sentinel-2 see of the same ground, without a truth.

First `CSR`, which registers, then `REC`, which super-resolves, by means of the first one, which is left as it is:

    python -m simulate.detector_pairs --output pairs --pairs 60
    python -m train.l1bsr --network csr --pairs pairs --model-dir csr --size small
    python -m train.l1bsr --network rec --pairs pairs --csr csr --model-dir rec --size small

Pairs are laid out like the authors' set (Zenodo 7826696); see `datasets/l1bsr/folders.py`. Losses are in
`train/l1bsr/csr.py` and `train/l1bsr/rec.py`. The paper leaves choices open; all are arguments. Scores are those
of the pairs for validation, or of --test: end-point errors and PSNR to the truth where pairs are simulated, and what
can be measured without.
"""

import argparse
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chain.runtime.command_line import run
from train.common import (
    add_arguments,
    add_blocks_argument,
    add_schedule_arguments,
    architecture,
    check_arguments,
    train,
)

DEFAULTS = {
    "csr": {"batch_size": 64, "schedule": "constant", "roll": 3, "warm_up": 3000},
    "rec": {"batch_size": 8, "schedule": "steps", "roll": 0, "warm_up": 0},
}
"""Defaults of each network."""
LEARNING_RATE = 5e-5


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.l1bsr",
        description="Train, export and score a network that registers or super-resolves Sentinel-2 L1B.",
    )
    add = parser.add_argument
    add("--network", choices=list(DEFAULTS), required=True, help="csr: registration; rec: super-resolution")
    add("--pairs", required=True, nargs="+", metavar="DIR", help="folders with NAME_left and NAME_right")
    add("--test", nargs="+", default=[], metavar="DIR", help="folders of other pairs, to score the network on")
    add("--examples", nargs="+", default=[], metavar="IMG", help="csr: images of 4 bands, to register and score")
    add("--csr", metavar="WEIGHTS", help="rec: weights of the network that registers, or the folder of its model")
    add("--valid-share", type=float, default=0.1, metavar="SHARE", help="pairs for validation (default: %(default)s)")
    add("--crop", type=int, default=96, metavar="N", help="side of the samples, in pixels (default: %(default)s)")
    add(
        "--crops-per-pair",
        type=int,
        default=8,
        metavar="N",
        help="samples of each pair in an epoch (default: %(default)s)",
    )
    add(
        "--roll",
        type=int,
        metavar="N",
        help="shift images by up to N whole pixels at random, circularly (default: 3 for csr, 0 for rec)",
    )
    add(
        "--warm-up",
        type=int,
        metavar="STEPS",
        help="csr: steps on copies of images with known shifts, before the anchor consistency (default: 3000)",
    )
    add(
        "--warm-up-shift",
        type=float,
        default=6.0,
        metavar="PIXELS",
        help="csr: longest of these shifts along each axis (default: %(default)s)",
    )
    add(
        "--tv-weight",
        type=float,
        default=0.003,
        metavar="WEIGHT",
        help="csr: weight of the flows' total variation (default: %(default)s)",
    )
    add(
        "--identity-weight",
        type=float,
        default=0.1,
        metavar="WEIGHT",
        help="csr: weight of the flow from an image into itself (default: %(default)s)",
    )
    add(
        "--refinements",
        type=int,
        default=0,
        metavar="STEPS",
        help="csr: steps by which the model refines what the network, which is trained without, finds (default: 0)",
    )
    add(
        "--supervised",
        action="store_true",
        help="learn the true flows (csr) or images (rec) of pairs, all of which have to be simulated",
    )
    add(
        "--nir-share",
        type=float,
        default=0.28,
        metavar="SHARE",
        help="csr, with --supervised: part of the samples that is of B08, which is the hardest (default: %(default)s)",
    )
    add(
        "--registered",
        action="store_true",
        help="rec: learn to super-resolve what --csr has registered; with --supervised only",
    )
    add("--groups", type=int, metavar="N", help="rec: groups of residual blocks (default: that of --size)")
    add_blocks_argument(parser)
    add_schedule_arguments(parser)
    add_arguments(
        parser,
        {"paper": LEARNING_RATE, "small": LEARNING_RATE},
        "paper",
        batch_size=None,
        epochs=50,
        patience=50,
    )
    return parser


@dataclass(frozen=True)
class Crops:
    """Samples of some pairs, as a training asks for them."""

    pairs: object
    """`datasets.l1bsr.pairs.Pairs`."""
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

    def dataset(self, batch_size: int, augmentation: bool = False, first_epoch: int = 0):
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


def train_l1bsr(arguments: argparse.Namespace) -> dict:
    """Train the model, and return its scores."""
    from datasets.l1bsr.folders import read_pairs
    from datasets.l1bsr.pairs import FINE, FLOWS, Pairs
    from evaluation import l1bsr as evaluation
    from evaluation.l1bsr_networks import open_model
    from models.l1bsr import CSR, CSR_SIZES, REC, REC_SIZES
    from train.l1bsr.csr import RegistrationObjective
    from train.l1bsr.rec import SuperResolution

    is_csr = arguments.network == "csr"
    tests = read_pairs(arguments.test) if arguments.test else None
    examples = {Path(name).name: evaluation.read_example(name) for name in arguments.examples}
    csr = None if is_csr else open_model(CSR, arguments.csr)

    @cache
    def parts() -> tuple[Pairs, Pairs]:
        return read_pairs(arguments.pairs).split(arguments.valid_share)

    def find() -> dict:
        training, validation = parts()
        truths = (FLOWS if is_csr else FINE) if arguments.supervised else ()
        common = {
            "crop": arguments.crop,
            "per_pair": arguments.crops_per_pair,
            "seed": arguments.seed,
            "truths": truths,
        }
        return {"train": Crops(seen(training), **common), "valid": Crops(seen(validation), fixed=True, **common)}

    def seen(pairs: Pairs) -> Pairs:
        if not arguments.registered:
            return pairs
        flow_of = csr.pair_model()
        return pairs.map(lambda image: evaluation.register(image, evaluation.band_flows(flow_of, image)))

    def build(element_spec: tuple) -> CSR | REC:
        if is_csr:
            return CSR.from_bands(**{**architecture(arguments, CSR_SIZES), "refinements": arguments.refinements})
        asked = {"num_groups": arguments.groups} if arguments.groups is not None else {}
        return REC.from_bands(**{**architecture(arguments, REC_SIZES), **asked, "registered": arguments.registered})

    def score(folder: Path, description, samples: dict, history: list) -> dict:
        from models.base import WEIGHTS_NAME, load_weights

        model = build(())
        load_weights(model.model, folder / WEIGHTS_NAME)
        pairs = tests or parts()[1]
        report = evaluation.score_csr(model, pairs, examples) if is_csr else evaluation.score_rec(model, csr, pairs)
        text = json.dumps(report, indent=2)
        (folder / "scores.json").write_text(f"{text}\n", encoding="utf-8")
        print(text)
        return report

    learning = RegistrationObjective(arguments) if is_csr else SuperResolution(arguments, csr)
    return train(arguments, find, build, score, learning)


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Set the network's defaults; end the program with status 2 when an argument is out of its range."""
    for name, default in {**DEFAULTS[arguments.network], "learning_rate": LEARNING_RATE}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    others = {"csr": ("csr", "groups", "blocks", "registered"), "rec": ("examples", "refinements")}[arguments.network]
    for name in others:
        if getattr(arguments, name):
            parser.error(f"argument --{name}: it is not for --network {arguments.network}")
    if arguments.network == "rec" and not arguments.csr:
        parser.error("argument --csr: the model of --network csr is wanted")
    if arguments.registered and not arguments.supervised:
        parser.error("argument --registered: --supervised beside it is wanted")
    if arguments.csr and not Path(arguments.csr).is_dir():
        parser.error(f"argument --csr: a folder that exists is wanted. Received: {arguments.csr}")
    for name, least in (("crop", 32), ("crops_per_pair", 1), ("roll", 0), ("warm_up", 0), ("refinements", 0)):
        if getattr(arguments, name) < least:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"argument {option}: {least} or more is wanted. Received: {getattr(arguments, name)}")
    if arguments.crop % 16:
        parser.error(f"argument --crop: a multiple of 16 is wanted. Received: {arguments.crop}")
    if arguments.groups is not None and arguments.groups < 0:
        parser.error(f"argument --groups: 0 or more is wanted. Received: {arguments.groups}")
    for name in ("tv_weight", "identity_weight", "warm_up_shift"):
        value = getattr(arguments, name)
        if not 0 <= value < math.inf:
            parser.error(f"argument --{name.replace('_', '-')}: 0 or more is wanted. Received: {value}")
    for name in ("valid_share", "nir_share"):
        value = getattr(arguments, name)
        if not 0 < value < 1:
            parser.error(f"argument --{name.replace('_', '-')}: between 0 and 1 is wanted. Received: {value}")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check_arguments(parser, arguments)
    check(parser, arguments)
    return run(parser, arguments, train_l1bsr)
