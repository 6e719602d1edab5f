# SPDX-License-Identifier: Apache-2.0
"""Engines: the same results as TensorFlow's own signature, and as numbers known beforehand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from chain.serving.engines.opening import ENGINES, open_engine
from models import base
from models.description import Source
from models.dsen2 import DSen2
from models.spot7 import SRModel
from tests import toy_models

pytestmark = pytest.mark.keras

SOURCES = (Source("fine", ("B04",), 10.0), Source("coarse", ("B11", "B12"), 20.0))
CROP = 2
MEAN = np.ones((3, 3, 1, 1), np.float32) / 9


def mean_plus_coarse(coarse, fine):
    """Return the mean of 3 x 3 fine pixels, plus the coarse ones that they lie in."""
    return tf.nn.conv2d(fine, MEAN, 1, "SAME") + tf.repeat(tf.repeat(coarse, 2, axis=1), 2, axis=2)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A toy of two sources, whose signature has them in another order."""
    folder = tmp_path_factory.mktemp("toy") / "model"
    sources = tuple(sorted(SOURCES, key=lambda source: source.name))
    return toy_models.export(folder, mean_plus_coarse, sources, 10.0, CROP, bands=("B11", "B12"))


@pytest.fixture(params=ENGINES[1:])
def engine(request):
    """The name of an engine."""
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed (requirements/openvino.txt)")
    return request.param


def toy_inputs(rows, columns):
    rng = np.random.default_rng(rows)
    return {
        "fine": rng.integers(1, 9000, (rows, columns, 1)).astype(np.float32),
        "coarse": rng.integers(1, 9000, (rows // 2, columns // 2, 2)).astype(np.float32),
    }


def by_hand(inputs):
    padded = np.pad(inputs["fine"], ((1, 1), (1, 1), (0, 0))).astype(np.float64)
    rows, columns = inputs["fine"].shape[:2]
    mean = sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9
    return (mean + inputs["coarse"].repeat(2, 0).repeat(2, 1))[CROP:-CROP, CROP:-CROP]


def test_numbers_known_beforehand_for_changing_shapes(engine, toy):
    opened = open_engine(engine, toy)
    for rows, columns in ((24, 24), (24, 40), (16, 24), (24, 24)):
        inputs = toy_inputs(rows, columns)
        found, wanted = opened.run(inputs, f"sr_dn_crop{CROP}"), by_hand(inputs)
        assert found.dtype == np.float32 and found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 0.501
        np.testing.assert_allclose(opened.run(inputs, f"sr_crop{CROP}"), wanted * 1e-4, rtol=2e-6)


def test_a_result_is_not_overwritten_by_the_next_one(engine, toy):
    opened, inputs = open_engine(engine, toy), toy_inputs(24, 24)
    first = opened.run(inputs, f"sr_crop{CROP}")
    before = first.copy()
    opened.run({name: pixels + 1 for name, pixels in inputs.items()}, f"sr_crop{CROP}")
    np.testing.assert_array_equal(first, before)


MODELS = {
    "dsen2": (lambda: DSen2.from_bands("6x", depth=4, num_blocks=1, back_projection=True), 24),
    "spot7": (lambda: SRModel.from_bands(depth=4, num_blocks=1), 4),
}


@pytest.fixture(scope="module", params=list(MODELS))
def network(request, tmp_path_factory):
    """An exported network of this project with random weights, inputs, and TensorFlow's own results."""
    make, ratio = MODELS[request.param]
    model = make()
    rng = np.random.default_rng(0)
    for variable in model.model.weights:
        variable.assign(rng.normal(0, 0.1, variable.shape))
    folder = tmp_path_factory.mktemp("network") / "model"
    base.export(model, folder)
    side = 4 * model.crop // ratio * ratio
    shapes = {s.name: [round(side * model.gsd / s.gsd)] * 2 + [len(s.bands)] for s in model.sources}
    inputs = {name: rng.integers(1, 9000, shape).astype(np.float32) for name, shape in shapes.items()}
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    outputs = signature(**{name: tf.constant(pixels[np.newaxis]) for name, pixels in inputs.items()})
    return model, folder, inputs, {name: found[0].numpy() for name, found in outputs.items()}


def test_the_networks_of_this_project(engine, network):
    model, folder, inputs, wanted = network
    opened = open_engine(engine, str(folder))
    found = opened.run(inputs, f"sr_crop{model.crop}")
    np.testing.assert_allclose(found, wanted[f"sr_crop{model.crop}"], atol=2e-6 * np.abs(wanted["sr"]).max())
    numbers = opened.run(inputs, f"sr_dn_crop{model.crop}")
    assert np.abs(numbers - wanted[f"sr_dn_crop{model.crop}"]).max() <= 1
    assert numbers.shape == found.shape and found.std() > 0


def test_models_stay_loaded_until_their_folder_changes(engine, toy):
    first = open_engine(engine, toy)
    assert open_engine(engine, toy) is first and open_engine(engine, os.path.join(toy, "..", "model")) is first
    stamp = os.stat(Path(toy) / "saved_model.pb").st_mtime_ns + 1000000
    os.utime(Path(toy) / "saved_model.pb", ns=(stamp, stamp))
    assert open_engine(engine, toy) is not first


@pytest.mark.parametrize(
    "sources, output, message",
    [
        (("fine",), "sr_crop2", "^sources: expected coarse, fine, got fine$"),
        (("fine", "coarse", "x"), "sr_crop2", "^sources: expected coarse, fine, got fine, coarse, x$"),
        (("fine", "coarse"), "sr_crop3", "^output: expected one of sr_crop2, sr_dn_crop2, got sr_crop3$"),
    ],
)
def test_what_the_model_has_not_is_refused(engine, toy, sources, output, message):
    inputs = {**toy_inputs(24, 24), "x": np.zeros((2, 2, 1), np.float32)}
    with pytest.raises(RuntimeError, match=message):
        open_engine(engine, toy).run({name: inputs[name] for name in sources}, output)


def test_errors_of_the_engine_are_one_line(engine, toy, tmp_path):
    inputs = toy_inputs(24, 24)
    with pytest.raises(RuntimeError, match="^model: (TensorFlow|OpenVINO) cannot run it: "):
        open_engine(engine, toy).run({**inputs, "coarse": inputs["coarse"][:5]}, "sr_crop2")
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(RuntimeError, match=f"^model: expected .* in {tmp_path}, got ") as caught:
        open_engine(engine, str(tmp_path))
    assert "\n" not in str(caught.value)


def test_other_engines_are_refused(toy):
    for name in ("otbtf", "onnx", ""):
        with pytest.raises(ValueError, match=f"^engine: expected one of tensorflow, openvino, got {name}$"):
            open_engine(name, toy)


def python(code, **variables):
    """Run code in a process of its own; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["native", "."]), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[4], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


SERVE = """
import sys
import numpy as np
from chain.serving.engines.opening import open_engine
inputs = {"fine": np.ones((24, 24, 1), np.float32), "coarse": np.ones((12, 12, 2), np.float32)}
opened = open_engine("openvino", sys.argv[1] if len(sys.argv) > 1 else MODEL)
result = opened.run(inputs, "sr_dn_crop2")
"""


def test_openvino_needs_no_tensorflow(toy):
    pytest.importorskip("openvino")
    code = SERVE.replace("MODEL", repr(toy)) + "print(sorted({m.split('.')[0] for m in sys.modules}), result[3, 3])"
    printed = python(code)
    assert printed.endswith("[2. 2.]") and "'openvino'" in printed
    for heavy in ("tensorflow", "keras", "otbApplication", "torch", "nncf"):
        assert f"'{heavy}'" not in printed


def test_control_c_reaches_a_process_that_had_several_models(toy):
    """The CPU plugin gives its thread a stack for signals, and takes it away when it is unloaded."""
    pytest.importorskip("openvino")
    code = f"""
import faulthandler, os, signal, time
import numpy as np
from chain.serving.engines.openvino_engine import OpenvinoEngine
faulthandler.enable()
signal.signal(signal.SIGINT, signal.default_int_handler)
inputs = {{"fine": np.ones((24, 24, 1), np.float32), "coarse": np.ones((12, 12, 2), np.float32)}}
first, second = OpenvinoEngine({toy!r}), OpenvinoEngine({toy!r})
first.run(inputs, "sr_crop2")
second.run(inputs, "sr_crop2")
del first, second
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert python(code) == "interrupted"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_openvino_takes_the_stated_number_of_threads_and_float32(toy, threads):
    pytest.importorskip("openvino")
    code = SERVE.replace("MODEL", repr(toy)) + (
        "c = opened._request.get_compiled_model()\n"
        "print(*(c.get_property(p) for p in "
        "('INFERENCE_NUM_THREADS', 'ENABLE_CPU_PINNING', 'NUM_STREAMS', 'INFERENCE_PRECISION_HINT')))"
    )
    assert python(code, SR_THREADS=threads) == f"{threads} False 1 <Type: 'float32'>"


def test_a_wrong_number_of_threads_is_told(toy, monkeypatch):
    pytest.importorskip("openvino")
    for stated in ("0", "-1", "two"):
        monkeypatch.setenv("SR_THREADS", stated)
        open_engine.__globals__["_open"].cache_clear()
        with pytest.raises(ValueError, match=f"^SR_THREADS: expected a number of threads, got {stated}$"):
            open_engine("openvino", toy).run(toy_inputs(24, 24), "sr_crop2")


def test_openvino_that_is_not_installed_is_told(toy):
    code = "import sys; sys.modules['openvino'] = None\nfrom chain.serving.engines.opening import open_engine\n"
    code += f"try: open_engine('openvino', {toy!r})\nexcept RuntimeError as error: print(error)"
    assert python(code) == (
        "--engine openvino requires OpenVINO: pip install -r requirements/openvino.txt (no module openvino)"
    )
