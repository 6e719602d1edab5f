# SPDX-License-Identifier: Apache-2.0
"""The commands of the pages that users read."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md", "native/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "weights").glob("*/README.md")),
]
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?:sh|bash)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        page: its page, by its path in the repository.
        line: number of its first line.
        code: the commands.
        reason: why they are not run; None where they are.
    """

    page: str
    line: int
    code: str
    reason: str | None

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks():
    """Return all blocks of all pages."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text[: match.start("code")].count("\n") + 1
            name = Path(path).relative_to(REPOSITORY).as_posix()
            found.append(Block(name, line, match["code"], match["reason"]))
    return found
