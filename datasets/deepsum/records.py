# SPDX-License-Identifier: Apache-2.0
"""DeepSUM's training samples on the disk, as TFRecords: patches for training, whole scenes for validation.

    python -m datasets.deepsum.records --input probav_data --band NIR --output records

prepares the scenes of `probav_data/train/NIR` (the layout of ESA's Kelvins challenge, or of `simulate.probav_scenes`),
one at a time, as the authors did, and writes into `records/`

    train/chunk0_imgset0594.tfrecord …   up to 20 patches of each scene and chunk: 0.36 MB each, so the 566 real scenes
                                         of a band take 14 GB, 40 simulated ones 1 GB
    valid/imgset0728.tfrecord …          a scene with all its frames: about 11 MB
    deepsum.json                         what they were made of, the statistics, numbers, and which scenes were left
                                         out and why; written last

A run that was interrupted goes on when the same command is given again, and gives the same files.

    records = read_records("records")
    model = DeepSUM(…, **records.statistics._asdict())
    records.dataset(batch_size=8)
    for name, sample in records.validation_scenes(): …
"""

import argparse
import hashlib
import itertools
import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chain.runtime.command_line import run_program
from chain.runtime.files import read_document
from chain.runtime.progress import Progress
from datasets.deepsum.layout import DESCRIPTION, TRAINING, VALIDATION, chunk_file, scene_file
from datasets.deepsum.options import Command, Options

if TYPE_CHECKING:
    import tensorflow as tf

    from datasets.deepsum.scenes import Sample

BUFFER = 256
"""Number of records, of 0.36 MB each, among which the next one is drawn."""
FRAMING = 12, 4
"""Bytes before a record in a TFRecord file, of which the first 8 are its length, and after it."""
OPEN_FILES = 16
"""Number of files, drawn at random, that are read in turn."""


class Statistics(NamedTuple):
    """What the network normalises with, in digital numbers; named as the arguments of `models.deepsum.DeepSUM`."""

    mean: float
    """Mean of the frames of the training scenes."""
    deviation: float
    """Their standard deviation."""
    target_deviation: float
    """Standard deviation of the truth from the mean of the registered frames."""


class Records:
    """Records of a band.

    Args:
        folder: where they are.
        description: content of `deepsum.json`.
    """

    def __init__(self, folder: Path, description: dict[str, Any]):
        self.folder, self.description = folder, description

    @property
    def band(self) -> str:
        """`NIR` or `RED`."""
        return self.description["band"]

    @property
    def patch_size(self) -> int:
        """Side of the patches, in fine pixels."""
        return self.description["patch_size"]

    @property
    def chunks(self) -> list[int]:
        """Number of patches of each chunk."""
        return [sum(counts) for counts in zip(*self.description[TRAINING].values())]

    @property
    def size(self) -> int:
        """Number of patches of an epoch: those of all chunks."""
        return sum(self.chunks)

    @property
    def statistics(self) -> Statistics:
        """What the network normalises with."""
        return Statistics(**self.description["statistics"])

    @property
    def validation_names(self) -> list[str]:
        """Names of the scenes for validation."""
        return self.description[VALIDATION]

    @property
    def norm(self) -> dict[str, float]:
        """CPSNR of ESA's baseline, in dB, of those scenes for validation of which `norm.csv` states it."""
        return self.description["norm"]

    def identity(self) -> dict[str, str]:
        """Return the SHA-256 of what the records were made of: the scenes' pixels and the arguments."""
        content = {name: value for name, value in self.description.items() if name != "versions"}
        return {DESCRIPTION: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}

    def steps(self, batch_size: int) -> int:
        """Return the number of batches of an epoch."""
        return sum(chunk // batch_size for chunk in self.chunks)

    def dataset(
        self, batch_size: int, registered: bool = True, first_epoch: int = 0, seed: int = 0, buffer: int = BUFFER
    ) -> "tf.data.Dataset":
        """Make a dataset of patches, one pass being one epoch: the chunks in random order, each shuffled.

        The last batch of a chunk is left out unless it is full.

        Args:
            batch_size: number of patches of a batch.
            registered: whether to move masks onto the reference, as variant P of the network wants them.
            first_epoch: number of the epoch that is the first pass.
            seed: seed of the order: the same seed, epoch and global seed of TensorFlow give the same batches.
            buffer: number of records among which the next one is drawn.

        Returns:
            Batches of (inputs, targets), as `datasets.deepsum.example.to_batch` makes them.

        Raises:
            ValueError: no chunk fills a batch.
        """
        import numpy as np
        import tensorflow as tf

        from datasets.deepsum.example import parse_batch

        if batch_size < 1 or not self.steps(batch_size):
            raise ValueError(f"batch_size: expected 1 to {max(self.chunks)}, got {batch_size}")
        epochs, names = itertools.count(first_epoch), list(self.description[TRAINING])

        def chunks() -> Iterator[list[str]]:
            generator = np.random.default_rng((seed, next(epochs)))
            for chunk in generator.permutation(len(self.chunks)):
                order = [names[index] for index in generator.permutation(len(names))]
                yield [str(chunk_file(self.folder, chunk, name)) for name in order]

        def batches(files: tf.Tensor) -> tf.data.Dataset:
            records = tf.data.Dataset.from_tensor_slices(files).interleave(
                tf.data.TFRecordDataset, cycle_length=OPEN_FILES
            )
            return records.shuffle(buffer, seed=seed).batch(batch_size, drop_remainder=True)

        files = tf.TensorSpec((None,), tf.string)
        dataset = tf.data.Dataset.from_generator(chunks, output_signature=files).flat_map(batches)
        dataset = dataset.map(lambda records: parse_batch(records, self.patch_size, registered), tf.data.AUTOTUNE)
        return dataset.apply(tf.data.experimental.assert_cardinality(self.steps(batch_size))).prefetch(2)

    def validation_scenes(self) -> "Iterator[tuple[str, Sample]]":
        """Give the scenes for validation one by one: the name, and the sample with all its frames.

        `datasets.deepsum.example.to_batch([sample.best()], registered)` makes a batch of it.

        Raises:
            ValueError: a file is damaged.
        """
        import tensorflow as tf

        from datasets.deepsum.example import parse

        for name in self.validation_names:
            path = scene_file(self.folder, name)
            try:
                (record,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
            except (tf.errors.OpError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{path}: expected one whole record, got {reason}") from error
            yield parse(record)


def read_records(folder: str | Path) -> Records:
    """Open the records of a folder.

    Raises:
        ValueError: there are none, they are not whole, or a file is missing, or of another scene.
    """
    folder = Path(folder)
    try:
        description = json.loads(read_document(folder / DESCRIPTION))
        records = Records(folder, description)
        files = [
            (chunk_file(folder, chunk, name), name, count)
            for name, counts in description[TRAINING].items()
            for chunk, count in enumerate(counts)
        ]
        files += [(scene_file(folder, name), name, 1) for name in records.validation_names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}: expected a folder with {DESCRIPTION} ({error})") from error
    for path, name, count in files:
        if not path.is_file():
            raise ValueError(f"{folder}: expected all files that {DESCRIPTION} lists, found no {path.name}")
        _check_file(path, name, count)
    return records


def _check_file(path: Path, name: str, count: int) -> None:
    """Raise ValueError if a file does not hold so many records, which are of one size, of a scene."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    size = path.stat().st_size
    if not count and not size:
        return
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q4x", stream.read(FRAMING[0]).ljust(FRAMING[0], b"\0"))
        if not count or size != count * (length + sum(FRAMING)):
            raise ValueError(f"{path}: expected {count} whole records, as {DESCRIPTION} says, got {size} bytes")
        content = stream.read(length)
    try:
        found = tf.train.Example.FromString(content).features.feature["name"].bytes_list.value[0].decode()
    except (DecodeError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: expected whole records, got one that cannot be read ({error})") from error
    if found != name:
        raise ValueError(f"{path}: expected records of {name}, got those of {found}")


def make_records(
    input: str | Path,
    output: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Records:
    """Write the records of a band; an interrupted run goes on.

    Args:
        input: folder of the challenge's data, with `train/<band>/imgsetNNNN` and optionally `norm.csv`.
        output: folder to write into, made if necessary.
        options: how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        The records; `description` says what they were made of, and which scenes were left out (`excluded`).

    Raises:
        ValueError: there are no scenes, a scene cannot be read, the folder holds other records, or no patch is found.
        OSError: the folder cannot be written.
        RuntimeError: another process writes there.
        Cancelled: `cancelled` said so; what was finished is kept.
    """
    from datasets.deepsum.writing import write_records

    write_records(Path(input), Path(output), options, Progress(progress, cancelled))
    return read_records(output)


def command(options: Command, progress: Progress) -> None:
    """Write records, and print what they are."""
    records = make_records(options.input, options.output, options, progress=progress)
    description = records.description
    for name, reason in description["excluded"].items():
        print(f"{name} is left out: {reason}")
    print(
        f"{options.output}: {records.size} patches of {len(description[TRAINING])} scenes in {len(records.chunks)} "
        f"chunks, {len(records.validation_names)} scenes for validation, {len(description['excluded'])} left out"
    )
    print(", ".join(f"{name} {value:.3f}" for name, value in records.statistics._asdict().items()))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.deepsum.records",
        description=__doc__.splitlines()[0],
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
