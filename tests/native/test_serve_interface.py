# SPDX-License-Identifier: Apache-2.0
"""TensorflowModelServe's parameters, types and messages against OTBTF's, and its command line."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import otbApplication
import pytest
import tensorflow as tf
from osgeo import gdal

from tests.native.served_networks import Network, nearest, serve

NATIVE = Path(__file__).resolve().parents[2] / "native"

pytestmark = pytest.mark.keras


def test_user_placeholders(image, models):
    path, pixels = image
    values = {"model__userplaceholders": ["gain=3.0", "flag=True"]}
    np.testing.assert_array_equal(serve(path, models["gain"], **values).to_numpy(), pixels * 3)
    with pytest.raises(RuntimeError, match="float.*int32|int32.*float"):
        serve(path, models["gain"], model__userplaceholders=["gain=3", "flag=false"]).to_numpy()
    with pytest.raises(RuntimeError, match="session"):
        serve(path, models["gain"], model__userplaceholders=["gain=3."], source1__placeholder="lr").to_numpy()
    with pytest.raises(RuntimeError, match="expected name=value.*got gain"):
        serve(path, models["gain"], model__userplaceholders=["gain"])


@pytest.mark.parametrize(
    "dtype, expected",
    [
        (tf.float64, 8506),
        (tf.uint8, 58),
        (tf.int16, 8506),
        (tf.uint16, 8506),
        (tf.int32, 8506),
        (tf.uint32, 8506),
        (tf.int64, 8506),
        (tf.uint64, 8506),
    ],
)
def test_types_of_placeholders(tmp_path, write_raster, dtype, expected):
    model = Network(lambda x: {"out": tf.cast(x, tf.float64)}, x=([None, None, None, 1], dtype)).save(tmp_path / "m")
    path = str(write_raster("image.tif", np.full((20, 20), 8506, np.uint16)))
    assert np.all(serve(path, model).to_numpy() == expected)


@pytest.mark.parametrize("dtype, number", [(tf.int8, 6), (tf.bfloat16, 14), (tf.float16, 19)])
def test_types_that_are_refused(tmp_path, write_raster, dtype, number):
    path = str(write_raster("image.tif", np.ones((20, 20), np.uint16)))
    fed = Network(lambda x: {"out": tf.cast(x, tf.float32)}, x=([None, None, None, 1], dtype)).save(tmp_path / "m")
    with pytest.raises(RuntimeError, match=f"TF DataType {number} not currently implemented !"):
        serve(path, fed).to_numpy()


def test_output_types_that_are_refused(tmp_path, write_raster):
    path = str(write_raster("image.tif", np.ones((20, 20), np.uint16)))
    made = Network(lambda x: {"out": x > 0}, x=([None, None, None, 1], tf.float32)).save(tmp_path / "m")
    with pytest.raises(RuntimeError, match="TF DataType 10 not currently implemented !"):
        serve(path, made).to_numpy()


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: x[..., tf.newaxis], "dim_size=5 currently not supported"),
        (
            lambda x: tf.ensure_shape(x, [None] * 4)[..., : tf.shape(x)[1]],
            "Cannot determine the size of the last dimension",
        ),
    ],
)
def test_output_shapes_that_are_refused(tmp_path, write_raster, function, message):
    path = str(write_raster("image.tif", np.ones((20, 20), np.uint16)))
    model = Network(lambda x: {"out": function(x)}, x=([None] * 4, tf.float32)).save(tmp_path / "m")
    with pytest.raises(RuntimeError, match=message):
        serve(path, model)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"names": ["nope"]}, 'Tensor name "nope" not found'),
        ({"source1__placeholder": "nope"}, 'Tensor name "nope" not found'),
        ({"model__tagsets": ["gpu"]}, "gpu"),
        ({"model__dir": "/nonexistent"}, "nonexistent"),
        ({"receptive": 8, "expression": 16}, "input requested region of source #0 is not consistent \\(dim 0\\)"),
        ({"receptive": 15, "expression": 15, "output__spcscale": 0.5}, "Number of elements in the tensor is"),
        ({"receptive": 500}, "got sizes \\[120\\]"),
    ],
)
def test_errors_say_what_was_wrong(image, models, parameters, message):
    with pytest.raises(RuntimeError, match=message):
        serve(image[0], **{"model": models["same"], **parameters}).to_numpy()


def test_parameters_types_defaults_and_minimum():
    app = otbApplication.Registry.CreateApplication("TensorflowModelServe")
    assert "ram" not in app.GetParametersKeys()
    assert [app.IsMandatory(key) for key in ("source1.il", "source1.placeholder", "model.dir", "output.names")] == [
        True,
        False,
        True,
        False,
    ]
    defaults = {"source1.rfieldx": 1, "output.efieldy": 1, "optim.tilesizex": 16, "model.fullyconv": 0}
    assert {key: app.GetParameterInt(key) for key in defaults} == defaults
    assert app.GetParameterFloat("output.spcscale") == 1 and app.GetParameterFloat("output.bv") == 0
    assert not app.HasValue("source1.nodata")
    app.SetParameterInt("source1.rfieldx", 0)
    assert app.GetParameterInt("source1.rfieldx") == 1
    for value in ("on", "off"):
        app.SetParameterString("model.fullyconv", value)
        assert app.GetParameterInt("model.fullyconv") == (value == "on")


def test_number_of_sources_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OTB_TF_NSOURCES", "3")
    keys = otbApplication.Registry.CreateApplication("TensorflowModelServe").GetParametersKeys()
    assert "source3.rfieldx" in keys and "source4.il" not in keys


def test_warnings(image, models, capfd):
    serve(image[0], models["same"], 16, 16, tile=20)
    output = capfd.readouterr()
    text = output.out + output.err
    assert "optim.tilesizex: 20 is not a multiple of the expression field 16. It becomes 32" in text
    assert "No output name was given, among ['a', 'b']: it is a" in text


HAS_LAUNCHER = pytest.mark.skipif(
    shutil.which("otbApplicationLauncherCommandLine") is None, reason="OTB's launcher is not installed"
)


def launched(tmp_path, path, *more):
    """Serve a model by OTB's launcher; return the ended process."""
    command = [
        *(NATIVE / "bin" / "otbcli", "TensorflowModelServe", "-source1.il", path, "-source1.rfieldx", 6),
        *("-source1.rfieldy", 6, "-model.dir", nearest(4, 8).save(tmp_path / "model"), "-model.fullyconv", "on"),
        *(*more, "-output.efieldx", 8, "-output.efieldy", 8, "-out", tmp_path / "sr.tif", "uint16"),
    ]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100)


@HAS_LAUNCHER
@pytest.mark.slow
def test_from_the_command_line(tmp_path, image):
    path, pixels = image
    done = launched(tmp_path, path, "-output.spcscale", 0.25)
    assert done.returncode == 0, done.stdout + done.stderr
    product = gdal.Open(str(tmp_path / "sr.tif"))
    expected = np.repeat(np.repeat(pixels, 4, 0), 4, 1)[8:-8, 8:-8]
    np.testing.assert_array_equal(np.moveaxis(product.ReadAsArray(), 0, -1), expected)


@HAS_LAUNCHER
@pytest.mark.slow
def test_a_failure_on_the_command_line(tmp_path, image):
    done = launched(tmp_path, image[0], "-output.names", "nope")
    assert done.returncode == 1 and 'Tensor name "nope" not found' in done.stdout + done.stderr
