# SPDX-License-Identifier: Apache-2.0
"""The toy applications of this folder, built for the session as copies of the plug-in, and small networks."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import otbApplication as otb
import pytest

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parents[1] / "native" / "build" / "plugin.so"


@pytest.fixture(scope="session")
def toy_environment(tmp_path_factory):
    """Return the environment in which any program finds the applications ToyZoom, ToyMean and ToyFaulty."""
    folder = tmp_path_factory.mktemp("applications")
    for name in ("ToyZoom", "ToyMean", "ToyFaulty", "ToyMissing"):
        shutil.copy(PLUGIN, folder / f"otbapp_{name}.so")
    path = os.pathsep.join([os.environ["OTB_APPLICATION_PATH"], str(folder)])
    return {
        **os.environ,
        "OTB_APPLICATION_PATH": path,
        "OTB_PYTHON_PACKAGES": "toy_applications",
        "OTBTF_PYTHON": sys.executable,
        "PYTHONPATH": str(HERE),
        "OTB_LOGGER_LEVEL": "INFO",
    }


@pytest.fixture
def toys(toy_environment, monkeypatch):
    """Make the toy applications available in this process."""
    for name in ("OTB_APPLICATION_PATH", "OTB_PYTHON_PACKAGES"):
        monkeypatch.setenv(name, toy_environment[name])
    monkeypatch.syspath_prepend(str(HERE))
    return otb.Registry.CreateApplicationWithoutLogger


@pytest.fixture
def image(write_raster):
    """Return a raster of two bands, as a path and as pixels."""
    pixels = np.random.default_rng(0).integers(1, 10000, (100, 120, 2)).astype(np.uint16)
    return str(write_raster("image.tif", pixels)), pixels.astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the folders of small networks, by name."""
    import tensorflow as tf

    from tests.native.served_networks import IMAGE, Network

    root = tmp_path_factory.mktemp("models")

    def blur(lr):
        return {"sum": tf.nn.depthwise_conv2d(lr, tf.ones((5, 5, 2, 1)), (1, 1, 1, 1), "VALID")}

    def patch(lr):
        return {"mean": tf.reduce_mean(lr, axis=(1, 2)), "first": lr[:, 0, 0, 0], "plane": lr[:, 0, 0, 1:]}

    return {
        "same": Network(lambda lr: {"b": lr * 2.0, "a": lr[..., :1]}, lr=IMAGE).save(root / "same"),
        "blur": Network(blur, lr=IMAGE).save(root / "blur", signature="zz"),
        "patch": Network(patch, lr=IMAGE).save(root / "patch"),
        "two": Network(
            lambda fine, coarse: {"sum": fine[..., :1] + tf.repeat(tf.repeat(coarse, 2, 1), 2, 2)[..., 1:]},
            fine=IMAGE,
            coarse=IMAGE,
        ).save(root / "two"),
        "gain": Network(
            lambda lr, gain, flag: {"out": tf.where(flag, lr * gain, lr)},
            lr=IMAGE,
            gain=([None], tf.float32),
            flag=([None], tf.bool),
        ).save(root / "gain"),
    }
