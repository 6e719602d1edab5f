# SPDX-License-Identifier: Apache-2.0
"""Records of DeepSUM's samples come back as they were, and their tensors are numpy's."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.deepsum.example import parse, parse_batch, serialize, to_batch
from datasets.deepsum.preparation import Frames
from datasets.deepsum.scenes import Sample

pytestmark = pytest.mark.keras


def make_sample(seed=0, count=9, rows=13, columns=13):
    generator = np.random.default_rng(seed)
    shape = (count, rows, columns)
    shifts = generator.integers(-4, 5, (count, 2))
    shifts[0] = 0
    frames = Frames(generator.uniform(0, 60000, shape).astype(np.float32), generator.random(shape) > 0.4, shifts)
    return Sample(frames, generator.integers(0, 65536, shape[1:], np.uint16), generator.random(shape[1:]) > 0.3)


@pytest.mark.parametrize("shape", [(9, 13, 13), (14, 6, 11)])
def test_records_come_back(shape):
    sample = make_sample(0, *shape)
    name, found = parse(serialize("imgset0007", sample))
    assert name == "imgset0007"
    pairs = [(found.hr, sample.hr), (found.clear, sample.clear)]
    pairs += [(getattr(found.frames, key), getattr(sample.frames, key)) for key in ("images", "masks", "shifts")]
    for array, expected in pairs:
        assert array.dtype == expected.dtype and array.flags.writeable
        np.testing.assert_array_equal(array, expected)


def test_size_of_a_patch():
    """0.36 MB, as the module that writes them states."""
    assert len(serialize("imgset0594", make_sample(rows=96, columns=96))) == pytest.approx(362_000, rel=0.01)


@pytest.mark.parametrize("registered", [True, False])
def test_batches_are_numpys(registered):
    samples = [make_sample(seed) for seed in range(3)]
    inputs, targets = to_batch(samples, registered)
    assert {key: value.shape for key, value in (inputs | targets).items()} == {
        "frames": (3, 13, 13, 9),
        "masks": (3, 13, 13, 9),
        "hr": (3, 13, 13, 1),
        "clear": (3, 13, 13, 1),
        "shifts": (3, 8, 2),
    }
    for index, sample in enumerate(samples):
        for frame in range(9):
            shift = sample.frames.shifts[frame]
            mask = np.roll(sample.frames.masks[frame], shift, (0, 1)) if registered else sample.frames.masks[frame]
            np.testing.assert_array_equal(inputs["masks"][index, ..., frame], mask)
            np.testing.assert_array_equal(inputs["frames"][index, ..., frame], sample.frames.images[frame])
            if frame:
                np.testing.assert_array_equal(targets["shifts"][index, frame - 1], -shift)
        np.testing.assert_array_equal(targets["hr"][index, ..., 0], sample.hr)
        np.testing.assert_array_equal(targets["clear"][index, ..., 0], sample.clear)


@pytest.mark.parametrize("registered", [True, False])
def test_graph_reads_the_same_batches(registered):
    samples = [make_sample(seed) for seed in range(4)]
    records = tf.constant([serialize("imgset0000", sample) for sample in samples])
    found = tf.function(parse_batch)(records, 13, registered)
    for tensors, arrays in zip(found, to_batch(samples, registered)):
        assert set(tensors) == set(arrays)
        for key, array in arrays.items():
            assert tensors[key].dtype == array.dtype
            np.testing.assert_array_equal(tensors[key], array)


def test_digital_numbers_must_fit():
    sample = make_sample()
    with pytest.raises(ValueError, match="^hr: expected 16-bit digital numbers, got -1 to "):
        serialize("imgset0000", Sample(sample.frames, sample.hr.astype(int) - sample.hr.min() - 1, sample.clear))
