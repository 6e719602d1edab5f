# SPDX-License-Identifier: Apache-2.0
"""TensorFlow without OTBTF: the signature of a SavedModel, run on arrays.

`otbApplication` has to be imported before TensorFlow, whose copy of SQLite lacks what OTB needs: callers do so. Threads
are TensorFlow's own affair (`TF_NUM_INTRAOP_THREADS`).
"""

from collections.abc import Mapping

import numpy as np

from chain.serving.engines.engine import check_names, reason

SIGNATURE = "serving_default"


class TensorflowEngine:
    """A SavedModel in TensorFlow.

    All outputs of the signature are computed; what the others cost cannot be measured beside the convolutions.

    Args:
        folder: Its folder.

    Raises:
        RuntimeError: When TensorFlow cannot load it, or does not compute what it is asked for.
    """

    def __init__(self, folder: str):
        import tensorflow as tf

        from models.convolutions import check_convolutions

        check_convolutions()
        try:
            self._model = tf.saved_model.load(folder)
            self._signature = self._model.signatures[SIGNATURE]
        except Exception as error:
            raise RuntimeError(
                f"model: expected a SavedModel with a signature {SIGNATURE} in {folder}, got {reason(error)}"
            ) from error
        self._inputs = sorted(self._signature.structured_input_signature[1])
        self._outputs = sorted(self._signature.structured_outputs)

    def run(self, sources: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Run the model once, as `chain.serving.engines.engine.Engine` says."""
        import tensorflow as tf

        check_names(sources, self._inputs, output, self._outputs)
        feeds = {name: tf.constant(np.asarray(sources[name], np.float32)[np.newaxis]) for name in self._inputs}
        try:
            return self._signature(**feeds)[output].numpy()[0]
        except Exception as error:
            raise RuntimeError(f"model: TensorFlow cannot run it: {reason(error)}") from error

    def release(self) -> None:
        """Do nothing: what TensorFlow keeps from run to run, it needs for the next one, of any model."""
