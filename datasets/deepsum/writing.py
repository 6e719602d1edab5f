# SPDX-License-Identifier: Apache-2.0
"""Writing DeepSUM's records, scene by scene, so that an interrupted run can be resumed.

The authors draw all patches from one stream of random numbers that runs through all scenes, chunk after chunk. To read
each scene twice instead of once per chunk, a survey first prepares every scene and notes where patches can begin. The
patches of all chunks are then drawn from these notes, and cut scene by scene. One scene is in memory at a time.

The state of a run is kept in `.making` until it is finished: the notes of each scene, and digests that reveal a changed
input. Record files are written under temporary names and renamed when complete.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from chain.runtime import provenance
from chain.runtime.files import locked, read_document, whole_file
from chain.runtime.options import values_for_pixels
from chain.runtime.progress import Progress
from datasets.deepsum.cmse import cmse_matrix
from datasets.deepsum.example import serialize
from datasets.deepsum.kelvins import open_scene, read_norm
from datasets.deepsum.layout import DESCRIPTION, SPLITS, TRAINING, VALIDATION, chunk_file, scene_file
from datasets.deepsum.options import Options
from datasets.deepsum.preparation import FARTHEST, FRAMES, mean_of_registered
from datasets.deepsum.scenes import PATCH_SIZE, Sample, draw_corners, prepare_sample, split, suitable_corners

STATE = ".making"
FEW = f"fewer than {FRAMES} images that are neither corrupt nor displaced by more than {FARTHEST} pixels"
"""Reason for which the authors leave out a scene."""

Place = tuple[int, int]


@dataclass(frozen=True)
class Notes:
    """The survey's notes on a scene."""

    digest: str
    """SHA-256 of its pixels."""
    reason: str = ""
    """Reason for leaving it out; empty if it is used."""
    suitable: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    """Where patches may begin; empty for validation scenes."""
    moments: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Number, sum and sum of squares of the frames' pixels."""
    residual: float = 0.0
    """Mean squared difference between the truth and the mean of the registered frames, at the best displacement."""

    def save(self, path: Path) -> None:
        """Write the notes."""
        with whole_file(path) as partial, open(partial, "wb") as stream:
            np.savez(stream, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Notes":
        """Read notes."""
        with np.load(path) as arrays:
            moments, residual = tuple(arrays["moments"].tolist()), float(arrays["residual"])
            return cls(str(arrays["digest"]), str(arrays["reason"]), arrays["suitable"], moments, residual)


def write_records(root: Path, output: Path, options: Options, progress: Progress) -> None:
    """Write the records of a band, or the missing ones.

    Args:
        root: folder of the challenge's data, with `train/<band>` and optionally `norm.csv`.
        output: folder to write into, created if necessary.
        options: how.
        progress: where to report.

    Raises:
        ValueError: there are no scenes, a scene cannot be read, the folder holds other records, or no patch is found.
        OSError: the folder cannot be written.
        RuntimeError: another process writes there.
    """
    folder, settings = root / "train" / options.band, values_for_pixels(options)
    names = sorted(path.name for path in folder.glob("imgset*") if path.is_dir())
    if not names:
        raise ValueError(f"--input: expected folders {folder}/imgsetNNNN, got none")
    parts = dict(zip((TRAINING, VALIDATION), split(names, SPLITS[options.splits])))
    norm = read_norm(root / "norm.csv") if (root / "norm.csv").exists() else {}
    with _output_folder(output, {**settings, "names": names}, options.overwrite) as is_made:
        if is_made:
            progress(1, "done")
            return
        surveyed, excluded = _survey(folder, output, parts, options.on_error, progress.part(0, 0.5))
        _check_other_scenes(
            {
                part: {name: surveyed[name].digest for name in members if name in surveyed}
                for part, members in parts.items()
            }
        )
        used = {part: [name for name in members if name in surveyed] for part, members in parts.items()}
        _check_plan(output / STATE / "plan.json", {name: surveyed[name].digest for name in used[TRAINING]})
        places = _draw(output / STATE, used[TRAINING], options)
        if not any(places[name][chunk] for name in used[TRAINING] for chunk in range(options.chunks)):
            raise ValueError(f"--input: expected scenes with patches that are clear enough, got none in {folder}")
        digests = {name: surveyed[name].digest for name in used[TRAINING]}
        _cut(folder, output, digests, places, progress.part(0.5, 1))
        description = {
            **settings,
            "patch_size": PATCH_SIZE,
            "statistics": _statistics([surveyed[name] for name in used[TRAINING]]),
            TRAINING: {name: [len(chunk) for chunk in places[name]] for name in used[TRAINING]},
            VALIDATION: used[VALIDATION],
            "norm": {name: norm[name] for name in used[VALIDATION] if name in norm},
            "excluded": excluded,
            "scenes": {name: notes.digest for name, notes in surveyed.items()},
            "versions": provenance.versions(),
        }
        provenance.write(output / DESCRIPTION, description)
        shutil.rmtree(output / STATE)
    progress(1, "done")


@contextmanager
def _output_folder(output: Path, arguments: Mapping, overwrite: bool) -> Iterator[bool]:
    """Lock a folder that is new or holds the state of an interrupted run with the same arguments.

    Yields whether that run had made everything.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output: expected a folder, got {output}, a file")
    created = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    lock = output / ".lock"
    was_killed = lock.exists() or (output / STATE).exists()
    try:
        with locked(lock, RuntimeError(f"--output: another process writes into {output}")):
            if was_killed and not overwrite and _is_made(output, arguments):
                if (output / STATE).exists():
                    shutil.rmtree(output / STATE)
                yield True
            else:
                _begin(output, arguments, overwrite)
                yield False
    finally:
        if created and not any(output.iterdir()):
            output.rmdir()


def _is_made(output: Path, arguments: Mapping) -> bool:
    """Return whether a folder holds all records that some arguments ask for."""
    made = _read_json(output / DESCRIPTION)
    wanted = json.loads(json.dumps({name: value for name, value in arguments.items() if name != "names"}))
    if made is None or {*made["scenes"], *made["excluded"]} != {*arguments["names"]}:
        return False
    return all(made.get(name) == value for name, value in wanted.items())


def _begin(output: Path, arguments: Mapping, overwrite: bool) -> None:
    """Prepare the folder, or raise ValueError."""
    state, own = output / STATE, [output / name for name in (DESCRIPTION, STATE, TRAINING, VALIDATION)]
    is_whole, begun = (output / DESCRIPTION).exists(), _read_json(state / "arguments.json")
    if (is_whole or begun) and overwrite:
        for path in own:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        begun = None
    elif is_whole:
        raise ValueError(f"--output: {output} holds {DESCRIPTION} already; --overwrite replaces it")
    if begun is None:
        for part in (TRAINING, VALIDATION):
            if (output / part).exists():
                raise ValueError(f"--output: expected a folder without other data, got {output / part}")
        state.mkdir(exist_ok=True)
        provenance.write(state / "arguments.json", dict(arguments))
    elif begun != arguments:
        differing = ", ".join(name for name in arguments if begun.get(name) != arguments[name])
        raise ValueError(
            "--output: expected a folder of the same records, or --overwrite, "
            f"got {output}, begun with different {differing}"
        )
    for part in (TRAINING, VALIDATION):
        (output / part).mkdir(exist_ok=True)


def _read_json(path: Path) -> dict | None:
    """Read a state file; None if it does not exist."""
    return json.loads(read_document(path)) if path.exists() else None


def _survey(
    folder: Path, output: Path, parts: Mapping[str, Sequence[str]], on_error: str, progress: Progress
) -> tuple[dict[str, Notes], dict[str, str]]:
    """Prepare all scenes once, and write the validation scenes.

    Returns:
        The notes of the scenes that are used, without the suitable positions, and the reasons for leaving out others.
    """
    surveyed: dict[str, Notes] = {}
    excluded: dict[str, str] = {}
    members = [(part, name) for part, names in parts.items() for name in names]
    for number, (part, name) in enumerate(members):
        progress(number / len(members), f"survey, {name}")
        path = output / STATE / f"{name}.npz"
        if not path.exists():
            try:
                notes = _note(folder, output, part, name)
            except ValueError as error:
                place = str(folder / name)
                excluded[name] = str(error) if place in str(error) else f"{place}: {error}"
                if on_error == "fail":
                    raise ValueError(excluded[name]) from error
                continue
            notes.save(path)
        notes = Notes.load(path)
        if notes.reason:
            excluded[name] = notes.reason
        else:
            surveyed[name] = Notes(notes.digest, moments=notes.moments, residual=notes.residual)
    return surveyed, excluded


def _note(folder: Path, output: Path, part: str, name: str) -> Notes:
    """Survey a scene; write it if it is for validation."""
    sample, digest = _read(folder / name)
    if sample is None:
        return Notes(digest, FEW)
    if part == VALIDATION:
        _write(scene_file(output, name), [serialize(name, sample)])
        return Notes(digest)
    pixels = sample.frames.images.astype(np.float64)
    best = sample.best().frames
    return Notes(
        digest,
        suitable=suitable_corners(sample.frames.masks, sample.clear),
        moments=(float(pixels.size), float(pixels.sum()), float(np.square(pixels).sum())),
        residual=float(cmse_matrix(sample.hr, mean_of_registered(best), sample.clear).min()),
    )


def _read(folder: Path) -> tuple[Sample | None, str]:
    """Read and prepare a scene; also return the SHA-256 of its pixels."""
    arrays = open_scene(folder).read()
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return prepare_sample(*arrays), digest.hexdigest()


def _check_other_scenes(digests: Mapping[str, Mapping[str, str]]) -> None:
    """Raise ValueError if a scene for validation has the pixels of one for training."""
    names = {digest: name for name, digest in digests[TRAINING].items()}
    for name, digest in digests[VALIDATION].items():
        if digest in names:
            raise ValueError(
                f"--input: expected other scenes for validation than for training, got {name}, which is {names[digest]}"
            )


def _check_plan(path: Path, digests: Mapping[str, str]) -> None:
    """Raise ValueError if an interrupted run used other scenes, because all draws were then different."""
    begun = _read_json(path)
    if begun is not None and begun != digests:
        raise ValueError("--input: expected the scenes of the interrupted run, or --overwrite, got others")
    provenance.write(path, dict(digests))


def _draw(state: Path, names: Sequence[str], options: Options) -> dict[str, list[list[Place]]]:
    """Draw the positions of all patches, by scene and chunk."""
    stream = random.Random(options.seed)
    places: dict[str, list[list[Place]]] = {name: [] for name in names}
    for _ in range(options.chunks):
        for name in names:
            suitable = Notes.load(state / f"{name}.npz").suitable
            places[name].append(draw_corners(suitable, stream, options.patches))
    return places


def _cut(
    folder: Path,
    output: Path,
    digests: Mapping[str, str],
    places: Mapping[str, list[list[Place]]],
    progress: Progress,
) -> None:
    """Write the patches of all scenes whose files are missing."""
    for number, name in enumerate(places):
        progress(number / len(places), f"patches, {name}")
        files = [chunk_file(output, chunk, name) for chunk in range(len(places[name]))]
        if all(file.exists() for file in files):
            continue
        sample, digest = _read(folder / name)
        if sample is None or digest != digests[name]:
            raise ValueError(f"--input: expected an unchanged {folder / name}, or --overwrite, got another content")
        for file, chunk in zip(files, places[name]):
            _write(file, [serialize(name, sample.part(row, column, PATCH_SIZE).best()) for row, column in chunk])


def _write(path: Path, records: Sequence[bytes]) -> None:
    """Write a record file, completely or not at all."""
    with whole_file(path) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
        for one in records:
            writer.write(one)


def _statistics(notes: Sequence[Notes]) -> dict[str, float]:
    """Return the statistics for the network's normalisation.

    `mean` and `deviation` are those of all pixels of all frames of the training scenes, concealed ones included.
    `target_deviation` is the deviation of the truth from the mean of the nine registered frames, which is what fusion
    has to add: over clear pixels, at the best displacement and without the difference of the means, because the loss
    ignores both.
    """
    count, total, squares = np.sum([one.moments for one in notes], axis=0)
    mean = total / count
    return {
        "mean": float(mean),
        "deviation": float(np.sqrt(squares / count - mean**2)),
        "target_deviation": float(np.sqrt(np.mean([one.residual for one in notes]))),
    }
