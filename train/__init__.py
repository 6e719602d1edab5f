# SPDX-License-Identifier: Apache-2.0
"""Training programs, one per system, run as `python -m train.<system>`.

Importing this package turns oneDNN on before TensorFlow is loaded: TensorFlow itself leaves it off on CPUs without
AVX-512, where a step of training then takes twice as long. Networks that are only run are faster without it there
(`benchmarks/onednn.py`), so that nothing else sets it. A user's `TF_ENABLE_ONEDNN_OPTS` goes before. TensorFlow 2.14 is
left as it is: with oneDNN on, it cannot run convolutions in bfloat16 on such CPUs.
"""

import os

from chain.runtime.provenance import package_versions

ONEDNN_SINCE = (2, 18)
"""First version of TensorFlow that was seen to run all networks with oneDNN on any CPU."""


def _tensorflow_version() -> tuple[int, ...]:
    """Return major and minor version of the TensorFlow that is installed, without loading it; (0,) if none says it."""
    return tuple(int(part) for part in package_versions().get("tensorflow", "0").split(".")[:2])


if _tensorflow_version() >= ONEDNN_SINCE:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
