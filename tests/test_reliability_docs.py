# SPDX-License-Identifier: Apache-2.0
"""The tests that `docs/reliability.md` names are there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def test_the_tests_that_the_table_names_exist():
    text = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", text)
    assert len(named) > 20 and text.count("::test_") == len(named)
    for file, test in named:
        assert f"def {test}(" in (REPOSITORY / file).read_text(encoding="utf-8"), f"{file}::{test}"
