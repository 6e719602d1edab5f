# SPDX-License-Identifier: Apache-2.0
"""Faults that a local server can be told to have."""

import re
from dataclasses import dataclass

KINDS = ("status", "drop", "reset", "slow", "truncate", "wrong", "expire", "endless")


@dataclass
class Fault:
    """Something that goes wrong with the next requests."""

    pattern: str
    """Regular expression, searched in the request's path (or in its whole address when it comes as to a
    proxy)."""
    kind: str = "status"
    """`status` (answers `status`), `drop` (closes the connection), `reset` (resets it), `slow` (waits), `truncate`
    (half the body), `wrong` (another content, with status 200), `expire` (no token is valid any more), `endless`
    (pages of a search, each with a link to one more)."""
    count: int = 1
    """How many requests it strikes."""
    status: int = 503
    """HTTP status for `status`."""
    retry_after: float | None = None
    """Seconds announced in `Retry-After`, for `status`."""
    seconds: float = 1.0
    """How long `slow` waits."""

    def __post_init__(self):
        """Checks what came.

        Raises:
            ValueError: the kind is unknown, or the pattern is not a regular expression.
        """
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: expected a regular expression, got {self.pattern}") from error
