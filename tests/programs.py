# SPDX-License-Identifier: Apache-2.0
"""All programs, and what their options are."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from chain.runtime import command_line

ROOMS = ("inference", "train", "datasets", "weights", "evaluation")


def programs():
    """Yield the names of all modules that have a command line."""
    yield "sr_dataset"
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            source = Path(found.module_finder.path, *found.name.split(".")[-1:])
            file = source / "__init__.py" if found.ispkg else source.with_suffix(".py")
            text = file.read_text()
            if "run_program(" in text or re.search(r"^(\w+, )*main(, \w+)* = ", text, re.MULTILINE):
                yield found.name


class Stopped(Exception):
    pass


def options_of(module, monkeypatch):
    """Return the class of a program's options."""
    seen = []

    def stop(_, options):
        seen.append(options)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(command_line, "add_options", stop)
        with pytest.raises(Stopped):
            module.main([])
    return seen[0]
