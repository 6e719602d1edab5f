# SPDX-License-Identifier: Apache-2.0
"""Train DSen2 or VDSen2 on any Sentinel-2 images, by Wald's protocol.

The defaults are those of Lanaras et al. 2018 (doi:10.1016/j.isprsjprs.2018.09.018): Nadam, mean absolute error, a rate
that is halved on plateaus, patches of 32 (2x) or 96 (6x) pixels, no augmentation; see `datasets/dsen2.py` for what the
samples are and where they depart from the paper's, and `train/dsen2/options.py` for all options. `--init` goes on from
given weights, and `--adapt` trains the ones that come with the project for a short while on the very product that is to
be sharpened: its own coarser versions.

    python -m train.dsen2 --role 2x --input S2A_MSIL1C_….SAFE --input A_10m.tif A_20m.tif --model-dir model/2x
    python -m train.dsen2 --role 2x --adapt --input S2A_MSIL2A_….SAFE --model-dir adapted/2x
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.command_line import run_program
from chain.runtime.progress import Progress
from train.dsen2.options import SAMPLES, Command, Options
from train.training import History, System, Training, run_training

if TYPE_CHECKING:
    from datasets.dsen2 import Scene, WaldPatches
    from models.dsen2 import DSen2, FastDSen2
    from models.spectra import Spectra

__all__ = ["Command", "Options", "main", "train"]

SceneFiles = str | Path | Sequence[str | Path]


def train(
    input: str | Path | Sequence[SceneFiles],
    model_dir: str | Path,
    options: Options,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Training:
    """Train, export and score a network; an interrupted training goes on.

    Args:
        input: the scenes, each a SAFE folder or zip, a STAC item, or the rasters with its 10, 20 and 60 m bands; or
            the one file of a single scene.
        model_dir: folder to be made: SavedModel, weights and scores.
        options: which role, and how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Raises:
        ValueError: the scenes, the weights, or the checkpoint are not what the training needs.
        RuntimeError: another training uses the checkpoint folder, or the model could not be scored.
        OSError: a folder cannot be made, or a file cannot be written.
        Cancelled: `cancelled` said so; the epochs that are done are kept.
    """
    from datasets.dsen2 import WaldPatches, read_scenes, rows_of, split
    from datasets.spectra import spectra_of
    from datasets.taught import TaughtPatches
    from models.dsen2 import FAST_SIZES, SIZES, DSen2, FastDSen2
    from train.dsen2.scenes import check_levels, check_other_ground, decided, levels_of
    from train.dsen2.scorable import scorable
    from train.dsen2.teacher import Teacher

    sizes = {**SIZES, **FAST_SIZES}
    options = options.with_defaults(sizes)
    scenes = [_names(files) for files in ([input] if isinstance(input, str | Path) else input)]

    decisions: list[str] = []

    def read(names: Sequence[str]) -> "list[Scene]":
        from chain.sentinel2.scene import opened_scene

        with opened_scene(names, naming=options.naming, reading=options.reading) as scene:
            decisions.extend(decided(scene))
            return read_scenes(scene.product, options.role, options.windows, scene.scl)

    precision = "bfloat16" if options.mixed_precision else "float32"
    teacher = Teacher(options.teacher, options.role, precision) if options.teacher else None
    ground: list[Spectra] = []
    levels: list[str] = []
    tests = [window for names in options.test for window in scorable(read(names), options.role)]

    def find() -> "dict[str, WaldPatches]":
        windows = [window for names in scenes for window in read(names)]
        validation = [window for names in options.valid for window in read(names)]
        check_levels(options.levels, windows)
        check_other_ground(windows, validation, tests)
        levels.extend(options.levels or levels_of(windows))
        decisions.append(f"levels: {', '.join(levels) or 'any'} ({'as asked' if options.levels else 'of --input'})")
        training = windows
        if not options.valid:
            training, validation = split(windows, options.valid_share, options.patch_size, options.role)
        if not validation:
            least = 3 * rows_of(options.patch_size, options.role)
            raise ValueError(
                f"--input: expected a scene of at least {least} rows of 60 m, to train and to validate on, or smaller "
                f"--patch-size and --valid-share, got {max(window.rows for window in windows)} rows"
            )
        size = options.samples or SAMPLES[options.role] * len(scenes)
        common: dict[str, Any] = {
            "role": options.role,
            "patch_size": options.patch_size,
            "sigma": blur_deviations(options),
            "seed": options.seed,
            "balance": options.balance,
        }
        drawn: dict[str, Any] = {
            "any_phase": options.any_phase,
            "radiometry": options.radiometry,
        }
        make = partial(TaughtPatches, teacher=teacher) if teacher else WaldPatches
        samples = {
            "train": make(training, size=size, **drawn, **common),
            "valid": WaldPatches(validation, size=max(size // 10, 1), fixed=True, **common),
        }
        for subset in samples.values():
            subset.first()  # or an error that says why there is none, which TensorFlow would hide
        if options.size not in FAST_SIZES:  # which no ratio of bands misleads
            ground.append(_with_start(spectra_of(training, options.role), options.start()))
        return samples

    def build(element_spec: tuple) -> "DSen2 | FastDSen2":
        arguments = options.architecture(sizes)
        if options.size in FAST_SIZES:
            model = FastDSen2(element_spec, **arguments)
        else:
            model = DSen2(element_spec, start_at_interpolation=options.start_at_interpolation, **arguments)
        model.levels = tuple(levels)
        model.spectra = ground[0] if ground else None
        return model

    def score(folder: Path, samples: "dict[str, WaldPatches]", history: History) -> dict:
        from evaluation.networks import score_scenes

        return score_scenes(folder, tests)

    system = System(find, build, score, decisions=decisions)
    return run_training(options, model_dir, {"input": scenes}, system, Progress(progress, cancelled))


def _with_start(spectra: "Spectra", start: str | None) -> "Spectra":
    """Return the spectra of a training with those of the weights that it starts from."""
    from models.spectra import read_spectra

    before = read_spectra(Path(start).parent if Path(start).is_file() else start) if start else None
    return spectra.joined(before) if before else spectra


def _names(files: SceneFiles) -> list[str]:
    """Return the names of a scene's files."""
    return [str(files)] if isinstance(files, str | Path) else [str(file) for file in files]


def blur_deviations(options: Options) -> dict[str, list[float]]:
    """Return the deviations of the blur of each source whose bands' transfer is given, in pixels of the source."""
    from datasets.dsen2 import scale_of
    from datasets.wald import mtf_sigma
    from models.dsen2 import ROLES, SOURCES

    scale = scale_of(options.role)
    return {
        name: [
            mtf_sigma(options.mtf[band], scale) if band in options.mtf else 1 / scale for band in SOURCES[name].bands
        ]
        for name in ROLES[options.role]
        if set(SOURCES[name].bands) & options.mtf.keys()
    }


def command(options: Command, progress: Progress) -> None:
    """Train, and print the scores."""
    training = train(options.input, options.model_dir, options, progress=progress)
    if training.scores:
        print((training.path / "scores.md").read_text(encoding="utf-8"))
        print(f"{training.path}: the model and its scores")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m train.dsen2",
        description="Train, export and score a network that makes the 20 m or the 60 m bands of Sentinel-2 finer.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)
