# SPDX-License-Identifier: Apache-2.0
"""Each step of the Dockerfiles, done in a chroot on this machine, and what stands beside them."""

import os
import re
import subprocess
import sys

import pytest

from tests.docker.building import PYTHON, Build, steps
from tests.docker.conftest import DOCKER, PROJECT, context_files


def check(done):
    if done is not None and done.returncode and re.search("connection|resolv", done.stderr, re.IGNORECASE):
        pytest.skip("there is no registry to be reached")
    assert done is None or done.returncode == 0, done.stderr[-3000:]


@pytest.fixture
def building(tmp_path, monkeypatch):
    """A function that begins a build."""
    if os.getuid() != 0:
        pytest.skip("only root can mount and chroot")
    monkeypatch.chdir(PROJECT)
    begun = []

    def begin(context, **variables):
        try:
            begun.append(Build(tmp_path, context, variables.items()))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine mounts no overlay ({error.stderr})")
        return begun[0]

    yield begin
    for each in begun:
        each.close()


@pytest.mark.slow
def test_steps_on_the_otbtf_image(building):
    """With the stand-ins for OTB and otbtf of `native/` in place of the image's own."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Debian 12's Python")
    build = building(context_files(), PYTHONPATH="/opt/otbtf")
    build.run_as_root("useradd", "--create-home", "otbuser")
    for name in ("otbApplication", "otbtf", "build/otbApplication", "build/applications"):
        build.run_as_root("mkdir", "-p", "/opt/otbtf/build")
        build.run_as_root("cp", "-r", str(PROJECT / "native" / name), f"/opt/otbtf/{name}")
    for name, rest in steps(DOCKER / "Dockerfile"):
        check(build.step(name, rest))
    assert build.user == "otbuser" and build.inside("/opt/super-resolution/LICENSE").stat().st_size > 10_000
    path = build.environment["PYTHONPATH"].split(":")
    assert path == ["/opt/super-resolution", "/opt/super-resolution/packages", "/opt/otbtf"]
    for words in (["sr-dsen2", "--help"], ["sr-dataset", "--help"], ["python3", "-m", "train.spot7", "--help"], []):
        done = build.run(*build.entrypoint, *words)
        assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr
    assert "inference.deepsum" in build.run(*build.entrypoint, "sr-deepsum", "--help").stdout
    code = "import numpy, h5py, planetary_computer, otbApplication, os; print(numpy.__version__, os.getuid() > 0)"
    assert build.run(PYTHON, "-c", code).stdout.split() == ["1.26.4", "True"]
    assert build.run("/bin/sh", "-c", "touch /var/cache/super-resolution/x").returncode == 0
    assert build.run("/bin/sh", "-c", "touch /opt/super-resolution/x").returncode != 0


@pytest.mark.slow
def test_steps_on_debian(building):
    """All packages, and `make setup`, which compiles and fills both environments: several minutes."""
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    build = building(listed.splitlines())
    for line in build.inside("/etc/passwd").read_text().splitlines():
        if line.split(":")[2] == "1000":  # of this machine; Debian's image has no such user
            build.run_as_root("userdel", line.split(":")[0])
    for name, rest in steps(DOCKER / "debian.Dockerfile"):
        check(build.step(name, rest))
    assert build.user == "otbuser"
    done = build.run("make", "--question", "setup")
    assert done.returncode == 0, "something is left to be set up"
    assert build.run(".venv/bin/sr-dsen2", "--help").stdout.startswith("usage: ")
    code = "import otbApplication as otb; print(otb.Registry.CreateApplication('TensorflowModelServe') is not None)"
    assert build.run(".venv/bin/python", "-c", code).stdout == "True\n"


def test_tags_that_the_readme_names_are_those_of_both_generations():
    text = (DOCKER / "README.md").read_text() + (DOCKER / "Dockerfile").read_text()
    assert {"4.3.1-cpu", "4.3.1-gpu", "5.0.0-cpu", "5.0.0-gpu"} <= set(re.findall(r"\d\.\d\.\d-[cg]pu", text))


def test_files_that_ci_and_compose_name_are_there():
    compose = (DOCKER / "compose.yaml").read_text()
    assert re.search(r"dockerfile: (\S+)", compose)[1] == "docker/Dockerfile"
    for name in (".github/workflows/ci.yml", ".gitlab-ci.yml"):
        assert "- run: .ci/run" in (PROJECT / name).read_text() or "- .ci/run" in (PROJECT / name).read_text()
    assert os.access(PROJECT / ".ci" / "run", os.X_OK) and os.access(DOCKER / "entrypoint.sh", os.X_OK)
    assert "entry: make lint" in (PROJECT / ".pre-commit-config.yaml").read_text()


@pytest.mark.parametrize("name", ["docker/compose.yaml", ".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_yaml_is_read(name):
    """PyYAML comes with Dask."""
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((PROJECT / name).read_text())
    if name.endswith("compose.yaml"):
        assert {service["build"]["dockerfile"] for service in content["services"].values()} == {"docker/Dockerfile"}
        assert content["services"]["gpu"]["build"]["args"]["OTBTF_TAG"].endswith("gpu}")
