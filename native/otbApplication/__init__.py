# SPDX-License-Identifier: Apache-2.0
"""OTB's application engine in Python: the module of OTB's official wrapper, for machines without it.

The compiled part (``native/src``, pybind11) binds ``otb::Wrapper::Application`` and the registry; the Python
part adds what the official wrapper implements in Python: parameters by value, numpy images, logs.

    >>> import otbApplication
    >>> app = otbApplication.Registry.CreateApplication("BandMath")
    >>> app.SetParameterStringList("il", ["in.tif"])
    >>> app.SetParameterString("exp", "im1b1 + 1")
    >>> app.Execute()
    >>> array = app.GetImageAsNumpyArray("out")

Import it before TensorFlow: that library exports an SQLite without the R-tree module, which GeoPackage files
need.
"""

import os
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_BUILD = Path(__file__).resolve().parent.parent / "build"
_SYSTEM_APPLICATIONS = os.pathsep.join(map(str, sorted(Path("/usr/lib").glob("*/otb/applications"))))
"""Debian's, in the folder of the machine's architecture."""


def _load_engine():
    """Load the compiled part from the build folder as ``otbApplication._engine``."""
    name = f"{__name__}._engine"
    path = _BUILD / "otbApplication" / "_engine.so"
    if not path.exists():
        raise ImportError(f"{path} is missing: build it with `make -C {_BUILD.parent}`")
    spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, str(path)))
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _extend_application_path() -> None:
    """Append this project's applications to OTB_APPLICATION_PATH, after Debian's where it is unset."""
    folders = os.environ.get("OTB_APPLICATION_PATH", _SYSTEM_APPLICATIONS).split(os.pathsep)
    if str(_BUILD / "applications") not in folders:
        folders.append(str(_BUILD / "applications"))
    os.environ["OTB_APPLICATION_PATH"] = os.pathsep.join(folder for folder in folders if folder)


_engine = _load_engine()
globals().update({name: value for name, value in vars(_engine).items() if not name.startswith("_")})

from otbApplication import arrays, logs, parameters  # noqa: E402
from otbApplication._engine import (  # noqa: E402
    Logger,
    ProgressReporterManager,
    PythonLogOutput,
    Registry,
    itkPyCommand,
)
from otbApplication.logs import PythonPrintCallback  # noqa: E402
from otbApplication.parameters import ApplicationProxy  # noqa: E402,F401

parameters.extend(_engine.Application)
arrays.extend(_engine.Application)
logs.extend(_engine.Application, _engine.Registry)
_extend_application_path()

# The official wrapper's other names.
SwigPrintCallback = PythonPrintCallback
itkPyCommand_New = itkPyCommand.New
Logger_Instance = Logger.Instance
ProgressReporterManager_New = ProgressReporterManager.New
PythonLogOutput_New = PythonLogOutput.New
Registry_AddApplicationPath = Registry.AddApplicationPath
Registry_CleanRegistry = Registry.CleanRegistry
Registry_CreateApplicationWithoutLogger = Registry.CreateApplicationWithoutLogger
Registry_GetAvailableApplications = Registry.GetAvailableApplications
Registry_SetApplicationPath = Registry.SetApplicationPath
