# SPDX-License-Identifier: Apache-2.0
"""What every program's help has to show."""

import importlib
import importlib.util
import re

import pytest

from tests.conftest import REPOSITORY

FOLDERS = ("inference", "train", "weights", "datasets", "evaluation", "simulate")
FILES = [*(file for folder in FOLDERS for file in (REPOSITORY / folder).rglob("*.py")), REPOSITORY / "sr_dataset.py"]


def name_of(file):
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


PROGRAMS = sorted(
    name_of(file)
    for file in [*FILES, REPOSITORY / "demo.py"]
    if re.search(r"ArgumentParser\(|_program\(\"|\bmain\b.* = PROGRAM", file.read_text(encoding="utf-8"), re.MULTILINE)
)


def help_of(name, capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(name).main(["--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_shows_a_command_that_the_program_takes(name, capsys):
    shown = help_of(name, capsys)
    script = name.replace(".", "/") + ".py" if "." not in name else f"-m {name}"
    commands = [line for line in shown.splitlines() if re.match(rf" +(\.venv/bin/)?python {re.escape(script)}", line)]
    assert commands, shown
    if not name.startswith("simulate") and name != "demo":
        end = shown[shown.index("\nexamples:\n") :].strip().splitlines()[1:]
        assert set(commands) <= set(end) and all(re.match(r"  python ", line) for line in end), end
    flags = {flag for command in commands for flag in re.findall(r"(?<=\s)(--[a-z][a-z0-9-]*)", command)}
    assert flags <= set(re.findall(r"--[a-z][a-z0-9-]*", shown.partition("\nexamples:\n")[0])), flags


def test_all_programs_are_found():
    assert {"inference.dsen2", "inference.spot7", "inference.l1bsr", "inference.deepsum"} <= set(PROGRAMS)
    assert {"sr_dataset", "demo", "weights.convert_dsen2", "simulate.scenes"} <= set(PROGRAMS)


def test_the_table_of_options_is_that_of_the_parsers():
    """`python docs/which_options.py` writes it."""
    place = importlib.util.spec_from_file_location("which_options", REPOSITORY / "docs" / "which_options.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    assert (REPOSITORY / "docs" / "which_options.md").read_text(encoding="utf-8") == module.text()
