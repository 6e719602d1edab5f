# SPDX-License-Identifier: Apache-2.0
"""Scenes of the PROBA-V challenge: which there are, what is made of them, which are done, and their scores.

`run.json` in the folder of the results says for each scene what its image was made of: the same command goes on where
it was interrupted, and images that would be made otherwise now are noticed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from chain.runtime import provenance
from chain.runtime.files import locked
from chain.serving.provenance import digest, stamps, weights_of
from datasets.deepsum.kelvins import KelvinsScene, open_scene, read_norm
from datasets.deepsum.preparation import FARTHEST, FRAMES, LARGEST, Frames, prepare
from datasets.deepsum.scenes import split
from inference.deepsum.attempts import ErrorPolicy
from inference.deepsum.network import DeepSumNetwork
from inference.deepsum.png import digital_numbers, read_image, write_image, write_submission
from inference.deepsum.super_resolution import Settings, super_resolve

BANDS = ("RED", "NIR")
RECORD = "run.json"
NORM = "norm.csv"
LEVELS = 4
"""Folders above a scene in which `norm.csv` is looked for."""


def is_scene(folder: Path) -> bool:
    """Return whether a folder is a scene: there are LR images in it."""
    return any(folder.glob("LR*.png"))


def scene_folders(path: Path, part: str, band: str | None) -> list[Path]:
    """Return the folders of scenes that a folder is or holds, none where there are none.

    Args:
        path: a scene; a folder with folders `imgset…`; one with such folders in `NIR` and `RED`; or one with these in
            `test` and `train`.
        part: `test`; `train`; or `validation`, those scenes of a band's `train` that the authors have not trained with.
        band: `NIR` or `RED`; by default both.
    """
    if is_scene(path):
        return [path.resolve()]
    folder = "test" if part == "test" else "train"
    path = path / folder if (path / folder).is_dir() else path
    bands = [path / name for name in ([band] if band else BANDS) if (path / name).is_dir()]
    found = []
    for root in bands or [path]:
        folders = sorted(folder for folder in root.glob("imgset*") if folder.is_dir())
        chosen = split([folder.name for folder in folders])[1] if part == "validation" else None
        found += [folder for folder in folders if chosen is None or folder.name in chosen]
    return found


def band_of(folder: Path) -> str | None:
    """Return the band of a scene, which the folder that holds it is named after; None where it is not."""
    return folder.parent.name if folder.parent.name in BANDS else None


@dataclass(frozen=True)
class Prepared:
    """A scene that was read."""

    scene: KelvinsScene
    """Where it lies."""
    lr: np.ndarray
    """Digital numbers (images, rows, columns), of all images."""
    qm: np.ndarray
    """Whether a pixel is clear, of the same shape."""
    frames: Frames
    """The frames that can be used."""


def read_scene(scene: KelvinsScene) -> Prepared:
    """Read a scene.

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
    return Prepared(scene, lr, qm, frames)


@dataclass(frozen=True)
class SceneProcessor:
    """How images of scenes are made."""

    network: DeepSumNetwork
    """The network."""
    settings: Settings
    """How it is used."""

    def identity(self, scene: KelvinsScene) -> str:
        """Return a digest of all that the image of a scene depends on."""
        model = weights_of(self.network.served)
        return digest({"model": model, **asdict(self.settings), "files": stamps(scene.images + scene.masks)})

    def make(self, prepared: Prepared) -> np.ndarray:
        """Make the image of a scene, uint16 (rows, columns).

        Raises:
            ValueError: the scene cannot be used; the message begins with its folder.
            RuntimeError: OTB or TensorFlow refuses.
        """
        with _named(prepared.scene):
            result = super_resolve(prepared.frames, self.network, self.settings)
        result.tell()
        return digital_numbers(result.image)

    def model(self) -> dict:
        """Return what a record says of the network."""
        served = self.network.served
        return {**served.description.to_json(), "folder": served.model_dir, "engine": served.engine}


WayOf = Callable[[Path], SceneProcessor]
"""Gives the way in which the image of a scene's folder is made."""


def score(prepared: Prepared, image: np.ndarray) -> dict:
    """Score the image of a scene, and the baselines.

    Raises:
        ValueError: the scene has no truth, or cannot be scored; the message begins with its folder.
    """
    from evaluation.deepsum import baselines, score_scene

    _, _, hr, clear = prepared.scene.read()
    with _named(prepared.scene):
        return score_scene(hr, clear, {"sr": image, **baselines(prepared.frames, prepared.lr, prepared.qm)})


@contextmanager
def _named(scene: KelvinsScene) -> Iterator[None]:
    """Put the scene's folder before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{scene.folder}: {error}") from error


def make_one(arguments: argparse.Namespace, folder: Path, way: SceneProcessor) -> None:
    """Make the image of one scene, `--output`, and its record.

    Raises:
        ValueError: the scene cannot be used.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
    """
    output, scene = Path(arguments.output), open_scene(folder)
    norm = find_norm(arguments, [folder])
    prepared = read_scene(scene)
    image = way.make(prepared)
    scored = {scene.name: score(prepared, image)} if arguments.metrics else {}
    write_image(output, image)
    content = {"arguments": vars(arguments), "versions": provenance.versions(), "model": way.model()}
    provenance.write(provenance.record_of(output), {**content, "identity": way.identity(scene)})
    print(f"{output}: {image.shape[1]} x {image.shape[0]} pixels")
    write_metrics(arguments, scored, norm)


def make_all(arguments: argparse.Namespace, folders: Sequence[Path], way_of: WayOf) -> None:
    """Make the images of scenes in `--output-dir`, and score them, as far as that is asked for.

    Raises:
        ValueError: a scene cannot be used, and is not to be skipped; or all are skipped.
        FileExistsError: an image is there that would be made otherwise.
        RuntimeError: OTB or TensorFlow refuses, or another process writes there.
        OSError: the disk refuses.
    """
    names = [folder.name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"--input: scenes of different names are wanted. Received: {twice[0]} twice")
    norm = find_norm(arguments, folders)
    if not arguments.output_dir:
        _each(arguments, folders, way_of, None, norm)
        return
    target = Path(arguments.output_dir)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output-dir: a folder is wanted. Received: {target} ({error.strerror})") from error
    with locked(target / ".lock", RuntimeError(f"--output-dir: another process writes into {target}")):
        _each(arguments, folders, way_of, Done(target, arguments, way_of), norm)


def _each(
    arguments: argparse.Namespace, folders: Sequence[Path], way_of: WayOf, done: "Done | None", norm: dict | None
) -> None:
    """Make images, or keep them where they are done; score them."""
    from tqdm import tqdm

    attempts = ErrorPolicy(arguments.on_error)
    scenes = [scene for folder in folders if (scene := attempts.make(open_scene, folder))]
    if done:
        done.check(scenes, arguments.overwrite)
    kept, scores = 0, {}
    for scene in tqdm(scenes, unit="scene", disable=not sys.stderr.isatty()):
        is_done = bool(done) and done.has(scene)
        scored = attempts.make(_one, scene, way_of(scene.folder), done, is_done, bool(arguments.metrics))
        if scored is not None:
            kept, scores[scene.name] = kept + is_done, scored
    parts = [f"{len(scores)} of {len(folders)} scenes"]
    parts += [f"{kept} done before"] if kept else []
    parts += [f"{len(attempts.skipped)} skipped"] if attempts.skipped else []
    print(", ".join(parts))
    if not scores:
        raise ValueError(f"--input: scenes that can be used are wanted. Received: none of {len(folders)}")
    write_metrics(arguments, scores, norm)


def _one(scene: KelvinsScene, way: SceneProcessor, done: "Done | None", is_done: bool, is_scored: bool) -> dict:
    """Make the image of one scene, if it is not done, and return its scores, if it is to be scored."""
    if is_done and not is_scored:
        return {}
    prepared = read_scene(scene)
    image = read_image(done.file(scene)) if is_done else way.make(prepared)
    scores = score(prepared, image) if is_scored else {}
    if done and not is_done:
        done.add(scene, image)
    return scores


class Done:
    """Images of a folder, and what they were made of.

    Args:
        folder: the folder.
        arguments: those of the program.
        way_of: how images would be made now.
    """

    def __init__(self, folder: Path, arguments: argparse.Namespace, way_of: WayOf):
        self.folder, self._arguments, self._way_of = folder, arguments, way_of
        self._path, self._versions = folder / RECORD, provenance.versions()
        self._scenes: dict[str, dict[str, str]] = {}
        self._models: dict[str, dict] = {}
        if self._path.exists():
            try:
                before = json.loads(self._path.read_text(encoding="utf-8"))
                self._scenes, self._models = dict(before["scenes"]), dict(before["models"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"--output-dir: {self._path} as this program writes it is wanted. Received: {error}"
                ) from error

    def file(self, scene: KelvinsScene) -> Path:
        """Return the image's file."""
        return self.folder / f"{scene.name}.png"

    def has(self, scene: KelvinsScene) -> bool:
        """Return whether the image of a scene is there, and was made as it would be made now."""
        identity = self._way_of(scene.folder).identity(scene)
        return self.file(scene).exists() and self._scenes.get(scene.name, {}).get("identity") == identity

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
        way = self._way_of(scene.folder)
        model = way.model()
        self._models[model["folder"]] = model
        self._scenes[scene.name] = {"identity": way.identity(scene), "model": model["folder"]}
        content = {
            "arguments": vars(self._arguments),
            "versions": self._versions,
            "models": self._models,
            "scenes": dict(sorted(self._scenes.items())),
        }
        provenance.write(self._path, content)
        write_image(self.file(scene), image)


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
    provenance.write(Path(arguments.metrics), scored)
    print(table(scored))


def pack(arguments: argparse.Namespace) -> None:
    """Write `--submission`.

    Raises:
        ValueError: images lack, or are not as the challenge wants them.
        OSError: the disk refuses.
    """
    write_submission(Path(arguments.submission), Path(arguments.output_dir))
    print(f"{arguments.submission}: a submission")
