# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: a floor imports itself and the floors below it."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.conftest import REPOSITORY

FLOORS = (
    ("chain.runtime",),
    ("models",),
    ("chain.raster",),
    ("chain.sentinel2",),
    ("chain.patches", "chain.serving"),
    ("datasets", "weights", "sr_dataset"),
    ("evaluation",),
    ("train", "inference", "benchmarks", "demo"),
)
FOLDERS = ("models", "chain", "datasets", "weights", "evaluation", "train", "inference", "benchmarks")


def name_of(path):
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")}
FILES |= {name: REPOSITORY / f"{name}.py" for name in ("sr_dataset", "demo")}


def floor_of(module):
    """Return the number of a module's floor, and the name of its room; None for what is not of this project."""
    for number, rooms in enumerate(FLOORS):
        for room in rooms:
            if module == room or module.startswith(f"{room}."):
                return number, room
    return None


def imports_of(path):
    """Yield the modules that a file imports, those inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in FILES else node.module


@pytest.mark.parametrize("module", sorted(name for name in FILES if floor_of(name)))
def test_imports_run_down(module):
    floor, room = floor_of(module)
    places = {imported: floor_of(imported) for imported in imports_of(FILES[module])}
    assert not {name for name, place in places.items() if place and (place[0] > floor)}
    if room in ("chain.patches", "chain.serving"):
        assert not {name for name, place in places.items() if place and place[0] == floor and place[1] != room}


def test_imports_run_in_no_circle():
    """Nor do those inside of functions, or for type hints."""
    TopologicalSorter({name: set(imports_of(path)) - {name} for name, path in FILES.items()}).prepare()


def test_what_stands_at_the_top_of_a_package_is_little():
    for folder in ("inference", "chain"):
        entries = [path for path in (REPOSITORY / folder).iterdir() if path.name not in ("__init__.py", "__pycache__")]
        assert len(entries) <= 12, [path.name for path in entries]


PYTHON = [
    path
    for path in REPOSITORY.rglob("*.py")
    if not any(part == "build" or part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
]


def test_no_file_is_longer_than_can_be_read_in_one_sitting():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PYTHON}
    assert not {str(path): length for path, length in lengths.items() if length > 400}


def test_no_function_below_a_program_takes_parsed_arguments():
    """Options are dataclasses (`chain.runtime.options`); argparse's own class is known where they are made of it."""
    mentioning = {
        str(path.relative_to(REPOSITORY))
        for path in PYTHON
        if "tests" not in path.parts and "argparse.Namespace" in path.read_text(encoding="utf-8")
    }
    assert mentioning <= {"chain/runtime/command_line.py", "simulate/command_line.py"}
