# SPDX-License-Identifier: Apache-2.0
"""Inputs that cannot be used: fail, or skip them and say so.

attempts = ErrorPolicy("skip")
scenes = [scene for folder in folders if (scene := attempts.make(folder.name, open_scene, folder))]
attempts.skipped
"""

from collections.abc import Callable
from typing import Any

from chain.runtime.command_line import one_line
from chain.runtime.progress import LOG


class ErrorPolicy:
    """Functions that may raise ValueError.

    Args:
        on_error: `fail`, or `skip`.
    """

    def __init__(self, on_error: str):
        self._on_error = on_error
        self.skipped: dict[str, str] = {}
        """What was wrong with each that was skipped, by its name."""

    def make(self, name: str, function: Callable, *values: Any) -> Any:
        """Return what a function returns, or None, with a warning, if it raises ValueError and that is to be skipped.

        Args:
            name: what the function works on, in words.
            function: the function.
            *values: its arguments.

        Raises:
            ValueError: the function's own, which is not to be skipped.
        """
        try:
            return function(*values)
        except ValueError as error:
            if self._on_error == "fail":
                raise
            self.skipped[name] = one_line(error)
            LOG.warning("skipped: %s", self.skipped[name])
            return None
