# SPDX-License-Identifier: Apache-2.0
"""The toy applications of this folder, built for the session as copies of the plug-in."""

import os
import shutil
import sys
from pathlib import Path

import otbApplication as otb
import pytest

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parents[1] / "native" / "build" / "plugin.so"


@pytest.fixture(scope="session")
def toy_environment(tmp_path_factory):
    """Return the environment in which any program finds the applications ToyZoom, ToyMean and ToyFaulty."""
    folder = tmp_path_factory.mktemp("applications")
    for name in ("ToyZoom", "ToyMean", "ToyFaulty", "ToyMissing"):
        shutil.copy(PLUGIN, folder / f"otbapp_{name}.so")
    path = os.pathsep.join([os.environ["OTB_APPLICATION_PATH"], str(folder)])
    return {
        **os.environ,
        "OTB_APPLICATION_PATH": path,
        "OTB_PYTHON_PACKAGES": "toy_applications",
        "OTBTF_PYTHON": sys.executable,
        "PYTHONPATH": str(HERE),
        "OTB_LOGGER_LEVEL": "INFO",
    }


@pytest.fixture
def toys(toy_environment, monkeypatch):
    """Make the toy applications available in this process."""
    for name in ("OTB_APPLICATION_PATH", "OTB_PYTHON_PACKAGES"):
        monkeypatch.setenv(name, toy_environment[name])
    monkeypatch.syspath_prepend(str(HERE))
    return otb.Registry.CreateApplicationWithoutLogger
