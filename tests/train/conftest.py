# SPDX-License-Identifier: Apache-2.0
"""Small patches, as patches images and as TFRecords, and steps of training that are not compiled."""

import numpy as np
import otbtf
import pytest
import tensorflow as tf

from tests.train.samples import write_patches
from tests.train.steps import steps

COUNTS = {"train": 12, "valid": 4, "test": 5}
SIZE = 8


@pytest.fixture(scope="module", autouse=True)
def eager_steps():
    """Do not trace the steps of training, which takes far longer than the few steps of a test."""
    with steps(eager=True):
        yield


@pytest.fixture(scope="session")
def patches(tmp_path_factory):
    """A folder of patches: the target is the bicubic interpolation of the input, darker."""
    folder = tmp_path_factory.mktemp("patches")
    rng = np.random.default_rng(0)
    for name, count in COUNTS.items():
        lr = rng.integers(500, 3000, (count, SIZE, SIZE, 4)).astype("uint16")
        hr = tf.image.resize(lr, (4 * SIZE, 4 * SIZE), "bicubic").numpy() * 0.8
        write_patches(folder / f"{name}_lr.tif", lr)
        write_patches(folder / f"{name}_hr.tif", np.round(np.maximum(hr, 0)).astype("uint16"))
    return folder


@pytest.fixture(scope="session")
def records(patches, tmp_path_factory):
    """The same patches as TFRecords."""
    folder = tmp_path_factory.mktemp("records")
    for name in COUNTS:
        sources = {key: [str(patches / f"{name}_{key}.tif")] for key in ("lr", "hr")}
        dataset = otbtf.DatasetFromPatchesImages(sources)
        dataset.to_tfrecords(str(folder / name), n_samples_per_shard=3, drop_remainder=False)
    return folder
