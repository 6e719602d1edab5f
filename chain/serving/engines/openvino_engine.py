# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: reads the SavedModel that TensorFlow serves, or a quantised model, and needs no TensorFlow.

It computes in float32, as TensorFlow does: left to itself, the CPU plugin takes bfloat16 where the processor has it.
Only the output that is asked for is computed (that of the last call stays compiled), and shapes stay dynamic: for these
networks static ones are no faster.
`SR_THREADS` says how many threads it may use; they are not bound to cores, where other processes may be at work.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from chain.serving.engines.engine import check_names, reason

if TYPE_CHECKING:
    import openvino
    from openvino.frontend.tensorflow import ConversionExtension, NodeContext

QUANTIZED_MODEL = "openvino.xml"
REQUIREMENTS = "requirements/openvino.txt"


def import_openvino() -> ModuleType:
    """Return the module `openvino`.

    Raises:
        RuntimeError: When it is not installed.
    """
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"--engine openvino requires OpenVINO: pip install -r {REQUIREMENTS} (no module {error.name})"
        ) from None
    return openvino


@functools.cache
def _core() -> "openvino.Core":
    """Return the `openvino.Core` of this process.

    There is one, and it stays: each gives the thread that loads its CPU plugin a stack for signals, and when several
    are let go that thread is left with one that is gone; the next signal, such as Ctrl-C, then kills the process.
    """
    core = import_openvino().Core()
    core.add_extension(_bicubic_extension())
    return core


def read_model(folder: str | Path) -> "openvino.Model":
    """Return the `openvino.Model` of a folder: the quantised model, else the SavedModel.

    Raises:
        RuntimeError: When OpenVINO is not installed or cannot read it.
    """
    core, quantized = _core(), Path(folder) / QUANTIZED_MODEL
    try:
        return core.read_model(str(quantized if quantized.exists() else folder))
    except Exception as error:
        raise RuntimeError(f"model: expected a model for OpenVINO in {folder}, got {reason(error)}") from error


def _bicubic_extension() -> "ConversionExtension":
    """Return what tells OpenVINO how to read TensorFlow's bicubic interpolation, which it does not know.

    Beyond the edges OpenVINO repeats pixels, where TensorFlow leaves them out: cropped outputs do not see it.
    """
    from openvino import opset13
    from openvino.frontend.tensorflow import ConversionExtension

    def convert(node: "NodeContext") -> "list[openvino.Output]":
        if not node.get_attribute("half_pixel_centers", False) or node.get_attribute("align_corners", False):
            raise ValueError("expected bicubic interpolation between pixel centres, got another one")
        images = opset13.transpose(node.get_input(0), [0, 3, 1, 2])
        resized = opset13.interpolate(
            images,
            node.get_input(1),
            mode="cubic",
            shape_calculation_mode="sizes",
            coordinate_transformation_mode="half_pixel",
            cube_coeff=-0.5,
            axes=np.array([2, 3]),
        )
        return opset13.transpose(resized, [0, 2, 3, 1]).outputs()

    return ConversionExtension("ResizeBicubic", convert)


def with_outputs(model: "openvino.Model", outputs: list[str]) -> "openvino.Model":
    """Return an `openvino.Model` that computes only some of a model's outputs, under their names.

    Raises:
        RuntimeError: When it has not got them.
    """
    openvino = import_openvino()
    found = {name: port for port in model.outputs for name in port.names}
    missing = [name for name in outputs if name not in found]
    if missing:
        raise RuntimeError(f"output: expected one of {', '.join(sorted(found))}, got {missing[0]}")
    return openvino.Model([found[name].node for name in outputs], model.get_parameters(), model.get_friendly_name())


def compile_model(model: "openvino.Model") -> "openvino.CompiledModel":
    """Return an `openvino.CompiledModel` for one image at a time, float32 but where the model is quantised.

    Raises:
        ValueError: When SR_THREADS is no number of threads.
        RuntimeError: When OpenVINO refuses.
    """
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
        **_threads(),
    }
    try:
        return _core().compile_model(model, "CPU", options)
    except Exception as error:
        raise RuntimeError(f"model: OpenVINO cannot compile it: {reason(error)}") from error


class OpenvinoEngine:
    """A model in OpenVINO.

    Args:
        folder: Folder of the model.

    Raises:
        RuntimeError: When OpenVINO is not installed or cannot read it.
    """

    def __init__(self, folder: str):
        self._model = read_model(folder)
        self._inputs = sorted(port.any_name for port in self._model.inputs)
        self._outputs = sorted(name for port in self._model.outputs for name in port.names)
        self._output = ""
        self._request: Any = None

    def run(self, sources: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Run the model once, as `chain.serving.engines.engine.Engine` says."""
        check_names(sources, self._inputs, output, self._outputs)
        if output != self._output:
            self._request = compile_model(with_outputs(self._model, [output])).create_infer_request()
            self._output = output
        feeds = {name: np.asarray(sources[name], np.float32)[np.newaxis] for name in self._inputs}
        try:
            self._request.infer(feeds)
        except Exception as error:
            raise RuntimeError(f"model: OpenVINO cannot run it: {reason(error)}") from error
        return self._request.get_output_tensor().data[0].copy()

    def release(self) -> None:
        """Give back what the last run needed; as much again as all its tensors."""
        if self._request is not None:
            self._request.get_compiled_model().release_memory()


def _threads() -> dict[str, int]:
    """Return OpenVINO's option for the number of threads that SR_THREADS states, if it does."""
    stated = os.environ.get("SR_THREADS", "")
    if not stated:
        return {}
    if not stated.isdecimal() or int(stated) < 1:
        raise ValueError(f"SR_THREADS: expected a number of threads, got {stated}")
    return {"INFERENCE_NUM_THREADS": int(stated)}
