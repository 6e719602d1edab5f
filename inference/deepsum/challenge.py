# SPDX-License-Identifier: Apache-2.0
"""Making and scoring the images of scenes of the PROBA-V challenge.

`run.json` in the output folder records what each image was made of. The same command resumes an interrupted run, and
notices images that it would now make differently.
"""

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chain.runtime import provenance
from chain.runtime.files import locked, read_document
from chain.runtime.options import values_for_pixels
from chain.runtime.progress import SILENT, Progress
from chain.serving.input_files import InputWatch, unplaced
from chain.serving.outputs import check_files, check_outputs
from chain.serving.product import DONE, MADE
from chain.serving.provenance import add_to_record, digest, weights_of, write_record
from chain.serving.report.native import input_names
from datasets.deepsum.kelvins import FEWEST, KelvinsScene, MissingMaskError, TooFewImagesError, open_scene, truth_files
from inference.deepsum.attempts import ErrorPolicy
from inference.deepsum.network import DeepSumNetwork, find_model, served
from inference.deepsum.options import Options
from inference.deepsum.png import digital_numbers, read_image, write_image
from inference.deepsum.report import given_of_scene
from inference.deepsum.scenes import Prepared, band_of, find_norm, named, read_scene, scores_of, watch_of
from inference.deepsum.super_resolution import fused
from inference.deepsum.windows import repeated
from inference.deepsum.workers import MadeElsewhere, made_by_workers

RECORD = "run.json"
SCORED = "scored"
"""What became of a scene of which no image is kept."""


@dataclass(frozen=True)
class Scenes:
    """What was made of scenes of the challenge."""

    outcomes: Mapping[str, str]
    """By the scene's name: `made`, `done before`, `scored`, or why it is skipped."""
    paths: Mapping[str, Path]
    """Files of the images, by the scene's name."""
    scores: Mapping[str, Any] | None = None
    """As `evaluation.deepsum.report` returns them, where scores were asked for."""
    record: Path | None = None
    """JSON file that says what the images were made of."""

    def __str__(self) -> str:
        outcomes = list(self.outcomes.values())
        done = outcomes.count(DONE)
        skipped = len(outcomes) - done - outcomes.count(MADE) - outcomes.count(SCORED)
        parts = [f"{len(outcomes) - skipped} of {len(outcomes)} scenes"]
        parts += [f"{done} done before"] if done else []
        parts += [f"{skipped} skipped"] if skipped else []
        return ", ".join(parts)


@dataclass(frozen=True)
class SceneProcessor:
    """How images of scenes are made."""

    network: DeepSumNetwork
    """The network."""
    options: Options
    """How it is used."""

    def read(self, scene: KelvinsScene) -> Prepared:
        """Read a scene.

        Raises:
            ValueError: as `inference.deepsum.scenes.read_scene`.
        """
        return read_scene(scene, self.options, self.network.moments)

    def make(self, prepared: Prepared, progress: Progress) -> np.ndarray:
        """Make the image of a scene, uint16 (rows, columns).

        Raises:
            ValueError: the scene cannot be used; the message begins with its folder.
            RuntimeError: OTB or TensorFlow refuses.
            chain.runtime.progress.Cancelled: the work is to stop.
        """
        with named(prepared.scene):
            fill = self.options.filled_before(True)
            result = fused(repeated(prepared.frames), self.network, self.options, fill, progress)
        result.tell(prepared.normalization.scale)
        return digital_numbers(prepared.normalization.to_numbers(result.image))

    def identity(self, scene: KelvinsScene, watch: InputWatch) -> dict[str, Any]:
        """Return all that the image of a scene depends on."""
        options = values_for_pixels(self.options)
        del options["band"]  # it has chosen the scenes, and the model
        return {
            "input": {"scene": scene.name, "files": unplaced(watch.stamps)},
            "models": [weights_of(self.network.served)],
            "options": options,
        }


ProcessorOf = Callable[[Path], SceneProcessor]
"""Returns how the image of a scene's folder is made."""


def processors(options: Options) -> ProcessorOf:
    """Return a function that tells how the image of a scene is made: with the model of its band."""

    @functools.cache
    def of_band(band: str | None) -> SceneProcessor:
        return SceneProcessor(served(find_model(options.model_dir, band), options), options)

    return lambda folder: of_band(band_of(folder) or options.band)


def image_of(options: Options, folder: str) -> np.ndarray:
    """Make the image of a scene, uint16 (rows, columns): what a worker of Dask is given.

    Args:
        options: how it is made.
        folder: the scene's.
    """
    scene, way = open_folder(Path(folder), options), processors(options)(Path(folder))
    return way.make(way.read(scene), SILENT)


def open_folder(folder: Path, options: Options) -> KelvinsScene:
    """Open a scene; `--unmasked` does without masks, `--repeat` with few images.

    Raises:
        ValueError: it cannot be used; the message names the option that helps.
    """
    try:
        return open_scene(folder, 1 if options.repeat else FEWEST, options.unmasked)
    except TooFewImagesError as error:
        raise ValueError(f"{error}; --repeat repeats them until there are nine") from error
    except MissingMaskError as error:
        raise ValueError(f"{error}; --unmasked treats all pixels as clear") from error


def make_image(folder: Path, output: Path, options: Options, scored: bool, progress: Progress) -> Scenes:
    """Make the image of one scene, and its record.

    Args:
        folder: the scene's.
        output: the image, `.png` or `.tif`.
        options: how it is made.
        scored: whether to score it.
        progress: where progress is reported.

    Raises:
        ValueError: the scene cannot be used.
        FileExistsError: the image exists, and may not be replaced.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
        chain.runtime.progress.Cancelled: the work is to stop.
    """
    if options.scheduler:
        raise ValueError("--scheduler requires --output-dir: a scene is made in one piece")
    start, scene = time.perf_counter(), open_folder(folder, options)
    check_outputs(options, output)
    check_files(options, (), list(map(str, scene.images + scene.masks + truth_files(folder))), output)
    norm = find_norm([folder], options) if scored else None
    truth = scene.read_truth() if scored else None
    way, watch = processors(options)(folder), watch_of(scene)
    with watch.reading():
        identity, prepared = way.identity(scene, watch), way.read(scene)
    image = way.make(prepared, progress)
    watch.check()
    scores = _report({scene.name: scores_of(prepared, truth, image)}, norm) if truth else None
    notes = {
        "models": [way.network.record()],
        "precision": {"precision": way.network.served.description.precision},
        "input": {"files": watch.stamps, "names": input_names([str(folder)])},
    }
    write_record(output, options, notes, identity, 0, time.perf_counter() - start)
    add_to_record(output, {"scene": {"name": scene.name, "reference": prepared.reference}})
    write_image(output, image)
    if options.report:
        from chain.serving.report.write import write_report

        with given_of_scene(scene, prepared.reference) as given:
            write_report(output, Path(options.report), given)
    return Scenes({scene.name: MADE}, {scene.name: output}, scores, provenance.record_of(output))


def make_images(
    folders: Sequence[Path], output_dir: Path | None, options: Options, scored: bool, progress: Progress
) -> Scenes:
    """Make the images of scenes in a folder, and score them, as far as that is asked for.

    Args:
        folders: those of the scenes.
        output_dir: folder of the images; None to keep none.
        options: how they are made.
        scored: whether to score them.
        progress: where progress is reported.

    Raises:
        ValueError: a scene cannot be used, and is not to be skipped; or all are skipped.
        FileExistsError: an image is there that would be made otherwise.
        RuntimeError: OTB or TensorFlow refuses, or another process writes there.
        OSError: the disk refuses.
        chain.runtime.progress.Cancelled: the work is to stop.
    """
    names = [folder.name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"--input: expected scenes of different names, got {twice[0]} twice")
    check_outputs(options, None)
    norm, way_of = find_norm(folders, options) if scored else None, processors(options)
    if not output_dir:
        return _each(folders, way_of, None, options, scored, norm, progress)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output-dir: expected a folder, got {output_dir} ({error.strerror})") from error
    with locked(output_dir / ".lock", RuntimeError(f"--output-dir: another process writes into {output_dir}")):
        return _each(folders, way_of, FinishedImages(output_dir, options, way_of), options, scored, norm, progress)


def _each(
    folders: Sequence[Path],
    way_of: ProcessorOf,
    finished: "FinishedImages | None",
    options: Options,
    scored: bool,
    norm: Mapping[str, float] | None,
    progress: Progress,
) -> Scenes:
    """Make images, or keep them where they are done; score them."""
    attempts = ErrorPolicy(options.on_error)
    scenes = [scene for folder in folders if (scene := attempts.make(folder.name, open_folder, folder, options))]
    if finished:
        finished.check(scenes, options.overwrite)
    done = [finished is not None and finished.has(scene) for scene in scenes]
    todo = [scene for scene, is_done in zip(scenes, done) if not is_done]
    outcomes, scores = {}, {}
    with made_by_workers(todo, options, progress.cancelled) as made:
        for number, (scene, is_done) in enumerate(zip(scenes, done)):
            part = progress.part(number / len(scenes), (number + 1) / len(scenes))
            part(0.0, scene.name)
            found = attempts.make(scene.name, _one, scene, way_of(scene.folder), finished, is_done, scored, part, made)
            if found is not None:
                outcomes[scene.name], scores[scene.name] = DONE if is_done else MADE if finished else SCORED, found
    if not outcomes:
        raise ValueError(f"--input: expected scenes that can be used, got none among {len(folders)}")
    paths = {name: finished.file(name) for name in outcomes} if finished else {}
    outcomes |= {name: f"skipped: {reason}" for name, reason in attempts.skipped.items()}
    in_order = {folder.name: outcomes[folder.name] for folder in folders}
    return Scenes(in_order, paths, _report(scores, norm) if scored else None, finished.path if finished else None)


def _one(
    scene: KelvinsScene,
    way: SceneProcessor,
    finished: "FinishedImages | None",
    is_done: bool,
    scored: bool,
    progress: Progress,
    made: MadeElsewhere | None,
) -> dict:
    """Make the image of one scene, if it is not done, and return its scores, if it is to be scored."""
    if is_done and not scored:
        return {}
    truth = scene.read_truth() if scored else None
    if made and not is_done:
        watch, image = made(scene)
        prepared = way.read(scene) if truth else None
    else:
        watch = watch_of(scene)
        with watch.reading():
            prepared = way.read(scene)
        image = read_image(finished.file(scene.name)) if finished and is_done else way.make(prepared, progress)
    identity = digest(way.identity(scene, watch))
    scores = scores_of(prepared, truth, image) if prepared and truth else {}
    watch.check()
    if finished and not is_done:
        finished.add(scene, identity, image)
    return scores


def _report(scores: Mapping[str, Mapping], norm: Mapping[str, float] | None) -> dict:
    """Return the scores of scenes, and their means."""
    from evaluation.deepsum import report

    return report(scores, norm)


class FinishedImages:
    """Images of a folder, and what they were made of.

    Args:
        folder: the folder.
        options: those of the program.
        way_of: how images would be made now.
    """

    def __init__(self, folder: Path, options: Options, way_of: ProcessorOf):
        self.folder, self._options, self._way_of = folder, options, way_of
        self.path, self._versions = folder / RECORD, provenance.versions()
        self._scenes: dict[str, dict[str, str]] = {}
        self._models: dict[str, dict] = {}
        if self.path.exists():
            try:
                before = json.loads(read_document(self.path))
                self._scenes, self._models = dict(before["scenes"]), dict(before["models"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ValueError(f"--output-dir: expected {self.path} as this program writes it ({error})") from error

    def file(self, name: str) -> Path:
        """Return the file of the image of a scene."""
        return self.folder / f"{name}.png"

    def has(self, scene: KelvinsScene) -> bool:
        """Return whether the image of a scene is there, and was made as it would be made now."""
        identity = digest(self._way_of(scene.folder).identity(scene, watch_of(scene)))
        return self.file(scene.name).exists() and self._scenes.get(scene.name, {}).get("identity") == identity

    def check(self, scenes: Sequence[KelvinsScene], overwrite: bool) -> None:
        """Refuse images that are there and were made otherwise, or remove them.

        Raises:
            FileExistsError: there are some, and they must not be replaced.
        """
        others = [scene for scene in scenes if self.file(scene.name).exists() and not self.has(scene)]
        if others and not overwrite:
            raise FileExistsError(
                f"--output-dir: expected images made by the same command, got {len(others)} others, such as "
                f"{self.file(others[0].name)}; --overwrite replaces them"
            )
        for scene in others:
            self.file(scene.name).unlink()

    def add(self, scene: KelvinsScene, identity: str, image: np.ndarray) -> None:
        """Write the image of a scene. It is recorded first: an image without record would not be known again."""
        way = self._way_of(scene.folder)
        model = way.network.record()
        self._models[model["folder"]] = model
        self._scenes[scene.name] = {"identity": identity, "model": model["folder"]}
        content = {
            "arguments": asdict(self._options),
            "versions": self._versions,
            "models": self._models,
            "scenes": dict(sorted(self._scenes.items())),
        }
        provenance.write(self.path, content)
        write_image(self.file(scene.name), image)
