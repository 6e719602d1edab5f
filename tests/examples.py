# SPDX-License-Identifier: Apache-2.0
"""How many examples hypothesis tries: ten in the everyday suite, as many as a test is worth in `make test-all`."""

from hypothesis import settings

EVERYDAY = 10
settings.register_profile("everyday", max_examples=EVERYDAY, deadline=None)
settings.register_profile("full", max_examples=100, deadline=None)


def examples(full: int) -> int:
    """Return the number of examples of a test that tries `full` of them when there is time."""
    return full if settings().max_examples > EVERYDAY else min(full, EVERYDAY)
