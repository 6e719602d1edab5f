# SPDX-License-Identifier: Apache-2.0
"""Datasets made of patches images: shapes, order, epochs, errors of the reading thread."""

import threading
import time

import numpy as np
import otbtf
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.keras


@pytest.fixture
def patches_image(write_raster):
    """Write patches whose pixels are 100 * patch + band, plus `offset`."""

    def write(name, count, size=4, bands=2, offset=0, dtype="uint16"):
        values = 100 * np.arange(count)[:, None, None, None] + np.arange(bands) + offset
        patches = np.broadcast_to(values, (count, size, size, bands)).astype(dtype)
        return str(write_raster(name, patches.reshape(count * size, size, bands)))

    return write


class Ordered(otbtf.IteratorBase):
    """Indices in their order."""

    def __init__(self, patches_reader):
        self.size, self.index = patches_reader.get_size(), -1

    def __next__(self):
        self.index = (self.index + 1) % self.size
        return self.index


def miners():
    return [thread for thread in threading.enumerate() if thread.name == "otbtf-miner"]


def test_gdal_open_names_the_file():
    with pytest.raises(ValueError, match="nothing.tif"):
        otbtf.gdal_open("/nothing.tif")


@pytest.mark.parametrize("bands", [1, 3])
def test_read_as_np_arr(patches_image, bands):
    dataset = otbtf.gdal_open(patches_image("a.tif", 3, bands=bands))
    patches = otbtf.read_as_np_arr(dataset)
    assert patches.shape == (3, 4, 4, bands) and patches.dtype == np.uint16
    assert np.array_equal(patches[:, 0, 0, -1], [bands - 1, 100 + bands - 1, 200 + bands - 1])
    image = otbtf.read_as_np_arr(dataset, as_patches=False, dtype=np.float32)
    assert image.shape == (1, 12, 4, bands) and image.dtype == np.float32
    assert np.array_equal(image[0].reshape(patches.shape), patches)


@pytest.mark.parametrize("use_streaming", [False, True])
def test_reader_spans_files(patches_image, use_streaming):
    names = {
        "lr": [patches_image("a.tif", 2), patches_image("b.tif", 3, offset=1000)],
        "hr": [patches_image("c.tif", 2, size=8), patches_image("d.tif", 3, size=8, offset=1000)],
    }
    reader = otbtf.PatchesImagesReader(names, use_streaming=use_streaming, scalar_dict={"day": [1.5, 2.5]})
    assert reader.get_size() == 5
    samples = [reader.get_sample(index) for index in range(5)]
    assert [int(sample["lr"][0, 0, 0]) for sample in samples] == [0, 100, 1000, 1100, 1200]
    assert all(np.array_equal(sample["lr"][0, 0], sample["hr"][7, 7]) for sample in samples)
    assert samples[0]["lr"].shape == (4, 4, 2) and samples[0]["hr"].dtype == np.uint16
    assert [float(sample["day"]) for sample in samples] == [1.5, 1.5, 2.5, 2.5, 2.5]
    assert samples[0]["day"].shape == ()
    with pytest.raises(IndexError, match="got 5"):
        reader.get_sample(5)


@pytest.mark.parametrize("use_streaming", [False, True])
def test_stats(patches_image, use_streaming):
    names = {"a": [patches_image("a.tif", 5, offset=-300, dtype="int16")]}
    stats = otbtf.PatchesImagesReader(names, use_streaming=use_streaming).get_stats()["a"]
    pixels = otbtf.read_as_np_arr(otbtf.gdal_open(names["a"][0])).reshape(-1, 2).astype(float)
    for name in ("min", "max", "mean", "std"):
        assert np.allclose(stats[name], getattr(pixels, name)(axis=0))


@pytest.mark.parametrize(
    "sources",
    [
        {"lr": [2], "hr": [3]},
        {"lr": [2, 2], "hr": [4]},
        {"lr": []},
        {},
    ],
)
def test_sources_that_do_not_match(patches_image, sources):
    names = {
        key: [patches_image(f"{key}{index}.tif", count) for index, count in enumerate(counts)]
        for key, counts in sources.items()
    }
    with pytest.raises(ValueError, match="filenames_dict: .*, got "):
        otbtf.PatchesImagesReader(names)


def test_element_specs(patches_image):
    dataset = otbtf.DatasetFromPatchesImages(
        {"lr": [patches_image("a.tif", 5)], "hr": [patches_image("b.tif", 5, size=8, dtype="float32")]}
    )
    assert dataset.size == 5
    inputs, targets = dataset.get_tf_dataset(2, targets_keys=["hr"]).element_spec
    assert inputs == {"lr": tf.TensorSpec((2, 4, 4, 2), tf.uint16)}
    assert targets == {"hr": tf.TensorSpec((2, 8, 8, 2), tf.float32)}
    plain = dataset.get_tf_dataset(2, drop_remainder=False).element_spec
    assert plain["hr"] == tf.TensorSpec((None, 8, 8, 2), tf.float32)


def test_preprocessing_comes_before_the_targets_are_separated(patches_image):
    dataset = otbtf.DatasetFromPatchesImages({"lr": [patches_image("a.tif", 4)]}, iterator_cls=Ordered)
    batches = dataset.get_tf_dataset(
        2,
        preprocessing_fn=lambda sample: {**sample, "sr": tf.cast(sample["lr"], tf.float32) / 2},
        targets_keys=["sr"],
    )
    inputs, targets = next(iter(batches))
    assert list(inputs) == ["lr"] and np.allclose(inputs["lr"].numpy(), 2 * targets["sr"].numpy())


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 9), length=st.integers(1, 12), epochs=st.integers(1, 3))
def test_whole_epochs_see_each_sample_once(size, length, epochs):
    dataset = otbtf.Dataset(_Counter(size), buffer_length=length)
    for _ in range(epochs):
        seen = [int(sample["a"]) for sample in dataset._generator()]
        assert sorted(seen) == list(range(size))


class _Counter(otbtf.PatchesReaderBase):
    """Sample i is the number i."""

    def __init__(self, size, fails_at=None):
        self.size, self.fails_at = size, fails_at

    def get_size(self):
        return self.size

    def get_sample(self, index):
        if index == self.fails_at:
            raise OSError(f"sample {index} cannot be read")
        return {"a": np.int32(index)}

    def get_stats(self):
        return {}


def test_sources_stay_paired_and_batches_complete(patches_image):
    dataset = otbtf.DatasetFromPatchesImages(
        {"lr": [patches_image("a.tif", 7)], "hr": [patches_image("b.tif", 7, size=8)]}, buffer_length=4
    )
    dropped = dataset.get_tf_dataset(3, targets_keys=["hr"])
    assert [len(inputs["lr"]) for inputs, _ in dropped] == [3, 3]
    kept = dataset.get_tf_dataset(3, drop_remainder=False, targets_keys=["hr"])
    for inputs, targets in kept:
        assert np.array_equal(inputs["lr"][:, 0, 0], targets["hr"][:, 0, 0])


def test_max_nb_of_samples():
    dataset = otbtf.Dataset(_Counter(7), max_nb_of_samples=3, iterator_cls=Ordered)
    epochs = [[int(batch["a"]) for batch in dataset.get_tf_dataset(1, preprocessing_fn=dict)] for _ in range(2)]
    assert dataset.size == 3 and epochs == [[0, 1, 2], [3, 4, 5]]


def test_order_follows_numpys_seed():
    orders = []
    for draws in (0, 5):
        np.random.seed(3)
        iterator = otbtf.RandomIterator(_Counter(10))
        order = [next(iterator) for _ in range(10)]
        np.random.rand(draws)  # what others draw meanwhile changes nothing
        orders.append(order + [next(iterator) for _ in range(10)])
    assert orders[0] == orders[1] and orders[0][:10] != orders[0][10:]
    np.random.seed(3)
    assert orders[0][:10] == np.random.permutation(10).tolist()


def test_errors_of_the_miner_reach_the_consumer():
    dataset = otbtf.Dataset(_Counter(4, fails_at=2), buffer_length=2, iterator_cls=Ordered)
    samples = dataset._generator()
    assert [int(next(samples)["a"]) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="sample 2 cannot be read"):
        next(samples)
    with pytest.raises(tf.errors.OpError, match="sample 2 cannot be read"):
        list(otbtf.Dataset(_Counter(4, fails_at=2), iterator_cls=Ordered).get_tf_dataset(1))


def test_no_thread_is_left():
    for _ in otbtf.Dataset(_Counter(100), buffer_length=8).get_tf_dataset(3):
        pass
    limit = time.monotonic() + 5
    while miners() and time.monotonic() < limit:
        time.sleep(0.01)
    assert not miners()


def test_samples_are_read_once_by_several_consumers():
    dataset = otbtf.Dataset(_Counter(40), buffer_length=5, iterator_cls=Ordered)
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.extend(int(dataset.read_one_sample()["a"]) for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(40))


def test_wait_is_measured():
    class Slow(_Counter):
        def get_sample(self, index):
            time.sleep(0.02)
            return super().get_sample(index)

    dataset = otbtf.Dataset(Slow(3), buffer_length=3)
    dataset.read_one_sample()
    assert 0.04 < dataset.get_total_wait_in_seconds() < 5


def test_buffer():
    buffer = otbtf.Buffer(2)
    buffer.add({"a": 1})
    assert buffer.size() == 1 and not buffer.is_complete()
    buffer.add({"a": 2})
    assert buffer.is_complete()
    with pytest.raises(ValueError, match="2 samples"):
        buffer.add({"a": 3})
