# SPDX-License-Identifier: Apache-2.0
"""Scenes of the PROBA-V challenge: which there are, what is made of them, which are done, and their scores.

`run.json` in the folder of the results says for each scene what its image was made of: the same command goes on where
it was interrupted, and images that would be made otherwise now are noticed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from chain import record
from chain.command_line import one_line
from chain.lock import locked
from datasets.deepsum_preparation import FARTHEST, FRAMES, LARGEST, Frames, prepare
from datasets.kelvins import KelvinsScene, open_scene, read_norm
from inference.deepsum_network import DeepSumNetwork
from inference.deepsum_png import digital_numbers, read_image, write_image, write_submission
from inference.deepsum_super_resolution import Settings, super_resolve
from inference.record import digest, stamps, weights_of

BANDS = ("RED", "NIR")
RECORD = "run.json"
NORM = "norm.csv"
LEVELS = 4
"""Folders above a scene in which `norm.csv` is looked for."""


def is_scene(folder: Path) -> bool:
    """Return whether a folder is a scene: there are LR images in it."""
    return any(folder.glob("LR*.png"))


def scene_folders(path: Path, split: str, band: str | None) -> list[Path]:
    """Return the folders of scenes that a folder is or holds, none where there are none.

    Args:
        path: a scene; a folder with folders `imgset…`; one with such folders in `NIR` and `RED`; or one with these in
            `test` and `train`.
        split: `test` or `train`.
        band: `NIR` or `RED`; by default both.
    """
    if is_scene(path):
        return [path]
    path = path / split if (path / split).is_dir() else path
    bands = [path / name for name in ([band] if band else BANDS) if (path / name).is_dir()]
    return [folder for root in bands or [path] for folder in sorted(root.glob("imgset*")) if folder.is_dir()]


class Scenes:
    """What a program makes of scenes.

    Args:
        arguments: those of `inference.deepsum`.
        network: the network.
        settings: how it is used.
    """

    def __init__(self, arguments: argparse.Namespace, network: DeepSumNetwork, settings: Settings):
        self.arguments, self.network, self.settings = arguments, network, settings

    def identity(self, scene: KelvinsScene) -> str:
        """Return a digest of all that the image of a scene depends on."""
        model = weights_of(self.network.served)
        return digest({"model": model, **asdict(self.settings), "files": stamps(scene.images + scene.masks)})

    def frames(self, scene: KelvinsScene) -> tuple[Frames, np.ndarray, np.ndarray]:
        """Read a scene: the frames that can be used, and all images and masks.

        Raises:
            ValueError: files cannot be read or do not fit, or less than nine frames can be used.
        """
        lr, qm = scene.read_images()
        frames = prepare(lr, qm)
        if frames is None:
            corrupt = np.count_nonzero(lr.max(axis=(1, 2)) > LARGEST)
            raise ValueError(
                f"{scene.folder}: at least {FRAMES} images without numbers above {LARGEST} and not displaced by more "
                f"than {FARTHEST} fine pixels are wanted. Received: fewer among {len(lr)}, {corrupt} with such numbers"
            )
        return frames, lr, qm

    def make(self, scene: KelvinsScene) -> np.ndarray:
        """Make the image of a scene, uint16 (rows, columns).

        Raises:
            ValueError: the scene cannot be used; the message begins with its folder.
            RuntimeError: OTB or TensorFlow refuses.
        """
        frames, _, _ = self.frames(scene)
        try:
            result = super_resolve(frames, self.network, self.settings)
        except ValueError as error:
            raise ValueError(f"{scene.folder}: {error}") from error
        result.tell()
        return digital_numbers(result.image)

    def scores(self, scene: KelvinsScene, image: np.ndarray) -> dict:
        """Score the image of a scene, and the baselines.

        Raises:
            ValueError: the scene has no truth, or cannot be scored.
        """
        from evaluation.deepsum import baselines, score_scene

        frames, lr, qm = self.frames(scene)
        _, _, hr, clear = scene.read()
        try:
            return score_scene(hr, clear, {"sr": image, **baselines(frames, lr, qm)})
        except ValueError as error:
            raise ValueError(f"{scene.folder}: {error}") from error


def make_one(arguments: argparse.Namespace, folder: Path, network: DeepSumNetwork, settings: Settings) -> None:
    """Make the image of one scene, `--output`, and its record.

    Raises:
        ValueError: the scene cannot be used.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
    """
    scenes, output, scene = Scenes(arguments, network, settings), Path(arguments.output), open_scene(folder)
    norm = find_norm(arguments, [folder.resolve()])
    image = scenes.make(scene)
    scored = {scene.name: scenes.scores(scene, image)} if arguments.metrics else {}
    write_image(output, image)
    content = {"arguments": vars(arguments), "versions": record.versions(), "model": _model(network)}
    record.write(record.record_of(output), {**content, "identity": scenes.identity(scene)})
    print(f"{output}: {image.shape[1]} x {image.shape[0]} pixels")
    write_metrics(arguments, scored, norm)


def make_all(
    arguments: argparse.Namespace, folders: Sequence[Path], network: DeepSumNetwork, settings: Settings
) -> None:
    """Make the images of scenes in `--output-dir`, score them, and pack them, as far as that is asked for.

    Raises:
        ValueError: a scene cannot be used, and is not to be skipped; all are skipped; or a submission lacks something.
        FileExistsError: an image is there that would be made otherwise.
        RuntimeError: OTB or TensorFlow refuses, or another process writes there.
        OSError: the disk refuses.
    """
    names = [folder.name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"--input: scenes of different names are wanted. Received: {twice[0]} twice")
    norm = find_norm(arguments, folders)
    scenes = Scenes(arguments, network, settings)
    if not arguments.output_dir:
        _each(scenes, folders, None, norm)
        return
    target = Path(arguments.output_dir)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output-dir: a folder is wanted. Received: {target} ({error.strerror})") from error
    with locked(target / ".lock", RuntimeError(f"--output-dir: another process writes into {target}")):
        _each(scenes, folders, target, norm)


def _each(scenes: Scenes, folders: Sequence[Path], target: Path | None, norm: dict | None) -> None:
    """Make images, or keep them where they are done; score them."""
    from tqdm import tqdm

    arguments = scenes.arguments
    done, results = Done(target, scenes) if target else None, Outcome()
    opened = [results.attempt(arguments.on_error, open_scene, folder) for folder in folders]
    if done:
        done.check([scene for scene in opened if scene], arguments.overwrite)
    for scene in tqdm(opened, unit="scene", disable=not sys.stderr.isatty()):
        if scene:
            results.attempt(arguments.on_error, _one, scenes, scene, done, results)
    print(results.line(len(folders), target))
    if len(results.skipped) == len(folders):
        raise ValueError(f"--input: scenes that can be used are wanted. Received: none of {len(folders)}")
    write_metrics(arguments, results.scores, norm)


def _one(scenes: Scenes, scene: KelvinsScene, done: "Done | None", results: "Outcome") -> None:
    """Make and score the image of one scene."""
    if done and done.has(scene):
        image = read_image(done.file(scene))
        results.kept += 1
    else:
        image = scenes.make(scene)
    if scenes.arguments.metrics:
        results.scores[scene.name] = scenes.scores(scene, image)
    if done and not done.has(scene):
        done.add(scene, image)


class Outcome:
    """What became of scenes."""

    def __init__(self):
        self.kept, self.skipped, self.scores = 0, [], {}

    def attempt(self, on_error: str, function, *values):
        """Return what a function returns; where it raises ValueError and scenes are to be skipped, say so."""
        try:
            return function(*values)
        except ValueError as error:
            if on_error == "fail":
                raise
            self.skipped.append(str(error))
            print(f"skipped: {one_line(error)}", file=sys.stderr)
            return None

    def line(self, count: int, target: Path | None) -> str:
        """Say it in one line."""
        parts = [f"{count - len(self.skipped)} of {count} scenes"]
        parts += [f"{self.kept} done before"] if self.kept else []
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        return f"{target}: {', '.join(parts)}" if target else ", ".join(parts)


class Done:
    """Images of a folder, and what they were made of.

    Args:
        folder: the folder.
        scenes: what would be made now.
    """

    def __init__(self, folder: Path, scenes: Scenes):
        self.folder, self._scenes = folder, scenes
        self._path = folder / RECORD
        self._made_by = {"versions": record.versions(), "model": _model(scenes.network)}
        self._identities: dict[str, str] = {}
        if self._path.exists():
            try:
                self._identities = dict(json.loads(self._path.read_text(encoding="utf-8"))["scenes"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"--output-dir: {self._path} as this program writes it is wanted. Received: {error}"
                ) from error

    def file(self, scene: KelvinsScene) -> Path:
        """Return the image's file."""
        return self.folder / f"{scene.name}.png"

    def has(self, scene: KelvinsScene) -> bool:
        """Return whether the image of a scene is there, and was made as it would be made now."""
        return self.file(scene).exists() and self._identities.get(scene.name) == self._scenes.identity(scene)

    def check(self, scenes: Sequence[KelvinsScene], overwrite: bool) -> None:
        """Refuse images that are there and were made otherwise, or remove them.

        Raises:
            FileExistsError: there are some, and they must not be replaced.
        """
        others = [scene for scene in scenes if self.file(scene).exists() and not self.has(scene)]
        if others and not overwrite:
            raise FileExistsError(
                "--output-dir: images that the same command has made, or --overwrite, are wanted. "
                f"Received: {len(others)} others, such as {self.file(others[0])}"
            )
        for scene in others:
            self.file(scene).unlink()

    def add(self, scene: KelvinsScene, image: np.ndarray) -> None:
        """Write the image of a scene. It is recorded first: an image without record would not be known again."""
        self._identities[scene.name] = self._scenes.identity(scene)
        content = {
            "arguments": vars(self._scenes.arguments),
            **self._made_by,
            "scenes": dict(sorted(self._identities.items())),
        }
        record.write(self._path, content)
        write_image(self.file(scene), image)


def _model(network: DeepSumNetwork) -> dict:
    """Return what a record says of the network."""
    served = network.served
    return {**served.description.to_json(), "folder": served.model_dir, "engine": served.engine}


def find_norm(arguments: argparse.Namespace, folders: Sequence[Path]) -> dict[str, float] | None:
    """Read the baselines of scenes: of `--norm`, or of a file above the first of them.

    Returns:
        None where there is none, or no scores are asked for.

    Raises:
        ValueError: the file cannot be read, or lacks a scene.
    """
    if not arguments.metrics:
        return None
    above = [folder / NORM for folder in folders[0].resolve().parents[:LEVELS]]
    path = Path(arguments.norm) if arguments.norm else next((path for path in above if path.is_file()), None)
    if not path:
        print(f"warning: no {NORM} above {folders[0]}: there is no challenge score", file=sys.stderr)
        return None
    found = read_norm(path)
    missing = [folder.name for folder in folders if folder.name not in found]
    if missing:
        raise ValueError(f"--norm: the baselines of all scenes are wanted. Received: none of {missing[0]} in {path}")
    return found


def write_metrics(arguments: argparse.Namespace, scores: dict, norm: dict | None) -> None:
    """Write scores as JSON, and print them.

    Raises:
        ValueError: a scene has no baseline.
        OSError: the disk refuses.
    """
    if not arguments.metrics:
        return
    from evaluation.deepsum import report, table

    scored = report(scores, norm)
    record.write(Path(arguments.metrics), scored)
    print(table(scored))


def pack(arguments: argparse.Namespace) -> None:
    """Write `--submission`.

    Raises:
        ValueError: images lack, or are not as the challenge wants them.
        OSError: the disk refuses.
    """
    write_submission(Path(arguments.submission), Path(arguments.output_dir))
    print(f"{arguments.submission}: a submission")
