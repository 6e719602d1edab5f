# SPDX-License-Identifier: Apache-2.0
"""What was decided about an input, and why: kept on the opened image, shown to users, written into records."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """One decision about an input."""

    subject: str
    """What it is about: `offset`, `bands`, `nodata`, `scale`, `files`, `pixels`."""
    taken: str
    """What was decided."""
    reason: str
    """What it rests on."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.taken} ({self.reason})"
