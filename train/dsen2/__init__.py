# SPDX-License-Identifier: Apache-2.0
"""Train DSen2 or VDSen2 on any Sentinel-2 images, by Wald's protocol.

The defaults are those of Lanaras et al. 2018 (doi:10.1016/j.isprsjprs.2018.09.018): Nadam, mean absolute error, a rate
that is halved on plateaus, patches of 32 (2x) or 96 (6x) pixels, no augmentation; see `datasets/dsen2.py` for what the
samples are and where they depart from the paper's. `--init` goes on from given weights, and `--adapt` trains the ones
that come with the project for a short while on the very product that is to be sharpened: its own coarser versions.

    python -m train.dsen2 --role 2x --input S2A_MSIL1C_….SAFE --input A_10m.tif A_20m.tif --model-dir model/2x
    python -m train.dsen2 --role 2x --adapt --input S2A_MSIL2A_….SAFE --model-dir adapted/2x
"""

import argparse
from pathlib import Path

from chain.runtime.command_line import add_offset_argument, band_names, run
from chain.sentinel2.bands import BANDS, SURFACE_BANDS
from chain.sentinel2.options import add_naming_arguments, naming_of
from models.description import FILE_NAME, ModelDescription, read_description
from train.common import (
    add_arguments,
    add_blocks_argument,
    add_supervision_arguments,
    architecture,
    check_arguments,
    train,
)
from weights.convert_dsen2 import LEVELS

LEARNING_RATES = {"dsen2": 1e-4, "vdsen2": 1e-4, "narrow": 1e-4}
"""Sizes of the network, and the step of each."""
BATCH_SIZES = {"dsen2": 128, "vdsen2": 8, "narrow": 128}
PATCH_SIZES = {"2x": 32, "6x": 96}
"""Side of the patches of each role, in pixels of the target."""
SAMPLES = {"2x": 8000, "6x": 500}
"""Patches of an epoch, for each scene."""
ADAPTATION = {
    "init": str(Path(__file__).resolve().parents[2] / "weights" / "dsen2"),
    "optimizer": "adam",
    "learning_rate": 2e-4,
    "batch_size": 8,
    "samples": 800,
    "epochs": 10,
    "augmentation": True,
    "any_phase": True,
}
"""Other defaults of `--adapt`."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.dsen2",
        description="Train, export and score a network that makes the 20 m or the 60 m bands of Sentinel-2 finer.",
    )
    add = parser.add_argument
    add("--role", choices=list(PATCH_SIZES), required=True, help="2x: 20 m bands to 10 m; 6x: 60 m bands to 10 m")
    scene = "files of one scene: a SAFE folder or zip, a STAC item, rasters with 10, 20 and 60 m bands"
    add("--input", action="append", nargs="+", required=True, metavar="IMG", help=f"{scene}; once for each scene")
    add("--test", action="append", nargs="+", default=[], metavar="IMG", help=f"{scene}, to score the network on")
    add_naming_arguments(parser)
    add_offset_argument(parser)
    add(
        "--adapt",
        action="store_true",
        help="train the project's own weights for a short while on --input: other defaults for --init and the training",
    )
    add("--valid-share", type=float, default=0.1, metavar="SHARE", help="rows for validation (default: %(default)s)")
    add(
        "--windows",
        type=int,
        default=4,
        metavar="N",
        help="windows of 14.4 km read of a larger scene; 33 MB of memory each (default: %(default)s)",
    )
    add("--patch-size", type=int, metavar="N", help="in pixels of the target (default: 32 for 2x, 96 for 6x)")
    add("--samples", type=int, metavar="N", help="patches of an epoch (default: 8000 or 500 for each scene)")
    add(
        "--any-phase",
        action="store_true",
        help="begin the coarser pixels at any pixel, not only at every 2nd or 6th: more samples from few scenes",
    )
    add(
        "--radiometry",
        action="store_true",
        help="apply random gains and offsets, which stand for other illumination, atmosphere and processing level",
    )
    add(
        "--mtf",
        type=transfers,
        default={},
        metavar="BAND=MTF,...",
        help="transfer of bands at the coarser pixels' Nyquist frequency, instead of the paper's blur",
    )
    add(
        "--start-at-interpolation",
        action="store_true",
        help="start the last convolution at zero instead of at random",
    )
    add(
        "--back-projection",
        action="store_true",
        help="add to the output what its means over coarse pixels lack of these: no colour shift",
    )
    add(
        "--levels",
        type=levels,
        default=(),
        metavar="NAMES",
        help="processing levels that the weights are for: L1C, L2A or L1C,L2A (default: those of --init, else any)",
    )
    add_blocks_argument(parser)
    add_supervision_arguments(parser, "nadam")
    add_arguments(
        parser,
        LEARNING_RATES,
        "dsen2",
        batch_size=None,
        epochs=8192,
        patience=100,
        augmentation=False,
    )
    return parser


def transfers(text: str) -> dict[str, float]:
    """Read modulation transfers: B05=0.28,B11=0.2."""
    try:
        values = {name: float(value) for name, value in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(f"BAND=MTF,... is wanted. Received: {text}") from None
    unknown = [name for name in values if name not in BANDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"bands among {', '.join(BANDS)} are wanted. Received: {', '.join(unknown)}")
    if not all(0 < value < 1 for value in values.values()):
        raise argparse.ArgumentTypeError(f"transfers between 0 and 1 are wanted. Received: {text}")
    return values


def levels(text: str) -> tuple[str, ...]:
    """Read names of processing levels."""
    names = band_names(text)
    if not set(names) <= set(LEVELS):
        raise argparse.ArgumentTypeError(f"names among {', '.join(LEVELS)} are wanted. Received: {text}")
    return tuple(sorted(set(names)))


def bands_of(role: str) -> tuple[str, ...]:
    """Return the bands that the network of a role takes."""
    coarsest = {"2x": 20, "6x": 60}[role]
    return tuple(band for band in SURFACE_BANDS if BANDS[band] <= coarsest)


def train_dsen2(arguments: argparse.Namespace) -> dict:
    """Train the model, and return its scores."""
    from datasets.dsen2 import WaldPatches, read_scenes, rows_of, split
    from models.dsen2 import SIZES, DSen2
    from train.dsen2.scorable import scorable

    def read(names: list[str]) -> list:
        from chain.sentinel2.scene import opened_scene

        with opened_scene(names, arguments.offset, naming_of(arguments)) as scene:
            return read_scenes(scene.product, arguments.role, arguments.windows, scene.scl)

    tests = [window for names in arguments.test for window in scorable(read(names), arguments.role)]

    def find() -> dict:
        scenes = [window for names in arguments.input for window in read(names)]
        training, validation = split(scenes, arguments.valid_share, arguments.patch_size, arguments.role)
        if not validation:
            least = 3 * rows_of(arguments.patch_size, arguments.role)
            raise ValueError(
                f"input: a scene of at least {least} rows of 60 m, to train and to validate on, is wanted, or smaller "
                f"--patch-size and --valid-share. Received: {max(scene.rows for scene in scenes)} rows"
            )
        common = {"role": arguments.role, "patch_size": arguments.patch_size, "sigma": _sigmas(arguments)}
        size = arguments.samples or SAMPLES[arguments.role] * len(arguments.input)
        samples = {
            "train": WaldPatches(
                training,
                size=size,
                seed=arguments.seed,
                any_phase=arguments.any_phase,
                radiometry=arguments.radiometry,
                **common,
            ),
            "valid": WaldPatches(validation, size=max(size // 10, 1), seed=arguments.seed, fixed=True, **common),
        }
        for subset in samples.values():
            subset.first()  # or an error that says why there is none, which TensorFlow would hide
        return samples

    def build(element_spec: tuple) -> DSen2:
        model = DSen2(
            element_spec,
            arguments.role,
            back_projection=arguments.back_projection,
            start_at_interpolation=arguments.start_at_interpolation,
            **architecture(arguments, SIZES),
        )
        model.levels = arguments.levels
        return model

    def score(folder: Path, description, samples: dict, history: list) -> dict:
        from evaluation.networks import score_scenes

        return score_scenes(folder, tests)

    return train(arguments, find, build, score)


def _sigmas(arguments: argparse.Namespace) -> dict:
    """Return the deviations of the blur of each source whose bands' transfer is given."""
    from datasets.dsen2 import scale_of
    from datasets.wald import mtf_sigma
    from models.dsen2 import ROLES, SOURCES

    scale = scale_of(arguments.role)
    return {
        name: [
            mtf_sigma(arguments.mtf[band], scale) if band in arguments.mtf else 1 / scale
            for band in SOURCES[name].bands
        ]
        for name in ROLES[arguments.role]
        if set(SOURCES[name].bands) & arguments.mtf.keys()
    }


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line, with the defaults of `--adapt` where it is given, and the levels of `--init`."""
    arguments = parser.parse_args(argv)
    try:
        if arguments.adapt:
            weights = Path(arguments.init or Path(ADAPTATION["init"]) / arguments.role)
            defaults = {**ADAPTATION, "init": str(weights), **_architecture(weights, arguments.role)}
            parser.set_defaults(**defaults)
            arguments = parser.parse_args(argv)
        if arguments.init and not arguments.levels and (_folder(Path(arguments.init)) / FILE_NAME).exists():
            arguments.levels = _description(Path(arguments.init)).levels
    except ValueError as error:
        parser.error(f"argument --init: {error}")
    defaults = {
        "patch_size": PATCH_SIZES[arguments.role],
        "batch_size": BATCH_SIZES[arguments.size],
        "learning_rate": LEARNING_RATES[arguments.size],
    }
    for name, default in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    return arguments


def _folder(weights: Path) -> Path:
    """Return the folder of a file of weights, or the folder itself."""
    return weights.parent if weights.is_file() else weights


def _description(weights: Path) -> ModelDescription:
    """Read what the folder of weights says of them.

    Raises:
        ValueError: it does not.
    """
    try:
        return read_description(_folder(weights))
    except ValueError as error:
        raise ValueError(str(error).removeprefix("model_dir: ")) from error


def _architecture(weights: Path, role: str) -> dict:
    """Return the arguments of the network that weights are for, as their folder says.

    Raises:
        ValueError: it does not, or the network is another one.
    """
    description = _description(weights)
    arguments = description.arguments
    received = f"{description.system} {arguments.get('role', '')}".strip()
    if received != f"dsen2 {role}" or not {"depth", "num_blocks"} <= arguments.keys():
        raise ValueError(f"weights of dsen2 {role} are wanted. Received: those of {received} in {weights}")
    return {
        "depth": arguments["depth"],
        "blocks": arguments["num_blocks"],
        "back_projection": arguments.get("back_projection", False),
    }


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when an argument of this program is out of its range."""
    for name, least in (("windows", 1), ("patch_size", 1), ("samples", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            parser.error(f"argument --{name.replace('_', '-')}: at least {least} is wanted. Received: {value}")
    if not 0 < arguments.valid_share < 1:
        parser.error(f"argument --valid-share: between 0 and 1 is wanted. Received: {arguments.valid_share}")
    unknown = [band for band in arguments.mtf if band not in bands_of(arguments.role)]
    if unknown:
        wanted = ", ".join(bands_of(arguments.role))
        parser.error(
            f"argument --mtf: bands of the role {arguments.role}, {wanted}, are wanted. Received: {', '.join(unknown)}"
        )


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parse(parser, argv)
    check_arguments(parser, arguments)
    check(parser, arguments)
    return run(parser, arguments, train_dsen2)
