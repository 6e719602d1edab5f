# SPDX-License-Identifier: Apache-2.0
"""Every row of docs/inputs.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_row_names_tests_that_exist():
    rows = [line for line in (ROOT / "docs" / "inputs.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith(("| who makes it", "| what is given"))]
    assert len(rows) > 30
    for row in rows:
        file, named = None, re.findall(r"`((?:[\w/]+\.py)?(?:::\w+)?)`", row.split("|")[-2])
        assert named, row
        for name in named:
            path, _, test = name.partition("::")
            file = path or file
            folder = ROOT if file.startswith("tests/") else Path(__file__).parent
            text = (folder / file).read_text()
            assert not test or f"def {test}(" in text, name
