# SPDX-License-Identifier: Apache-2.0
"""Networks: what each one takes and gives, its graph, and its export for TensorflowModelServe.

Importing this package, as all others that use TensorFlow do first, turns oneDNN on: TensorFlow itself leaves it off on
CPUs without AVX-512, where training then takes three times as long. A user's `TF_ENABLE_ONEDNN_OPTS` goes before.
"""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
