# SPDX-License-Identifier: Apache-2.0
"""A profile of QGIS that `make qgis` has set up, and QGIS without a screen."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

QGIS_PROCESS = "qgis_process.bin"
QGIS_PYTHON = "/usr/bin/python3"
SET_UP = REPOSITORY / "qgis" / "set_up.py"


class Qgis:
    """QGIS with a home of its own."""

    def __init__(self, home):
        self.home = home
        self.profile = home / ".local/share/QGIS/QGIS3/profiles/default"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        self.environment = {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "offscreen"}
        self.environment["SR_PYTHON"] = sys.executable

    def set_up(self):
        words = [QGIS_PYTHON, SET_UP, "--folder", self.home / "otb", "--python", sys.executable]
        return subprocess.run(
            list(map(str, words)), env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def run(self, algorithm, **parameters):
        """Run an algorithm; dots of a parameter's name are written as two underscores. Return exit status and words."""
        words = [QGIS_PROCESS, "run", algorithm, "--"]
        for name, value in parameters.items():
            values = value if isinstance(value, list) else [value]
            words += [f"{name.replace('__', '.')}={each}" for each in values]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=900)
        return done.returncode, done.stdout + done.stderr

    def script(self, *words):
        """Run `in_qgis.py`; return what it prints, as JSON."""
        command = [QGIS_PYTHON, str(Path(__file__).with_name("in_qgis.py")), *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def qgis(tmp_path_factory):
    if shutil.which(QGIS_PROCESS) is None or shutil.which("otbQgisDescriptor") is None:
        pytest.skip(f"{QGIS_PROCESS} and otbQgisDescriptor are not installed (Debian: qgis python3-qgis otb-qgis)")
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    made = Qgis(home)
    made.told = made.set_up()
    return made
