# SPDX-License-Identifier: Apache-2.0
"""What the everyday suite leaves to `make test-all`: all but ten of hypothesis' examples, and slow parameters."""

import pytest
from hypothesis import settings

EVERYDAY = 10
settings.register_profile("everyday", max_examples=EVERYDAY, deadline=None)
settings.register_profile("full", max_examples=100, deadline=None)


def examples(full: int) -> int:
    """Return the number of examples of a test that tries `full` of them when there is time."""
    return full if settings().max_examples > EVERYDAY else min(full, EVERYDAY)


def slow(*values):
    """Return a parameter of a test, its values, that is tried when there is time."""
    return pytest.param(*values, marks=pytest.mark.slow)
