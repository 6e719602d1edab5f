# SPDX-License-Identifier: Apache-2.0
"""DeepSUM's samples as records of a TFRecord file, and as batches of tensors.

A record holds frames and masks unregistered, with their shifts, as the preparation returns them. In batches, masks are
registered or not, as the variant of the network requires.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from datasets.deepsum.preparation import FRAMES, Frames
from datasets.deepsum.scenes import Sample

FEATURES = {
    "name": tf.io.FixedLenFeature((), tf.string),  # of the scene
    "size": tf.io.FixedLenFeature((3,), tf.int64),  # frames, rows, columns
    "frames": tf.io.FixedLenFeature((), tf.string),  # float32
    "masks": tf.io.FixedLenFeature((), tf.string),  # one bit per pixel
    "shifts": tf.io.FixedLenFeature((), tf.string),  # int32 (frames, 2), as `Frames.shifts`
    "hr": tf.io.FixedLenFeature((), tf.string),  # uint16
    "clear": tf.io.FixedLenFeature((), tf.string),  # one bit per pixel
}
"""Features of a record; arrays are bytes, little-endian, row by row."""


def serialize(name: str, sample: Sample) -> bytes:
    """Make the record of a sample.

    Args:
        name: name of its scene.
        sample: a patch or a whole scene, of any number of frames.

    Raises:
        ValueError: the truth has values outside uint16.
    """
    hr = np.asarray(sample.hr)
    if hr.min() < 0 or hr.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"hr: expected 16-bit digital numbers, got {hr.min()} to {hr.max()}")
    arrays = {
        "frames": sample.frames.images.astype("<f4"),
        "masks": np.packbits(sample.frames.masks),
        "shifts": sample.frames.shifts.astype("<i4"),
        "hr": hr.astype("<u2"),
        "clear": np.packbits(sample.clear),
    }
    features = {key: _bytes(array.tobytes()) for key, array in arrays.items()}
    size = tf.train.Feature(int64_list=tf.train.Int64List(value=sample.frames.images.shape))
    features |= {"name": _bytes(name.encode()), "size": size}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def parse(record: bytes) -> tuple[str, Sample]:
    """Read a record; return the name of the scene and the sample."""
    features = tf.train.Example.FromString(record).features.feature
    shape = tuple(features["size"].int64_list.value)

    def array(key: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.frombuffer(features[key].bytes_list.value[0], dtype).reshape(shape)

    def bits(key: str, shape: tuple[int, ...]) -> np.ndarray:
        packed = array(key, "u1", (-1,))
        return np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)

    shifts = array("shifts", "<i4", (shape[0], 2)).astype(np.int64)
    frames = Frames(array("frames", "<f4", shape).astype(np.float32), bits("masks", shape), shifts)
    name = features["name"].bytes_list.value[0].decode()
    return name, Sample(frames, array("hr", "<u2", shape[1:]).astype(np.uint16), bits("clear", shape[1:]))


def to_batch(samples: Sequence[Sample], registered: bool) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Make a batch of samples with nine frames each and equal sizes.

    Args:
        samples: the samples.
        registered: whether to register the masks onto the reference.

    Returns:
        Inputs: `frames`, digital numbers, and `masks`, 1 where clear, float32 (batch, rows, columns, 9). Targets:
        `hr`, digital numbers, and `clear`, float32 (batch, rows, columns, 1), and `shifts`, int32 (batch, 8, 2): the
        displacement, in rows and columns, of the content of all frames except the reference, the negative of
        `Frames.shifts`.
    """
    masks = [sample.frames.registered_masks() if registered else sample.frames.masks for sample in samples]
    inputs = {
        "frames": _channels_last([sample.frames.images for sample in samples]),
        "masks": _channels_last(masks),
    }
    targets = {
        "hr": _channels_last([sample.hr[np.newaxis] for sample in samples]),
        "clear": _channels_last([sample.clear[np.newaxis] for sample in samples]),
        "shifts": np.stack([-sample.frames.shifts[1:] for sample in samples]).astype(np.int32),
    }
    return inputs, targets


def _channels_last(images: Sequence[np.ndarray]) -> np.ndarray:
    """Stack images (channels, rows, columns) to float32 (batch, rows, columns, channels)."""
    return np.ascontiguousarray(np.moveaxis(np.stack(images), 1, -1), np.float32)


def parse_batch(records: tf.Tensor, size: int, registered: bool) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Parse a batch of records of square patches with nine frames, in the graph, with the result of `to_batch`.

    Args:
        records: strings, (batch,).
        size: side of the patches, in fine pixels.
        registered: as for `to_batch`.
    """
    features = tf.io.parse_example(records, FEATURES)
    shape = (FRAMES, size, size)
    shifts = tf.reshape(tf.io.decode_raw(features["shifts"], tf.int32), (-1, FRAMES, 2))
    masks = _unpack(features["masks"], shape)
    if registered:
        masks = _roll(_roll(masks, shifts[..., 0], 2), shifts[..., 1], 3)
    inputs = {"frames": _last(tf.reshape(tf.io.decode_raw(features["frames"], tf.float32), (-1, *shape)))}
    inputs["masks"] = _last(tf.cast(masks, tf.float32))
    hr = tf.reshape(tf.io.decode_raw(features["hr"], tf.uint16), (-1, 1, size, size))
    targets = {
        "hr": _last(tf.cast(tf.cast(hr, tf.int32), tf.float32)),
        "clear": _last(tf.cast(_unpack(features["clear"], (1, size, size)), tf.float32)),
        "shifts": -shifts[:, 1:],
    }
    return inputs, targets


def _unpack(packed: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Unpack bits, most significant first: bool (batch, *shape)."""
    octets = tf.io.decode_raw(packed, tf.uint8)[..., tf.newaxis]
    bits = tf.bitwise.bitwise_and(octets, tf.constant([128, 64, 32, 16, 8, 4, 2, 1], tf.uint8)) > 0
    return tf.reshape(tf.reshape(bits, (tf.shape(packed)[0], -1))[:, : int(np.prod(shape))], (-1, *shape))


def _roll(masks: tf.Tensor, shifts: tf.Tensor, axis: int) -> tf.Tensor:
    """Move masks (batch, frames, rows, columns) along an axis, by shifts (batch, frames)."""
    length = masks.shape[axis]
    places = tf.math.floormod(tf.range(length) - shifts[..., tf.newaxis], length)
    return tf.gather(masks, places, axis=axis, batch_dims=2)


def _last(images: tf.Tensor) -> tf.Tensor:
    """Move the channels of (batch, channels, rows, columns) to the end."""
    return tf.transpose(images, (0, 2, 3, 1))
