# SPDX-License-Identifier: Apache-2.0
"""What pip makes of the project: its packages, its programs, and what it asks for."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPOSITORY

REQUIREMENTS = REPOSITORY / "requirements"
NO_EXTRAS = {"runtime", "keras2", "keras3", "test", "benchmarks", "docs"}
"""Requirements of programs themselves, of environments, and of those who develop."""


def section(title):
    """Return the text of a section of pyproject.toml; Python 3.10 has no reader of it."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    return re.search(rf"^\[{re.escape(title)}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)[1]


def bounds():
    """Return what pyproject.toml asks for, by extra; those of all are under an empty name."""
    (always,) = re.findall(r"^dependencies = \[(.*?)\]\n", section("project"), re.MULTILINE | re.DOTALL)
    extras = re.findall(r"^(\S+) = \[(.*?)\]\n", section("project.optional-dependencies"), re.MULTILINE | re.DOTALL)
    return {
        name: {each.name: each for each in map(Requirement, re.findall(r'"(.*?)"', text))}
        for name, text in [("", always), *extras]
    }


def pins(name):
    """Return the versions of a file of requirements, by package."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return dict(line.split(";")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))


def programs():
    return dict(re.findall(r'^(\S+) = "(.*?)"', section("project.scripts"), re.MULTILINE))


def test_pins_are_within_the_bounds():
    asked = bounds()
    assert set(asked) - {"", "tensorflow"} == {path.stem for path in REQUIREMENTS.glob("*.txt")} - NO_EXTRAS
    for name, packages in asked.items():
        if name == "tensorflow":
            tested = {"tensorflow": pins("keras2")["tensorflow-cpu"]}, {"tensorflow": pins("keras3")["tensorflow-cpu"]}
        else:
            tested = (pins(name or "runtime"),)
        for versions in tested:
            # pydantic is planetary-computer's own requirement: its pin is for the otbtf image alone.
            assert versions.keys() - {"pydantic"} == packages.keys()
            for package, requirement in packages.items():
                assert requirement.specifier.contains(versions[package]), f"{package} {versions[package]}"


def test_every_package_is_named():
    named = re.findall(r'"(\w+)\*"', section("tool.setuptools.packages.find"))
    assert set(named) == {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"benchmarks"}


@pytest.mark.parametrize("name, place", programs().items())
def test_programs_are_there(name, place):
    module, _, function = place.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def run(*words, **keywords):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, **keywords)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project, because pip writes beside pyproject.toml."""
    folder = tmp_path_factory.mktemp("checkout") / "project"
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY).splitlines()
    for name in filter(lambda each: (REPOSITORY / each).is_file(), names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture
def environment(tmp_path):
    """An environment of its own, with what programs need."""
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    words = [python, "-m", "pip", "install", "--quiet", "setuptools>=66", "wheel", "-r", REQUIREMENTS / "runtime.txt"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode and re.search("connection|resolve", done.stderr, re.IGNORECASE):
        pytest.skip("there is no package registry to be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    return python.parent


def check_programs(environment):
    """The programs of an environment say from another folder what they are, and its packages suit each other."""
    for name in programs():
        told = run(environment / name, "--help", cwd="/")
        assert told.startswith("usage: ") and "--output" in told
    assert "otb-super-resolution 0" in run(environment / "sr-dsen2", "--version", cwd="/")
    run(environment / "python", "-m", "pip", "check")


@pytest.mark.slow
def test_a_wheel(checkout, environment, tmp_path):
    """It holds the weights, and nothing that the otbtf image has itself."""
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, checkout]
    run(environment / "python", *words)
    (wheel,) = tmp_path.glob("otb_super_resolution-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"sr_dataset.py", "weights/dsen2/2x/weights.h5", "weights/dsen2/2x/model.json"} <= set(names)
    assert any(name.endswith("/LICENSE") for name in names)
    assert not [name for name in names if name.split("/")[0] in ("native", "otbtf", "otbApplication", "tests")]
    run(environment / "python", "-m", "pip", "install", "--quiet", wheel)
    check_programs(environment)
    code = "import weights; from models.description import read_description as read; from pathlib import Path\n"
    code += "print(read(Path(weights.__file__).parent / 'dsen2' / '2x').system)"
    assert run(environment / "python", "-c", code, cwd="/") == "dsen2\n"


@pytest.mark.slow
def test_an_editable_install(checkout, environment):
    run(environment / "python", "-m", "pip", "install", "--quiet", "--no-build-isolation", "-e", checkout)
    check_programs(environment)
    code = "import chain.runtime.provenance as p; print(p.PROJECT)"
    assert run(environment / "python", "-c", code, cwd="/").strip() == str(checkout)
