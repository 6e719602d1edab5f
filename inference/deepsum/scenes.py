# SPDX-License-Identifier: Apache-2.0
"""Scenes of the PROBA-V challenge: which there are, their frames, and their scores."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chain.runtime.progress import LOG
from chain.serving.input_files import InputWatch
from datasets.deepsum.kelvins import KelvinsScene, check_unit, read_norm
from datasets.deepsum.preparation import (
    FARTHEST,
    FRAMES,
    LARGEST,
    Frames,
    descending,
    enlarge,
    enlarge_mask,
    register,
)
from datasets.deepsum.scenes import split
from inference.deepsum.normalization import Moments, Normalization, chosen
from inference.deepsum.options import Options
from inference.deepsum.rasters import without_zeros
from inference.deepsum.stack import filled

BANDS = ("RED", "NIR")
NORM = "norm.csv"
LEVELS = 4
"""Folders above a scene in which `norm.csv` is looked for."""


def watch_of(scene: KelvinsScene) -> InputWatch:
    """Return what notices that files of a scene are replaced."""
    return InputWatch(map(str, scene.images + scene.masks))


def scene_folders(path: Path, part: str, band: str | None) -> list[Path]:
    """Return the folders of scenes that a folder is or holds, none where there are none.

    Args:
        path: a scene, which is a folder with LR images; a folder with folders `imgset…`; one with such folders in `NIR`
            and `RED`; or one with these in `test` and `train`.
        part: `test`; `train`; or `validation`, those scenes of a band's `train` that the authors have not trained with.
        band: `NIR` or `RED`; by default both.
    """
    if any(path.glob("LR*.png")):
        return [path.resolve()]
    folder = "test" if part == "test" else "train"
    path = path / folder if (path / folder).is_dir() else path
    bands = [path / name for name in ([band] if band else BANDS) if (path / name).is_dir()]
    found = []
    for root in bands or [path]:
        folders = sorted(folder for folder in root.glob("imgset*") if folder.is_dir())
        validation = split([folder.name for folder in folders])[1] if part == "validation" else None
        found += [folder for folder in folders if validation is None or folder.name in validation]
    return found


def folders_in(inputs: Sequence, options: Options) -> list[Path]:
    """Return the folders of the scenes that inputs are or hold; none where they are images of several dates.

    Raises:
        ValueError: some are scenes and others are not, or the options do not suit scenes.
    """
    found = {
        str(name): scene_folders(Path(name), options.split, options.band) if isinstance(name, str | Path) else []
        for name in inputs
    }
    folders = [folder for each in found.values() for folder in each]
    others = [name for name, each in found.items() if not each]
    if folders and others:
        raise ValueError(
            f"--input: expected scenes of the challenge or images of several dates, not both, got {others[0]}"
        )
    if folders and options.band and options.band not in BANDS:
        raise ValueError(f"--band: expected one of {', '.join(BANDS)} for scenes, got {options.band}")
    if folders and options.given_for_dates():
        raise ValueError(f"{options.given_for_dates()[0]}: only for images of several dates, got scenes")
    return folders


def band_of(folder: Path) -> str | None:
    """Return the band of a scene, which the folder that holds it is named after; None where it is not."""
    return folder.parent.name if folder.parent.name in BANDS else None


@dataclass(frozen=True)
class ImageOutcome:
    """What became of an image of a scene."""

    name: str
    """Name of its file."""
    clearance: float
    """Share of it that is clear."""
    reason: str | None
    """Why it is left out; None where it is used."""


@dataclass(frozen=True)
class Prepared:
    """A scene that was read."""

    scene: KelvinsScene
    """Where it lies."""
    lr: np.ndarray
    """Digital numbers (images, rows, columns), of all images."""
    clear: np.ndarray
    """Whether a pixel is there and not concealed, of the same shape."""
    frames: Frames
    """The frames that can be used, in the numbers of the model's data, the reference first."""
    images: tuple[ImageOutcome, ...]
    """What became of each image."""
    reference: str
    """Name of the reference."""
    moments: Moments
    """Mean and deviation of the clear pixels of images that are not corrupt."""
    normalization: Normalization
    """What brought numbers to those of the model's data."""


def read_scene(scene: KelvinsScene, options: Options, data: Moments) -> Prepared:
    """Read a scene, and prepare its frames as `datasets.deepsum.preparation.prepare` does.

    Where QM calls pixels clear that are 0, unless zeros are data, all zeros of that image are concealed, and filled
    from the pixels around them. Where QM conceals all of them, the image stays as the authors use it.

    Args:
        scene: the scene.
        options: how it is used.
        data: mean and deviation of the model's data.

    Raises:
        ValueError: files cannot be read or do not fit, or too few frames can be used.
    """
    lr, qm = scene.read_images()
    present = without_zeros(lr, np.ones_like(qm), options.valid_zero)
    present |= ~(qm & ~present).any(axis=(1, 2), keepdims=True)
    clear = qm & present
    reasons: dict[int, str] = {}
    for number, image in enumerate(lr):
        if image.max() > LARGEST:
            reasons[number] = f"numbers above {LARGEST}"
        elif not present[number].any():
            reasons[number] = "all pixels are 0"
    _tell_zeros(scene, present, reasons)
    sound = [number for number in range(len(lr)) if number not in reasons]
    if not sound:
        raise ValueError(_too_few(scene, reasons, len(lr)))
    _check_different(scene, lr, sound, options)
    moments = Moments.of(lr[sound][clear[sound]])
    if moments is None:
        raise ValueError(f"{scene.folder}: frames: expected clear pixels, got none, all is concealed")
    keep = options.statistics != "data"
    if not keep and not moments.deviation > 0:
        raise ValueError(f"{scene.folder}: expected clear pixels that differ, got {moments.mean:g} in all of them")
    normalization = chosen(moments, data, keep, str(scene.folder))
    images = [_whole(normalization.to_model(lr[number]), present[number]) for number in sound]
    masks = np.stack([enlarge_mask(clear[number]) for number in sound])
    reference = sound[int(descending(masks.sum(axis=(1, 2)))[0])]
    frames = register(np.stack([enlarge(image) for image in images]), masks)
    near = np.abs(frames.shifts).max(axis=1) <= FARTHEST
    order = [reference, *(number for number in sound if number != reference)]
    for number, shift, is_near in zip(order, frames.shifts.tolist(), near):
        if not is_near:
            reasons[number] = f"displaced by {tuple(shift)} fine pixels"
    if near.sum() < FRAMES and not options.repeat:
        raise ValueError(_too_few(scene, reasons, len(lr)))
    uses = tuple(
        ImageOutcome(path.name, float(clear[number].mean()), reasons.get(number))
        for number, path in enumerate(scene.images)
    )
    name = scene.images[reference].name
    return Prepared(scene, lr, clear, frames.take(np.flatnonzero(near)), uses, name, moments, normalization)


def _tell_zeros(scene: KelvinsScene, present: np.ndarray, reasons: Mapping[int, str]) -> None:
    """Tell which pixels of a scene are missing because they are 0."""
    shares = {
        path.name: 1 - float(mask.mean())
        for number, (path, mask) in enumerate(zip(scene.images, present))
        if not mask.all() and number not in reasons
    }
    if shares:
        LOG.info(
            "%s: pixels that are 0 in %d images, up to %.1f %%, are treated as missing (--valid-zero keeps them)",
            scene.folder,
            len(shares),
            100 * max(shares.values()),
        )
    for number, reason in reasons.items():
        if not present[number].any():
            LOG.info("%s: left out: %s: %s", scene.folder, scene.images[number].name, reason)


def _check_different(scene: KelvinsScene, lr: np.ndarray, sound: Sequence[int], options: Options) -> None:
    """Warn of images that are there twice; refuse a scene of too few different ones, unless they may be repeated."""
    first: dict[bytes, int] = {}
    twice = [number for number in sound if first.setdefault(lr[number].tobytes(), number) != number]
    if twice and len(first) < FRAMES and not options.repeat:
        raise ValueError(
            f"{scene.folder}: expected at least {FRAMES} different images, got {len(first)} among {len(sound)}; "
            "--repeat repeats them until there are nine"
        )
    for number in twice:
        one, other = (scene.images[index].name for index in (first[lr[number].tobytes()], number))
        LOG.warning("%s: the same pixels in %s and %s, which adds no detail", scene.folder, one, other)


def _whole(image: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return an image whose missing pixels are filled from those around them."""
    return image if present.all() else filled(np.where(present, image, np.nan))


def _too_few(scene: KelvinsScene, reasons: Mapping[int, str], count: int) -> str:
    """Say how many images of a scene can be used, and why the others cannot."""
    why = ", ".join(f"{scene.images[number].stem}: {reason}" for number, reason in sorted(reasons.items()))
    return (
        f"{scene.folder}: expected at least {FRAMES} images that can be used, got {count - len(reasons)} of {count}"
        f"{f' ({why})' if why else ''}; --repeat repeats them until there are nine"
    )


def scores_of(
    prepared: Prepared, truth: tuple[np.ndarray, np.ndarray], image: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score the image of a scene, and the baselines.

    Args:
        prepared: the scene.
        truth: its truth and where that is clear, (rows, columns).
        image: its image, of the same shape.

    Raises:
        ValueError: they cannot be compared; the message begins with the scene's folder.
    """
    from evaluation.deepsum import baselines, score_scene

    check_unit(prepared.scene.folder, prepared.lr[prepared.clear], truth[0][truth[1]])
    frames = replace(prepared.frames, images=prepared.normalization.to_numbers(prepared.frames.images))
    with named(prepared.scene):
        return score_scene(*truth, {"sr": image, **baselines(frames, prepared.lr, prepared.clear)})


@contextmanager
def named(scene: KelvinsScene) -> Iterator[None]:
    """Put the scene's folder before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{scene.folder}: {error}") from error


def find_norm(folders: Sequence[Path], options: Options) -> dict[str, float] | None:
    """Read the baselines of scenes: of `--norm`, or of a file above the first of them.

    Returns:
        None where there is none.

    Raises:
        ValueError: the file cannot be read, or lacks a scene.
    """
    above = [folder / NORM for folder in folders[0].resolve().parents[:LEVELS]]
    found_above = [file for file in above if file.is_file()]
    path = Path(options.norm) if options.norm else found_above[0] if found_above else None
    if not path:
        LOG.warning("no %s above %s: there is no challenge score", NORM, folders[0])
        return None
    found = read_norm(path)
    missing = [folder.name for folder in folders if folder.name not in found]
    if missing:
        raise ValueError(f"--norm: expected a baseline for every scene, got none for {missing[0]} in {path}")
    return found
