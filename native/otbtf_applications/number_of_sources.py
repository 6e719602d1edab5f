# SPDX-License-Identifier: Apache-2.0
"""The number of sources of an application, from the environment variable ``OTB_TF_NSOURCES``.

python -c "from otbtf_applications.number_of_sources import number_of_sources as n; print(n())"
"""

import os

VARIABLE = "OTB_TF_NSOURCES"


def number_of_sources() -> int:
    """Return the number of sources, 1 if the variable is not set.

    Raises:
        RuntimeError: The variable is not a positive integer.
    """
    text = os.environ.get(VARIABLE, "").strip() or "1"
    if not text.isdecimal() or int(text) < 1:
        raise RuntimeError(f"{VARIABLE}: expected a positive integer, got {text}")
    return int(text)
