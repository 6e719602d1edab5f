# SPDX-License-Identifier: Apache-2.0
"""Samples as TFRecords: files `0.records`, `1.records`... beside the samples' types and shapes, as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm


def as_inputs_and_targets(sample: dict, target_keys: list[str]) -> tuple[dict, dict]:
    """Separate the inputs of a sample from its targets."""
    inputs = {key: value for key, value in sample.items() if key not in target_keys}
    return inputs, {key: sample[key] for key in target_keys}


class TFRecords:
    """A folder of TFRecords.

    Args:
        path: the folder; it is made when it does not exist.
    """

    def __init__(self, path: str):
        self.dirpath = Path(path)
        self.dirpath.mkdir(parents=True, exist_ok=True)
        self.output_types_file = self.dirpath / "output_types.json"
        self.output_shapes_file = self.dirpath / "output_shapes.json"

    @property
    def tfrecords_files(self) -> list[str]:
        """The record files, in the order of their numbers."""
        return [str(path) for path in sorted(self.dirpath.glob("*.records"), key=lambda p: (len(p.name), p.name))]

    def ds2tfrecord(self, dataset, n_samples_per_shard: int = 100, drop_remainder: bool = True) -> None:
        """Write one epoch of a dataset.

        Args:
            dataset: an `otbtf.Dataset`.
            n_samples_per_shard: number of samples of a file.
            drop_remainder: whether the samples that do not fill a file are dropped: with fewer samples than a
                file holds, none is written.
        """
        n_shards = dataset.size // n_samples_per_shard
        if not drop_remainder and dataset.size % n_samples_per_shard:
            n_shards += 1
        shapes = {key: list(shape) for key, shape in dataset.output_shapes.items()}
        types = {key: dtype.name for key, dtype in dataset.output_types.items()}
        self.output_shapes_file.write_text(json.dumps(shapes), encoding="utf-8")
        self.output_types_file.write_text(json.dumps(types), encoding="utf-8")
        left = dataset.size
        for shard in tqdm(range(n_shards), desc="TFRecords", unit="file"):
            with tf.io.TFRecordWriter(str(self.dirpath / f"{shard}.records")) as writer:
                for _ in range(min(n_samples_per_shard, left)):
                    writer.write(self._serialize(dataset.read_one_sample()))
            left -= n_samples_per_shard

    @staticmethod
    def _serialize(sample: dict) -> bytes:
        features = {}
        for key, array in sample.items():
            value = tf.io.serialize_tensor(array).numpy()
            features[key] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    def _parse(self, record: tf.Tensor) -> dict:
        shapes = json.loads(self.output_shapes_file.read_text(encoding="utf-8"))
        types = json.loads(self.output_types_file.read_text(encoding="utf-8"))
        example = tf.io.parse_single_example(record, {key: tf.io.FixedLenFeature([], tf.string) for key in types})
        return {
            key: tf.ensure_shape(tf.io.parse_tensor(example[key], tf.dtypes.as_dtype(types[key])), shapes[key])
            for key in types
        }

    def read(
        self,
        batch_size: int,
        target_keys: list[str],
        n_workers: int = 1,
        drop_remainder: bool = True,
        shuffle_buffer_size: int | None = None,
        preprocessing_fn: Callable | None = None,
        shard_policy: tf.data.experimental.AutoShardPolicy = tf.data.experimental.AutoShardPolicy.AUTO,
        prefetch_buffer_size: int | None = tf.data.experimental.AUTOTUNE,
        num_parallel_calls: int | None = tf.data.experimental.AUTOTUNE,
        **kwargs,
    ) -> tf.data.Dataset:
        """Read the samples.

        Args:
            batch_size: number of samples of a batch.
            target_keys: keys of the targets.
            n_workers: number of workers that share the files; their number is cut to a multiple of it.
            drop_remainder: whether an incomplete last batch is dropped.
            shuffle_buffer_size: number of samples among which the next one is drawn; none by default: no
                shuffling.
            preprocessing_fn: applied to each sample, a dict of tensors; returns a dict of tensors.
            shard_policy: how `tf.distribute` shares the files.
            prefetch_buffer_size: number of batches prepared ahead.
            num_parallel_calls: number of samples prepared at once.
            **kwargs: passed on to `preprocessing_fn`.

        Returns:
            Batches of (inputs, targets).

        Raises:
            ValueError: there is no file to read.
        """
        files = self.tfrecords_files
        files = files[: len(files) // n_workers * n_workers]
        if not files:
            raise ValueError(
                f"expected at least {n_workers} .records files in {self.dirpath}, found {len(self.tfrecords_files)}"
            )

        def prepare(record: tf.Tensor) -> tuple[dict, dict]:
            sample = self._parse(record)
            if preprocessing_fn is not None:
                sample = preprocessing_fn(sample, **kwargs)
            return as_inputs_and_targets(sample, target_keys)

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = shard_policy
        dataset = tf.data.TFRecordDataset(files, num_parallel_reads=num_parallel_calls).with_options(options)
        if shuffle_buffer_size:
            dataset = dataset.shuffle(buffer_size=shuffle_buffer_size)
        dataset = dataset.map(prepare, num_parallel_calls=num_parallel_calls)
        return dataset.batch(batch_size, drop_remainder=drop_remainder).prefetch(prefetch_buffer_size)
