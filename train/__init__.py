# SPDX-License-Identifier: Apache-2.0
"""Training programs, one per system, run as `python -m train.<system>`."""

import models  # noqa: F401 (before TensorFlow: turns oneDNN on)
