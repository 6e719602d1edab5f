# SPDX-License-Identifier: Apache-2.0
"""Datasets of patches images: square patches stacked vertically, in one raster per source.

A reader returns the sample of an index, an iterator yields the indices, and a dataset reads samples in a separate
thread: one buffer is filled while the other is consumed.

    from otbtf import DatasetFromPatchesImages
    dataset = DatasetFromPatchesImages({"lr": ["train_lr.tif"], "hr": ["train_hr.tif"]})
    tf_dataset = dataset.get_tf_dataset(batch_size=8, targets_keys=["hr"])
"""

import abc
import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from otbtf.readers import PatchesImagesReader, PatchesReaderBase, Sample
from otbtf.tfrecords import TFRecords, as_inputs_and_targets


class Buffer:
    """A list of samples of bounded length.

    Args:
        max_length: the length at which the buffer is complete.
    """

    def __init__(self, max_length: int):
        self.max_length = max_length
        self.container: list[Sample] = []

    def size(self) -> int:
        """Count the samples in the buffer."""
        return len(self.container)

    def add(self, new_element: Sample) -> None:
        """Append one sample.

        Raises:
            ValueError: the buffer is full.
        """
        if self.is_complete():
            raise ValueError(f"The buffer is full: it holds {self.max_length} samples")
        self.container.append(new_element)

    def is_complete(self) -> bool:
        """Return whether the buffer has reached its length."""
        return self.size() >= self.max_length


class IteratorBase(abc.ABC):
    """An endless stream of indices of samples.

    Args:
        patches_reader: the reader of the samples.
    """

    @abc.abstractmethod
    def __init__(self, patches_reader: PatchesReaderBase):
        """Prepare the stream."""

    def __iter__(self) -> "IteratorBase":
        """Return itself."""
        return self

    @abc.abstractmethod
    def __next__(self) -> int:
        """Return the next index."""


class RandomIterator(IteratorBase):
    """All indices in random order, then all of them again in another order.

    The orders depend on NumPy's global generator at the time the iterator is created (`numpy.random.seed`), not on what
    other threads draw from it later.

    Args:
        patches_reader: the reader of the samples.
    """

    def __init__(self, patches_reader: PatchesReaderBase):
        self.indices = np.arange(patches_reader.get_size())
        np.random.shuffle(self.indices)
        self._generator = np.random.RandomState()
        self._generator.set_state(np.random.get_state())
        self._position = 0

    def __next__(self) -> int:
        """Return the next index."""
        if self._position == len(self.indices):
            self._generator.shuffle(self.indices)
            self._position = 0
        self._position += 1
        return int(self.indices[self._position - 1])


class _Miner(threading.Thread):
    """Fills one buffer and ends. Exceptions are kept for the consumer."""

    def __init__(self, reader: PatchesReaderBase, iterator: IteratorBase, length: int):
        super().__init__(name="otbtf-miner", daemon=True)
        self.buffer = Buffer(length)
        self.error: BaseException | None = None
        self._reader, self._iterator = reader, iterator

    def run(self) -> None:
        """Read samples until the buffer is complete."""
        try:
            while not self.buffer.is_complete():
                self.buffer.add(self._reader.get_sample(next(self._iterator)))
        except BaseException as error:  # raised again in the consumer's thread
            self.error = error

    def take(self) -> Buffer:
        """Wait for the buffer.

        Raises:
            BaseException: the exception of the reader or the iterator.
        """
        self.join()
        if self.error is not None:
            raise self.error
        return self.buffer


class Dataset:
    """Samples of a reader, in the order of an iterator, read ahead in a thread.

    Args:
        patches_reader: reader of the samples.
        buffer_length: number of samples per buffer; two buffers are held in memory.
        iterator_cls: determines the order.
        max_nb_of_samples: largest number of samples per epoch; all by default.
    """

    def __init__(
        self,
        patches_reader: PatchesReaderBase,
        buffer_length: int = 128,
        iterator_cls: type[IteratorBase] = RandomIterator,
        max_nb_of_samples: int | None = None,
    ):
        self.patches_reader = patches_reader
        self.size = min(patches_reader.get_size(), max_nb_of_samples or patches_reader.get_size())
        self.iterator = iterator_cls(patches_reader)
        self.buffer_length = buffer_length
        sample = patches_reader.get_sample(0)
        self.output_types = {key: tf.dtypes.as_dtype(array.dtype) for key, array in sample.items()}
        self.output_shapes = {key: tf.TensorShape(array.shape) for key, array in sample.items()}
        self.total_wait_in_seconds = 0.0
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self._miner: _Miner | None = None

    def get_stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Return, per source key, the statistics of each band."""
        return self.patches_reader.get_stats()

    def get_total_wait_in_seconds(self) -> float:
        """Return the time that consumers have spent waiting for samples, in seconds."""
        return self.total_wait_in_seconds

    def read_one_sample(self) -> Sample:
        """Return the next sample.

        Raises:
            BaseException: the exception raised when reading it.
        """
        with self._lock:
            if not self._samples:
                self._swap()
            return self._samples.pop()

    def _swap(self) -> None:
        """Take the buffer that was being filled, and start filling the next one."""
        start = time.perf_counter()
        miner, self._miner = self._miner or self._start_miner(), None
        self._samples = miner.take().container[::-1]
        self._miner = self._start_miner()
        self.total_wait_in_seconds += time.perf_counter() - start

    def _start_miner(self) -> _Miner:
        miner = _Miner(self.patches_reader, self.iterator, self.buffer_length)
        miner.start()
        return miner

    def _generator(self) -> Iterator[Sample]:
        """Yield the samples of one epoch."""
        for _ in range(self.size):
            yield self.read_one_sample()

    def get_tf_dataset(
        self,
        batch_size: int,
        drop_remainder: bool = True,
        preprocessing_fn: Callable | None = None,
        targets_keys: list[str] | None = None,
    ) -> tf.data.Dataset:
        """Make a TensorFlow dataset; one pass over it is one epoch.

        Args:
            batch_size: number of samples per batch.
            drop_remainder: whether an incomplete last batch is dropped.
            preprocessing_fn: applied to each sample, a dict of tensors; returns a dict of tensors.
            targets_keys: keys of the targets. With them, the dataset yields (inputs, targets).

        Returns:
            Batches: one dict, or a pair of dicts.
        """
        if 2 * batch_size >= self.buffer_length:
            logging.warning("buffer_length (%s) is small for batches of %s samples.", self.buffer_length, batch_size)
        dataset = tf.data.Dataset.from_generator(
            self._generator,
            output_signature={
                key: tf.TensorSpec(self.output_shapes[key], self.output_types[key]) for key in self.output_types
            },
        ).repeat(1)
        if preprocessing_fn is not None:
            dataset = dataset.map(preprocessing_fn)
        if targets_keys:
            dataset = dataset.map(lambda sample: as_inputs_and_targets(sample, targets_keys))
        return dataset.batch(batch_size, drop_remainder=drop_remainder)

    def to_tfrecords(self, output_dir: str, n_samples_per_shard: int = 100, drop_remainder: bool = True) -> None:
        """Write one epoch as TFRecords.

        Args:
            output_dir: folder, created if necessary.
            n_samples_per_shard: number of samples per file.
            drop_remainder: whether to drop samples that do not fill a file.
        """
        TFRecords(output_dir).ds2tfrecord(self, n_samples_per_shard, drop_remainder)


class DatasetFromPatchesImages(Dataset):
    """Samples of patches images.

    Args:
        filenames_dict: source key -> patches images.
        use_streaming: read each patch on access; otherwise everything is held in memory.
        buffer_length: number of samples per buffer; two buffers are held in memory.
        iterator_cls: determines the order.
    """

    def __init__(
        self,
        filenames_dict: dict[str, list[str]],
        use_streaming: bool = False,
        buffer_length: int = 128,
        iterator_cls: type[IteratorBase] = RandomIterator,
    ):
        reader = PatchesImagesReader(filenames_dict=filenames_dict, use_streaming=use_streaming)
        super().__init__(patches_reader=reader, buffer_length=buffer_length, iterator_cls=iterator_cls)
