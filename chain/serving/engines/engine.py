# SPDX-License-Identifier: Apache-2.0
"""What engines have in common: how they are called, and what they refuse."""

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np


class Engine(Protocol):
    """A loaded model. One thread at a time may run it."""

    def run(self, sources: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Run the model once.

        Args:
            sources: For each source's name, float32 (rows, columns, bands), at its own resolution, with the margin.
            output: Name of an output, as in `description.outputs`.

        Returns:
            float32 (rows, columns, bands).

        Raises:
            RuntimeError: When the model has no such source or output, or the engine refuses.
        """

    def release(self) -> None:
        """Give back the memory that it keeps for the next run."""


def check_names(sources: Collection[str], inputs: Collection[str], output: str, outputs: Collection[str]) -> None:
    """Refuse to run a model on other sources than its inputs, or for an output that it has not got.

    Raises:
        RuntimeError: When that is asked for.
    """
    if set(sources) != set(inputs):
        raise RuntimeError(f"sources: expected {', '.join(inputs)}, got {', '.join(sources) or 'none'}")
    if output not in outputs:
        raise RuntimeError(f"output: expected one of {', '.join(outputs)}, got {output}")


def reason(error: Exception) -> str:
    """Return the line of an engine's error that says what the matter is: the last one that names no place."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("[[") and "https:" not in line]
    return lines[-1] if lines else type(error).__name__
