# SPDX-License-Identifier: Apache-2.0
"""TFRecords: what is written is read again, and how samples share out among files."""

import json
import subprocess
import sys

import numpy as np
import otbtf
import pytest
import tensorflow as tf

pytestmark = pytest.mark.keras


@pytest.fixture
def dataset(write_raster):
    """Make a dataset of 10 samples; pixels of `a` and `b` tell the sample's number."""
    numbers = np.repeat(np.arange(10, dtype="uint16"), 4)[:, None, None] * np.ones((1, 4, 2), "uint16")
    names = {
        "a": [str(write_raster("a.tif", numbers))],
        "b": [str(write_raster("b.tif", numbers[:, :, 0].astype("float32") / 2))],
    }
    return otbtf.DatasetFromPatchesImages(names)


@pytest.mark.parametrize(
    "per_shard, drop_remainder, counts",
    [(4, True, [4, 4]), (4, False, [4, 4, 2]), (5, True, [5, 5]), (100, True, [])],
)
def test_shards(dataset, tmp_path, per_shard, drop_remainder, counts):
    folder = tmp_path / "records"
    dataset.to_tfrecords(str(folder), n_samples_per_shard=per_shard, drop_remainder=drop_remainder)
    files = [folder / f"{index}.records" for index in range(len(counts))]
    assert sorted(folder.glob("*.records")) == files
    assert [sum(1 for _ in tf.data.TFRecordDataset(str(path))) for path in files] == counts
    assert json.loads((folder / "output_shapes.json").read_text()) == {"a": [4, 4, 2], "b": [4, 4, 1]}
    assert json.loads((folder / "output_types.json").read_text()) == {"a": "uint16", "b": "float32"}


def test_round_trip(dataset, tmp_path):
    dataset.to_tfrecords(str(tmp_path / "records"), n_samples_per_shard=3, drop_remainder=False)
    batches = otbtf.TFRecords(str(tmp_path / "records")).read(4, target_keys=["b"], drop_remainder=False)
    assert batches.element_spec == (
        {"a": tf.TensorSpec((None, 4, 4, 2), tf.uint16)},
        {"b": tf.TensorSpec((None, 4, 4, 1), tf.float32)},
    )
    seen = []
    for inputs, targets in batches:
        assert np.array_equal(inputs["a"][:, 3, 3, 1], 2 * targets["b"][:, 0, 0, 0])
        seen += inputs["a"][:, 0, 0, 0].numpy().tolist()
    assert sorted(seen) == list(range(10))


def test_preprocessing_gets_the_other_arguments(dataset, tmp_path):
    dataset.to_tfrecords(str(tmp_path), n_samples_per_shard=5)

    def double(sample, factor):
        return {"a": sample["a"], "c": tf.cast(sample["b"], tf.float32) * factor}

    for inputs, targets in otbtf.TFRecords(str(tmp_path)).read(
        5, ["c"], preprocessing_fn=double, shuffle_buffer_size=10, factor=4.0
    ):
        assert np.array_equal(targets["c"][..., 0], 2 * inputs["a"][..., 0].numpy())


def test_files_are_cut_to_a_multiple_of_the_workers(dataset, tmp_path):
    dataset.to_tfrecords(str(tmp_path), n_samples_per_shard=3)
    assert sum(1 for _ in otbtf.TFRecords(str(tmp_path)).read(1, ["b"], n_workers=2)) == 6
    with pytest.raises(ValueError, match="expected at least 4 .records files"):
        otbtf.TFRecords(str(tmp_path)).read(1, ["b"], n_workers=4)


@pytest.mark.slow
def test_records_are_read_without_gdal(dataset, tmp_path):
    dataset.to_tfrecords(str(tmp_path), n_samples_per_shard=5)
    code = (
        "import sys; sys.modules['osgeo'] = None\n"
        "import otbtf\n"
        f"print(sum(1 for _ in otbtf.TFRecords({str(tmp_path)!r}).read(1, ['b'])), hasattr(otbtf, 'gdal_open'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["10", "False"] and "GDAL is missing" in result.stderr


@pytest.mark.slow
def test_gdal_is_loaded_before_tensorflow():
    code = "import sys, otbtf; names = list(sys.modules); print(names.index('osgeo') < names.index('tensorflow'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["True"]
