# SPDX-License-Identifier: Apache-2.0
"""Training samples: patches images `{train,valid,test}_{source}.tif`, or one folder of TFRecords per set.

Inputs stay digital numbers: their normalisation is a part of the exported graph. Targets become reflectance.
Flips and rotations are common to all sources.
"""

import dataclasses
import hashlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import otbtf
import tensorflow as tf
from osgeo import gdal

from chain.raster.opening import open_raster
from models.base import REFLECTANCE
from train.patch_checks import check_bands, check_numbers, check_other_patches, check_pairs, check_size

gdal.UseExceptions()

SETS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Patches:
    """The patches of one set."""

    name: str
    """`train`, `valid` or `test`."""
    files: tuple[Path, ...]
    """Patches images, one per source in the order of `keys`, or record files."""
    keys: tuple[str, ...]
    """Names of the sources; the last one is the target."""
    size: int
    """Number of samples."""
    streaming: bool = False
    """Whether patches images are read when they are asked for, rather than held in memory."""

    @property
    def are_records(self) -> bool:
        """Whether the files are TFRecords."""
        return self.files[0].suffix == ".records"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return height, width and bands of the patches of each source."""
        if self.are_records:
            inputs, targets = self.dataset(1).element_spec
            tensors = [*(inputs[key] for key in self.keys[:-1]), targets["sr"]]
            return {key: tuple(tensor.shape[1:]) for key, tensor in zip(self.keys, tensors)}
        rasters = {key: otbtf.gdal_open(str(path)) for key, path in zip(self.keys, self.files)}
        return {key: (raster.RasterXSize, raster.RasterXSize, raster.RasterCount) for key, raster in rasters.items()}

    def identity(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by its name."""
        return {f"{path.parent.name}/{path.name}": _sha256(path) for path in self.files}

    def dataset(
        self, batch_size: int, output_key: str = "sr", augmentation: bool = False, first_epoch: int = 0
    ) -> tf.data.Dataset:
        """Make a dataset of (inputs, {output_key: target}), one pass being one epoch, in random order.

        Args:
            batch_size: number of samples of a batch; the last batch may be smaller.
            output_key: key of the model's output that the target is for.
            augmentation: flip and rotate at random.
            first_epoch: changes nothing here: order and flips follow the global seeds of numpy and of TensorFlow.

        Returns:
            Batches (batch, height, width, bands), float32: digital numbers, and reflectance for the target.
        """

        def prepare(sample: dict) -> dict:
            images = [tf.cast(sample[key], tf.float32) for key in self.keys]
            if augmentation:
                images = flip_and_rotate(images)
            prepared = dict(zip(self.keys[:-1], images[:-1]))
            prepared[output_key] = images[-1] * REFLECTANCE
            return prepared

        batches = tf.data.experimental.assert_cardinality(math.ceil(self.size / batch_size))
        return self._reader(prepare, batch_size, output_key).apply(batches).prefetch(tf.data.AUTOTUNE)

    @cached_property
    def _images(self) -> otbtf.PatchesImagesReader:
        """What reads patches images: one for all epochs, since it may hold them in memory."""
        source = {key: [str(path)] for key, path in zip(self.keys, self.files)}
        return otbtf.PatchesImagesReader(filenames_dict=source, use_streaming=self.streaming)

    @cached_property
    def _lock(self) -> threading.Lock:
        """Held by whoever reads patches images: the last samples of an epoch may still be read in the next one."""
        return threading.Lock()

    def _shuffled_images(self) -> tf.data.Dataset:
        """Make a dataset of the patches in random order, another one in each pass.

        TensorFlow keeps what a dataset reads from for ever: a function here, where `otbtf.Dataset` has buffers.
        """
        seed, passes = int(np.random.randint(2**31)), itertools.count()

        def samples() -> Iterator[dict[str, np.ndarray]]:
            for index in np.random.default_rng((seed, next(passes))).permutation(self.size):
                with self._lock:
                    sample = self._images.get_sample(int(index))
                yield sample

        signature = {key: tf.TensorSpec(array.shape, array.dtype) for key, array in self._images.get_sample(0).items()}
        return tf.data.Dataset.from_generator(samples, output_signature=signature)

    def _reader(self, prepare: Callable, batch_size: int, output_key: str) -> tf.data.Dataset:
        if self.are_records:
            dataset = otbtf.TFRecords(str(self.files[0].parent)).read(
                batch_size,
                target_keys=[output_key],
                drop_remainder=False,
                shuffle_buffer_size=min(self.size, 1024),
                preprocessing_fn=prepare,
                num_parallel_calls=None,
            )
        else:
            dataset = self._shuffled_images().map(prepare).map(lambda sample: _split(sample, output_key))
            dataset = dataset.batch(batch_size)
            options = tf.data.Options()
            options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
            dataset = dataset.with_options(options)
        return dataset


def _split(sample: dict, output_key: str) -> tuple[dict, dict]:
    """Return the inputs and the target of a sample."""
    return {key: image for key, image in sample.items() if key != output_key}, {output_key: sample[output_key]}


def flip_and_rotate(images: list[tf.Tensor]) -> list[tf.Tensor]:
    """Apply the same one of the eight symmetries of the square, drawn at random, to all images.

    Args:
        images: square images (size, size, bands), of any sizes.

    Returns:
        The images, of the same shapes.
    """
    quarter_turns = tf.random.uniform((), 0, 4, tf.int32)
    mirrored = tf.random.uniform((), 0, 2, tf.int32) == 1
    results = []
    for image in images:
        turned = tf.image.rot90(image, quarter_turns)
        turned = tf.cond(mirrored, lambda turned=turned: tf.reverse(turned, [1]), lambda turned=turned: turned)
        results.append(tf.ensure_shape(turned, image.shape))
    return results


def find_patches(
    folder: str | Path,
    keys: tuple[str, ...],
    streaming: bool = False,
    bands: Mapping[str, Sequence[str]] | None = None,
    gsds: Mapping[str, float] | None = None,
) -> dict[str, Patches]:
    """Find the three sets in a folder.

    Args:
        folder: holds `{train,valid,test}_{key}.tif`, or `{train,valid,test}/*.records` (there, or in
            `tfrecords/`).
        keys: names of the sources; the last one is the target.
        streaming: read patches images when they are asked for, rather than hold them in memory.
        bands: names of the bands of sources, in order, which images may describe, but not otherwise.
        gsds: size of the pixels of sources, in metres, which images may state, but not otherwise.

    Returns:
        Set -> patches.

    Raises:
        ValueError: a set is not there, or is empty, or its sources do not match, or the sets differ; patches are no
            digital numbers, their targets show other places, or those for validation are trained on.
    """
    patches = {name: _find_set(Path(folder), name, keys, streaming, bands or {}, gsds or {}) for name in SETS}
    shapes = {name: subset.shapes() for name, subset in patches.items()}
    if any(shape != shapes[SETS[0]] for shape in shapes.values()):
        raise ValueError(f"--patches: expected the same sizes and bands in all sets, got {shapes}")
    check_other_patches({name: subset.files for name, subset in patches.items()})
    return patches


def _find_set(
    folder: Path,
    name: str,
    keys: tuple[str, ...],
    streaming: bool,
    bands: Mapping[str, Sequence[str]],
    gsds: Mapping[str, float],
) -> Patches:
    images = tuple(folder / f"{name}_{key}.tif" for key in keys)
    if all(path.exists() for path in images):
        rasters = [_open(path) for path in images]
        counts = {key: raster.RasterYSize // raster.RasterXSize for key, raster in zip(keys, rasters)}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise ValueError(f"--patches: expected as many square patches in all sources, got {counts} in {name}")
        if any(raster.RasterYSize % raster.RasterXSize for raster in rasters):
            sizes = {key: f"{raster.RasterXSize} x {raster.RasterYSize}" for key, raster in zip(keys, rasters)}
            raise ValueError(f"--patches: expected whole square patches, got {sizes} pixels in {name}")
        for key, path, raster in zip(keys, images, rasters):
            check_bands(path, raster, bands.get(key, ()))
            check_size(path, raster, gsds.get(key))
            check_numbers(path, raster)
        check_pairs(images, rasters)
        return Patches(name, images, keys, counts[keys[0]], streaming)
    for records in (folder / name, folder / "tfrecords" / name):
        files = tuple(sorted(records.glob("*.records")))
        if files:
            return Patches(name, files, keys, sum(1 for _ in tf.data.TFRecordDataset([str(path) for path in files])))
    wanted = " and ".join(path.name for path in images)
    raise ValueError(f"--patches: expected a folder with {wanted}, or {name}/*.records, got {folder}")


def _open(path: Path) -> gdal.Dataset:
    """Open a patches image, whose last row must be there.

    Raises:
        ValueError: it is no raster, or it is truncated.
    """
    try:
        raster = open_raster(str(path))
        raster.ReadAsArray(0, raster.RasterYSize - 1, raster.RasterXSize, 1)
    except RuntimeError as error:
        raise ValueError(f"--patches: expected a whole raster, got {path} ({error})") from error
    return raster


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
