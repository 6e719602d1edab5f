# SPDX-License-Identifier: Apache-2.0
"""How many threads a process computes with: TensorFlow, OpenVINO, OTB and GDAL alike, so that they do not fight.

Libraries read their number when they are loaded: it has to be set before.
"""

import os

THREADS = "SR_THREADS"
"""Environment variable of the number, for the parts of this project."""
VARIABLES = (
    THREADS,
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "GDAL_NUM_THREADS",
)


def limit_threads(number: int | None = None) -> None:
    """Set how many threads libraries use that are loaded from now on.

    Args:
        number: The number; by default that of the cores this process may run on. Variables that the user has set are
            then left alone.
    """
    for name in VARIABLES:
        if number is not None or name not in os.environ:
            os.environ[name] = str(number or len(os.sched_getaffinity(0)))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def threads() -> int:
    """Return the number of threads."""
    return int(os.environ.get(THREADS) or len(os.sched_getaffinity(0)))
