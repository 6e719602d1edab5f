# SPDX-License-Identifier: Apache-2.0
"""The expected absolute error of each pixel of a sharpened band, told from the detail that was put into the band.

What a network adds to a coarse band is wrong by a share of it, which is much the same wherever the detail is strong or
weak. The expected error is a weighted sum of the root mean square of the detail (the band without its bicubically
interpolated coarse means) over three windows, and of a constant; a gain of the band multiplies all but the constant.
The weights are those of the likeliest Laplace distribution of the errors that a network makes on scenes made coarser
(Wald's protocol) which it was never trained on. Each band has a factor of its own, and two bounds: the multiples of the
expected error below which half, and nine tenths, of the errors lie.

Grounds differ by more than their detail tells: `calibrated` multiplies the weights of each band by what the network's
errors on a scene made coarser are of those expected, for the expected errors of that scene.

    python -m evaluation.expected_error --model-dir model/2x --scene T43RCP A_10m.tif A_20m.tif --output errors.json

fits the weights to scenes, each given by the name of its place and its files, and prints how many errors of each scene
lie within the bounds that the scenes of all other places give, and within these calibrated on the scene's other half.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.optimize import minimize

from chain.runtime import provenance
from chain.runtime.command_line import run_program
from chain.runtime.files import read_document
from chain.runtime.options import MISSING, option
from chain.runtime.progress import Progress
from chain.sentinel2.options import NamingOptions, ReadingOptions
from datasets.wald import block_means
from evaluation.bicubic import bicubic

SHARES = (0.5, 0.9)
"""Shares of the errors that lie within the bounds."""
SAMPLES = 1500
"""Pixels of a scene that the weights are fitted to."""
BORDER = 4
"""Pixels along the borders of a scene that are not looked at."""
NEAR = 2
"""Coarse pixels around missing ones that are not looked at: filled pixels mislead a network there, made coarser, on far
more ground than in a product."""
PRIOR = 20
"""Pixels of a scene, of errors as expected, that are added to those by which it is calibrated."""


@dataclass(frozen=True)
class ErrorModel:
    """How the expected error of a band is told."""

    weights: tuple[float, ...]
    """Of the detail over each window, and the constant, in digital numbers."""
    bounds: tuple[float, ...]
    """Multiples of the expected error below which `SHARES` of the errors lie."""

    def expected(self, parts: np.ndarray) -> np.ndarray:
        """Return the expected absolute error, in digital numbers, of what `detail` returned."""
        return np.tensordot(self.weights, parts, 1)

    def times(self, factor: float) -> "ErrorModel":
        """Return the model of errors that are so many times as large."""
        return replace(self, weights=tuple(float(f"{weight * factor:.4g}") for weight in self.weights))


def windows(scale: int) -> tuple[int, ...]:
    """Return the sides of the windows, in pixels, given the number of pixels along a coarse one."""
    return 3, 2 * scale + 1, 6 * scale + 1


def detail(image: np.ndarray, scale: int) -> np.ndarray:
    """Return how strong the detail is around each pixel of a sharpened image.

    Args:
        image: (rows, columns, bands), digital numbers, none missing; the sides are whole coarse pixels.
        scale: number of pixels along a coarse one.

    Returns:
        (parts, rows, columns, bands), digital numbers: the root mean square over each window, and ones.
    """
    power = np.square(image.astype(np.float64) - bicubic(block_means(image, scale), scale))
    means = [uniform_filter(power, (side, side, 0), mode="reflect") for side in windows(scale)]
    return np.stack([*(np.sqrt(np.maximum(mean, 0)) for mean in means), np.ones_like(power)])


@dataclass(frozen=True)
class Errors:
    """What a network did on one scene made coarser."""

    name: str
    place: str
    parts: np.ndarray
    """`detail` of its output: (parts, pixels, bands)."""
    errors: np.ndarray
    """Absolute errors, (pixels, bands)."""

    def part(self, pixels: slice) -> "Errors":
        """Return some of the pixels, which are in the order of rows."""
        return replace(self, parts=self.parts[:, pixels], errors=self.errors[pixels])


def fit(scenes: Sequence[Errors], bands: Sequence[str]) -> dict[str, ErrorModel]:
    """Fit the models of bands to scenes, all of which weigh alike."""
    generator = np.random.default_rng(0)
    drawn = [generator.permutation(len(scene.errors))[:SAMPLES] for scene in scenes]
    parts = np.concatenate(
        [scene.parts[:, pixels].reshape(len(scene.parts), -1) for scene, pixels in zip(scenes, drawn)], 1
    )
    errors = np.concatenate([scene.errors[pixels].ravel() for scene, pixels in zip(scenes, drawn)])

    def loss(logarithms: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.exp(logarithms)
        expected = weights @ parts
        slopes = 1 / expected - errors / np.square(expected)
        return float(np.mean(np.log(expected) + errors / expected)), weights * (parts @ slopes) / len(errors)

    found = minimize(loss, np.full(len(parts), -2.5), jac=True, method="L-BFGS-B", bounds=[(-9.0, 3.0)] * len(parts))
    weights = np.exp(found.x)
    ratios = [scene.errors / np.tensordot(weights, scene.parts, 1) for scene in scenes]
    factors = np.mean([ratio.mean(axis=0) for ratio in ratios], axis=0)
    bounds = np.mean([np.quantile(ratio, SHARES, axis=0) for ratio in ratios], axis=0) / factors
    return {
        band: ErrorModel(
            tuple(float(f"{weight * factors[index]:.4g}") for weight in weights),
            tuple(float(f"{bound:.4g}") for bound in bounds[:, index]),
        )
        for index, band in enumerate(bands)
    }


def calibrated(models: Mapping[str, ErrorModel], found: Sequence[Errors]) -> dict[str, ErrorModel]:
    """Return models for a scene, by what a network did on some pieces of it.

    Args:
        models: of its bands.
        found: errors on the pieces; none, or few pixels, leave the models much as they are.
    """
    factors = {}
    for index, (band, model) in enumerate(models.items()):
        ratios = [piece.errors[:, index] / model.expected(piece.parts[..., index]) for piece in found]
        count = sum(map(len, ratios))
        factors[band] = (PRIOR + sum(ratio.sum() for ratio in ratios)) / (PRIOR + count)
    return {band: model.times(factors[band]) for band, model in models.items()}


def coverage(scene: Errors, models: Mapping[str, ErrorModel]) -> np.ndarray:
    """Return the shares of a scene's errors that lie within the bounds of models: (bounds, bands)."""
    return np.array(
        [
            [
                np.mean(scene.errors[:, index] <= bound * model.expected(scene.parts[..., index]))
                for bound in model.bounds
            ]
            for index, model in enumerate(models.values())
        ]
    ).T


def read_models(path: str | Path, weights: str) -> dict[str, ErrorModel]:
    """Return the models of the bands of a network, given the digest of its weights; none where they are not known."""
    content = json.loads(read_document(path)).get(weights, {})
    return {band: ErrorModel(tuple(one["weights"]), tuple(one["bounds"])) for band, one in content.items()}


def errors_of(name: str, place: str, bands: Mapping[str, np.ndarray], sharpen: Any, made: Sequence[str]) -> Errors:
    """Look at what a network does on a scene made coarser.

    Args:
        name: the scene's.
        place: where it lies: scenes of one place are no evidence for each other.
        bands: native bands of the scene, digital numbers, by name.
        sharpen: the network, as `evaluation.wald.evaluate` takes it.
        made: bands that it makes.

    Returns:
        What is valid in all bands, and not near what is missing in one; maybe nothing.

    Raises:
        ValueError: the scene is too small.
    """
    from chain.raster.blocks import fill_missing
    from chain.raster.mask import grow
    from evaluation.protocol import ratio
    from evaluation.wald import made_coarser

    names, scale = tuple(made), ratio(made[0])
    native, coarse = made_coarser(bands, names)
    outputs = sharpen(coarse, names)
    image = np.stack([outputs[band] for band in names], axis=-1)
    errors = np.abs(image - np.stack([native[band] for band in names], axis=-1))
    present = np.isfinite(image)
    filled = image if present.all() else fill_missing(image, present, windows(scale)[-1])
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    missing = np.zeros(image.shape[:2], bool)
    for pixels in coarse.values():
        missing |= np.kron(np.isnan(pixels), np.ones([image.shape[0] // len(pixels)] * 2, bool))
    valid = (np.isfinite(errors).all(axis=-1) & ~grow(missing, NEAR * scale))[inner]
    return Errors(name, place, detail(filled, scale)[(slice(None), *inner)][:, valid], errors[inner][valid])


@dataclass(frozen=True, kw_only=True)
class Command(NamingOptions, ReadingOptions):
    """The command line."""

    model_dir: str = option(MISSING, "folder of the network", metavar="DIR", reads=True)
    scene: tuple[tuple[str, ...], ...] = option(
        MISSING,
        "name of the place, and the files of a scene that the network was never trained on; once for each scene",
        many=True,
        repeated=True,
        metavar="WORD",
    )
    output: str | None = option(
        None, "file to enter the models into, by the weights' digest", metavar="JSON", writes=(".json",), replaces=True
    )

    def check(self) -> None:
        """Refuse scenes without files, and those of one place, which are no evidence for each other."""
        super().check()
        if bare := next((words[0] for words in self.scene if len(words) < 2), None):
            raise ValueError(f"--scene: expected the name of a place, and files, got {bare} alone")
        if len({words[0] for words in self.scene}) < 2:
            raise ValueError(f"--scene: expected scenes of two places at least, got {self.scene[0][0]} alone")


def command(options: Command, progress: Progress) -> None:
    """Fit, print the coverage of each scene by the models of all other places, and write."""
    from chain.runtime.files import default_cache
    from chain.sentinel2.scene import opened_scene
    from chain.serving.exported_models import served_folder
    from chain.serving.network import Network
    from datasets.dsen2 import read_scenes
    from evaluation.networks import sharpener
    from models.description import read_description

    description = read_description(options.model_dir)
    network = Network(description, str(served_folder(Path(options.model_dir), default_cache())))
    scenes = []
    for number, (place, *files) in enumerate(options.scene):
        with opened_scene(files, naming=options.naming, reading=options.reading) as scene:
            window = read_scenes(scene.product, description.arguments["role"], windows=1)[0]
        scenes.append(errors_of(window.name, place, window.bands, sharpener([network]), description.bands))
        if not len(scenes[-1].errors):
            raise ValueError(f"--scene: expected pixels that are valid in all bands, got none in {window.name}")
        progress((number + 1) / len(options.scene), window.name)
    titles = (*description.bands, "all", "all, uncalibrated")
    print(f"| scene | {' | '.join(titles)} |\n|{'---|' * (len(titles) + 1)}")
    for one in scenes:
        models = fit([other for other in scenes if other.place != one.place], description.bands)
        halves = [one.part(slice(None, len(one.errors) // 2)), one.part(slice(len(one.errors) // 2, None))]
        pairs = zip(halves, reversed(halves))
        own = np.mean([coverage(half, calibrated(models, [other])) for half, other in pairs], axis=0)
        found = coverage(one, models)
        shown = [
            f"{100 * half:.0f} / {100 * most:.0f}" for half, most in (*own.T, own.mean(axis=1), found.mean(axis=1))
        ]
        print(f"| {one.name.split('@')[0]} | {' | '.join(shown)} |")
    if options.output:
        path = Path(options.output)
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        models = fit(scenes, description.bands)
        provenance.write(path, {**content, description.weights: {band: asdict(one) for band, one in models.items()}})


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.expected_error",
        description="Fit how the expected error of a network's pixels is told, and say how well that holds.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
