# SPDX-License-Identifier: Apache-2.0
"""Each command of the README and the docs is run, or the page says why not; none has an option that does not exist."""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY, raster_writer
from tests.docs.pages import blocks
from tests.docs.prepared import PROGRAMS, environment, prepare

BLOCKS = blocks()
RUN = [block for block in BLOCKS if block.reason is None]
COMMENT = re.compile(r"\s#\s.*$")


def parsers():
    """Return the function that finds a program's parser, of the script that writes the page of options."""
    sys.path.insert(0, str(REPOSITORY / "docs"))
    try:
        from options import parser_of, programs
    finally:
        sys.path.pop(0)
    return parser_of, programs()


def commands():
    """Yield the block and the words of each command of this project's programs, in pages and in the scripts there."""
    for block in BLOCKS:
        for line in re.sub(r"\\\n", " ", block.code).splitlines():
            with contextlib.suppress(ValueError):
                words = shlex.split(COMMENT.sub("", line))
                for number, word in enumerate(words):
                    name = word.rpartition("/")[2]
                    if name in PROGRAMS:
                        yield block, PROGRAMS[name], words[number + 1 :]
                    elif word == "-m" and number and words[number - 1].endswith("python"):
                        yield block, words[number + 1], words[number + 2 :]
                    elif name == "sr_dataset.py":
                        yield block, "sr_dataset", words[number + 1 :]


COMMANDS = list(commands())


def test_pages_have_commands():
    assert len(BLOCKS) > 25 and len(RUN) > 10 and len(COMMANDS) > 60
    assert all(len(block.reason.strip()) > 8 for block in BLOCKS if block.reason is not None)


def test_options_exist():
    """Of all commands, those that are not run too."""
    parser_of, programs = parsers()
    checked, wrong = 0, []
    made = {module: parser_of(module) for module in programs}
    for block, module, words in COMMANDS:
        if module not in made:
            continue
        known = {flag for action in made[module]._actions for flag in action.option_strings}
        used = {word.split("=")[0] for word in words if re.match("--[a-z]", word)}
        checked += len(used)
        wrong += [f"{block}: {module} has no {flag}" for flag in used - known]
    assert not wrong and checked > 100


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_blocks_are_of_the_shell(block):
    if block.code.startswith("#!") or "make " in block.code:
        return
    done = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The prepared folder, to be copied for each block."""
    folder = tmp_path_factory.mktemp("docs") / "prepared"
    folder.mkdir()
    prepare(folder, raster_writer(tmp_path_factory.mktemp("rasters")))
    return folder


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize("block", RUN, ids=str)
def test_commands_run(block, prepared, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder, symlinks=True)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
