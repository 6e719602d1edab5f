# SPDX-License-Identifier: Apache-2.0
"""The requirements as the Dockerfile installs them, in the versions of Python that the images have."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docker.conftest import OLD_TYPING_EXTENSIONS, PROJECT

RUNTIME = PROJECT / "requirements" / "runtime.txt"
MODULES = (
    *("numpy", "pystac_client", "planetary_computer", "pydantic"),
    *("h5py", "matplotlib", "skimage", "scipy", "tqdm", "safetensors"),
)
"""Those that need no OTB."""


def python_of(version):
    """Return a Python of a version, or skip the test."""
    candidates = [shutil.which(f"python{version}")]
    candidates += sorted((Path(os.environ.get("PYENV_ROOT", "/nowhere")) / "versions").glob(f"{version}.*/bin/python"))
    for path in candidates:
        if path and subprocess.run([path, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            return str(path)
    pytest.skip(f"there is no Python {version} with pip on this machine")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.12"])
def test_they_work_before_old_packages(version, tmp_path):
    """Python 3.10 is that of OTBTF 4.3.1, 3.12 that of 5.0; behind them lies an old typing_extensions."""
    python, packages, old = python_of(version), tmp_path / "packages", tmp_path / "old"
    words = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--target", packages, "-r", RUNTIME]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode and re.search("connection|resolve", done.stderr, re.IGNORECASE):
        pytest.skip("there is no package registry to be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    old.mkdir()
    real = str(packages / "typing_extensions.py")
    (old / "typing_extensions.py").write_text(OLD_TYPING_EXTENSIONS.format(real=real))
    script = f"import typing_extensions, {', '.join(MODULES)}; print(numpy.__version__, typing_extensions.__file__)"
    for first, second in ((packages, old), (old, packages)):
        path = os.pathsep.join([str(first), str(second)])
        run = subprocess.run(
            [python, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": path, "HOME": "/nowhere"}
        )
        assert run.stdout.split() == ["1.26.4", str(first / "typing_extensions.py")], run.stderr[-2000:]
