# SPDX-License-Identifier: Apache-2.0
"""Networks: what each one takes and gives, its graph, and its export for TensorflowModelServe.

Importing this package, as all others that use TensorFlow do first, turns oneDNN on: TensorFlow itself leaves it off on
CPUs without AVX-512, where training then takes twice as long or more. A user's `TF_ENABLE_ONEDNN_OPTS` goes before.
TensorFlow 2.14 is left as it is: with oneDNN on, it cannot run convolutions in bfloat16 on such CPUs.
"""

import os
from importlib import metadata

ONEDNN_SINCE = (2, 18)
"""First version of TensorFlow that was seen to run all networks with oneDNN on any CPU."""


def _tensorflow_version() -> tuple[int, ...]:
    """Return major and minor version of the TensorFlow that is installed, without loading it; (0,) if none says it."""
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            return tuple(int(part) for part in metadata.version(name).split(".")[:2])
        except metadata.PackageNotFoundError:
            continue
    return (0,)


if _tensorflow_version() >= ONEDNN_SINCE:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
