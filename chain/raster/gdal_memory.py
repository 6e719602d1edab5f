# SPDX-License-Identifier: Apache-2.0
"""Names of GDAL's files in memory."""

import itertools
import os

_serial = itertools.count()


def new_name(stem: str, extension: str) -> str:
    """Return the name of a file in memory that no other call gave in this process."""
    return f"/vsimem/{stem}_{os.getpid()}_{next(_serial)}.{extension}"
