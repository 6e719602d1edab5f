# SPDX-License-Identifier: Apache-2.0
"""Enter into the folder of DSen2's weights which ground they were trained on, and say how much of others is unlike it.

A training does so itself; this is for weights that were trained before trainings did.

    python -m evaluation.trained_ground --model-dir model/2x --scene A_10m.tif A_20m.tif --test B_10m.tif B_20m.tif

The table has, for each scene of `--test`, the share of its pixels that are like none of the training's
(`models/spectra.py`), and the network's error, as a part of bicubic interpolation's (root mean squares over all bands,
Wald's protocol), where pixels are unlike and elsewhere.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, option
from chain.runtime.progress import Progress
from chain.sentinel2.options import NamingOptions, ReadingOptions
from models.description import FILE_NAME, read_description, write_description

if TYPE_CHECKING:
    from datasets.dsen2 import Scene
    from models.spectra import Spectra


@dataclass(frozen=True)
class Found:
    """How much of a scene is unlike the ground that a network was trained on."""

    share: float
    """Share of its pixels."""
    ratios: tuple[float, float]
    """The network's error as a part of bicubic interpolation's, where pixels are unlike and elsewhere."""


def look(scene: "Scene", role: str, spectra: "Spectra", sharpen: Callable, made: Sequence[str]) -> Found:
    """Say how much of a scene is unlike the ground that a network was trained on, and how wrong the network is there.

    Args:
        scene: the scene, without missing pixels.
        role: `2x` or `6x`.
        spectra: those of the training.
        sharpen: the network, as `evaluation.wald.evaluate` takes it.
        made: bands that it makes.

    Raises:
        ValueError: the scene is too small, or pixels are missing.
    """
    from datasets.spectra import pixels_of
    from datasets.wald import degrade
    from evaluation.bicubic import bicubic
    from evaluation.protocol import crop, ratio, whole

    scale = ratio(made[0])
    size = scene.bands[made[0]].shape
    pixels = pixels_of(scene, role)
    if len(pixels) != size[0] * size[1]:
        raise ValueError(f"--test: expected a scene without missing pixels and clouds, got {scene.name}")
    bands = crop(scene.bands, *(whole(length, scale) * scale for length in size))
    truth = np.stack([bands[band] for band in made], axis=-1)
    degraded = {band: degrade(pixels[..., np.newaxis], scale)[..., 0] for band, pixels in bands.items()}
    made_finer = sharpen(degraded, tuple(made))
    estimate = np.stack([made_finer[band] for band in made], axis=-1)
    interpolated = bicubic(np.stack([degraded[band] for band in made], axis=-1), scale)
    rows, columns = estimate.shape[:2]
    is_unlike = spectra.unlike(pixels)
    unlike = is_unlike.reshape(size)[:rows, :columns]
    errors = [np.square(image - truth).mean(axis=-1) for image in (estimate, interpolated)]
    ratios = [
        float(np.sqrt(errors[0][part].mean() / errors[1][part].mean())) if part.any() else np.nan
        for part in (unlike, ~unlike)
    ]
    return Found(float(is_unlike.mean()), (ratios[0], ratios[1]))


@dataclass(frozen=True, kw_only=True)
class Command(NamingOptions, ReadingOptions):
    """The command line."""

    model_dir: str = option(MISSING, "folder of the network", metavar="DIR", reads=True)
    scene: tuple[tuple[str, ...], ...] = option(
        (),
        "files of a scene that the network was trained on; once for each scene",
        many=True,
        repeated=True,
        metavar="IMG",
        reads=True,
    )
    test: tuple[tuple[str, ...], ...] = option(
        (),
        "files of another scene, to be looked at; once for each scene",
        many=True,
        repeated=True,
        metavar="IMG",
        reads=True,
    )


def command(options: Command, progress: Progress) -> None:
    """Enter the spectra of scenes, and look at others."""
    from chain.runtime.files import default_cache
    from chain.sentinel2.scene import opened_scene
    from chain.serving.exported_models import served_folder
    from chain.serving.network import Network
    from datasets.dsen2 import read_scenes
    from datasets.spectra import spectra_of
    from evaluation.networks import sharpener
    from models.spectra import read_spectra

    folder = Path(options.model_dir)
    description = read_description(folder)
    role = description.arguments["role"]

    def read(files: Sequence[str]) -> "list[Scene]":
        with opened_scene(files, naming=options.naming, reading=options.reading) as scene:
            return read_scenes(scene.product, role, scl=scene.scl)

    if options.scene:
        spectra_of([window for files in options.scene for window in read(files)], role).write(folder)
        write_description(folder, json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    spectra = read_spectra(folder)
    if spectra is None:
        raise ValueError(f"--scene: expected scenes that the network was trained on, none are known of {folder}")
    print(f"{folder}: {len(spectra.shares)} spectra")
    if not options.test:
        return
    sharpen = sharpener([Network(description, str(served_folder(folder, default_cache())))])
    print("| scene | unlike the training (%) | error there | elsewhere |\n|---|---|---|---|")
    for number, files in enumerate(options.test):
        for window in read(files):
            found = look(window, role, spectra, sharpen, description.bands)
            shown = [f"{ratio:.3f}" if np.isfinite(ratio) else "" for ratio in found.ratios]
            print(f"| {window.name.split('@')[0]} | {100 * found.share:.1f} | {' | '.join(shown)} |")
        progress((number + 1) / len(options.test), f"scene {number + 1}")


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.trained_ground",
        description="Say which ground DSen2's weights were trained on, and how much of other scenes is unlike it.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
