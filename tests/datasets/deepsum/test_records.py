# SPDX-License-Identifier: Apache-2.0
"""DeepSUM's records hold the patches that the authors' rules draw, whatever interrupts the run, and are read whole."""

import json
import random
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

from datasets.deepsum import writing
from datasets.deepsum.cmse import cmse_matrix
from datasets.deepsum.example import parse, to_batch
from datasets.deepsum.kelvins import open_scene
from datasets.deepsum.layout import chunk_file
from datasets.deepsum.preparation import mean_of_registered
from datasets.deepsum.records import main, read_records
from datasets.deepsum.scenes import patches, prepare_sample, split
from simulate.probav_scenes import _write_png
from tests.datasets.deepsum.conftest import COMMON, SCENES
from tests.examples import slow

pytestmark = pytest.mark.keras


def prepared(root, names):
    """Prepare scenes that are used, by name."""
    samples = {name: prepare_sample(*open_scene(root / "train/NIR" / name).read()) for name in names}
    return {name: sample for name, sample in samples.items() if sample is not None}


def read_file(path):
    return [parse(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]


def assert_same(found, expected):
    for name in ("images", "masks", "shifts"):
        np.testing.assert_array_equal(getattr(found.frames, name), getattr(expected.frames, name))
    np.testing.assert_array_equal(found.hr, expected.hr)
    np.testing.assert_array_equal(found.clear, expected.clear)


def contents(folder):
    """Return the bytes of all records by file."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.tfrecord"))}


@pytest.mark.slow
def test_patches_are_those_of_one_stream_through_all_chunks(made_scenes, made_records):
    """Cut the simple way: chunk after chunk, scene after scene."""
    training, validation = split([f"imgset{number:04d}" for number in range(SCENES)])
    samples, stream, total = prepared(made_scenes, training), random.Random(4), 0
    for chunk in range(3):
        for name, sample in samples.items():
            found = read_file(chunk_file(made_records, chunk, name))
            expected = list(patches(sample, stream, count=4))
            assert len(found) == len(expected)
            for (stated, patch), wanted in zip(found, expected):
                assert stated == name
                assert_same(patch, wanted)
            total += len(found)
    records = read_records(made_records)
    assert records.size == sum(records.chunks) == total > 30
    assert len(contents(made_records)) == 3 * len(samples) + len(records.validation_names)


def test_validation_scenes_come_whole(made_scenes, made_records):
    _, validation = split([f"imgset{number:04d}" for number in range(SCENES)])
    expected, records = prepared(made_scenes, validation), read_records(made_records)
    found = dict(records.validation_scenes())
    assert list(found) == list(expected) == records.validation_names and len(found) >= 2
    for name, sample in expected.items():
        assert_same(found[name], sample)
    norm = dict(line.split() for line in (made_scenes / "norm.csv").read_text().splitlines())
    assert records.norm == {name: float(norm[name]) for name in expected}


def test_statistics(made_scenes, made_records):
    training, _ = split([f"imgset{number:04d}" for number in range(SCENES)])
    samples = prepared(made_scenes, training).values()
    pixels = np.concatenate([sample.frames.images.ravel() for sample in samples]).astype(np.float64)
    residuals = [
        cmse_matrix(sample.hr, mean_of_registered(sample.best().frames), sample.clear).min() for sample in samples
    ]
    found = read_records(made_records).statistics
    assert found.mean == pytest.approx(pixels.mean(), rel=1e-9)
    assert found.deviation == pytest.approx(pixels.std(), rel=1e-6)
    assert found.target_deviation == pytest.approx(np.sqrt(np.mean(residuals)), rel=1e-9)
    assert 100 < found.target_deviation < found.deviation


def fingerprints(dataset):
    """Return a number for each patch of each batch."""
    return [[fingerprint(frames) for frames in inputs["frames"].numpy()] for inputs, _ in dataset]


def fingerprint(frames):
    """Return a number that no other patch has; but two chunks may have a patch in common."""
    return zlib.crc32(frames.tobytes())


def stored(folder):
    """Return the same numbers of all patches, by chunk."""
    records = read_records(folder)
    return [
        [
            fingerprint(to_batch([patch], True)[0]["frames"])
            for name in records.description["train"]
            for _, patch in read_file(chunk_file(folder, chunk, name))
        ]
        for chunk in range(3)
    ]


def test_an_epoch_has_each_patch_once(made_records):
    """Chunk by chunk, each in another order; only what fills no batch is left out."""
    records, chunks = read_records(made_records), stored(made_records)
    dataset = records.dataset(1)
    first, second = ([patch for batch in fingerprints(dataset) for patch in batch] for _ in range(2))
    assert sorted(first) == sorted(second) == sorted(patch for chunk in chunks for patch in chunk)
    assert len(dataset) == len(first) == records.size
    assert first != second
    start, order = 0, []
    while start < len(first):
        parts = {index: first[start : start + len(chunk)] for index, chunk in enumerate(chunks)}
        (index,) = [index for index, part in parts.items() if sorted(part) == sorted(chunks[index])]
        part = parts[index]
        assert part != chunks[index]
        start, order = start + len(part), [*order, index]
    assert sorted(order) == [0, 1, 2]
    fives = fingerprints(records.dataset(5))
    assert [len(batch) for batch in fives] == [5] * records.steps(5)
    assert records.steps(5) == sum(len(chunk) // 5 for chunk in chunks)


@pytest.mark.slow
def test_seed_and_epoch_make_the_order(made_records):
    records = read_records(made_records)
    both = records.dataset(4, seed=3)
    first, second = fingerprints(both), fingerprints(both)
    assert first == fingerprints(records.dataset(4, seed=3))
    assert second == fingerprints(records.dataset(4, seed=3, first_epoch=1))
    assert first != second and first != fingerprints(records.dataset(4, seed=4))


@pytest.mark.parametrize("registered", [True, slow(False)])
def test_batches_are_those_of_their_patches(made_records, registered):
    records = read_records(made_records)
    everything = {}
    for chunk in range(3):
        for name in records.description["train"]:
            for _, patch in read_file(chunk_file(made_records, chunk, name)):
                everything[patch.frames.images.tobytes()] = patch
    dataset = records.dataset(3, registered=registered)
    assert dataset.element_spec[0]["frames"].shape.as_list() == [None, 96, 96, 9]
    for inputs, targets in dataset.take(4):
        keys = np.ascontiguousarray(np.moveaxis(inputs["frames"].numpy(), -1, 1))
        wanted = to_batch([everything[key.tobytes()] for key in keys], registered)
        for tensors, arrays in zip((inputs, targets), wanted):
            assert set(tensors) == set(arrays)
            for name, array in arrays.items():
                assert tensors[name].dtype == array.dtype
                np.testing.assert_array_equal(tensors[name], array)


class Interruption:
    """Replaces a function, whose call of some number is interrupted."""

    def __init__(self, function, at):
        self.function, self.at, self.calls = function, at, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.function(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize("function, at", [("_read", 3), ("_write", 2), ("_write", 9), ("_statistics", 1)])
def test_interrupted_runs_go_on_to_the_same_records(
    made_scenes, made_records, tmp_path, monkeypatch, capsys, function, at
):
    arguments = ["--input", str(made_scenes), "--output", str(tmp_path / "out"), *COMMON]
    original = getattr(writing, function)
    monkeypatch.setattr(writing, function, Interruption(original, at))
    assert main(arguments) == 130
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr(writing, function, original)
    assert not list((tmp_path / "out").rglob("*.partial"))
    with pytest.raises(ValueError, match="expected a folder with deepsum.json"):
        read_records(tmp_path / "out")
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tfrecord")}
    assert main(arguments) == 0
    assert contents(tmp_path / "out") == contents(made_records)
    rewritten = [path for path, time in done.items() if path.stat().st_mtime_ns != time]
    assert len(rewritten) <= 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "valid", "deepsum.json"}
    assert read_records(tmp_path / "out").identity() == read_records(made_records).identity()


def test_finished_scenes_are_not_prepared_again(made_scenes, tmp_path, monkeypatch):
    arguments = ["--input", str(made_scenes), "--output", str(tmp_path / "out"), *COMMON]
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_draw", Interruption(writing._draw, 1))
        assert main(arguments) == 130
    counting = Interruption(writing._read, at=0)
    monkeypatch.setattr(writing, "_read", counting)
    assert main(arguments) == 0
    assert counting.calls == len(read_records(tmp_path / "out").description["train"])


@pytest.mark.parametrize("left", [".making/imgset0001.npz", ".lock"])
def test_records_of_a_run_killed_when_all_were_made_are_completed(made_scenes, made_records, tmp_path, capsys, left):
    output = tmp_path / "out"
    shutil.copytree(made_records, output)
    (output / left).parent.mkdir(exist_ok=True)
    (output / left).touch()
    arguments = ["--input", str(made_scenes), "--output", str(output), *COMMON]
    assert "holds deepsum.json already" in failing([*arguments, "--patches", "3"], capsys)
    (output / left).parent.mkdir(exist_ok=True)
    (output / left).touch()
    assert main(arguments) == 0 and contents(output) == contents(made_records)
    assert {path.name for path in output.iterdir()} == {"train", "valid", "deepsum.json"}
    assert "holds deepsum.json already" in failing(arguments, capsys)


def failing(arguments, capsys):
    """Run the program and return the line that it ends with."""
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.slow
def test_other_arguments_or_scenes_are_noticed(scenes, tmp_path, monkeypatch, capsys):
    arguments = ["--input", str(scenes), "--output", str(tmp_path / "out"), *COMMON]
    original = writing._write
    monkeypatch.setattr(writing, "_write", Interruption(original, 6))
    assert main(arguments) == 130
    monkeypatch.setattr(writing, "_write", original)
    capsys.readouterr()
    assert failing([*arguments, "--seed", "5"], capsys).endswith(f"{tmp_path / 'out'}, begun with different seed")
    last = split([f"imgset{number:04d}" for number in range(SCENES)])[0][-1]
    target, other = (scenes / "train/NIR" / last / name for name in ("LR000.png", "LR001.png"))
    shutil.copy(other, target)
    assert "expected an unchanged " in failing(arguments, capsys)
    assert main([*arguments, "--overwrite"]) == 0
    assert "holds deepsum.json already; --overwrite replaces it" in failing(arguments, capsys)
    before = read_records(tmp_path / "out").identity()
    assert main([*arguments, "--overwrite", "--seed", "5"]) == 0
    assert read_records(tmp_path / "out").identity() != before


def test_a_scene_that_is_trained_on_is_not_validated_on(scenes, tmp_path, capsys):
    (training, *_), (validation, *_) = split([f"imgset{number:04d}" for number in range(SCENES)])
    folder = scenes / "train/NIR"
    shutil.rmtree(folder / validation)
    shutil.copytree(folder / training, folder / validation)
    line = failing(["--input", str(scenes), "--output", str(tmp_path / "out"), *COMMON], capsys)
    assert line.endswith(
        f"expected other scenes for validation than for training, got {validation}, which is {training}"
    )


def few(folder):
    for kind in ("LR", "QM"):
        for path in sorted(folder.glob(f"{kind}*.png"))[8:]:
            path.unlink()


def unreadable(folder):
    (folder / "LR003.png").write_bytes((folder / "LR003.png").read_bytes()[:200])


def unmasked(folder):
    (folder / "QM004.png").unlink()


def of_another_size(folder):
    shutil.copy(folder / "HR.png", folder / "LR002.png")


@pytest.mark.parametrize(
    "spoil, words, is_training",
    [
        slow(few, "expected at least 9 files LRnnn.png, got 8", True),
        slow(unreadable, "LR003.png: expected a readable PNG", False),
        (unmasked, "expected QM004.png beside LR004.png, found none", True),
        (of_another_size, "LR002.png: expected 36 x 36 pixels, like LR000.png, got 108 x 108", False),
    ],
)
def test_bad_scenes_are_refused_or_skipped(scenes, tmp_path, capsys, spoil, words, is_training):
    name = split([f"imgset{number:04d}" for number in range(SCENES)])[0 if is_training else 1][0]
    spoil(scenes / "train/NIR" / name)
    arguments = ["--input", str(scenes), "--output", str(tmp_path / "out"), "--chunks", "1", "--patches", "1"]
    line = failing(arguments, capsys)
    assert words in line and name in line
    assert not (tmp_path / "out/deepsum.json").exists()
    assert main([*arguments, "--on-error", "skip"]) == 0
    assert f"{name} is left out: " in capsys.readouterr().out
    description = read_records(tmp_path / "out").description
    assert words in description["excluded"][name]
    assert name not in description["train"] and name not in description["valid"]


def test_scenes_that_the_authors_leave_out_are_told(scenes, tmp_path, capsys):
    """Corrupt images leave less than nine: no error, but named."""
    name = split([f"imgset{number:04d}" for number in range(SCENES)])[0][0]
    folder = scenes / "train/NIR" / name
    corrupt = np.full((36, 36), 60001, np.uint16)
    for path in sorted(folder.glob("LR*.png"))[8:]:
        _write_png(path, corrupt)
    assert main(["--input", str(scenes), "--output", str(tmp_path / "out"), *COMMON]) == 0
    assert f"{name} is left out: fewer than 9 images" in capsys.readouterr().out
    assert name in read_records(tmp_path / "out").description["excluded"]


def test_chunks_without_patches_of_a_scene(scenes, tmp_path):
    """A scene whose truth is hidden gives files without records."""
    name = split([f"imgset{number:04d}" for number in range(SCENES)])[0][0]
    hidden = np.zeros((108, 108), np.uint8)
    hidden[:40, :40] = hidden[-40:, -40:] = hidden[:40, -40:] = hidden[-40:, :40] = 255
    _write_png(scenes / "train/NIR" / name / "SM.png", hidden)
    assert main(["--input", str(scenes), "--output", str(tmp_path / "out"), *COMMON]) == 0
    records = read_records(tmp_path / "out")
    assert records.description["train"][name] == [0, 0, 0]
    assert len(fingerprints(records.dataset(1))) == records.size > 0


def test_split_of_more_training(made_scenes, tmp_path):
    arguments = ["--input", str(made_scenes), "--output", str(tmp_path / "out"), "--chunks", "1", "--patches", "1"]
    assert main([*arguments, "--splits", "ours"]) == 0
    assert len(read_records(tmp_path / "out").validation_names) == 1


def test_damaged_records(made_records, tmp_path):
    folder = shutil.copytree(made_records, tmp_path / "records")
    records = read_records(folder)
    path = folder / "valid" / f"{records.validation_names[0]}.tfrecord"
    data = path.read_bytes()
    for damaged in (data[:1000], data[:500] + b"?" + data[501:], b"", data + data):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="expected one whole record") as error:
            list(records.validation_scenes())
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(ValueError, match=f"expected all files .*, found no {path.name}$"):
        read_records(folder)
    for text in ("{", "[]", "{}", json.dumps({"train": {}, "valid": []})[:-1]):
        (folder / "deepsum.json").write_text(text)
        with pytest.raises(ValueError, match="expected a folder with deepsum.json"):
            read_records(folder)
    with pytest.raises(ValueError, match="expected a folder with deepsum.json .*No such file"):
        read_records(tmp_path / "absent")


def test_files_of_other_scenes_and_parts_of_files_are_refused(made_records, tmp_path):
    folder = shutil.copytree(made_records, tmp_path / "records")
    first, second = sorted((folder / "train").iterdir())[:2]
    data = first.read_bytes()
    for damaged in (b"", data[:7], data[:1000], data[:-1], data + data):
        first.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{first.name}: expected 4 whole records, as deepsum.json says, got "):
            read_records(folder)
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match=f"{first.name}: expected records of imgset.*, got those of imgset"):
        read_records(folder)
    first.write_bytes(data[:12] + b"\xff" * (len(data) - 12))
    with pytest.raises(ValueError, match=f"{first.name}: expected whole records, got one that cannot be read"):
        read_records(folder)


def test_batches_that_cannot_be_filled(made_records):
    records = read_records(made_records)
    for size in (0, max(records.chunks) + 1):
        with pytest.raises(ValueError, match=f"^batch_size: expected 1 to {max(records.chunks)}, got {size}$"):
            records.dataset(size)
