# SPDX-License-Identifier: Apache-2.0
"""What holds of the options of every program."""

import dataclasses
import importlib
import re

import pytest

from chain.runtime.options import kinds
from tests.programs import options_of, programs

pytestmark = pytest.mark.keras


def test_there_are_programs():
    assert {f"{room}.{system}" for room in ("inference", "train") for system in ("spot7", "dsen2")} <= set(programs())


@pytest.mark.parametrize("program", list(programs()))
def test_numbers_are_read_as_numbers(program, monkeypatch):
    """A number without a default would stay the word of the command line."""
    options = options_of(importlib.import_module(program), monkeypatch)
    for field in dataclasses.fields(options):
        is_number = re.fullmatch(r"(int|float)( \| None)?", str(getattr(field.type, "__name__", field.type)))
        kind = kinds(options).get(field.name)
        if kind and is_number and not isinstance(field.default, int | float):
            assert kind.read, field.name
