# SPDX-License-Identifier: Apache-2.0
"""What is done with several inputs of which some cannot be used: all is refused, or these are skipped, and named.

attempts = ErrorPolicy("skip")
scenes = [scene for folder in folders if (scene := attempts.make(open_scene, folder))]
len(attempts.skipped)
"""

import sys
from collections.abc import Callable

from chain.runtime.command_line import one_line


class ErrorPolicy:
    """Functions that may raise ValueError.

    Args:
        on_error: `fail`, or `skip`.
    """

    def __init__(self, on_error: str):
        self._on_error = on_error
        self.skipped: list[str] = []
        """What was wrong with each that was skipped."""

    def make(self, function: Callable, *values):
        """Return what a function returns. Where it raises ValueError and that is to be skipped, say so; return None.

        Raises:
            ValueError: the function's own, which is not to be skipped.
        """
        try:
            return function(*values)
        except ValueError as error:
            if self._on_error == "fail":
                raise
            self.skipped.append(one_line(error))
            print(f"skipped: {self.skipped[-1]}", file=sys.stderr)
            return None
